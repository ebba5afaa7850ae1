"""obstore's exceptions as StoreErrors.

obstore tells most failures by a message that quotes the service's XML; the service's own code is worth more than the
exception's class, so it is looked at first, then the class, then the HTTP status.
"""

from __future__ import annotations

import re
from typing import Final

from vfsmount.errors import (
    AlreadyExists,
    Corrupt,
    InvalidKey,
    NotFound,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unauthenticated,
    Unavailable,
)

NOT_PARTIAL: Final = "NotPartial"
"""``code`` of the NotSupported that stands for a server which answers a ranged GET with 200."""
SHORT_BODY: Final = "ShortBody"
"""``code`` of the Corrupt that stands for another range than the one asked for."""
INVALID_RANGE: Final = "InvalidRange"
"""``code`` of a range that starts at or after the object's end (HTTP 416)."""
LISTED_KEY: Final = "ListedKey"
"""``code`` of the InvalidKey that stands for a listing refused because of one key in it."""
WRONG_REGION: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect"}
)
"""Codes by which S3 says that a request went to another region than the bucket's."""

BARE_400: Final = "400"
"""``code`` of a 400 with no body: how S3 answers a HEAD signed for another region."""

BY_CLASS: Final[dict[str, type[StoreError]]] = {
    "NotFoundError": NotFound,
    "FileNotFoundError": NotFound,
    "InvalidPathError": InvalidKey,
    "JoinError": Unavailable,
    "NotSupportedError": NotSupported,
    "NotImplementedError": NotSupported,
    "AlreadyExistsError": AlreadyExists,
    "PreconditionError": PreconditionFailed,
    "NotModifiedError": PreconditionFailed,
    "PermissionDeniedError": PermissionDenied,
    "UnauthenticatedError": Unauthenticated,
    "UnknownConfigurationKeyError": NotSupported,
    "UnicodeEncodeError": InvalidKey,
    "TimeoutError": Unavailable,
    "ConnectionError": Unavailable,
}
# Without an entry: GenericError and BaseError, which say nothing; the status decides.

_CODE: Final = re.compile(r"<Code>([A-Za-z0-9_.]+)</Code>|\(code: ([A-Za-z0-9_.]+)\)")
_REQUEST: Final = re.compile(r"<RequestId>([^<]+)</RequestId>", re.IGNORECASE)
_MESSAGE: Final = re.compile(r"<Message>([^<]+)</Message>")
_SHORT: Final = re.compile(r"Requested \d+\.\.\d+, got \d+\.\.\d+")
_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")
_REPEATED: Final = re.compile(r", after [1-9]\d* retries")
_REGION: Final = re.compile(r"<Region>([a-z0-9-]+)</Region>")
_DEBUG: Final = "\n\nDebug source:"
_TRANSPORT: Final = ("HTTP error", "error sending request", "timed out", "connection", "error decoding response body")


def region_in(error: StoreError) -> str | None:
    """The bucket's region where the service's own answer named it."""
    found = re.search(r"\[region ([a-z0-9-]+)\]", error.detail)
    return found.group(1) if found else None


def was_repeated(error: BaseException) -> bool:
    """True where obstore made the request more than once before it raised ``error``."""
    return _REPEATED.search(str(error).partition("<?xml")[0]) is not None


def _classify(
    error: BaseException, text: str, code: str | None, status: int | None
) -> tuple[type[StoreError], str | None]:
    from vfsmount.store import aws_errors  # not before something has failed: it takes as long as obstore to import

    names = [cls.__name__ for cls in type(error).__mro__]
    if "AlreadyExistsError" in names:  # a refused create quotes PreconditionFailed
        return AlreadyExists, code
    if "PreconditionError" in names:  # an update of a missing key quotes NoSuchKey
        return PreconditionFailed, code
    if code in WRONG_REGION or "incorrectly configured region" in text:
        return StoreError, code or "PermanentRedirect"
    if status == 416 or code == INVALID_RANGE:
        return StoreError, INVALID_RANGE
    if code is not None and code in aws_errors.CODES:
        return aws_errors.CODES[code], code
    if _SHORT.search(text) is not None:
        return Corrupt, SHORT_BODY
    if "non-partial response" in text:
        return NotSupported, NOT_PARTIAL
    if "InvalidPathError" in names:
        return InvalidKey, LISTED_KEY if "Encountered object with invalid path" in text else code
    for name in names:
        if name in BY_CLASS:
            return BY_CLASS[name], code
    if "Could not parse path" in text:
        return InvalidKey, code
    if status == 400 and code is None:
        return StoreError, BARE_400
    if status is not None:
        return aws_errors.for_code(code, status), code
    if "performing token request" in text:
        return Unauthenticated, code
    if "Version required" in text:
        return NotSupported, code
    if any(mark in text for mark in _TRANSPORT):
        return Unavailable, code
    return StoreError, code


def translate(error: BaseException, *, operation: str, bucket: str, key: str | None) -> StoreError:
    """The StoreError for what obstore raised; 403 is never NotFound."""
    text = str(error).partition(_DEBUG)[0]
    found = _CODE.search(text)
    code = (found.group(1) or found.group(2)) if found else None
    status_found = _STATUS.search(text)
    status = int(status_found.group(1)) if status_found else None
    cls, code = _classify(error, text, code, status)
    request = _REQUEST.search(text)
    message = _MESSAGE.search(text)
    detail = message.group(1) if message else " ".join(text.partition("<?xml")[0].split())
    if status is not None and message is not None:
        detail = f"HTTP {status}: {detail}"
    region = _REGION.search(text)
    if region is not None:
        detail = f"{detail} [region {region.group(1)}]"
    return cls(
        detail,
        operation=operation,
        bucket=bucket,
        key=key,
        code=code,
        request_id=request.group(1) if request else None,
    )
