"""The suite on Google's own interface through gcsfs, on fake-gcs-server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Server, s3_options
from tests.store.quirks import GCS
from tests.store.suites import ServerBucket
from vfsmount.store.gcsfs_store import GcsfsStore
from vfsmount.testing import StoreSuite


@pytest.mark.servers
@pytest.mark.slow
class TestGcsfs(StoreSuite):
    quirks = GCS
    departures = frozenset({"prefixes on every page"})

    @pytest.fixture
    def raw(self, gcs: Server) -> ServerBucket:
        return ServerBucket(gcs, gcs.new_bucket())

    @pytest.fixture
    def store(self, raw: ServerBucket) -> Iterator[GcsfsStore]:
        store = GcsfsStore(s3_options(raw.server, raw.bucket))
        yield store
        store.close()
