"""What the options make of the requests: signatures, regions, keys that expire."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.servers import Server, s3_options
from tests.store.scripted import OBJECT, Answer, Asked, error, listing, serve
from tests.store.test_obstore_store import scripted_options
from vfsmount.errors import StoreError, Unauthenticated, Unavailable
from vfsmount.store import credentials
from vfsmount.store import region as regions
from vfsmount.store.obstore_store import ObstoreStore
from vfsmount.store.options import Credentials, StoreOptions


def well(asked: Asked) -> Answer:
    return Answer(headers=OBJECT)


def signature(asked: Asked) -> dict[str, str]:
    """Key, region and signed headers of an AWS4 signature."""
    found = re.match(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d+/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+),",
        asked.headers["authorization"],
    )
    assert found is not None
    return {"key": found.group(1), "region": found.group(2), "headers": found.group(3)}


def test_headers_that_options_add_are_signed() -> None:
    with serve(well) as server:
        options = scripted_options(
            server.url, requester_pays=True, expected_bucket_owner="123456789012", sse_kms_key_id="key-1"
        )
        ObstoreStore(options).put("k", b"x")
    (asked,) = server.asked
    expected = {
        "x-amz-request-payer": "requester",
        "x-amz-expected-bucket-owner": "123456789012",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
    }
    assert expected.items() <= asked.headers.items()
    # S3 refuses a request with an x-amz- header that the signature does not cover.
    amz = {name for name in asked.headers if name.startswith("x-amz-")}
    assert amz <= set(signature(asked)["headers"].split(";"))


def test_checksum() -> None:
    with serve(well) as server:
        ObstoreStore(scripted_options(server.url, upload_checksums="crc64nvme")).put("k", b"x")
    assert "x-amz-checksum-crc64nvme" in server.asked[0].headers


def test_anonymous_requests_are_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ENVS")
    with serve(well) as server:
        ObstoreStore(scripted_options(server.url, anonymous=True, credentials=None)).head("k")
    assert "authorization" not in server.asked[0].headers


def test_configured_keys_are_not_joined_by_the_environments_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "ENVTOKEN")
    with serve(well) as server:
        ObstoreStore(scripted_options(server.url)).head("k")
    (asked,) = server.asked
    assert signature(asked)["key"] == "AK"
    assert "x-amz-security-token" not in asked.headers


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ENVS")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "ENVTOKEN")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    with serve(well) as server:
        ObstoreStore(scripted_options(server.url, credentials=None, region=None)).head("k")
    (asked,) = server.asked
    assert (signature(asked)["key"], signature(asked)["region"]) == ("ENV", "eu-west-3")
    assert asked.headers["x-amz-security-token"] == "ENVTOKEN"


def test_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[other]\naws_access_key_id = PROFILE\naws_secret_access_key = S\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    with serve(well) as server:
        ObstoreStore(scripted_options(server.url, credentials=None, profile="other")).head("k")
        assert signature(server.asked[0])["key"] == "PROFILE"
        with pytest.raises(Unauthenticated, match="missing"):
            ObstoreStore(scripted_options(server.url, credentials=None, profile="missing")).head("k")


def test_nothing_ambient_means_no_signature() -> None:
    with serve(well) as server:
        ObstoreStore(scripted_options(server.url, credentials=None, provider="aws")).head("k")
    assert ["authorization" in asked.headers for asked in server.asked] == [False]


def test_keys_are_asked_again_when_they_expire() -> None:
    asked_for: list[int] = []

    def ask() -> Credentials:
        asked_for.append(1)
        return Credentials(f"KEY{len(asked_for)}", "S", "T", expires_at=time.time() - 1)

    with serve(well) as server:
        store = ObstoreStore(scripted_options(server.url, credentials=ask))
        store.head("k")
        store.head("k")
    assert [signature(asked)["key"] for asked in server.asked] == ["KEY1", "KEY2"]


def test_keys_that_last_are_asked_once() -> None:
    asked_for: list[int] = []

    def ask() -> Credentials:
        asked_for.append(1)
        return Credentials("KEY", "S", "T", expires_at=time.time() + 3600)

    with serve(well) as server:
        store = ObstoreStore(scripted_options(server.url, credentials=ask))
        for _ in range(3):
            store.head("k")
    assert len(asked_for) == 1


def test_keys_that_expire_unannounced_are_asked_for_again() -> None:
    asked_for: list[int] = []

    def ask() -> Credentials:
        asked_for.append(1)
        return Credentials(f"KEY{len(asked_for)}", "S", "T")

    def answer(asked: Asked) -> Answer:
        return error(400, "ExpiredToken") if signature(asked)["key"] == "KEY1" else Answer(headers=OBJECT)

    with serve(answer) as server:
        store = ObstoreStore(scripted_options(server.url, credentials=ask))
        store.put("k", b"x", if_none_match=True)
        store.put("k2", b"x")
    assert [signature(asked)["key"] for asked in server.asked] == ["KEY1", "KEY2", "KEY2"]


def test_keys_that_stay_expired_fail_after_one_more_try() -> None:
    with serve(lambda asked: error(400, "ExpiredToken")) as server:
        with pytest.raises(Unauthenticated):
            ObstoreStore(scripted_options(server.url)).put("k", b"x")
        assert len(server.asked) == 2


def test_a_source_of_keys_that_fails_is_unauthenticated() -> None:
    def ask() -> Credentials:
        raise RuntimeError("the vault is sealed")

    with serve(well) as server:
        with pytest.raises(Unauthenticated, match="the vault is sealed"):
            ObstoreStore(scripted_options(server.url, credentials=ask)).head("k")
        assert server.asked == []


def test_web_identity(moto: Server, moto_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint_url)
    role = "arn:aws:iam::123456789012:role/reader"
    options = s3_options(moto, moto_bucket, credentials=None, role_arn=role, web_identity_token=lambda: "t0ken")
    source = credentials.resolve(options)
    assert source is not None
    keys = source()
    assert keys.access_key_id.startswith("ASIA")
    assert keys.session_token
    assert (keys.expires_at or 0) > time.time() + 60
    store = ObstoreStore(options)
    store.put("k", b"x")
    assert store.head("k").size == 1


def test_web_identity_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = (
        b'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>InvalidIdentityToken</Code>'
        b"<Message>no good</Message></Error></ErrorResponse>"
    )
    with serve(lambda asked: Answer(400, {}, refused)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        options = scripted_options(server.url, credentials=None, role_arn="arn:r", web_identity_token=lambda: "t0ken")
        source = credentials.resolve(options)
        assert source is not None
        with pytest.raises(Unauthenticated, match="no good") as caught:
            source()
        assert "t0ken" not in str(caught.value)
        (asked,) = server.asked
        assert b"WebIdentityToken=t0ken" in asked.body
        assert "t0ken" not in asked.path


# -- regions


def in_region(place: str) -> Callable[[Asked], Answer]:
    """A service whose bucket is in ``place`` and that refuses signatures for another region."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/bucket" and asked.method == "HEAD":
            return Answer(403, {"x-amz-bucket-region": place})
        if signature(asked)["region"] != place:
            if asked.method == "HEAD":
                return Answer(400)
            return error(400, "AuthorizationHeaderMalformed", "wrong region", f"<Region>{place}</Region>")
        return listing() if asked.method == "GET" else Answer(headers=OBJECT)

    return answer


def aws(url: str, **changes: object) -> StoreOptions:
    return scripted_options(url, **({"provider": "aws", "region": None} | changes))


def test_the_bucket_says_its_region_once() -> None:
    with serve(in_region("ap-south-1")) as server:
        store = ObstoreStore(aws(server.url))
        before = store.region
        store.put("k", b"x")
        store.head("k")
        assert (before, store.region) == (None, "ap-south-1")
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("HEAD", "/bucket"),
        ("PUT", "/bucket/k"),
        ("HEAD", "/bucket/k"),
    ]


@pytest.mark.parametrize("verb", ["list", "put", "head"])
def test_a_wrong_region_from_the_environment_corrects_itself(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with serve(in_region("ap-south-1")) as server:
        store = ObstoreStore(aws(server.url))
        verbs: dict[str, Callable[[], object]] = {
            "list": lambda: store.list_page(""),
            "put": lambda: store.put("k", b""),
            "head": lambda: store.head("k"),
        }
        verbs[verb]()
        before = len(server.asked)
        store.put("k", b"x")
        assert len(server.asked) == before + 1
    assert store.region == "ap-south-1"


def test_a_wrong_region_that_was_given_stays_wrong() -> None:
    with serve(in_region("ap-south-1")) as server:
        with pytest.raises(StoreError, match="ap-south-1"):
            ObstoreStore(aws(server.url, region="us-east-1")).list_page("")


@pytest.mark.parametrize(
    ("provider", "place"), [("r2", "auto"), ("gcs", "auto"), ("other", "us-east-1"), ("aws", "eu-north-1")]
)
def test_regions_of_providers(provider: str, place: str) -> None:
    with serve(in_region("eu-north-1")) as server:
        assert regions.resolve(aws(server.url, provider=provider)) == place
        assert len(server.asked) == (1 if provider == "aws" else 0)


def test_moto_says_a_buckets_region(moto: Server, moto_bucket: str) -> None:
    assert regions.discover(s3_options(moto, moto_bucket)) == "us-east-1"


def test_ca_bundle_that_cannot_be_read(tmp_path: Path) -> None:
    store = ObstoreStore(scripted_options("https://127.0.0.1:1", ca_bundle=str(tmp_path / "none.pem")))
    with pytest.raises(Unavailable, match="ca_bundle"):
        store.head("k")


def test_a_profile_whose_source_fails_is_told_as_bad_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.exceptions
    import botocore.session

    class Source:
        def get_frozen_credentials(self) -> NoReturn:
            raise botocore.exceptions.CredentialRetrievalError(provider="custom-process", error_msg="it is gone")

    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda _: Source())
    ask = credentials._botocore(None)
    assert ask is not None
    with pytest.raises(Unauthenticated, match="it is gone"):
        ask()
