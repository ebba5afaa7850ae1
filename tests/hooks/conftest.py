"""Modules here are collected where the libraries that they drive are installed: see the extra ``compat``."""

from __future__ import annotations

import gc
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hooks.late import LATE
from tests.session.starting import untouched
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore

NEEDED = {
    "test_arrival.py": ("pyarrow", "h5py", "soundfile", "lxml", "polars", "safetensors"),
    "test_arrow.py": ("pyarrow", "pandas"),
    "test_arrow_files.py": ("pyarrow",),
    "test_duckdb.py": ("duckdb", "pandas"),
    "test_files.py": ("numpy", "h5py", "soundfile", "lxml", "polars", "safetensors"),
    "test_netcdf.py": ("netCDF4",),
    "test_opencv.py": ("cv2",),
    "test_polars.py": ("polars",),
    "test_pytables.py": ("tables", "pandas"),
    "test_rasterio.py": ("rasterio",),
    "test_tokenizers.py": ("tokenizers",),
    "test_torch.py": ("torch",),
}
MISSING = sorted({name for names in NEEDED.values() for name in names if importlib.util.find_spec(name) is None})
collect_ignore = [module for module, names in NEEDED.items() if set(names) & set(MISSING)]


def pytest_report_header() -> str | None:
    """What is left out for want of a library."""
    return f"tests/hooks: not installed, so left out: {', '.join(MISSING)}" if MISSING else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that load what every later activation has to search come last."""
    items.sort(key=lambda item: item.path.parent == Path(__file__).parent and item.path.name in LATE)


@pytest.fixture(scope="module", autouse=True)
def loaded_before_activation(request: pytest.FixtureRequest) -> None:
    """As for all other modules here, whose own imports do that."""
    name = LATE.get(request.path.name)
    if name is not None:
        importlib.import_module(name)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(MemoryStore())


@pytest.fixture
def point(tmp_path: Path, store: CountingStore) -> Iterator[str]:
    """A mount whose session starts after the libraries were imported; nothing of it may be on the disk at the end."""
    place = str(tmp_path / "bucket")
    with activate_stores({place: (CloudBucketMount("memory"), store)}):
        yield place
    assert list(tmp_path.iterdir()) == []
    untouched()


@pytest.fixture
def staged(point: str) -> Iterator[str]:
    """Another bucket, whose files can be changed."""
    place = f"{point}-staged"
    with activate_stores({place: (CloudBucketMount("memory", writes="staged"), MemoryStore())}):
        yield place


@pytest.fixture(autouse=True)
def no_copies(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local copies and staged files are made in a directory of the test's own, and are gone after it."""
    place = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(place))
    yield
    if list(place.iterdir()):
        gc.collect()
    assert list(place.iterdir()) == []


@pytest.fixture
def read_only(tmp_path: Path, point: str, store: CountingStore) -> Iterator[str]:
    """The same bucket once more, mounted so that it cannot be written."""
    place = str(tmp_path / "kept")
    with activate_stores({place: (CloudBucketMount("memory", read_only=True), store)}):
        yield place
