"""The search for captured references ends where all are accounted for, and misses none, whatever happened before it."""

from __future__ import annotations

import functools
import gc
import io
import mmap
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.shim.conftest import Mounted
from vfsmount.shim import aliases, holders
from vfsmount.shim.aliases import rebind
from vfsmount.shim.patcher import Ledger

Mount = Callable[..., Mounted]

SOURCE = """
import functools

def default(call=None): return call
def keyword(*, call=None): return call
def decorated(function):
    @functools.wraps(function)
    def inner(*given): return function(*given)
    return inner
def closed(call):
    def inner(): return call
    return inner
@decorated
def wrapped(call=None): return call
def later(call=None): return call
inner = closed(None)
table = {}
several = [1]
partial = functools.partial(print)

class Holder:
    pass

class Keeper:
    pass
keeper = Keeper()
"""


@pytest.fixture
def module() -> Iterator[Any]:
    made: Any = ModuleType("vfs_test_holding")
    sys.modules[made.__name__] = made
    exec(compile(SOURCE, made.__name__, "exec"), made.__dict__)
    yield made
    del sys.modules[made.__name__]
    # What it captured must not stay in a cycle: until that is collected, every later activation has to search for it.
    if "captured" in vars(made.Holder):
        del made.Holder.captured
    vars(made).clear()


def _global(module: Any, value: object) -> Callable[[], object]:
    module.captured = value
    return lambda: module.captured


def _class_attribute(module: Any, value: object) -> Callable[[], object]:
    module.Holder.captured = value
    return lambda: module.Holder.captured


def _static_method(module: Any, value: object) -> Callable[[], object]:
    module.Holder.captured = staticmethod(value)  # type: ignore[arg-type]
    return lambda: module.Holder.captured


def _default(module: Any, value: object) -> Callable[[], object]:
    module.default.__defaults__ = (value,)
    return lambda: module.default()


def _keyword(module: Any, value: object) -> Callable[[], object]:
    module.keyword.__kwdefaults__["call"] = value
    return lambda: module.keyword()


def _cell(module: Any, value: object) -> Callable[[], object]:
    module.inner.__closure__[0].cell_contents = value
    return lambda: module.inner()


def _behind_a_decorator(module: Any, value: object) -> Callable[[], object]:
    module.wrapped.__wrapped__.__defaults__ = (value,)
    return lambda: module.wrapped()


def _table(module: Any, value: object) -> Callable[[], object]:
    module.table["captured"] = value
    return lambda: module.table["captured"]


def _list(module: Any, value: object) -> Callable[[], object]:
    module.several[0] = value
    return lambda: module.several[0]


def _partial(module: Any, value: object) -> Callable[[], object]:
    module.partial = functools.partial(value)  # type: ignore[arg-type]
    return lambda: module.partial.func


def _attribute(module: Any, value: object) -> Callable[[], object]:
    module.keeper.captured = value
    return lambda: module.keeper.captured


PLACES = (
    _global,
    _class_attribute,
    _static_method,
    _default,
    _keyword,
    _cell,
    _behind_a_decorator,
    _table,
    _list,
    _partial,
    _attribute,
)
ORIGINALS: dict[str, Callable[[], object]] = {
    "stat": lambda: os.stat,
    "open": lambda: open,
    "walk": lambda: os.walk,
    "FileIO": lambda: io.FileIO,
    "mmap": lambda: mmap.mmap,
}


@pytest.mark.parametrize("name", ["stat", "FileIO"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__.strip("_"))
def test_what_is_captured_between_two_activations_is_rebound(
    mount: Mount, module: ModuleType, place: Callable[[ModuleType, object], Callable[[], object]], name: str
) -> None:
    original = ORIGINALS[name]()
    mount("/vfs-first").installation.undo()
    look = place(module, original)
    second = mount("/vfs-second")
    assert ORIGINALS[name]() is not original
    assert look() is ORIGINALS[name]()
    second.installation.undo()
    assert look() is original


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_reference_that_goes_does_not_hide_one_that_comes(mount: Mount, module: ModuleType, name: str) -> None:
    original = ORIGINALS[name]()
    unfindable = {(1,): [original]}
    first = mount("/vfs-first")
    first.installation.undo()
    del unfindable[(1,)]
    look = _default(module, original)
    mount("/vfs-second")
    assert look() is ORIGINALS[name]() is not original


def test_an_instance_that_goes_does_not_hide_a_class_that_is_captured(mount: Mount, module: ModuleType) -> None:
    original = io.FileIO
    file = io.FileIO(os.devnull)
    mount("/vfs-first").installation.undo()
    file.close()
    del file
    look = _class_attribute(module, original)
    mount("/vfs-second")
    assert look() is io.FileIO is not original


def test_one_tuple_of_two_functions_is_one_reference(mount: Mount, module: Any) -> None:
    """Were it counted twice, another reference would go unseen."""
    original = os.stat
    module.default.__defaults__ = module.later.__defaults__ = (original,)
    mount("/vfs-first").installation.undo()
    look = _cell(module, original)
    mount("/vfs-second")
    assert module.default() is module.later() is look() is os.stat is not original


def test_what_captured_a_replacement_is_found_at_the_end(mount: Mount, module: ModuleType) -> None:
    for name in ORIGINALS:
        original = ORIGINALS[name]()
        mounted = mount("/vfs-bucket")
        looks = [place(module, ORIGINALS[name]()) for place in PLACES]
        mounted.installation.undo()
        assert [look() for look in looks] == [original] * len(PLACES), name


def test_a_count_that_is_not_known_is_looked_into(module: Any) -> None:
    """``abs`` is held by ``builtins``, which nobody patched here."""
    look = _default(module, abs)
    ledger = Ledger()
    assert rebind([(abs, max)], ledger) >= 1
    assert look() is max
    ledger.undo()
    assert look() is abs


COUNTING = """
    import sys
    from vfsmount.config import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.shim import aliases, holders
    from vfsmount.testing import MemoryStore

    searches = []
    for name in ("globals", "everywhere"):
        def counting(self, name=name, original=getattr(aliases._Search, name)):
            searches.append(name)
            original(self)
        setattr(aliases._Search, name, counting)

    def session():
        searches.clear()
        with activate_stores({"/vfs-counted": (CloudBucketMount("b"), MemoryStore())}):
            began = list(searches)
            searches.clear()
        return began, list(searches)
"""


def _run(code: str) -> None:
    source = textwrap.dedent(COUNTING) + textwrap.dedent(code)
    subprocess.run([sys.executable, "-c", source], check=True, cwd=os.getcwd(), timeout=60)


def test_nothing_is_searched_where_all_is_accounted_for() -> None:
    _run("""
        session()  # whatever the standard library of this Python captures is known from here on
        for _ in range(3):
            assert session() == ([], []), searches
    """)


def test_one_capture_of_a_library_is_one_search_and_known_from_then_on() -> None:
    _run("""
        import os, types
        session()
        library = sys.modules["library"] = types.ModuleType("library")
        exec("from os import stat\\nclass Files:\\n    probe = stat", library.__dict__)
        original = library.stat
        assert session() == (["globals", "everywhere"], [])
        assert session() == ([], [])
        assert library.stat is library.Files.probe is original
    """)


HELD_BY_C = """
    import ctypes, os, types
    session()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(os.stat))  # as a module written in C does
"""


def test_what_c_holds_is_proved_again_once_the_captures_are_known() -> None:
    _run(
        HELD_BY_C
        + """
    library = sys.modules["library"] = types.ModuleType("library")
    exec("from os import stat\\nclass Files:\\n    probe = stat", library.__dict__)
    assert session() == (["globals", "everywhere"], [])
    assert session() == ([], [])
    assert session() == ([], [])
    """
    )


def test_a_proof_that_failed_is_tried_again_after_some_searches() -> None:
    _run(
        HELD_BY_C
        + """
    hidden = {(1,): [os.stat]}
    for _ in range(3):
        assert session() == (["globals", "everywhere"], [])
    hidden.clear()
    later = [session() for _ in range(2 * aliases._PATIENCE)]
    assert later[-1] == later[aliases._PATIENCE] == ([], [])
    """
    )


def test_a_tree_that_was_copied_leaves_nothing_to_be_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    _run(f"""
        import gc, shutil
        gc.disable()
        for _ in range(2):
            searches.clear()
            with activate_stores({{"/vfs-counted": (CloudBucketMount("b", metadata_ops="ignore"), MemoryStore())}}):
                shutil.copytree({str(tmp_path)!r}, "/vfs-counted/copy")
        assert not searches, searches
        assert session() == ([], [])
    """)


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="before Python 3.12 _zoneinfo keeps io.open where nothing sees it"
)
def test_what_zoneinfo_keeps_needs_no_proof() -> None:
    _run("""
        import zoneinfo
        session()
        holders.Account.is_closed = None
        session()
    """)


def test_what_a_module_written_in_c_is_imported_from_again_is_proved_once() -> None:
    _run("""
        import ctypes
        session()
        session()
        holders.Account.is_closed = None
        session()
    """)


def test_what_stands_in_for_a_class_needs_no_search() -> None:
    pytest.importorskip("pyarrow")
    _run("""
        import pyarrow
        session()
        assert session() == session() == ([], [])
    """)


def test_objects_that_the_collector_does_not_pass_over_are_searched_all_the_same() -> None:
    _run("""
        import gc, os, types
        library = sys.modules["library"] = types.ModuleType("library")
        exec("from os import stat\\nclass Files:\\n    probe = stat", library.__dict__)
        gc.freeze()
        with activate_stores({"/vfs-counted": (CloudBucketMount("b"), MemoryStore())}):
            assert library.Files.probe is os.stat
    """)


def test_a_foreign_reference_count_leaves_everything_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "_count", None)
    value = object()
    assert holders.Account([(value, abs)]).undecided() == [value]


def test_what_a_search_finds_is_remembered_by_its_module(module: ModuleType) -> None:
    _default(module, abs)
    gc.collect()
    ledger = Ledger()
    rebind([(abs, max)], ledger)
    ledger.undo()
    assert module.__name__ in aliases._likely


@pytest.mark.skipif(not gc.get_freeze_count(), reason="this Python freezes nothing when it starts")
def test_modules_that_python_froze_when_it_started_are_searched() -> None:
    _run("""
        import codecs, os
        session()
        from vfsmount import real
        codecs.Codec.probe = os.stat
        with activate_stores({"/vfs-counted": (CloudBucketMount("b"), MemoryStore())}):
            assert codecs.Codec.probe is os.stat is not real.stat
        assert codecs.Codec.probe is real.stat
    """)
