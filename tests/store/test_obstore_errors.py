"""Whatever obstore raises comes out as a StoreError with what the service told."""

from __future__ import annotations

import inspect
import pickle

import obstore.exceptions
import pytest

from tests.store.scripted import Answer, error, serve
from tests.store.test_obstore_store import scripted_options
from vfsmount import errors
from vfsmount.errors import StoreError
from vfsmount.store.obstore_errors import translate
from vfsmount.store.obstore_store import ObstoreStore

CLASSES = {
    "BaseError": StoreError,
    "GenericError": StoreError,
    "NotFoundError": errors.NotFound,
    "InvalidPathError": errors.InvalidKey,
    "JoinError": errors.Unavailable,
    "NotSupportedError": errors.NotSupported,
    "AlreadyExistsError": errors.AlreadyExists,
    "PreconditionError": errors.PreconditionFailed,
    "NotModifiedError": errors.PreconditionFailed,
    "PermissionDeniedError": errors.PermissionDenied,
    "UnauthenticatedError": errors.Unauthenticated,
    "UnknownConfigurationKeyError": errors.NotSupported,
}

ANSWERS = [
    (404, "NoSuchBucket", errors.NotFound),
    (404, "NoSuchKey", errors.NotFound),
    (403, "AccessDenied", errors.PermissionDenied),
    (403, "AllAccessDisabled", errors.PermissionDenied),
    (403, "InvalidAccessKeyId", errors.Unauthenticated),
    (403, "SignatureDoesNotMatch", errors.Unauthenticated),
    (403, "RequestTimeTooSkewed", errors.Unauthenticated),
    (400, "ExpiredToken", errors.Unauthenticated),
    (400, "InvalidToken", errors.Unauthenticated),
    (403, "InvalidObjectState", errors.Archived),
    (403, "UnknownToUs", errors.PermissionDenied),
    (401, "UnknownToUs", errors.Unauthenticated),
    (503, "SlowDown", errors.Unavailable),
    (500, "InternalError", errors.Unavailable),
    (429, "TooManyRequests", errors.Unavailable),
    (501, "NotImplemented", errors.NotSupported),
    (400, "KeyTooLongError", errors.InvalidKey),
    (400, "EntityTooLarge", errors.TooLarge),
    (400, "BadDigest", errors.Corrupt),
    (412, "PreconditionFailed", errors.PreconditionFailed),
    (400, "InvalidRequest", StoreError),
]


def exceptions() -> list[type[BaseException]]:
    found = vars(obstore.exceptions).values()
    return [value for value in found if inspect.isclass(value) and issubclass(value, BaseException)]


@pytest.mark.parametrize("cls", exceptions(), ids=lambda cls: cls.__name__)
def test_every_exception_class_is_mapped(cls: type[BaseException]) -> None:
    told = translate(cls("why"), operation="get", bucket="b", key="k")
    assert type(told) is CLASSES[cls.__name__]
    assert (told.operation, told.bucket, told.key, told.detail) == ("get", "b", "k", "why")
    assert str(pickle.loads(pickle.dumps(told))) == str(told)


@pytest.mark.parametrize(
    ("raised", "cls"),
    [
        (FileNotFoundError("Object at location k not found"), errors.NotFound),
        (ValueError("Could not parse path: no"), errors.InvalidKey),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), errors.InvalidKey),
        (TimeoutError("x"), errors.Unavailable),
        (ConnectionResetError("x"), errors.Unavailable),
        (TypeError("x"), StoreError),
    ],
)
def test_builtin_exceptions(raised: BaseException, cls: type[StoreError]) -> None:
    assert type(translate(raised, operation="get", bucket="b", key="k")) is cls


@pytest.mark.parametrize(("status", "code", "cls"), ANSWERS)
def test_the_services_own_codes(status: int, code: str, cls: type[StoreError]) -> None:
    with serve(lambda asked: error(status, code)) as server:
        store = ObstoreStore(scripted_options(server.url, max_attempts=1))
        for verb in (lambda: store.get_range("k", 0, 1), lambda: store.put("k", b""), lambda: store.delete("k")):
            if cls is errors.NotFound and code == "NoSuchKey":
                continue
            with pytest.raises(StoreError) as caught:
                verb()
            told = caught.value
            assert type(told) is cls
            assert (told.code, told.request_id, told.bucket, told.key) == (code, "REQ1", "bucket", "k")
            assert "told by the test" in told.detail
            assert (told.__cause__, told.__context__) == (None, None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 416, 418, 500, 503])
def test_answer_without_a_body(status: int) -> None:
    with serve(lambda asked: Answer(status)) as server:
        store = ObstoreStore(scripted_options(server.url, max_attempts=1))
        with pytest.raises(StoreError) as caught:
            store.head("k")
    assert isinstance(caught.value, errors.NotFound) == (status == 404)
    assert isinstance(caught.value, errors.PermissionDenied) == (status in (401, 403, 405))


def test_one_refused_key_of_many() -> None:
    body = b"<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    with serve(lambda asked: Answer(200, {}, body)) as server:
        with pytest.raises(errors.PermissionDenied) as caught:
            ObstoreStore(scripted_options(server.url)).delete_many(["a", "b"])
    assert caught.value.code == "AccessDenied"


def test_nobody_listens(free_port: int) -> None:
    store = ObstoreStore(scripted_options(f"http://127.0.0.1:{free_port}", max_attempts=1))
    with pytest.raises(errors.Unavailable):
        store.head("k")


@pytest.fixture
def free_port() -> int:
    from tests.servers import free_ports

    return free_ports(1)[0]


def test_messages_hold_no_debug_dump_and_no_secret() -> None:
    with serve(lambda asked: error(403, "SignatureDoesNotMatch")) as server:
        with pytest.raises(errors.Unauthenticated) as caught:
            ObstoreStore(scripted_options(server.url)).list_page("")
    assert "Debug source" not in str(caught.value)
    assert "SK" not in str(caught.value).split()
