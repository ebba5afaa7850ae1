"""The objects that are read: made once for each run, straight in the store."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from benchmarks.slow_server import ACCESS_KEY, REGION, SECRET_KEY

WARM: Final = "warm"
SMALL: Final = 100_000
"""Bytes of a small file."""
IN_A_DIRECTORY: Final = 3000 / 700
"""Files in one of the tree's directories, on average."""


def large(mib: int) -> tuple[str, int]:
    """Key and bytes of a large object."""
    return f"large/{mib}", mib << 20


def small_keys(count: int, size: int = SMALL) -> list[str]:
    return [f"small{size}/{index:05}" for index in range(count)]


def wide(width: int) -> str:
    return f"wide{width}"


def tree(files: int) -> str:
    return f"tree{files}"


def tree_keys(files: int) -> list[str]:
    """Three levels: 7 directories, 10 in each, the rest below."""
    folders = max(1, round(files / IN_A_DIRECTORY))
    keys = []
    for index in range(files):
        folder = index % folders
        keys.append(f"{tree(files)}/{folder % 7}/{folder // 7 % 10}/{folder:04}/{index:05}.txt")
    return keys


class Seeds:
    """What is in the bucket, so that nothing is made twice."""

    def __init__(self, endpoint: str, bucket: str, say: Callable[[str], None]) -> None:
        import obstore
        from obstore.store import S3Store

        self._api = obstore
        self._say = say
        self._store: Any = S3Store(
            bucket,
            endpoint=endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region=REGION,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        self._made: set[str] = set()
        self._put_all({WARM: 1000})

    def have(self, work: str, parameters: dict[str, Any]) -> None:
        """Make what ``work`` reads, if it is not there."""
        wanted: dict[str, int] = {}
        if work in ("read", "random") or (work == "memory" and parameters["work"] == "read"):
            key, size = large(parameters["mib"])
            wanted[key] = size
        elif work == "small":
            size = parameters.get("size", SMALL)
            wanted = dict.fromkeys(small_keys(parameters["count"], size), size)
        elif work == "pool":
            wanted = dict.fromkeys(small_keys(parameters["count"] * parameters["processes"]), SMALL)
        elif work == "listing":
            name = wide(parameters["width"])
            wanted = {f"{name}/{index:05}.txt": 10 for index in range(parameters["width"])}
        elif work == "walk":
            wanted = dict.fromkeys(tree_keys(parameters["files"]), 10)
        missing = {key: size for key, size in wanted.items() if key not in self._made}
        if missing:
            self._say(f"  making {len(missing)} objects, {sum(missing.values()) / 1e6:.0f} MB, for {work}")
            self._put_all(missing)

    def _put_all(self, sizes: dict[str, int]) -> None:
        block = random.Random(1).randbytes(1 << 20)

        def put(key: str) -> None:
            size = sizes[key]
            if size <= len(block):
                self._api.put(self._store, key, block[:size])
                return
            with self._api.open_writer(self._store, key) as file:
                for start in range(0, size, len(block)):
                    file.write(block[: size - start])

        with ThreadPoolExecutor(32 if max(sizes.values()) < 1 << 20 else 2) as pool:
            list(pool.map(put, sizes))
        self._made.update(sizes)
