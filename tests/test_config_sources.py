"""Mappings, URL strings, TOML files and $VFSMOUNT_CONFIG."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from vfsmount.config import CloudBucketMount, Secret, load, units
from vfsmount.config.urls import CONVERT

PLAIN = CloudBucketMount("my-bucket")


def only(url: str) -> CloudBucketMount:
    return load({"/data": url})["/data"]


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("s3://my-bucket", PLAIN),
            ("s3://my-bucket/", PLAIN),
            ("S3://my-bucket/a/b%20c/", CloudBucketMount("my-bucket", key_prefix="a/b c/")),
            (
                "s3://my-bucket/p/?endpoint_url=http://127.0.0.1:9000&read_only=true",
                CloudBucketMount("my-bucket", "http://127.0.0.1:9000", "p/", read_only=True),
            ),
            ("r2://account/my-bucket", CloudBucketMount("my-bucket", "https://account.r2.cloudflarestorage.com")),
            (
                "r2://account/my-bucket/p/q/",
                CloudBucketMount("my-bucket", "https://account.r2.cloudflarestorage.com", "p/q/"),
            ),
            ("gs://my-bucket/p/", CloudBucketMount("my-bucket", key_prefix="p/", provider="gcs")),
            ("memory://x", CloudBucketMount("memory://x")),
            (
                "file:///dir?read_only=yes&auto_mkdir=true",
                CloudBucketMount("file:///dir?auto_mkdir=true", read_only=True),
            ),
            ("hf://datasets/a/b?revision=main", CloudBucketMount("hf://datasets/a/b?revision=main")),
            ("simplecache::s3://b/x", CloudBucketMount("simplecache::s3://b/x")),
            (
                "s3://my-bucket?part_size=16MiB&file_mode=0600&metadata_ttl=indefinite&negative_ttl=250ms&uid=7&writes=staged",
                CloudBucketMount(
                    "my-bucket",
                    part_size=16 << 20,
                    file_mode=0o600,
                    metadata_ttl="indefinite",
                    negative_ttl=0.25,
                    uid=7,
                    writes="staged",
                ),
            ),
        ],
    )
    def test_read(self, url: str, expected: CloudBucketMount) -> None:
        assert only(url) == expected

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("s3://my-bucket/p", "key_prefix: 's3://my-bucket/p' must end in '/'.*write 's3://my-bucket/p/'"),
            ("r2://account/my-bucket/p", "key_prefix: "),
            ("r2://account", "expected r2://ACCOUNT/BUCKET/"),
            ("s3:///p/", "expected s3://BUCKET/PREFIX/"),
            ("s3://AKIA:hush-hush@my-bucket/", "credentials do not belong in a URL"),
            ("s3://my-bucket?readonly=true", r"unknown option 'readonly' \(did you mean 'read_only'\?\)"),
            ("s3://my-bucket?read_only=maybe", "read_only: expected true or false, not 'maybe'"),
            ("s3://my-bucket?part_size=lots", "part_size: expected a number of bytes"),
            ("s3://my-bucket?file_mode=0888", "file_mode: expected octal"),
            ("s3://my-bucket?uid=root", "uid: expected a whole number"),
            ("s3://my-bucket?metadata_ttl=soon", "metadata_ttl: expected seconds"),
            ("s3://my-bucket?read_only=1&read_only=0", "read_only: given twice"),
            ("s3://my-bucket/p/?key_prefix=q/", "key_prefix: given twice"),
            ("s3://my-bucket?secret=hush-hush", "'secret' does not belong"),
            ("s3://my-bucket?aws_secret_access_key=hush-hush", "'aws_secret_access_key' does not belong"),
            ("s3://my-bucket/#x/", "write '#' as %23"),
            ("my-bucket", "is not a URL; write s3://my-bucket/"),
            ("s3://my_bucket/?engine=fast", "engine: 'fast'"),
        ],
    )
    def test_refused(self, url: str, message: str) -> None:
        with pytest.raises(ValueError, match="^mount point '/data': .*" + message) as caught:
            only(url)
        assert "hush-hush" not in str(caught.value)

    def test_every_field_can_stand_in_a_query(self) -> None:
        assert set(CONVERT) | {"bucket_name", "secret"} == set(CloudBucketMount.__dataclass_fields__)


class TestMountPoints:
    def test_are_normalised_and_keep_their_order(self) -> None:
        found = load({"/z/./a/": PLAIN, PurePosixPath("/m//n"): PLAIN, "//b/../c": PLAIN})  # type: ignore[dict-item]
        assert list(found) == ["/z/a", "/m/n", "/c"]

    @pytest.mark.parametrize(
        ("point", "message"),
        [
            ("data", "mount point 'data': must be absolute"),
            ("", "mount point '': must be absolute"),
            ("~/data", "mount point '~/data': '~' is not expanded"),
            ("/", "mount point '/': the root"),
            ("/x/..", "mount point '/x/..': the root"),
            ("/x\0", "NUL"),
        ],
    )
    def test_refused(self, point: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            load({point: PLAIN})

    def test_taken_twice(self) -> None:
        with pytest.raises(ValueError, match=r"mount point '/a/b/\.\./': '/a' is taken twice"):
            load({"/a": PLAIN, "/a/b/../": PLAIN})

    @pytest.mark.parametrize(("point", "value"), [(b"/data", PLAIN), (1, PLAIN), ("/data", 1), ("/data", None)])
    def test_wrong_types(self, point: Any, value: Any) -> None:
        with pytest.raises(TypeError, match="mount point"):
            load({point: value})


class TestToml:
    def write(self, directory: Path, text: str) -> Path:
        path = directory / "vfs.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def test_all_spellings(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").touch()
        path = self.write(
            tmp_path,
            """
            [defaults]
            region = "eu-west-1"
            read_only = true
            secret = { env = "PROD_" }

            [mounts."/a"]
            bucket = "my-bucket"
            endpoint_url = "http://127.0.0.1:9000"
            key_prefix = "p/"
            read_only = false
            file_mode = 0o600
            part_size = "16MiB"
            cache_dir = "cache"
            ca_bundle = "ca.pem"

            [mounts."/b"]
            url = "s3://my-bucket/q/?region=us-east-1"
            secret = { profile = "work" }

            [mounts."/c"]
            bucket_name = "my-bucket"
            secret = { dotenv = "prod.env" }
            [mounts."/d"]
            bucket_name = "my-bucket"
            [mounts."/d".secret]
            AWS_ACCESS_KEY_ID = "a"
            AWS_SECRET_ACCESS_KEY = "b"
            """,
        )
        env = Secret.from_env("PROD_")
        common: dict[str, Any] = {"region": "eu-west-1", "read_only": True}
        assert load(path) == {
            "/a": CloudBucketMount(
                "my-bucket",
                "http://127.0.0.1:9000",
                "p/",
                env,
                region="eu-west-1",
                file_mode=0o600,
                part_size=16 << 20,
                cache_dir=tmp_path / "cache",
                ca_bundle=tmp_path / "ca.pem",
            ),
            "/b": CloudBucketMount(
                "my-bucket", key_prefix="q/", secret=Secret.from_profile("work"), region="us-east-1", read_only=True
            ),
            "/c": CloudBucketMount("my-bucket", secret=Secret.from_dotenv(tmp_path / "prod.env"), **common),
            "/d": CloudBucketMount(
                "my-bucket",
                secret=Secret.from_dict({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}),
                **common,
            ),
        }

    def test_a_url_in_place_of_a_table(self, tmp_path: Path) -> None:
        assert load(str(self.write(tmp_path, '[mounts]\n"/data" = "s3://my-bucket"'))) == {"/data": PLAIN}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('[mounts."/a"]\nbucket="b"\nreadonly=true', r'\[mounts."/a"\]: unknown key .readonly. .*read_only'),
            ('[mounts."/a"]\nbuckt="b"', r'\[mounts."/a"\]: unknown key .buckt. .*did you mean .bucket'),
            ('[defaults]\nregoin="x"\n[mounts]\n"/a"="s3://b"', r"\[defaults\]: unknown key .regoin. .*region"),
            ('[mount."/a"]\nbucket="b"', r"unknown table \[mount\] .*did you mean .mounts"),
            ('[mounts."/a"]\nread_only=true', "no bucket; give bucket or url"),
            ('[mounts."/a"]\nbucket="b"\nurl="s3://b"', "'bucket' and 'url' say the same"),
            ('[mounts."/a"]\nurl="s3://b/p/"\nkey_prefix="q/"', "key_prefix: given twice"),
            ('[mounts."/a"]\nbucket="b"\nkey_prefix="q"', "key_prefix: .*end in '/'"),
            ('[mounts."/a"]\nbucket="b"\npart_size="1 lot"', "part_size: "),
            ('[mounts."/a"]\nbucket="b"\nsecret={ evn = "X" }', "secret: unknown key 'evn'.*env"),
            ('[mounts."/a"]\nbucket="b"\nsecret={ env = "X", profile = "y" }', "secret: 'env' stands alone"),
            (
                '[mounts."/a"]\nbucket="b"\nsecret={ AWS_ACCESS_KEY_ID = "hush-hush" }',
                "AWS_SECRET_ACCESS_KEY is missing",
            ),
            ('[mounts.a]\nbucket="b"', "mount point 'a': must be absolute"),
            ('[mounts."/a"]\nbucket="b"\n[mounts."/a/"]\nbucket="b"', "taken twice"),
            ('[defaults]\nbucket="b"\n[mounts."/a"]', "'bucket' belongs to one mount"),
            ("[defaults]\n", "no mounts"),
            ("[mounts\n", "vfs.toml: "),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, message: str) -> None:
        path = self.write(tmp_path, text)
        with pytest.raises(ValueError, match=message) as caught:
            load(path)
        assert str(caught.value).startswith(str(path) + ": ")
        assert "hush-hush" not in str(caught.value)

    @pytest.mark.parametrize("entry", ['bucket="b"\nsecret="x"', "bucket=1", 'bucket="b"\nread_only=1'])
    def test_wrong_types(self, tmp_path: Path, entry: str) -> None:
        with pytest.raises(TypeError, match=r"vfs.toml: \[mounts.\"/a\"\]: "):
            load(self.write(tmp_path, f'[mounts."/a"]\n{entry}'))

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "none.toml")


class TestEnvironment:
    def test_a_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "vfs.toml").write_text('[mounts]\n"/data" = "s3://my-bucket"')
        monkeypatch.setenv("VFSMOUNT_CONFIG", str(tmp_path / "vfs.toml"))
        assert load() == {"/data": PLAIN}

    def test_toml_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VFSMOUNT_CONFIG", '[mounts]\n"/data" = "s3://my-bucket"')
        assert load(None) == {"/data": PLAIN}
        monkeypatch.setenv("VFSMOUNT_CONFIG", '[mounts."/data"]\nbukcet = "x"')
        with pytest.raises(ValueError, match=r"^\$VFSMOUNT_CONFIG: .*bukcet"):
            load()

    def test_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match=r"\$VFSMOUNT_CONFIG is not set; give"):
            load()
        monkeypatch.setenv("VFSMOUNT_CONFIG", "/nowhere/vfs.toml")
        with pytest.raises(ValueError, match=r"\$VFSMOUNT_CONFIG: cannot read '/nowhere/vfs.toml': No such file"):
            load()


def test_other_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="no mounts"):
        load({})
    with pytest.raises(ValueError, match=r"a URL needs a mount point"):
        load("s3://my-bucket")
    with pytest.raises(TypeError, match="not list"):
        load(["s3://my-bucket"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("8k", 8192), ("8 KiB", 8192), ("8kB", 8000), ("1.5MiB", 3 << 19), ("2G", 2 << 30), ("1TB", 10**12)],
)
def test_sizes(text: str, expected: int) -> None:
    assert units.size(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1.5", "8X", "MiB", "1e3"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        units.size(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("1.5", 1.5), ("250ms", 0.25), ("2min", 120.0), ("1h", 3600.0), ("1 d", 86400.0)]
)
def test_seconds(text: str, expected: float) -> None:
    assert units.seconds(text) == pytest.approx(expected)
