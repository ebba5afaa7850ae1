"""``shutil.rmtree`` on real servers, with DeleteObjects and without."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.servers import Server, s3_options
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.store.factory import open_store
from vfsmount.testing import CountingStore

POINT = "/vfs-removed-there"
KEYS = [f"top/{number // 4} of/{number}?&<é>.txt" for number in range(40)]


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "verb", "most"), [("moto", "delete_many", 1), ("weed", "delete_many", 1), ("gcs", "delete", 40)]
)
def test_rmtree(where: str, verb: str, most: int, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(where)
    bucket = server.new_bucket()
    for key in (*KEYS, "topp/x"):
        server.put(bucket, key, b"x")
    store = CountingStore(open_store(s3_options(server, bucket)))
    with activate_stores({POINT: (CloudBucketMount(bucket, metadata_ttl="indefinite"), store)}):
        store.reset()
        shutil.rmtree(f"{POINT}/top")
        assert not os.path.exists(f"{POINT}/top")
    deletes = {name: count for name, count in store.counts.items() if name.startswith("delete")}
    assert deletes == {verb: most}
    assert server.keys(bucket) == ["topp/x"]
