"""The declared surface is complete on the running Python, and true."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

import pytest

from tests.shim.conftest import Mounted
from vfsmount.shim.surface import NEITHER, SURFACE, is_declared, treatment

# Modules whose public names come from elsewhere too (``from typing import Any``): those are told by ``__module__``.
OWN = {
    "os": {"os", "posix"},
    "io": {"io", "_io"},
    "shutil": {"shutil"},
    "glob": {"glob"},
    "pathlib": {"pathlib", "pathlib._local", "pathlib._abc"},
    "tempfile": {"tempfile"},
    "subprocess": {"subprocess"},
    "importlib": {"importlib"},
    "importlib.machinery": {"importlib._bootstrap", "importlib._bootstrap_external", "importlib.machinery"},
    "importlib.util": {"importlib.util", "importlib._bootstrap", "importlib._bootstrap_external", "_imp"},
    "importlib.resources": {
        f"importlib{name}"
        for name in (".resources", "._common", *(f".resources._{n}" for n in ("common", "legacy", "functional")))
    },
}
PATCHED = ("os", "posix", "io", "_io", "builtins", "mmap", "fcntl")


def _public_callables(module: str) -> list[str]:
    found = []
    for name, value in vars(importlib.import_module(module)).items():
        if name.startswith("_") or not callable(value):
            continue
        if isinstance(value, type) and issubclass(value, BaseException):
            continue
        home = getattr(value, "__module__", None)
        if module in OWN and home is not None and home.startswith("_frozen_"):
            home = home.replace("_frozen_importlib", "importlib._bootstrap")
        if module in OWN and home is not None and home not in OWN[module]:
            continue
        found.append(name)
    return found


@pytest.mark.parametrize("module", sorted(SURFACE))
def test_every_public_name_is_declared(module: str) -> None:
    names = _public_callables(module)
    assert [name for name in names if not is_declared(module, name)] == []
    assert names


def test_no_name_is_in_both_tables() -> None:
    for module, names in NEITHER.items():
        assert names.isdisjoint(SURFACE.get(module, {}))


@pytest.mark.parametrize("module", PATCHED)
def test_routed_and_refused_names_are_replaced_and_no_others(mount: Callable[..., Mounted], module: str) -> None:
    namespace = vars(importlib.import_module(module))
    before = dict(namespace)
    mount("/vfs-bucket")
    replaced = {name for name in before if not name.startswith("_") and namespace[name] is not before[name]}
    declared = {name for name, made in SURFACE[module].items() if made.kind != "left" and name in before}
    assert replaced == declared


def test_refused_names_refuse(mounted: Mounted) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "link": ("/vfs-bucket/a.txt", "/vfs-bucket/new"),
        "symlink": ("text", "/vfs-bucket/new"),
        "mkfifo": ("/vfs-bucket/new",),
        "mknod": ("/vfs-bucket/new",),
        "chroot": ("/vfs-bucket",),
        "getxattr": ("/vfs-bucket/a.txt", "user.x"),
        "setxattr": ("/vfs-bucket/a.txt", "user.x", b""),
        "listxattr": ("/vfs-bucket/a.txt",),
        "removexattr": ("/vfs-bucket/a.txt", "user.x"),
    }
    descriptor = os.open("/vfs-bucket/written", os.O_WRONLY | os.O_CREAT)
    arguments["lockf"] = (descriptor, os.F_LOCK, 1)
    arguments["posix_fallocate"] = (descriptor, 0, 1)
    try:
        for name, made in SURFACE["os"].items():
            if made.kind == "refused" and hasattr(os, name):
                with pytest.raises(OSError) as caught:
                    getattr(os, name)(*arguments[name])
                assert caught.value.errno == made.errno, name
    finally:
        os.close(descriptor)


def test_every_left_name_has_a_reason() -> None:
    for names in SURFACE.values():
        for name, made in names.items():
            assert (made.kind == "left") == bool(made.reason), name
            assert (made.kind == "refused") == (made.errno is not None), name
    assert treatment("os", "nonsense") is None
