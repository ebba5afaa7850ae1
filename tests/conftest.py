"""Fixtures for all tests: a clean environment, and real servers that start only if a test asks."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import servers
from tests.servers import Server

_FOREIGN = tuple("AWS_ GOOGLE_ GCSFS_ GCE_ VFSMOUNT_ CLOUDSDK_ STORAGE_EMULATOR_ FSSPEC_ S3FS_ BOTO".split())
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

# How fast examples are made says nothing about the code: the machine may have other things to do.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start inherits that: no Ctrl-C would come."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each test has a home. pytest would number them, for which it reads the names of all that are there."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, homes: Path) -> None:
    """No credentials, profile, proxy or setting of the person who runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", tempfile.mkdtemp(dir=homes))
    # The ambient credential chain ends in a request to 169.254.169.254 that no test wants to wait for.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")  # nothing listens on the discard port


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A moto server for the whole session (one for each xdist worker)."""
    with servers.moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A SeaweedFS server for the whole session; takes about four seconds to start."""
    with servers.weed_server(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A fake-gcs-server for the whole session."""
    with servers.gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def moto_bucket(moto: Server) -> str:
    """A fresh bucket on moto."""
    return moto.new_bucket()


@pytest.fixture
def weed_bucket(weed: Server) -> str:
    """A fresh bucket on SeaweedFS."""
    return weed.new_bucket()


@pytest.fixture
def gcs_bucket(gcs: Server) -> str:
    """A fresh bucket on fake-gcs-server."""
    return gcs.new_bucket()
