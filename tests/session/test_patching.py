"""What the process is patched with while sessions come and go."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vfsmount
from tests.session.starting import MOUNT
from vfsmount.session import activate_stores
from vfsmount.shim.patcher import Ledger
from vfsmount.testing import MemoryStore


def test_regression_a_second_session_opens_no_gap_for_other_threads(tmp_path: Path) -> None:
    outer, inner = MemoryStore(), MemoryStore()
    outer.put("f", b"in the bucket")
    path, end, wrong = f"{tmp_path}/outer/f", threading.Event(), list[BaseException]()

    def look() -> None:
        while not end.is_set():
            try:
                os.stat(path)
            except OSError as error:
                wrong.append(error)

    with activate_stores({f"{tmp_path}/outer": (MOUNT, outer)}):
        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        patched = os.stat
        try:
            for _ in range(20):
                with activate_stores({f"{tmp_path}/inner": (MOUNT, inner)}):
                    assert os.stat is patched
                assert os.stat is patched
        finally:
            end.set()
            for thread in threads:
                thread.join()
    assert wrong == []
    assert os.stat is not patched


def test_regression_what_captured_a_replacement_meets_the_original_afterwards(tmp_path: Path) -> None:
    store = MemoryStore()
    store.put("f", b"in the bucket")
    point = tmp_path / "mount"
    with activate_stores({str(point): (MOUNT, store)}):
        captured = {"open": open, "stat": os.stat, "listdir": os.listdir}  # no search looks into a dict
        assert captured["stat"](f"{point}/f").st_size == 13
    for call in (captured["open"], captured["stat"], captured["listdir"]):
        for path in (f"{point}/f", os.fsencode(f"{point}/f"), point / "f"):
            with pytest.raises(FileNotFoundError):
                call(path)
    (tmp_path / "local").write_text("local")
    with captured["open"](tmp_path / "local") as file:
        assert file.read() == "local"
    assert captured["stat"](tmp_path / "local").st_size == 5
    assert captured["listdir"](tmp_path) == ["local"]


def test_one_search_for_captured_references_each_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is most of what activation costs; the hooks of libraries that are loaded already share the shim's."""
    import zipfile

    from vfsmount.hooks import hook
    from vfsmount.shim import aliases, install

    searches = []

    def counting(swaps: Iterable[tuple[object, object]], ledger: Ledger, **more: Any) -> int:
        searches.append(list(swaps))
        return aliases.rebind(searches[-1], ledger, **more)

    monkeypatch.setattr(install, "rebind", counting)
    monkeypatch.setattr(hook, "rebind", counting)
    original = zipfile.ZipFile.__init__
    session = activate_stores({f"{tmp_path}/m": (MOUNT, MemoryStore())})
    try:
        assert len(searches) == 1
        assert zipfile.ZipFile.__init__ is not original
    finally:
        session.close()
    assert len(searches) == 2
    assert zipfile.ZipFile.__init__ is original


def test_regression_a_generator_that_another_thread_closes_leaves_passthrough_where_it_entered_it(
    tmp_path: Path,
) -> None:
    """The thread that entered used to see no mount any more, and the other one to see them inside a passthrough."""

    def listing() -> Iterator[list[str]]:
        with vfsmount.passthrough():
            yield os.listdir(tmp_path)

    store, point = MemoryStore(), f"{tmp_path}/mount"
    store.put("f", b"in the bucket")
    inside: list[bool] = []

    def close() -> None:
        generator.close()
        with vfsmount.passthrough():
            inside.append(os.path.isdir(point))
        inside.append(os.path.isdir(point))

    with activate_stores({point: (MOUNT, store)}):
        generator = listing()
        next(generator)
        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
        assert os.listdir(point) == ["f"]
    assert inside == [False, True]
