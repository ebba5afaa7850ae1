"""The ledger on toy namespaces, and the whole shim's undo on the real ones."""

from __future__ import annotations

import copy
import importlib
import inspect
import logging
import os
import pickle
import posix
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import pytest

from tests.shim.conftest import Mounted
from vfsmount.shim.patcher import MISSING, Ledger, disguise, lookup, namespace_of

PATCHED = (
    "os posix io _io builtins posixpath genericpath shutil glob fnmatch pathlib tempfile subprocess tarfile zipfile "
    "bz2 gzip lzma tokenize linecache importlib importlib.util _frozen_importlib_external zipimport runpy mmap fcntl "
    "configparser logging csv json inspect random socket threading"
).split()


@pytest.fixture
def toy() -> ModuleType:
    module = ModuleType("toy")
    module.__dict__.update(one=1, two=2)
    return module


def test_patch_and_undo(toy: ModuleType) -> None:
    ledger = Ledger()
    ledger.patch(toy, "one", 11)
    ledger.patch(toy, "new", 33)
    assert (toy.one, toy.new) == (11, 33)
    assert ledger.undo() == []
    assert toy.one == 1
    assert not hasattr(toy, "new")


def test_undo_runs_last_in_first_out(toy: ModuleType) -> None:
    ledger = Ledger()
    ledger.patch(toy, "one", 11)
    ledger.patch(toy, "one", 111)
    ledger.undo()
    assert toy.one == 1


def test_patching_with_the_same_value_is_no_change(toy: ModuleType) -> None:
    ledger = Ledger()
    ledger.patch(toy, "one", toy.one)
    assert len(ledger) == 0


def test_undo_twice_is_undo_once(toy: ModuleType) -> None:
    ledger = Ledger()
    ledger.patch(toy, "one", 11)
    ledger.undo()
    toy.one = 5  # type: ignore[attr-defined]
    ledger.undo()
    assert toy.one == 5


def test_what_somebody_else_patched_on_top_is_left_and_logged(
    toy: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    ledger.patch(toy, "one", 11)
    ledger.patch(toy, "two", 22)
    toy.one = 99  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        assert ledger.undo() == ["toy.one"]
    assert (toy.one, toy.two) == (99, 2)
    assert "toy.one" in caplog.text


def test_a_staticmethod_is_restored_as_one() -> None:
    class Toy:
        call = staticmethod(len)

    held = Toy.__dict__["call"]
    ledger = Ledger()
    ledger.patch(Toy, "call", staticmethod(abs))
    ledger.undo()
    assert Toy.__dict__["call"] is held


def test_an_inherited_name_is_deleted_again() -> None:
    class Parent:
        call = len

    class Child(Parent):
        pass

    ledger = Ledger()
    ledger.patch(Child, "call", abs)
    assert lookup(Child, "call") is abs
    ledger.undo()
    assert lookup(Child, "call") is MISSING


def test_a_module_that_dislikes_getattr_is_read_through_its_dict() -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"loaded by {name}")

    lazy = Lazy("lazy")
    ModuleType.__dict__["__dict__"].__get__(lazy)["name"] = 1
    held = namespace_of(lazy)
    assert held is not None
    assert held["name"] == 1
    ledger = Ledger()
    ledger.patch(lazy, "name", 2)
    assert held["name"] == 2
    ledger.undo()
    assert held["name"] == 1


def test_something_without_a_dict_has_no_namespace() -> None:
    assert namespace_of(None) is None
    assert namespace_of(object()) is None


def test_disguise_takes_over_name_doc_and_signature() -> None:
    def replacement(path: object = None, *args: object, **kwargs: object) -> None: ...

    disguise(replacement, os.stat)
    assert (replacement.__module__, replacement.__qualname__, replacement.__doc__) == ("posix", "stat", os.stat.__doc__)
    assert inspect.signature(replacement) == inspect.signature(os.stat)


def _snapshot() -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {}
    for name in PATCHED:
        for key, value in vars(sys.modules[name]).items():
            found[name, key] = value
            if isinstance(value, FunctionType):
                found[name, f"{key}()"] = (value.__defaults__, tuple((value.__kwdefaults__ or {}).values()))
            if isinstance(value, type):
                for inner, attribute in vars(value).items():
                    found[name, f"{key}.{inner}"] = attribute
                    if isinstance(attribute, FunctionType):
                        found[name, f"{key}.{inner}()"] = (attribute.__defaults__, ())
    for name in ("supports_fd", "supports_dir_fd", "supports_follow_symlinks", "supports_effective_ids"):
        found["os", f"{name}{{}}"] = frozenset(getattr(os, name))
    return found


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one is other or (isinstance(one, frozenset) and one == other)


def test_everything_is_as_before_after_undo(mount: Callable[..., Mounted]) -> None:
    for name in PATCHED:
        importlib.import_module(name)
    before = _snapshot()
    mounted = mount("/vfs-bucket")
    during = _snapshot()
    changed = {key for key in before if not _is_same(before[key], during.get(key))}
    assert {("os", "stat"), ("posix", "stat"), ("os", "listdir"), ("posix", "scandir"), ("builtins", "open")} <= changed
    assert {("io", "open"), ("_io", "open"), ("posix", "open")} <= changed
    mounted.installation.undo()
    after = _snapshot()
    assert before.keys() == after.keys()
    assert [key for key in before if not _is_same(before[key], after[key])] == []
    assert mounted.installation.left == []


def test_undo_of_an_installation_twice(mount: Callable[..., Mounted]) -> None:
    original = os.stat
    mounted = mount("/vfs-bucket")
    mounted.installation.undo()
    mounted.installation.undo()
    assert os.stat is original is posix.stat


def test_somebody_elses_patch_of_os_survives(mount: Callable[..., Mounted], monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.statvfs
    mounted = mount("/vfs-bucket")

    def theirs(path: str) -> None: ...

    monkeypatch.setattr(os, "statvfs", theirs)
    mounted.installation.undo()
    assert os.statvfs is theirs
    assert mounted.installation.left == ["os.statvfs"]
    monkeypatch.undo()  # puts back what it found, which was ours
    os.statvfs = original


def test_replacements_keep_signatures_and_names(mount: Callable[..., Mounted]) -> None:
    mounted = mount("/vfs-bucket")
    compared = 0
    for original, function in mounted.installation.replaced:
        if not isinstance(function, (FunctionType, MethodType)):
            continue
        assert function.__name__ == original.__name__  # type: ignore[attr-defined]
        assert function.__module__ == original.__module__
        assert function.__qualname__ == original.__qualname__  # type: ignore[attr-defined]
        assert function.__doc__ == original.__doc__
        try:
            expected = inspect.signature(original)  # type: ignore[arg-type]
        except ValueError:
            continue
        assert inspect.signature(function) == expected
        if isinstance(function, MethodType):
            assert inspect.getfullargspec(function) == inspect.getfullargspec(original)
        compared += 1
    assert compared > 40


def test_what_replaces_a_function_in_c_does_not_bind_in_a_class(mounted: Mounted) -> None:
    checked = 0
    for original, function in mounted.installation.replaced:
        if type(original) is BuiltinFunctionType:
            assert type("Late", (), {"held": function})().held is function
            checked += 1
    assert checked > 60

    class Files(str):
        __slots__ = ()
        open = open
        os_open = os.open
        stat = os.stat

    local = Files("not the path that is opened")
    with local.open(__file__, "rb") as file:
        assert local.stat(__file__).st_size == len(file.read())
    os.close(local.os_open(__file__, os.O_RDONLY))


def test_what_somebody_else_patched_before_is_called(
    mount: Callable[..., Mounted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original, seen = os.stat, list[object]()

    def theirs(path: Any, **options: Any) -> os.stat_result:
        seen.append(path)
        return original(path, **options)

    monkeypatch.setattr(os, "stat", theirs)
    mounted = mount("/vfs-bucket")
    assert os.stat(str(tmp_path)).st_ino == original(tmp_path).st_ino
    assert os.stat(mounted.path("a.txt")).st_size == 5
    assert seen == [str(tmp_path)]


def test_copies_of_a_replacement_work(mounted: Mounted) -> None:
    for made in (copy.copy(os.stat), copy.deepcopy(os.stat)):
        assert made == os.stat
        assert made("/").st_ino == os.stat("/").st_ino


@pytest.mark.parametrize("name", ["stat", "listdir", "scandir", "rename", "symlink", "getcwd", "mkdir"])
def test_replacements_pickle_by_reference(mounted: Mounted, name: str) -> None:
    function = getattr(os, name)
    data = pickle.dumps(function)
    assert pickle.loads(data) is function
    mounted.installation.undo()
    assert pickle.loads(data) is getattr(posix, name)


def test_supports_sets_hold_the_replacements(mounted: Mounted) -> None:
    assert os.stat in os.supports_fd
    assert {os.stat, os.rename, os.mkdir, os.unlink} <= os.supports_dir_fd
    assert os.stat in os.supports_follow_symlinks
    assert {os.scandir, os.listdir} <= os.supports_fd
    assert os.access in os.supports_effective_ids
