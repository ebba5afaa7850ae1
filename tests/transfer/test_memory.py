"""What is in memory at most, counted in child processes while large files are written and read."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from tests.servers import Server

MIB = 1 << 20
LIMIT: Final = 32 * MIB
SIZE: Final = 160 * MIB

_PROLOGUE: Final = """
import gc, json, os, sys, tracemalloc
import vfsmount
from vfsmount import CloudBucketMount, Secret
from vfsmount.errors import NotFound
from vfsmount.model import ListPage, ObjectMeta
from vfsmount.session import activate_stores
from vfsmount.store.protocol import GetResult
from vfsmount.testing import MemoryStore

MIB = 1 << 20
LIMIT, SIZE = json.loads(sys.argv[1])

class Endless(MemoryStore):
    '''An object of SIZE bytes; every answer is memory of its own, and what is uploaded is copied and forgotten.'''

    def get_range(self, key, start, end, *, if_match=None):
        end = min(end, SIZE)
        return GetResult(ObjectMeta(key, SIZE, 0, '"e"'), b"x" * (end - start))

    def create_multipart(self, key, *, attributes=None):
        return Forgetful()

class Forgetful:
    def put_part(self, number, data):
        bytearray(data)

    def complete(self, *, if_match=None, if_none_match=False):
        return ObjectMeta("f", SIZE, 0, '"e"')

    def abort(self):
        pass

def measured(session, work):
    gc.disable()  # what is only freed by a collection counts
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    print(json.dumps([peak, session._budget.peak]))

block = os.urandom(MIB)

def write(path="/vfsmount-test-memory/f"):
    with open(path, "wb") as file:
        for _ in range(SIZE // MIB):
            file.write(block)

def scan(path="/vfsmount-test-memory/f"):
    with open(path, "rb") as file:
        assert sum(len(data) for data in iter(lambda: file.read(MIB), b"")) == SIZE

def everything(path="/vfsmount-test-memory/f"):
    with open(path, "rb") as file:
        assert len(file.read()) == SIZE
"""


def peaks(code: str, *arguments: str) -> tuple[int, int]:
    """Bytes that Python allocated at most beyond what was there, and that the budget counted at most."""
    command = [sys.executable, "-c", _PROLOGUE + code, json.dumps([LIMIT, SIZE]), *arguments]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    peak, counted = json.loads(found.stdout)
    return peak, counted


_SIMULATED: Final = """
with activate_stores({"/vfsmount-test-memory": (CloudBucketMount("b"), Endless())}, memory_limit=LIMIT) as session:
    measured(session, WORK)
"""


@pytest.mark.slow
@pytest.mark.parametrize("work", ["write", "scan", "everything"])
def test_the_budget_and_a_tenth(work: str) -> None:
    peak, counted = peaks(_SIMULATED.replace("WORK", work))
    result = SIZE if work == "everything" else 0
    assert counted <= LIMIT
    assert peak - result <= 1.1 * LIMIT
    assert counted > LIMIT / 2  # it is used


@pytest.mark.slow
@pytest.mark.servers
def test_a_client_that_sends_parts_stays_within_it_too(weed: Server, weed_bucket: str) -> None:
    code = """
secret = Secret.from_dict({"AWS_ACCESS_KEY_ID": sys.argv[4], "AWS_SECRET_ACCESS_KEY": sys.argv[5]})
mount = CloudBucketMount(sys.argv[3], sys.argv[2], secret=secret, force_path_style=True, region="us-east-1")
with vfsmount.activate({"/vfsmount-test-memory": mount}, memory_limit=LIMIT) as session:
    with open("/vfsmount-test-memory/warm", "wb") as file:  # loads the client
        file.write(bytes(9 * MIB))
    measured(session, write)
"""
    peak, counted = peaks(code, weed.endpoint_url, weed_bucket, weed.access_key_id, weed.secret_access_key)
    assert counted <= LIMIT
    assert peak <= 1.1 * LIMIT
