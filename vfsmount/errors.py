"""What can go wrong below the shim, and the one table that turns it into an errno.

    StoreError
    +-- NotFound             no such key (or bucket: see ``code``)                     ENOENT
    +-- AlreadyExists        a conditional create met an object                        EEXIST
    +-- PreconditionFailed   If-Match no longer holds: the object was replaced         ESTALE
    +-- PermissionDenied     403 with credentials the service knows                    EACCES
    |   +-- Unauthenticated  missing, bad or expired credentials                       EACCES
    +-- Archived             the object lies in Glacier and is not restored            EACCES
    +-- Unavailable          5xx, throttling, no route, time-out, after all retries    EIO
    +-- InvalidKey           the store (or its client) cannot name this key            EINVAL
    +-- TooLarge             over the store's size or part limits                      EFBIG
    +-- NotSupported         the store cannot do this at all                           ENOTSUP
    +-- Corrupt              a body that is not what its metadata says                 EIO

Stores raise nothing but this family; the file-system layers raise nothing but ``OSError`` made here.
"""

from __future__ import annotations

import errno as _errno
import os
import sys
from typing import Final


class StoreError(Exception):
    """A request to an object store failed, after all retries."""

    def __init__(
        self,
        detail: str = "",
        *,
        operation: str = "",
        bucket: str = "",
        key: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.operation = operation
        self.bucket = bucket
        self.key = key
        self.code = code
        """The service's own error code where one came back (``NoSuchBucket``, ``ExpiredToken``...)."""
        self.request_id = request_id

    def __str__(self) -> str:
        where = f"{self.bucket}/{self.key}" if self.key is not None else self.bucket
        parts = [f"{self.operation or 'request'} {where}: {type(self).__name__}"]
        if self.code:
            parts.append(f"[{self.code}]")
        if self.detail:
            parts.append(self.detail)
        if self.request_id:
            parts.append(f"(request {self.request_id})")
        return " ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.detail, self.operation, self.bucket, self.key, self.code, self.request_id))


def _rebuild(
    cls: type[StoreError],
    detail: str,
    operation: str,
    bucket: str,
    key: str | None,
    code: str | None,
    request_id: str | None,
) -> StoreError:
    return cls(detail, operation=operation, bucket=bucket, key=key, code=code, request_id=request_id)


class NotFound(StoreError):
    """No such key, or, where ``code`` is ``NoSuchBucket``, no such bucket."""


class AlreadyExists(StoreError):
    """A conditional create found an object at the key."""


class PreconditionFailed(StoreError):
    """The object is no longer the one named by If-Match."""


class PermissionDenied(StoreError):
    """The service knows the caller and refuses the request."""


class Unauthenticated(PermissionDenied):
    """Credentials are missing, unknown, wrongly signed or expired."""


class Archived(StoreError):
    """The object's storage class needs a restore before it can be read."""


class Unavailable(StoreError):
    """The service could not be reached or kept failing; the request may be tried again later."""


class InvalidKey(StoreError):
    """The key cannot be expressed to this store."""


class TooLarge(StoreError):
    """The object or its number of parts would exceed the store's limit."""


class NotSupported(StoreError):
    """The store has no such operation."""


class Corrupt(StoreError):
    """The bytes received are not the bytes that the response's metadata promises."""


# Most specific class first is not needed: the lookup walks the MRO.
ERRNO: Final[dict[type[StoreError], int]] = {
    NotFound: _errno.ENOENT,
    AlreadyExists: _errno.EEXIST,
    PreconditionFailed: _errno.ESTALE,
    PermissionDenied: _errno.EACCES,
    Archived: _errno.EACCES,
    Unavailable: _errno.EIO,
    InvalidKey: _errno.EINVAL,
    TooLarge: _errno.EFBIG,
    NotSupported: _errno.ENOTSUP,
    Corrupt: _errno.EIO,
    StoreError: _errno.EIO,
}

_HINTS: Final[dict[type[StoreError], str]] = {
    PreconditionFailed: "another client replaced the object; open the file again to see the new one",
    Unauthenticated: "the credentials are missing, wrong or expired",
    PermissionDenied: "the bucket's policy or the credentials' permissions refuse this request",
    Archived: "the object is archived (Glacier or an archive tier); restore it first",
    Unavailable: "the object store could not be reached or kept failing; the request was retried",
}


def errno_for(error: StoreError) -> int:
    """The errno that stands for ``error``."""
    for cls in type(error).__mro__:
        if cls in ERRNO:
            return ERRNO[cls]
    return _errno.EIO


def os_error(
    number: int,
    path: str | bytes | None = None,
    path2: str | bytes | None = None,
    *,
    hint: str | None = None,
    cause: BaseException | None = None,
) -> OSError:
    """An ``OSError`` of the kernel's own shape, with ``hint`` as a note on Python 3.11 and later.

    The class follows the errno (``FileNotFoundError`` for ENOENT ...). ``cause`` becomes ``__cause__``.
    """
    if path2 is not None:
        error = OSError(number, os.strerror(number), path, None, path2)
    elif path is not None:
        error = OSError(number, os.strerror(number), path)
    else:
        error = OSError(number, os.strerror(number))
    if hint is not None and sys.version_info >= (3, 11):
        error.add_note(f"vfsmount: {hint}")
    error.__cause__ = cause
    return error


def from_store(error: StoreError, path: str | bytes | None = None, *, hint: str | None = None) -> OSError:
    """The ``OSError`` for a failed request, with the StoreError as its cause."""
    return os_error(errno_for(error), path, hint=told(error, hint), cause=error)


def told(error: StoreError, hint: str | None = None) -> str:
    """What to do about it (``hint`` where that is known better), and what the store said."""
    if hint is None:
        hint = next((_HINTS[cls] for cls in type(error).__mro__ if cls in _HINTS), None)
    return f"{hint} [{error}]" if hint else str(error)


def reason(error: OSError) -> str:
    """In words, with the hint, or what the store said."""
    notes = [note.removeprefix("vfsmount: ") for note in getattr(error, "__notes__", ())]
    if not notes and isinstance(error.__cause__, StoreError):  # Python 3.10 has no notes
        notes = [told(error.__cause__)]
    return ": ".join([error.strerror or str(error), *notes])
