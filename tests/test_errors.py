"""The family of store errors and the one table that turns them into errnos."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import sys

import pytest

from vfsmount import errors
from vfsmount.errors import ERRNO, StoreError, errno_for, from_store, os_error

EXPECTED = {
    "StoreError": errno.EIO,
    "NotFound": errno.ENOENT,
    "AlreadyExists": errno.EEXIST,
    "PreconditionFailed": errno.ESTALE,
    "PermissionDenied": errno.EACCES,
    "Unauthenticated": errno.EACCES,
    "Archived": errno.EACCES,
    "Unavailable": errno.EIO,
    "InvalidKey": errno.EINVAL,
    "TooLarge": errno.EFBIG,
    "NotSupported": errno.ENOTSUP,
    "Corrupt": errno.EIO,
}


def family(cls: type[StoreError] = StoreError) -> list[type[StoreError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in family(child))]


def ours() -> list[type[StoreError]]:
    return [cls for cls in family() if cls.__module__.startswith("vfsmount")]


def test_no_error_is_missing_here() -> None:
    assert {cls.__name__ for cls in ours()} == set(EXPECTED)
    assert {cls.__module__ for cls in ours()} == {"vfsmount.errors"}


def test_the_table_of_the_docstring_is_the_table() -> None:
    text = errors.__doc__ or ""
    for cls in ours():
        if cls is StoreError:
            continue
        (row,) = [row for row in text.splitlines() if f"+-- {cls.__name__} " in row]
        assert row.split()[-1] == errno.errorcode[EXPECTED[cls.__name__]]


@pytest.mark.parametrize("cls", ours(), ids=lambda cls: cls.__name__)
def test_every_error_has_its_errno(cls: type[StoreError]) -> None:
    error = cls("why", operation="get", bucket="b", key="k", code="Code", request_id="R1")
    number = EXPECTED[cls.__name__]
    assert errno_for(error) == number
    made = from_store(error, "/m/k")
    assert type(made) is type(OSError(number, ""))  # the class that the kernel's error would have
    assert (made.errno, made.strerror, made.filename, made.filename2) == (number, os.strerror(number), "/m/k", None)
    assert made.__cause__ is error
    if sys.version_info >= (3, 11):
        (note,) = made.__notes__
        assert note.startswith("vfsmount: ")
        assert str(error) in note


@pytest.mark.parametrize("cls", ours(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_travel_between_processes(cls: type[StoreError], how: object) -> None:
    error = cls("why", operation="get", bucket="b", key="k/ü", code="Code", request_id="R1")
    got = how(error)  # type: ignore[operator]
    assert type(got) is cls
    assert vars(got) == vars(error)
    assert str(got) == str(error)


def test_a_message_says_what_where_and_why() -> None:
    error = errors.Unavailable("timed out", operation="get", bucket="b", key="k", code="SlowDown", request_id="R1")
    assert str(error) == "get b/k: Unavailable [SlowDown] timed out (request R1)"
    assert str(errors.NotFound(bucket="b")) == "request b: NotFound"


def test_a_subclass_made_elsewhere_takes_its_parents_errno() -> None:
    class Throttled(errors.Unavailable):
        pass

    assert Throttled not in ERRNO
    assert errno_for(Throttled()) == errno.EIO


def test_two_paths() -> None:
    made = os_error(errno.EXDEV, "/a", "/b", hint="copy instead")
    assert str(made) == f"[Errno {errno.EXDEV}] {os.strerror(errno.EXDEV)}: '/a' -> '/b'"
    assert os_error(errno.EIO).filename is None


def test_an_os_error_travels_too() -> None:
    got = pickle.loads(pickle.dumps(os_error(errno.EPERM, "/m/f", hint="why")))
    assert (type(got), got.errno, got.filename) == (PermissionError, errno.EPERM, "/m/f")


def test_a_hint_replaces_the_general_one() -> None:
    made = from_store(errors.PermissionDenied("x"), "/m", hint="cannot mount 'b'")
    if sys.version_info >= (3, 11):
        assert made.__notes__ == ["vfsmount: cannot mount 'b' [request : PermissionDenied x]"]
    assert made.filename == "/m"
