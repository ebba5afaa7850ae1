"""Bad calls fail as they do on the originals, for local paths and mounted ones."""

from __future__ import annotations

import fcntl
import inspect
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shim.conftest import Mounted
from vfsmount import real
from vfsmount.shim.surface import SURFACE

BAD: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((), {}),
    ((3.5,), {}),
    ((object(),), {}),
    (([],), {}),
    (("a\0b",), {}),
    ((b"a\0b", b"a\0b"), {}),
    (("x", object()), {}),
    (("x", "x", object()), {}),
    (("x",) * 12, {}),
    ((), {"no_such_argument": 1}),
    (("x",), {"no_such_argument": 1}),
    (("x",), {"dir_fd": "x"}),
    ((object(),), {"dir_fd": -1}),
    ((-1,), {"follow_symlinks": False, "dir_fd": 0}),
)
"""Each is wrong for every function below, or finds nothing."""

AFTER: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((object(),), {}),
    ((object(), object()), {}),
    ((1, 2, 3, 4, 5, 6, 7, 8, 9), {}),
    ((), {"no_such_argument": 1}),
    ((), {"dir_fd": "x"}),
    ((), {"dir_fd": 3.5}),
)
"""The same behind a path that exists."""

STARTS_SOMETHING = {"system", "execv", "execve", "posix_spawn", "posix_spawnp"}


def _names() -> list[str]:
    return sorted(
        name
        for name, made in SURFACE["os"].items()
        if made.kind != "left" and hasattr(os, name) and not name.startswith("spawn")
    )


def name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", ""))


def outcome(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[object, ...]:
    """What a call comes to: the type of the error, and the errno or the words.

    The words of a TypeError are not compared: Python's own for a missing argument are other than those of C.
    """
    try:
        made = function(*args, **kwargs)
        if name_of(function) == "scandir":
            made.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, the two have to be the same
        if isinstance(error, TypeError):
            return (TypeError,)
        return type(error), error.errno if isinstance(error, OSError) else str(error)
    return (None,)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Changes into a directory of the name given, for calls that make something by the name "x"."""

    def enter(name: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)

    return enter


@pytest.mark.slow
def test_of_os(mounted: Mounted, inside: Callable[[str], None]) -> None:
    differing = []
    for name in _names():
        function = getattr(os, name)
        assert inspect.unwrap(function) is not function
        for args, kwargs in BAD:
            if name in STARTS_SOMETHING and args and args[0] == "x":
                continue
            if name == "wait" and not args and not kwargs:
                continue  # nothing is wrong with it: it would wait for the servers of other tests, and reap them
            inside("original")
            expected = outcome(inspect.unwrap(function), args, kwargs)
            inside("replacement")
            got = outcome(function, args, kwargs)
            if got != expected:
                differing.append((name, args, kwargs, got, expected))
    assert differing == []


@pytest.mark.slow
def test_of_os_on_a_mounted_path(mounted: Mounted, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"alpha")
    differing, compared = [], 0
    for name in _names():
        if name in STARTS_SOMETHING:
            continue
        function = getattr(os, name)
        for args, kwargs in AFTER:
            expected = outcome(inspect.unwrap(function), (str(tmp_path / "a.txt"), *args), kwargs)
            if expected[0] not in (TypeError, ValueError):
                continue  # a call that is right: tests/ways compares what it does
            compared += 1
            got = outcome(function, (mounted.path("a.txt"), *args), kwargs)
            if got != expected:
                differing.append((name, args, kwargs, got, expected))
    assert differing == []
    assert compared > 300


def test_of_fcntl(mounted: Mounted) -> None:
    for name in ("fcntl", "ioctl", "flock", "lockf"):
        function = getattr(fcntl, name)
        assert inspect.unwrap(function) is not function
        for args, kwargs in BAD:
            assert outcome(function, args, kwargs) == outcome(inspect.unwrap(function), args, kwargs), (args, kwargs)


def test_of_open_code_and_file_io(mounted: Mounted, inside: Callable[[str], None]) -> None:
    for args, kwargs in BAD:
        if args[:2] == ("x", "x"):
            continue  # a mode
        assert outcome(io.FileIO, args, kwargs) == outcome(real.FileIO, args, kwargs), (args, kwargs)
        assert outcome(io.open_code, args, kwargs) == outcome(real.open_code, args, kwargs), (args, kwargs)
