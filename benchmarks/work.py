"""One measurement, in a process of its own: ``python -m benchmarks.work JSON``, which prints a JSON object.

What is timed is in the functions named ``measure_*``; whatever they need (a client, a connection, a mount) is there
before the clock starts, except where starting is what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from benchmarks import seeds
from benchmarks.contenders import BLOCK, CONTENDERS, Obstore, Unavailable, vfsmount

Result = dict[str, Any]

RANDOM_READ: Final = 4096
"""Bytes."""


def _timed(function: Callable[[], int | None], expected: int | None = None) -> Result:
    before = time.perf_counter()
    came = function()
    seconds = time.perf_counter() - before
    if expected is not None and came != expected:
        raise RuntimeError(f"{came} instead of {expected}")
    return {"seconds": seconds}


def _verb(contender: Any, name: str) -> Any:
    verb = getattr(contender, name, None)
    if verb is None:
        raise Unavailable(f"has no {name}")
    return verb


# -- reading


def measure_read(contender: Any, *, mib: int, verb: str = "read", **_: Any) -> Result:
    """One large object from one end to the other."""
    read = _verb(contender, verb)
    if getattr(contender, "small", None) is not None:
        contender.small(seeds.WARM)
    key, size = seeds.large(mib)
    return _timed(lambda: read(key, size), size)


def measure_small(contender: Any, *, count: int, threads: int = 1, size: int = seeds.SMALL, **_: Any) -> Result:
    """Open, read and close many small files, each for the first time."""
    small = _verb(contender, "small")
    keys = seeds.small_keys(count, size)
    with ThreadPoolExecutor(threads) as pool:
        barrier = threading.Barrier(threads)

        def warm(_: int) -> None:
            barrier.wait(60)  # each thread takes one, so that each has its connection
            small(seeds.WARM)

        list(pool.map(warm, range(threads)))
        if threads == 1:
            return _timed(lambda: sum(small(key) for key in keys), count * size)
        return _timed(lambda: sum(pool.map(small, keys)), count * size)


def measure_random(contender: Any, *, count: int, mib: int, **_: Any) -> Result:
    """4 KiB at places that have nothing to do with each other, of an open file."""
    at_random = _verb(contender, "at_random")
    key, size = seeds.large(mib)
    places = [(index * 7919 + 13) % (size // RANDOM_READ) * RANDOM_READ for index in range(1, count + 1)]
    with at_random(key) as pread:
        pread(size // 2, RANDOM_READ)
        return _timed(lambda: sum(pread(place, RANDOM_READ) for place in places), count * RANDOM_READ)


# -- listing


def measure_listing(contender: Any, *, width: int, **_: Any) -> Result:
    """Names, sizes and times of one directory."""
    listing = _verb(contender, "listing")
    contender.small(seeds.WARM)
    return _timed(lambda: listing(seeds.wide(width)), width)


def measure_walk(contender: Any, *, files: int, **_: Any) -> Result:
    """All files of a tree."""
    walk = _verb(contender, "walk")
    contender.small(seeds.WARM)
    return _timed(lambda: walk(seeds.tree(files)), files)


# -- writing


def measure_write(contender: Any, *, mib: int, endpoint: str, bucket: str, threads: int = 1) -> Result:
    """Objects written in calls of 1 MiB, until they are in the store."""
    write = _verb(contender, "write")
    block = os.urandom(BLOCK)
    keys = [f"written/{index}" for index in range(threads)]
    _make_folder(contender, keys[0])
    contender.put("written/first", b"x")
    with ThreadPoolExecutor(threads) as pool:
        result = _timed(lambda: len(list(pool.map(lambda key: write(key, (block for _ in range(mib))), keys))))
    _check_sizes(endpoint, bucket, keys, mib << 20)
    return result


def measure_put(
    contender: Any, *, count: int, endpoint: str, bucket: str, threads: int = 1, size: int = seeds.SMALL
) -> Result:
    """Small new files in one directory, which is known when the clock starts."""
    put = _verb(contender, "put")
    data = os.urandom(size)
    keys = [f"written/{index}" for index in range(count)]
    _make_folder(contender, keys[0])
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda index: put(f"written/warm{index}", data), range(threads)))
        if hasattr(contender, "root"):
            os.listdir(f"{contender.root}/written")
        result = _timed(lambda: len(list(pool.map(lambda key: put(key, data), keys))))
    _check_sizes(endpoint, bucket, keys, size)
    return result


def _make_folder(contender: Any, key: str) -> None:
    """On what has directories."""
    folder = getattr(contender, "folder", None)
    if folder is not None:
        folder(key)


def _check_sizes(endpoint: str, bucket: str, keys: list[str], size: int) -> None:
    plain = Obstore(endpoint, bucket)
    for key in keys[:: max(1, len(keys) // 8)]:
        found = plain.api.head(plain.store, key)["size"]
        if found != size:
            raise RuntimeError(f"{key} has {found} bytes instead of {size}")


# -- memory


def _memory(field: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) << 10
    raise Unavailable("no /proc here")


def measure_memory(contender: Any, *, mib: int, work: str, **_: Any) -> Result:
    """Most bytes resident beyond what was there when the work began."""
    key, size = seeds.large(mib) if work == "read" else ("written/0", mib << 20)
    block = os.urandom(BLOCK)
    if work == "read":
        contender.small(seeds.WARM)
    else:
        _make_folder(contender, key)
        contender.put("written/first", b"x")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak
    base = _memory("VmRSS")
    before = time.perf_counter()
    if work == "read":
        contender.read(key, size)
    else:
        contender.write(key, (block for _ in range(mib)))
    seconds = time.perf_counter() - before
    return {"seconds": seconds, "bytes": _memory("VmHWM") - base}


# -- processes


def measure_pool(contender: Any, *, count: int, processes: int, **_: Any) -> Result:
    """Small files read by each process of a forked pool; the reference is a pool of one."""
    import multiprocessing

    global _pool_reads  # what a task needs must be there before the fork, and cannot be pickled
    _pool_reads = contender.small
    contender.small(seeds.WARM)
    keys = seeds.small_keys(count * processes)
    shares = [keys[index::processes] for index in range(processes)]
    fork = multiprocessing.get_context("fork")

    def run(tasks: list[list[str]]) -> float:
        with fork.Pool(len(tasks)) as pool:
            pool.map_async(_pool_task, [[seeds.WARM]] * len(tasks), chunksize=1).get(60)
            before = time.perf_counter()
            sizes = pool.map_async(_pool_task, tasks, chunksize=1).get(60)
            seconds = time.perf_counter() - before
        if sum(sizes) != sum(map(len, tasks)) * seeds.SMALL:
            raise RuntimeError(f"{sum(sizes)} bytes came")
        return seconds

    return {"reference": run(shares[:1]), "seconds": run(shares)}


_pool_reads: Callable[[str], int] | None = None


def _pool_task(keys: list[str]) -> int:
    assert _pool_reads is not None
    return sum(_pool_reads(key) for key in keys)


# -- the local disk, and beginning


def measure_local(*, call: str, endpoint: str, bucket: str, **_: Any) -> Result:
    """A local file while a mount is active, and the same before and after; the best of alternating runs of each."""
    repeat, runs = 3000, 12

    def stat() -> None:
        for _ in range(repeat):
            os.stat(__file__)

    def opened() -> None:
        for _ in range(repeat // 3):
            open(__file__).close()

    work = stat if call == "stat" else opened
    bare, mounted = [], []
    for _ in range(runs):
        bare.append(_timed(work)["seconds"])
        with vfsmount(endpoint, bucket):
            mounted.append(_timed(work)["seconds"])
    return {"reference": min(bare), "seconds": min(mounted)}


def measure_activate(*, check: bool, endpoint: str, bucket: str, **_: Any) -> Result:
    """From an imported package to a mounted bucket, for the first time in the process."""
    import vfsmount as library

    secret = library.Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
    mount = library.CloudBucketMount(bucket, endpoint, secret=secret, region="us-east-1", force_path_style=True)
    point = f"{os.getcwd()}/vfsmount-bench-point"
    before = time.perf_counter()
    session = library.activate({point: mount}, check=check)
    seconds = time.perf_counter() - before
    session.close()
    return {"seconds": seconds}


WITH_CONTENDER: Final[dict[str, Callable[..., Result]]] = {
    "read": measure_read,
    "small": measure_small,
    "random": measure_random,
    "listing": measure_listing,
    "walk": measure_walk,
    "write": measure_write,
    "put": measure_put,
    "memory": measure_memory,
    "pool": measure_pool,
}
BARE: Final[dict[str, Callable[..., Result]]] = {"local": measure_local, "activate": measure_activate}


def main(argument: str) -> int:
    task = json.loads(argument)
    place = {"endpoint": task["endpoint"], "bucket": task["bucket"]}
    parameters = dict(task["parameters"])
    limit = parameters.pop("memory_limit", None)
    options = {"memory_limit": limit} if limit and task["contender"] == "vfsmount" else {}
    try:
        with contextlib.ExitStack() as stack:
            if task["work"] in BARE:
                result = BARE[task["work"]](**parameters, **place)
            else:
                made = CONTENDERS[task["contender"]](task["endpoint"], task["bucket"], **options)
                contender = stack.enter_context(made)
                result = WITH_CONTENDER[task["work"]](contender, **parameters, **place)
    except ImportError as error:
        result = {"error": f"not installed: {error.name}"}
    except Unavailable as error:
        result = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - a peer's failure is a result
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"[:300]}
    print("\n" + json.dumps(result), flush=True)
    os._exit(0)  # some clients' threads take seconds to end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
