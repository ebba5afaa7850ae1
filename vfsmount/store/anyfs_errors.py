"""What an unknown fsspec file system raises, as StoreErrors."""

from __future__ import annotations

import errno
from typing import Final

from vfsmount.errors import (
    InvalidKey,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from vfsmount.store import aws_errors

_ERRNOS: Final[dict[int, type[StoreError]]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    # A path that is a directory, or goes through a file: as a key it exists, as a path it cannot.
    errno.EISDIR: InvalidKey,
    errno.EEXIST: InvalidKey,
    errno.ENAMETOOLONG: InvalidKey,
    errno.EINVAL: InvalidKey,
    errno.EILSEQ: InvalidKey,
    errno.EFBIG: TooLarge,
    errno.ENOSPC: TooLarge,
    errno.EDQUOT: TooLarge,
    errno.ENOTSUP: NotSupported,
    errno.ENOSYS: NotSupported,
}

_CLASSES: Final[tuple[tuple[type[BaseException], type[StoreError]], ...]] = (
    (FileNotFoundError, NotFound),
    (NotADirectoryError, NotFound),
    (FileExistsError, InvalidKey),
    (IsADirectoryError, InvalidKey),
    (PermissionError, PermissionDenied),
    (NotImplementedError, NotSupported),
    (UnicodeError, InvalidKey),
    (TimeoutError, Unavailable),
    (ConnectionError, Unavailable),
    (OSError, Unavailable),
)
"""By class, because fsspec raises its FileNotFoundErrors without an errno; the first that fits."""

_NAMES: Final[dict[str, type[StoreError]]] = {
    "AuthenticationException": Unauthenticated,  # paramiko
    "SSHException": Unavailable,
    "ClientAuthenticationError": Unauthenticated,  # azure
    "ResourceNotFoundError": NotFound,
    "ClientError": Unavailable,  # aiohttp
    "RequestException": Unavailable,  # requests
    "FSTimeoutError": Unavailable,
}


def translate(error: BaseException, *, operation: str, bucket: str, key: str | None) -> StoreError:
    """The StoreError for whatever came."""
    if isinstance(error, StoreError):
        return error
    detail = f"{type(error).__name__}: {error}"
    status = getattr(error, "status", None)
    return _class_of(error, status)(
        detail, operation=operation, bucket=bucket, key=key, code=str(status) if isinstance(status, int) else None
    )


def _class_of(error: BaseException, status: object) -> type[StoreError]:
    if isinstance(status, int) and status >= 400:  # an HTTP answer (aiohttp)
        return aws_errors.for_code(None, status)
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return _ERRNOS[error.errno]
    for upstream, cls in _CLASSES:
        if isinstance(error, upstream):
            return cls
    for base in type(error).__mro__:
        if base.__name__ in _NAMES:
            return _NAMES[base.__name__]
    return StoreError
