"""The suite on obstore, alone where the server keeps to what obstore takes, and with its fallback everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Server, s3_options
from tests.store.quirks import GCS, MOTO, WEED
from tests.store.suites import ServerBucket
from vfsmount.store.factory import open_store
from vfsmount.store.protocol import Store
from vfsmount.testing import StoreSuite


class Opened(StoreSuite):
    """The store that the factory opens with ``engine="auto"``: obstore, then fsspec for what it refuses."""

    @pytest.fixture
    def store(self, raw: ServerBucket) -> Iterator[Store]:
        store = open_store(s3_options(raw.server, raw.bucket))
        yield store
        store.close()


@pytest.mark.servers
@pytest.mark.slow
class TestAutoOnMoto(Opened):
    quirks = MOTO
    departures = frozenset({"complete ignores if_match"})

    @pytest.fixture
    def raw(self, moto: Server) -> ServerBucket:
        return ServerBucket(moto, moto.new_bucket())


@pytest.mark.servers
@pytest.mark.slow
class TestAutoOnSeaweed(Opened):
    quirks = WEED

    @pytest.fixture
    def raw(self, weed: Server) -> ServerBucket:
        return ServerBucket(weed, weed.new_bucket())


@pytest.mark.servers
@pytest.mark.slow
class TestAutoOnGcs(Opened):
    quirks = GCS
    departures = frozenset({"prefixes on every page"})

    @pytest.fixture
    def raw(self, gcs: Server) -> ServerBucket:
        return ServerBucket(gcs, gcs.new_bucket())
