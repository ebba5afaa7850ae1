"""The suite on S3 through s3fs: moto and SeaweedFS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Server, s3_options
from tests.store.quirks import MOTO, WEED
from tests.store.suites import ServerBucket
from vfsmount.store.s3fs_store import S3fsStore
from vfsmount.testing import StoreSuite


@pytest.mark.servers
@pytest.mark.slow
class TestS3fsOnMoto(StoreSuite):
    quirks = MOTO
    departures = frozenset({"complete ignores if_match"})

    @pytest.fixture
    def raw(self, moto: Server) -> ServerBucket:
        return ServerBucket(moto, moto.new_bucket())

    @pytest.fixture
    def store(self, raw: ServerBucket) -> Iterator[S3fsStore]:
        store = S3fsStore(s3_options(raw.server, raw.bucket))
        yield store
        store.close()


@pytest.mark.servers
@pytest.mark.slow
class TestS3fsOnSeaweed(StoreSuite):
    quirks = WEED

    @pytest.fixture
    def raw(self, weed: Server) -> ServerBucket:
        return ServerBucket(weed, weed.new_bucket())

    @pytest.fixture
    def store(self, raw: ServerBucket) -> Iterator[S3fsStore]:
        store = S3fsStore(s3_options(raw.server, raw.bucket))
        yield store
        store.close()
