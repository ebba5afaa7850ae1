"""Captured references on toy modules, and some that the standard library holds."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from tests.shim.conftest import Mounted
from vfsmount.shim.aliases import rebind
from vfsmount.shim.patcher import Ledger

SOURCE = """
import functools, os
from os import stat as captured
from builtins import abs as old

def default(call=old, other=1): return call
def keyword(*, call=old): return call
def closed(call):
    def inner(): return call
    return inner
inner = closed(old)
partial = functools.partial(old, -1)
argument = functools.partial(map, old)

class Holder:
    call = old
    static = staticmethod(old)
    def method(self, call=old): return call
    @staticmethod
    def fixed(call=old): return call
"""


def replacement(value: int) -> int:
    return -999


@pytest.fixture
def module() -> Iterator[ModuleType]:
    made = ModuleType("vfs_test_captured")
    sys.modules[made.__name__] = made
    exec(compile(SOURCE, made.__name__, "exec"), made.__dict__)
    yield made
    del sys.modules[made.__name__]
    vars(
        made
    ).clear()  # it holds os.stat in a cycle, which every later activation would search for until it is collected


def _captured(module: ModuleType) -> list[object]:
    return [
        module.old,
        module.default(),
        module.keyword(),
        module.inner(),
        module.partial.func,
        module.argument.args[0],
        module.Holder().call,
        module.Holder.call,
        module.Holder.static,
        module.Holder().method(),
        module.Holder.fixed(),
    ]


def test_every_kind_of_capture_is_rebound_and_restored(module: ModuleType) -> None:
    before = dict(vars(module.Holder))
    defaults = module.default.__defaults__
    ledger = Ledger()
    rebind([(abs, replacement)], ledger)
    assert _captured(module) == [replacement] * 11
    assert module.partial() == -999
    assert ledger.undo() == []
    assert _captured(module) == [abs] * 11
    assert dict(vars(module.Holder)) == before
    assert module.default.__defaults__ is defaults
    assert module.partial() == 1


TABLES = """
from builtins import abs as old

table = {"plain": old, 1: "other"}

class Keeper:
    def __init__(self):
        self.call = old
        self.by_suffix = {None: old, ".gz": len}
keeper = Keeper()
"""


def test_capture_in_a_table_or_in_an_object_that_the_module_keeps_is_rebound_and_restored(module: ModuleType) -> None:
    exec(compile(TABLES, module.__name__, "exec"), module.__dict__)

    def captured() -> list[object]:
        return [module.table["plain"], module.keeper.call, module.keeper.by_suffix[None]]

    ledger = Ledger()
    rebind([(abs, replacement)], ledger)
    assert captured() == [replacement] * 3
    assert module.table[1] == "other"
    assert module.keeper.by_suffix[".gz"] is len
    assert ledger.undo() == []
    assert captured() == [abs] * 3


def test_numpy_that_was_imported_before_reads_and_writes_text_on_a_mount() -> None:
    code = """if True:
        import sys, numpy
        from vfsmount import session
        from vfsmount.config import CloudBucketMount
        from vfsmount.testing import MemoryStore
        with session.activate_stores({"/vfs-numpy": (CloudBucketMount("b"), MemoryStore())}):
            numpy.savetxt("/vfs-numpy/a.txt", [[1, 2], [3, 4]])
            assert numpy.loadtxt("/vfs-numpy/a.txt").tolist() == [[1, 2], [3, 4]]
            assert numpy.genfromtxt("/vfs-numpy/a.txt")[1, 1] == 4
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.getcwd())


def test_a_log_file_that_was_prepared_before_is_opened_on_the_mount(mount: Callable[..., Mounted]) -> None:
    handler = logging.FileHandler("/vfs-bucket/late.log", delay=True)
    mounted = mount("/vfs-bucket")
    try:
        handler.emit(logging.LogRecord("name", logging.INFO, "path", 1, "said", (), None))
    finally:
        handler.close()
    assert mounted.store.get_range("late.log", 0, 100).data == b"said\n"


def test_a_default_of_a_function_that_a_decorator_wraps_is_rebound(module: ModuleType) -> None:
    exec("def decorated(function):\n    def inner(): return function()\n    return inner\n"
         "@decorated\ndef wrapped(call=old): return call", module.__dict__)  # fmt: skip
    ledger = Ledger()
    rebind([(abs, replacement)], ledger)
    assert module.wrapped() is replacement
    ledger.undo()
    assert module.wrapped() is abs


def test_equal_is_not_identical(module: ModuleType) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __hash__(self) -> int:
            raise AssertionError("hashed")

    module.odd = odd = Equal()  # type: ignore[attr-defined]
    ledger = Ledger()
    rebind([(abs, replacement)], ledger)
    assert module.odd is odd
    ledger.undo()


def test_odd_things_in_sys_modules_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"loaded by {name}")

    class Liar:
        __slots__ = ()

        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    lazy = Lazy("lazy")
    vars(lazy)["captured"] = abs
    monkeypatch.setitem(sys.modules, "vfs_test_lazy", lazy)
    monkeypatch.setitem(sys.modules, "vfs_test_none", None)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "vfs_test_liar", Liar())  # type: ignore[arg-type]
    ledger = Ledger()
    rebind([(abs, replacement)], ledger)
    assert vars(lazy)["captured"] is replacement
    ledger.undo()
    assert vars(lazy)["captured"] is abs


def test_an_empty_closure_cell_is_passed_over(module: ModuleType) -> None:
    exec("def later():\n    def read(): return value\n    return read\n    value = 1\nread = later()", module.__dict__)
    ledger = Ledger()
    rebind([(abs, replacement)], ledger)
    ledger.undo()
    with pytest.raises(NameError):
        module.read()


def test_own_modules_keep_what_they_captured(mounted: Mounted) -> None:
    from vfsmount import real

    assert real.stat is not os.stat


def test_a_captured_name_sees_the_mount(module: ModuleType, mount: Callable[..., Mounted]) -> None:
    original = module.captured
    mounted = mount("/vfs-bucket")
    assert module.captured is os.stat
    assert module.captured(mounted.path("a.txt")).st_size == 5
    mounted.installation.undo()
    assert module.captured is original


def test_what_was_captured_while_mounted_is_rebound_back(mounted: Mounted, module: ModuleType) -> None:
    exec("from os import stat as late\nclass Late:\n    probe = late\n", module.__dict__)
    assert module.late is os.stat
    mounted.installation.undo()
    assert module.late is os.stat
    assert not hasattr(module.late, "__wrapped__")
    assert module.Late.__dict__["probe"] in (os.stat, module.Late.probe)
    assert module.Late().probe("/").st_mode == os.stat("/").st_mode


def test_a_class_attribute_made_while_mounted_does_not_bind(mounted: Mounted) -> None:
    class Files:
        probe = os.stat
        move = os.rename
        names = os.listdir

    assert Files().probe(mounted.path("a.txt")).st_size == 5  # type: ignore[call-arg,arg-type]
    assert Files().probe("/").st_mode == os.stat("/").st_mode  # type: ignore[call-arg,arg-type]
    assert Files().names(mounted.path("dir")) == ["b.txt", "sub"]  # type: ignore[call-overload]
    with pytest.raises(FileNotFoundError):
        Files().move("/vfs-none/a", "/vfs-none/b")  # type: ignore[call-arg,arg-type]


def test_tempfile_and_pathlib_captures(mounted: Mounted) -> None:
    import pathlib

    accessor = getattr(pathlib, "_NormalAccessor", None)
    if accessor is not None:  # Python 3.10
        assert accessor.stat is os.stat
        assert accessor().listdir is os.listdir
    assert tempfile._os is os  # type: ignore[attr-defined]
    assert isinstance(functools.partial(os.stat), functools.partial)
