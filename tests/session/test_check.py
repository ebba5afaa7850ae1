"""``activate(check=True)`` on real servers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import vfsmount
from tests.servers import Server
from tests.session.starting import untouched
from tests.vfs.world import raises
from vfsmount import CloudBucketMount, Secret
from vfsmount.errors import StoreError


class TestCheck:
    """``check=True`` on a real server says what is wrong."""

    def mount(self, server: Server, bucket: str, **options: object) -> CloudBucketMount:
        secret = Secret.from_dict(
            {"AWS_ACCESS_KEY_ID": server.access_key_id, "AWS_SECRET_ACCESS_KEY": server.secret_access_key}
        )
        settings = {"bucket_endpoint_url": server.endpoint_url, "secret": secret, "region": "us-east-1", **options}
        return CloudBucketMount(bucket, **settings)  # type: ignore[arg-type]

    def test_a_good_bucket_costs_one_request(self, moto: Server, moto_bucket: str, point: str) -> None:
        with vfsmount.activate({point: self.mount(moto, moto_bucket)}) as active:
            assert active.stats().total.requests <= 1
            Path(point, "f").write_text("hello")
            assert Path(point, "f").read_text() == "hello"
        assert moto.client.get_object(Bucket=moto_bucket, Key="f")["Body"].read() == b"hello"

    def test_activate_open_read_close_of_a_small_object(self, moto: Server, moto_bucket: str, point: str) -> None:
        """Two requests: the check has listed the bucket, so the open need not ask what hides the file."""
        for key, body in (("deep/er/f", b"12345"), ("hidden", b"no"), ("hidden/x", b"yes")):
            moto.client.put_object(Bucket=moto_bucket, Key=key, Body=body)
        with vfsmount.activate({point: self.mount(moto, moto_bucket)}) as active:
            with open(f"{point}/deep/er/f", "rb") as file:
                assert file.read() == b"12345"
            assert {kind: usage.requests for kind, usage in active.stats().items()} == {"get": 1, "list": 1}
            with raises(errno.EISDIR):
                open(f"{point}/hidden")

    def test_no_such_bucket(self, moto: Server, moto_bucket: str, point: str) -> None:
        with pytest.raises(OSError) as caught:
            vfsmount.activate(
                {f"{point}-good": self.mount(moto, moto_bucket), point: self.mount(moto, "no-such-bucket")}
            )
        told = explained(caught.value)
        assert caught.value.errno == errno.ENOENT
        assert caught.value.filename == point
        assert "no-such-bucket" in told
        untouched()
        assert not os.path.lexists(point)

    def test_no_route(self, point: str) -> None:
        server = Server("nowhere", "s3", "http://127.0.0.1:1")
        with pytest.raises(OSError) as caught:
            vfsmount.activate({point: self.mount(server, "b", max_attempts=1, connect_timeout=1)})
        assert caught.value.errno == errno.EIO
        assert "127.0.0.1:1" in explained(caught.value)

    def test_unchecked_the_first_use_fails(self, moto: Server, point: str) -> None:
        with vfsmount.activate({point: self.mount(moto, "no-such-bucket")}, check=False):
            with raises(errno.ENOENT):
                os.listdir(point)


def explained(error: OSError) -> str:
    """Message, notes and cause together."""
    assert isinstance(error.__cause__, StoreError)
    return "\n".join([str(error), *getattr(error, "__notes__", []), str(error.__cause__)])
