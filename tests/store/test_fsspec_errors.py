"""Everything that botocore, aiohttp and the service may say becomes a StoreError."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import aiohttp
import botocore.exceptions
import multidict
import pytest
import yarl
from botocore.exceptions import ClientError

from vfsmount import errors
from vfsmount.store import anyfs_errors, aws_errors

UPSTREAM = [
    cls
    for _, cls in inspect.getmembers(botocore.exceptions, inspect.isclass)
    if cls.__module__ == "botocore.exceptions" and issubclass(cls, Exception) and not issubclass(cls, Warning)
]


def answer(code: str, status: int, message: str = "no") -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "R1"},
    }
    return ClientError(response, "Verb")


@pytest.mark.parametrize("cls", UPSTREAM, ids=lambda cls: cls.__name__)
def test_every_botocore_exception_has_a_place(cls: type[Exception]) -> None:
    named = [base.__name__ for base in cls.__mro__ if base.__name__ in aws_errors.EXCEPTIONS]
    assert named, f"{cls.__name__} is not in the table"
    error = cls.__new__(cls)
    Exception.__init__(error, "told by the test")
    found = aws_errors.translate(error, operation="get", bucket="b", key="k")
    assert type(found) is aws_errors.EXCEPTIONS[named[0]]
    assert (found.operation, found.bucket, found.key) == ("get", "b", "k")
    assert "told by the test" in found.detail
    assert isinstance(error, aws_errors.upstream())


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientPayloadError("cut"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(104, "reset"),
        asyncio.TimeoutError(),
        ConnectionResetError(104, "reset"),
        OSError("anything"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failed_transfers_are_unavailable(error: Exception) -> None:
    found = aws_errors.translate(error, operation="get", bucket="b", key="k")
    assert type(found) is errors.Unavailable
    assert isinstance(error, aws_errors.upstream())


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchKey", 404, errors.NotFound),
        ("NoSuchBucket", 404, errors.NotFound),
        ("NoSuchUpload", 404, errors.NotFound),
        ("404", 404, errors.NotFound),
        ("AccessDenied", 403, errors.PermissionDenied),
        ("403", 403, errors.PermissionDenied),
        ("Forbidden", 403, errors.PermissionDenied),
        ("NeverSeenBefore", 403, errors.PermissionDenied),
        ("ExpiredToken", 400, errors.Unauthenticated),
        ("InvalidAccessKeyId", 403, errors.Unauthenticated),
        ("SignatureDoesNotMatch", 403, errors.Unauthenticated),
        ("RequestTimeTooSkewed", 403, errors.Unauthenticated),
        ("PreconditionFailed", 412, errors.PreconditionFailed),
        ("412", 412, errors.PreconditionFailed),
        ("ConditionalRequestConflict", 409, errors.PreconditionFailed),
        ("InvalidObjectState", 403, errors.Archived),
        ("SlowDown", 503, errors.Unavailable),
        ("InternalError", 500, errors.Unavailable),
        ("ServiceUnavailable", 503, errors.Unavailable),
        ("TooManyRequests", 429, errors.Unavailable),
        ("NeverSeenBefore", 500, errors.Unavailable),
        ("NeverSeenBefore", 599, errors.Unavailable),
        ("PermanentRedirect", 301, errors.Unavailable),
        ("KeyTooLongError", 400, errors.InvalidKey),
        ("EntityTooLarge", 400, errors.TooLarge),
        ("NotImplemented", 501, errors.NotSupported),
        ("BadDigest", 400, errors.Corrupt),
        ("EntityTooSmall", 400, errors.StoreError),
        ("InvalidArgument", 400, errors.StoreError),
        ("NeverSeenBefore", 400, errors.StoreError),
    ],
)
def test_answers(code: str, status: int, expected: type[errors.StoreError]) -> None:
    found = aws_errors.translate(answer(code, status), operation="get", bucket="b", key="k")
    assert type(found) is expected
    assert (found.code, found.request_id, found.detail) == (code, "R1", "no")


def test_a_refusal_is_never_not_found() -> None:
    for code in [*aws_errors.CODES, "Unheard"]:
        if aws_errors.CODES.get(code) is not errors.NotFound:
            assert aws_errors.for_code(code, 403) is not errors.NotFound


def test_a_failed_create_condition_is_already_exists() -> None:
    error = answer("PreconditionFailed", 412)
    found = aws_errors.translate(error, operation="put", bucket="b", key="k", create=True)
    assert type(found) is errors.AlreadyExists


def test_what_s3fs_translated_is_seen_through() -> None:
    from s3fs.errors import translate_boto_error

    hidden = translate_boto_error(answer("PreconditionFailed", 412))
    assert isinstance(hidden, OSError)  # EINVAL, of all things
    found = aws_errors.translate(hidden, operation="get", bucket="b", key="k")
    assert type(found) is errors.PreconditionFailed
    missing = translate_boto_error(answer("NoSuchKey", 404))
    assert missing.errno is None
    assert type(aws_errors.translate(missing, operation="get", bucket="b", key="k")) is errors.NotFound


def test_codes_that_s3fs_knows_are_known_here() -> None:
    from s3fs.errors import ERROR_CODE_TO_EXCEPTION

    refused = {code for code, made in ERROR_CODE_TO_EXCEPTION.items() if made is PermissionError and not code.isdigit()}
    other = (errors.Archived, errors.Unavailable)
    for code in refused:
        assert issubclass(aws_errors.for_code(code, 403), (errors.PermissionDenied, *other))
    missing = {code for code, made in ERROR_CODE_TO_EXCEPTION.items() if made is FileNotFoundError}
    for code in missing:
        assert aws_errors.for_code(code, 404) is errors.NotFound


ADDRESS = yarl.URL("http://127.0.0.1/k")
ASKED = aiohttp.RequestInfo(ADDRESS, "GET", multidict.CIMultiDictProxy(multidict.CIMultiDict()), ADDRESS)


class Unheard(Exception):
    """Of no kind that anybody knows."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError("no errno"), errors.NotFound),
        (FileNotFoundError(2, "with one"), errors.NotFound),
        (NotADirectoryError(20, "x"), errors.NotFound),
        (IsADirectoryError(21, "x"), errors.InvalidKey),
        (PermissionError(13, "x"), errors.PermissionDenied),
        (OSError(36, "name too long"), errors.InvalidKey),
        (OSError(28, "no space"), errors.TooLarge),
        (NotImplementedError(), errors.NotSupported),
        (TimeoutError(), errors.Unavailable),
        (OSError("anything"), errors.Unavailable),
        (aiohttp.ClientResponseError(ASKED, (), status=403), errors.PermissionDenied),
        (aiohttp.ClientResponseError(ASKED, (), status=503), errors.Unavailable),
        (Unheard("what"), errors.StoreError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_any_file_system(error: Exception, expected: type[errors.StoreError]) -> None:
    found = anyfs_errors.translate(error, operation="get", bucket="b", key="k")
    assert type(found) is expected
    assert found.key == "k"
