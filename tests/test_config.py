"""CloudBucketMount: its parameters, its checks, and the options of the store behind it."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

import vfsmount
from vfsmount.config import CloudBucketMount, Secret
from vfsmount.config.provider import of_host, store_options
from vfsmount.errors import Unauthenticated

SECRET = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "hush-hush"})
ROLE = "arn:aws:iam::123456789012:role/modal"

PARAMETERS = {
    "bucket_name": inspect.Parameter.empty,
    "bucket_endpoint_url": None,
    "key_prefix": None,
    "secret": None,
    "oidc_auth_role_arn": None,
    "read_only": False,
    "requester_pays": False,
    "force_path_style": False,
    "region": None,
    "allow_delete": True,
    "allow_overwrite": True,
    "allow_rename": False,
    "writes": "sequential",
    "metadata_ops": "error",
    "on_error": "commit",
    "keep_dirs": False,
    "lookup": "strict",
    "file_mode": 0o644,
    "dir_mode": 0o755,
    "uid": None,
    "gid": None,
    "metadata_ttl": 1.0,
    "negative_ttl": 0.0,
    "cache_dir": None,
    "cache_max_bytes": None,
    "part_size": 8 << 20,
    "max_attempts": 10,
    "connect_timeout": 5,
    "read_timeout": 30,
    "ca_bundle": None,
    "sse": None,
    "sse_kms_key_id": None,
    "storage_class": None,
    "upload_checksums": "auto",
    "expected_bucket_owner": None,
    "anonymous": False,
    "profile": None,
    "provider": None,
    "engine": "auto",
}


def make(**options: Any) -> CloudBucketMount:
    return CloudBucketMount(options.pop("bucket_name", "my-bucket"), **options)


class TestSurface:
    def test_parameters_order_and_defaults(self) -> None:
        parameters = inspect.signature(CloudBucketMount).parameters
        assert {name: parameter.default for name, parameter in parameters.items()} == PARAMETERS
        assert list(parameters) == list(PARAMETERS)
        positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional == list(PARAMETERS)[:8]

    def test_is_public_frozen_hashable_and_pickles(self) -> None:
        mount = vfsmount.CloudBucketMount("my-bucket", None, "p/", SECRET, read_only=True, metadata_ttl="indefinite")
        assert pickle.loads(pickle.dumps(mount)) == mount
        assert hash(mount) == hash(dataclasses.replace(mount))
        assert mount != dataclasses.replace(mount, read_only=False)
        with pytest.raises(dataclasses.FrozenInstanceError):
            mount.read_only = False  # type: ignore[misc]

    def test_repr_shows_what_differs_from_the_defaults_and_no_secret(self) -> None:
        text = repr(make(secret=SECRET, file_mode=0o600, read_only=True))
        assert text.startswith("CloudBucketMount('my-bucket', secret=Secret.from_dict(")
        assert text.endswith("read_only=True, file_mode=0o600)")
        assert "hush-hush" not in text
        url = repr(CloudBucketMount("sftp://me:hush-hush@host/dir?token=hush-hush"))
        assert "hush-hush" not in url
        assert "host/dir" in url

    def test_an_empty_prefix_is_none_and_ttls_have_seconds(self) -> None:
        mount = make(key_prefix="", metadata_ttl="minimal", negative_ttl="indefinite")
        assert (mount.key_prefix, mount.prefix) == (None, "")
        assert (mount.metadata_ttl_seconds, mount.negative_ttl_seconds) == (1.0, float("inf"))


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"bucket_name": ""}, "bucket_name: must not be empty"),
            ({"bucket_name": "arn:aws:s3:::photos"}, "bucket_name: bucket name, not ARN: give 'photos'"),
            ({"bucket_name": "arn:aws:s3:eu-west-1:123456789012:accesspoint/x"}, "bucket_name: bucket name, not ARN"),
            ({"bucket_name": "s3://photos/2024/"}, "bucket_name: expected a plain bucket name.*key_prefix"),
            ({"bucket_name": "photos/2024"}, "bucket_name: .*bucket_name='photos' and key_prefix='2024/'"),
            ({"bucket_name": "-photos"}, "bucket_name: '-photos' is not a bucket name"),
            ({"bucket_name": "pho..tos"}, "bucket_name: .*two dots"),
            ({"bucket_name": "pho tos"}, "bucket_name: "),
            ({"bucket_name": "https://photos.s3.amazonaws.com"}, "bucket_name: .*web address"),
            ({"bucket_name": "a" * 256}, "bucket_name: "),
            ({"key_prefix": "2024"}, "key_prefix: .*end in '/'; give '2024/'"),
            ({"key_prefix": "/2024/"}, "key_prefix: must not start with '/'; give '2024/'"),
            ({"key_prefix": "/"}, "key_prefix: must not start with '/'; leave it out"),
            ({"key_prefix": "a\0/"}, "key_prefix: .*NUL"),
            ({"key_prefix": "é" * 512 + "/"}, "key_prefix: must be shorter than 1024 bytes, not 1025"),
            (
                {"bucket_endpoint_url": "account.r2.cloudflarestorage.com"},
                "bucket_endpoint_url: cannot parse.*https://",
            ),
            ({"bucket_endpoint_url": "ftp://host"}, "bucket_endpoint_url: cannot parse"),
            ({"bucket_endpoint_url": "https://"}, "bucket_endpoint_url: cannot parse"),
            ({"bucket_endpoint_url": "https://host:port"}, "bucket_endpoint_url: cannot parse"),
            ({"bucket_endpoint_url": "https://ho st"}, "bucket_endpoint_url: cannot parse"),
            ({"bucket_endpoint_url": "https://[::1"}, "bucket_endpoint_url: cannot parse"),
            ({"bucket_endpoint_url": "https://a:hush-hush@host"}, "bucket_endpoint_url: credentials.*secret="),
            ({"bucket_endpoint_url": "https://host/?x=1"}, "bucket_endpoint_url: .*query"),
            ({"requester_pays": True}, "requester_pays: credentials are required"),
            ({"oidc_auth_role_arn": "modal"}, "oidc_auth_role_arn: 'modal' is not the ARN of a role"),
            ({"oidc_auth_role_arn": ROLE, "secret": SECRET}, "oidc_auth_role_arn: excludes secret"),
            ({"profile": "p", "secret": SECRET}, "profile: excludes secret"),
            ({"anonymous": True, "secret": SECRET}, "anonymous: excludes secret"),
            ({"anonymous": True, "profile": "p"}, "anonymous: excludes profile"),
            ({"region": "us-east-1a"}, "region: .*availability zone; the region is 'us-east-1'"),
            ({"region": "US East"}, "region: "),
            ({"region": ""}, "region: "),
            ({"writes": "stagged"}, r"writes: 'stagged'.*did you mean 'staged'\?"),
            ({"metadata_ops": "ignored"}, r"metadata_ops: .*did you mean 'ignore'\?"),
            ({"on_error": "rollback"}, "on_error: 'rollback' is not one of 'commit', 'abort'"),
            ({"lookup": "Strict"}, r"lookup: .*did you mean 'strict'\?"),
            ({"engine": "obstor"}, r"engine: .*did you mean 'obstore'\?"),
            ({"provider": "cloudflare"}, "provider: "),
            ({"upload_checksums": "md5"}, "upload_checksums: "),
            ({"sse": "AES"}, "sse: "),
            ({"sse_kms_key_id": "k"}, "sse_kms_key_id: needs sse='aws:kms'"),
            ({"sse_kms_key_id": "k", "sse": "AES256"}, "sse_kms_key_id: needs sse='aws:kms'"),
            ({"storage_class": "glacier ir"}, "storage_class: "),
            ({"expected_bucket_owner": "1234"}, "expected_bucket_owner: expected the 12 digits"),
            ({"file_mode": 644}, "file_mode: .*Write 0o644"),
            ({"dir_mode": -1}, "dir_mode: "),
            ({"uid": -1}, "uid: "),
            ({"metadata_ttl": -1}, "metadata_ttl: must be 0 seconds or more"),
            ({"metadata_ttl": float("nan")}, "metadata_ttl: "),
            ({"metadata_ttl": "minimum"}, r"metadata_ttl: .*did you mean 'minimal'\?"),
            ({"negative_ttl": "forever"}, "negative_ttl: "),
            ({"part_size": 5 * 10**6}, "part_size: .*5 MiB"),
            ({"part_size": (5 << 30) + 1}, "part_size: .*5 GiB"),
            ({"max_attempts": 0}, "max_attempts: must be at least 1"),
            ({"connect_timeout": 0}, "connect_timeout: "),
            ({"read_timeout": float("inf")}, "read_timeout: "),
            ({"ca_bundle": "/nowhere/ca.pem"}, "ca_bundle: .*No such file"),
            ({"cache_max_bytes": 1 << 30}, "cache_max_bytes: .*give cache_dir too"),
            ({"cache_max_bytes": 0, "cache_dir": "/c"}, "cache_max_bytes: must be at least 1"),
            ({"cache_dir": "~/cache"}, "cache_dir: .*expanduser"),
            ({"bucket_name": "memory://x", "secret": SECRET}, "secret: has no meaning for 'memory://x'"),
            ({"bucket_name": "memory://x", "region": "a-1"}, "region: has no meaning"),
        ],
    )
    def test_by_the_name_of_the_field(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match="^" + message) as caught:
            make(**options)
        assert "hush-hush" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"bucket_name": None}, "bucket_name: expected a string, not NoneType"),
            ({"bucket_name": b"x"}, "bucket_name: expected a string, not bytes"),
            ({"key_prefix": 1}, "key_prefix: "),
            ({"bucket_endpoint_url": 1}, "bucket_endpoint_url: "),
            ({"secret": {"AWS_ACCESS_KEY_ID": "x"}}, r"secret: .*Secret\.from_dict"),
            ({"secret": "x"}, "secret: expected a Secret, not str"),
            ({"read_only": 1}, "read_only: expected True or False, not 1"),
            ({"allow_rename": "yes"}, "allow_rename: "),
            ({"anonymous": None}, "anonymous: "),
            ({"keep_dirs": 0}, "keep_dirs: "),
            ({"writes": None}, "writes: "),
            ({"file_mode": "0644"}, "file_mode: "),
            ({"uid": True}, "uid: "),
            ({"metadata_ttl": None}, "metadata_ttl: "),
            ({"metadata_ttl": True}, "metadata_ttl: "),
            ({"part_size": 8.0 * (1 << 20)}, "part_size: expected a whole number"),
            ({"connect_timeout": "5"}, "connect_timeout: "),
            ({"cache_dir": 1}, "cache_dir: "),
            ({"region": 1}, "region: "),
        ],
    )
    def test_by_a_wrong_type(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match="^" + message):
            make(**options)

    def test_by_a_parameter_that_is_not_there(self) -> None:
        with pytest.raises(TypeError, match=r"unknown parameter 'readonly' \(did you mean 'read_only'\?\)"):
            make(readonly=True)
        with pytest.raises(TypeError, match="bucket_name"):
            CloudBucketMount()  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        "options",
        [
            {"bucket_name": "Old_Bucket.name"},
            {"bucket_name": "name--use1-az4--x-s3"},
            {"requester_pays": True, "secret": SECRET},
            {"requester_pays": True, "profile": "p"},
            {"key_prefix": "a//b/"},
            {"region": "auto"},
            {"file_mode": 0, "dir_mode": 0o777},
            {"metadata_ttl": 0},
            {"metadata_ttl": float("inf")},
            {"sse": "aws:kms", "sse_kms_key_id": "alias/k"},
            {"bucket_endpoint_url": "http://[::1]:9000/path"},
            {"cache_dir": Path("/c"), "cache_max_bytes": 1},
            {"part_size": 5 << 20},
            {"part_size": 5 << 30},
        ],
    )
    def test_not(self, options: dict[str, Any]) -> None:
        mount = make(**options)
        assert all(getattr(mount, name) in (value, str(value)) for name, value in options.items())


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("account.r2.cloudflarestorage.com", "r2"),
        ("account.eu.r2.cloudflarestorage.com", "r2"),
        ("Account.R2.CloudflareStorage.com.", "r2"),
        ("storage.googleapis.com", "gcs"),
        ("s3.eu-west-1.amazonaws.com", "aws"),
        ("s3.cn-north-1.amazonaws.com.cn", "aws"),
        ("evil-r2.cloudflarestorage.com", "other"),
        ("notstorage.googleapis.com", "other"),
        ("r2.cloudflarestorage.com.example.org", "other"),
        ("localhost", "other"),
    ],
)
def test_the_provider_is_known_by_the_host(host: str, provider: str) -> None:
    assert of_host(host) == provider


class TestStoreOptions:
    def test_plain_s3(self) -> None:
        options = store_options(make(secret=SECRET, read_timeout=7), {})
        assert (options.kind, options.bucket, options.provider, options.endpoint_url) == (
            "s3",
            "my-bucket",
            "aws",
            None,
        )
        assert options.credentials is not None
        assert options.credentials().secret_access_key == "hush-hush"
        assert (options.region, options.anonymous, options.force_path_style) == (None, False, False)
        assert (options.read_timeout, options.max_attempts, options.ca_bundle) == (7.0, 10, None)
        assert "hush-hush" not in repr(options)

    def test_no_secret_leaves_the_ambient_chain_to_the_store(self) -> None:
        options = store_options(make(), {})
        assert (options.credentials, options.anonymous) == (None, False)
        assert store_options(make(anonymous=True), {}).anonymous

    def test_region_from_the_option_then_the_secret_then_the_bucket(self) -> None:
        regional = Secret.from_dict({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"})
        assert store_options(make(region="us-west-2", secret=regional), {}).region == "us-west-2"
        assert store_options(make(secret=regional), {}).region == "eu-west-1"
        # The worker's own region says nothing about the bucket's.
        assert store_options(make(secret=SECRET), {"AWS_REGION": "ap-south-1"}).region is None

    def test_a_secret_without_keys_is_refused_at_activation(self) -> None:
        with pytest.raises(ValueError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are missing"):
            store_options(make(secret=Secret.from_dict({"AWS_REGION": "eu-west-1"})), {})

    def test_profile_as_option_or_secret(self) -> None:
        for mount in (make(profile="work"), make(secret=Secret.from_profile("work"))):
            options = store_options(mount, {})
            assert (options.profile, options.credentials) == ("work", None)

    def test_r2(self) -> None:
        endpoint = "https://account.r2.cloudflarestorage.com"
        options = store_options(make(bucket_endpoint_url=endpoint, secret=SECRET), {})
        assert (options.kind, options.provider, options.region) == ("s3", "r2", "auto")
        with pytest.raises(ValueError, match="bucket_endpoint_url: R2 needs"):
            store_options(make(provider="r2"), {})

    def test_gcs_through_its_s3_interface(self) -> None:
        hmac = Secret.from_dict({"GOOGLE_ACCESS_KEY_ID": "GOOG", "GOOGLE_ACCESS_KEY_SECRET": "s"})
        by_host = make(bucket_endpoint_url="https://storage.googleapis.com", secret=hmac)
        by_name = make(provider="gcs", secret=hmac)
        for mount in (by_host, by_name, make(provider="gcs", secret=SECRET)):
            options = store_options(mount, {})
            assert (options.kind, options.provider) == ("s3", "gcs")
            assert options.endpoint_url == "https://storage.googleapis.com"
            assert options.credentials is not None
            assert options.credentials().access_key_id == ("AK" if mount.secret is SECRET else "GOOG")

    def test_gcs_hmac_keys_of_the_environment(self) -> None:
        environ = {"GOOGLE_ACCESS_KEY_ID": "GOOG", "GOOGLE_ACCESS_KEY_SECRET": "hush-hush"}
        options = store_options(make(bucket_endpoint_url="https://storage.googleapis.com"), environ)
        assert options.credentials is not None
        assert options.credentials().access_key_id == "GOOG"
        assert "hush-hush" not in repr(options.credentials)

    def test_gcs_by_its_own_interface(self) -> None:
        assert store_options(make(provider="gcs"), {}).kind == "gs"
        assert store_options(make(provider="gcs"), {"STORAGE_EMULATOR_HOST": "h:1"}).endpoint_url == "http://h:1"
        account = Secret.from_dict({"SERVICE_ACCOUNT_JSON": "{}"})
        assert store_options(make(provider="gcs", secret=account), {}).service_account == "{}"
        with pytest.raises(ValueError, match="secret: GOOGLE_ACCESS_KEY_ID"):
            store_options(make(provider="gcs", secret=Secret.from_dict({"X": "1"})), {})
        with pytest.raises(ValueError, match="profile: has no meaning"):
            store_options(make(provider="gcs", profile="p"), {})

    def test_provider_overrides_the_host(self) -> None:
        options = store_options(make(bucket_endpoint_url="http://127.0.0.1:9000", provider="r2"), {})
        assert options.provider == "r2"
        assert store_options(make(provider="s3"), {}).provider == "aws"
        assert store_options(make(bucket_endpoint_url="https://minio.example.org"), {}).provider == "other"

    @pytest.mark.parametrize(
        ("bucket", "endpoint", "forced"),
        [
            ("my-bucket", None, False),
            ("my.bucket", None, True),
            ("my-bucket", "https://s3.eu-west-1.amazonaws.com", False),
            ("my-bucket", "https://minio.example.org", False),
            ("my-bucket", "http://127.0.0.1:9000", True),
            ("my-bucket", "http://[::1]:9000", True),
            ("my-bucket", "http://localhost:9000", True),
            ("my-bucket", "http://minio:9000", True),
            ("my-bucket", "http://s3.localhost:9000", True),
            ("my-bucket", "https://a.r2.cloudflarestorage.com", True),
        ],
    )
    def test_path_style_where_a_bucket_cannot_be_a_host(self, bucket: str, endpoint: str | None, forced: bool) -> None:
        mount = CloudBucketMount(bucket, endpoint, secret=SECRET)
        assert store_options(mount, {}).force_path_style is forced
        assert store_options(dataclasses.replace(mount, force_path_style=True), {}).force_path_style

    def test_endpoint_of_the_environment(self) -> None:
        general, special = {"AWS_ENDPOINT_URL": "http://a:1"}, {"AWS_ENDPOINT_URL_S3": "http://b:2"}
        assert store_options(make(), general).endpoint_url == "http://a:1"
        assert store_options(make(), {**general, **special}).endpoint_url == "http://b:2"
        assert store_options(make(bucket_endpoint_url="http://c:3"), general).endpoint_url == "http://c:3"
        ignoring = {**general, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
        assert store_options(make(), ignoring).endpoint_url is None
        with pytest.raises(ValueError, match="AWS_ENDPOINT_URL: cannot parse"):
            store_options(make(), {"AWS_ENDPOINT_URL": "a:1"})

    def test_attempts_and_certificates_of_the_environment(self, tmp_path: Path) -> None:
        bundle = tmp_path / "ca.pem"
        bundle.touch()
        environ = {"AWS_MAX_ATTEMPTS": "3", "AWS_CA_BUNDLE": str(bundle)}
        options = store_options(make(), environ)
        assert (options.max_attempts, options.ca_bundle) == (3, str(bundle))
        assert store_options(make(max_attempts=5, ca_bundle="/"), environ).max_attempts == 5
        assert store_options(make(max_attempts=5, ca_bundle="/"), environ).ca_bundle == "/"
        with pytest.raises(ValueError, match="AWS_MAX_ATTEMPTS"):
            store_options(make(), {"AWS_MAX_ATTEMPTS": "many"})
        with pytest.raises(ValueError, match=r"AWS_CA_BUNDLE: .*No such file"):
            store_options(make(), {"AWS_CA_BUNDLE": "/nowhere"})

    def test_web_identity(self, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("first\n")
        mount = make(oidc_auth_role_arn=ROLE)
        environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "MODAL_IDENTITY_TOKEN": "modal"}
        options = store_options(mount, environ)
        assert options.role_arn == ROLE
        assert options.web_identity_token is not None
        assert options.web_identity_token() == "first"
        token.write_text("second\n")
        assert options.web_identity_token() == "second", "the file is rotated"
        token.unlink()
        with pytest.raises(Unauthenticated, match="No such file"):
            options.web_identity_token()
        modal = store_options(mount, {"MODAL_IDENTITY_TOKEN": "modal"}).web_identity_token
        assert modal is not None
        assert modal() == "modal"
        with pytest.raises(ValueError, match="oidc_auth_role_arn: no web identity token"):
            store_options(mount, {})

    def test_fsspec(self) -> None:
        mount = CloudBucketMount('sftp://me:pw@host/dir?port=22&compress=true&password="123"&name=x')
        options = store_options(mount, {})
        assert (options.kind, options.engine, options.url) == ("fsspec", "fsspec", "sftp://me:pw@host/dir")
        assert options.storage_options == {"port": 22, "compress": True, "password": "123", "name": "x"}
        assert options.bucket == "sftp://me:***@host/dir"
        with pytest.raises(ValueError, match="engine: "):
            store_options(CloudBucketMount("memory://x", engine="obstore"), {})
