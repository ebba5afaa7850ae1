"""h5py, soundfile, lxml, polars and safetensors on paths of a mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy
import polars
import pytest
import safetensors.numpy
import soundfile
from lxml import etree

from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import MemoryStore

SAMPLES = numpy.linspace(-0.5, 0.5, 4000)


@pytest.mark.parametrize("kind", [str, Path])
def test_h5py_write_and_read(point: str, kind: type) -> None:
    with h5py.File(kind(f"{point}/x.h5"), "w") as file:
        file["a"] = numpy.arange(1000)
    with h5py.File(kind(f"{point}/x.h5")) as file:
        assert file["a"][999] == 999


def test_h5py_append_makes_a_file(point: str) -> None:
    with h5py.File(f"{point}/x.h5", "a") as file:
        file["a"] = [1, 2]
    with h5py.File(f"{point}/x.h5") as file:
        assert file["a"][1] == 2


def test_h5py_update_on_a_staged_mount(tmp_path: Path) -> None:
    place = str(tmp_path / "staged")
    with activate_stores({place: (CloudBucketMount("memory", writes="staged"), MemoryStore())}):
        with h5py.File(f"{place}/x.h5", "w") as file:
            file["a"] = [1, 2]
        with h5py.File(f"{place}/x.h5", "r+") as file:
            file["a"][0] = 7
        with h5py.File(f"{place}/x.h5", "a") as file:
            file["b"] = [3]
        with h5py.File(f"{place}/x.h5") as file:
            assert (file["a"][0], file["b"][0]) == (7, 3)


def test_h5py_exclusive(point: str) -> None:
    with h5py.File(f"{point}/x.h5", "x") as file:
        file["a"] = [1]
    with pytest.raises(FileExistsError):
        h5py.File(f"{point}/x.h5", "x")
    with h5py.File(f"{point}/x.h5") as file:
        assert list(file) == ["a"]


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_soundfile_write_and_read(point: str, ending: str) -> None:
    path = f"{point}/s.{ending}"
    soundfile.write(path, SAMPLES, 8000)
    samples, rate = soundfile.read(path)
    assert rate == 8000
    assert len(samples) == len(SAMPLES)
    assert numpy.allclose(samples, SAMPLES, atol=0.05)


def test_soundfile_info_and_blocks(point: str) -> None:
    path = Path(point, "s.wav")
    soundfile.write(path, SAMPLES, 8000)
    assert soundfile.info(path).frames == 4000
    assert sum(len(block) for block in soundfile.blocks(path, 1000)) == 4000


def test_lxml_parse(point: str) -> None:
    Path(point, "x.xml").write_text("<a><b/></a>")
    tree = etree.parse(f"{point}/x.xml")
    assert tree.getroot()[0].tag == "b"
    assert tree.docinfo.URL == f"{point}/x.xml"


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("form", ["parquet", "csv", "ipc", "ndjson", "json"])
def test_polars_write_and_read(point: str, form: str, kind: type) -> None:
    frame = polars.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    getattr(frame, f"write_{form}")(kind(f"{point}/t.{form}"))
    assert getattr(polars, f"read_{form}")(kind(f"{point}/t.{form}")).equals(frame)


@pytest.mark.parametrize("kind", [str, Path])
def test_safetensors_save_and_load(point: str, kind: type) -> None:
    safetensors.numpy.save_file({"a": SAMPLES}, kind(f"{point}/m.safetensors"), {"k": "v"})
    assert numpy.array_equal(safetensors.numpy.load_file(kind(f"{point}/m.safetensors"))["a"], SAMPLES)


def test_missing_files(point: str) -> None:
    for read in (
        lambda path: h5py.File(path, "r"),
        soundfile.read,
        safetensors.numpy.load_file,
        polars.read_parquet,
        etree.parse,
    ):
        with pytest.raises(FileNotFoundError):
            read(f"{point}/none")


def test_a_read_only_mount(read_only: str) -> None:
    for write in (
        lambda: h5py.File(f"{read_only}/x.h5", "w"),
        lambda: soundfile.write(f"{read_only}/s.wav", SAMPLES, 8000),
        lambda: safetensors.numpy.save_file({"a": SAMPLES}, f"{read_only}/m.safetensors"),
        lambda: polars.DataFrame({"a": [1]}).write_parquet(f"{read_only}/t.parquet"),
    ):
        with pytest.raises(OSError) as refused:
            write()
        assert refused.value.errno == errno.EROFS


def test_a_failed_write_leaves_no_object(point: str) -> None:
    with pytest.raises(Exception, match=r"compression|unknown"):
        polars.DataFrame({"a": [1]}).write_parquet(f"{point}/t.parquet", compression="none such")  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        soundfile.write(f"{point}/s.wav", SAMPLES, 8000, subtype="none such")
    assert os.listdir(point) == []


def test_what_a_library_leaves_open_is_not_published_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place, store = str(tmp_path / "bucket"), MemoryStore()
    session = activate_stores({place: (CloudBucketMount("memory"), store)})
    file = h5py.File(f"{place}/x.h5", "w")
    session.close()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"{place}/x.h5 was not closed by the library that writes it; nothing was uploaded"
    ]
    file.close()
    assert store.objects() == {}
    file._vfsmount_file.discard()


def test_safe_open(point: str) -> None:
    safetensors.numpy.save_file({"a": SAMPLES, "b": SAMPLES[:3]}, f"{point}/m.safetensors")
    with safetensors.safe_open(f"{point}/m.safetensors", framework="numpy") as file:
        assert sorted(file.keys()) == ["a", "b"]
        assert numpy.array_equal(file.get_slice("a")[1:4], SAMPLES[1:4])
    with pytest.raises(FileNotFoundError):
        safetensors.safe_open(f"{point}/none", framework="numpy")


@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_h5py_files_that_are_dropped_unclosed_are_uploaded(point: str, mode: str) -> None:
    """h5py's File has no finalizer: HDF5 closes the file with the last reference. It used to be lost in silence."""
    file = h5py.File(f"{point}/x.h5", mode)
    file["a"] = numpy.arange(1000)
    del file
    with h5py.File(f"{point}/x.h5") as file:
        assert file["a"][999] == 999


def test_an_h5py_file_that_cannot_be_ended_replaces_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place, store = str(tmp_path / "bucket"), MemoryStore()
    store.put_object("x.h5", b"before")
    with activate_stores({place: (CloudBucketMount("memory", allow_overwrite=True), store)}):
        file = h5py.File(f"{place}/x.h5", "w")

        def fail() -> None:
            raise RuntimeError("on purpose")

        file._vfsmount_file.settle = fail
        del file
    assert "could not be committed: on purpose" in caplog.text
    assert store.objects() == {"x.h5": b"before"}
