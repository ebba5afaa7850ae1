"""OpenCV on paths of a mount: pictures and videos."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.hooks.late import Library
from tests.session.starting import interpreter

PICTURE: Any = numpy.random.default_rng(1).integers(0, 255, (40, 60, 3), numpy.uint8)

cv2: Any = Library("cv2")

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import cv2, numpy

    picture = numpy.full((4, 5, 3), 7, numpy.uint8)
    assert cv2.imwrite(point + "/a.png", picture)
    assert (cv2.imread(point + "/a.png") == picture).all()
    session.close()
    assert type(cv2.imread).__name__ == "builtin_function_or_method" and isinstance(cv2.VideoCapture, type)
    print("done")
"""


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("ending", ["png", "tiff", "bmp", "webp"])
def test_write_and_read(point: str, ending: str, kind: type) -> None:
    path = kind(f"{point}/a.{ending}")
    assert cv2.imwrite(path, PICTURE, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert (cv2.imread(path) == PICTURE).all()
    assert cv2.imread(path, cv2.IMREAD_GRAYSCALE).shape == (40, 60)  # type: ignore[union-attr]
    assert cv2.imread(path, flags=cv2.IMREAD_GRAYSCALE).shape == (40, 60)  # type: ignore[union-attr]


def test_many_pictures_in_one_file(point: str) -> None:
    assert cv2.imwritemulti(f"{point}/a.tiff", [PICTURE, PICTURE])
    done, pictures = cv2.imreadmulti(f"{point}/a.tiff")
    assert done
    assert len(pictures) == cv2.imcount(f"{point}/a.tiff") == 2


def test_what_is_no_picture_reads_as_on_a_disk(point: str) -> None:
    Path(point, "empty.png").touch()
    Path(point, "bad.png").write_bytes(b"no picture" * 100)
    for name in ("none.png", "empty.png", "bad.png", "none/none.png"):
        assert cv2.imread(f"{point}/{name}") is None
    assert cv2.imreadmulti(f"{point}/none.tiff")[0] is False
    assert not cv2.haveImageReader(f"{point}/none.png")


def test_refusals(point: str, read_only: str) -> None:
    with pytest.raises(OSError) as refused:
        cv2.imwrite(f"{read_only}/a.png", PICTURE)
    assert refused.value.errno == errno.EROFS
    with pytest.raises(cv2.error):
        cv2.imwrite(f"{point}/a.nosuch", PICTURE)
    with pytest.raises(OSError) as refused:
        cv2.VideoWriter(f"{read_only}/v.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (60, 40))
    assert refused.value.errno == errno.EROFS
    assert os.listdir(point) == []


def video(path: str, frames: int = 5) -> Any:
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10, (60, 40))
    assert writer.isOpened()
    assert isinstance(writer, cv2.VideoWriter)
    for _ in range(frames):
        writer.write(PICTURE)
    return writer


def test_a_video(point: str) -> None:
    writer = video(f"{point}/v.avi")
    writer.release()
    assert not writer.isOpened()
    capture = cv2.VideoCapture(f"{point}/v.avi")
    assert isinstance(capture, cv2.VideoCapture)
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 5
    capture.release()
    assert not cv2.VideoCapture(f"{point}/none.avi").isOpened()


def test_a_video_is_complete_when_its_writer_is_collected(point: str) -> None:
    video(f"{point}/v.avi")
    assert cv2.VideoCapture(f"{point}/v.avi").get(cv2.CAP_PROP_FRAME_COUNT) == 5


def test_a_local_file_is_opencvs_own_business(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = str(tmp_path_factory.mktemp("local") / "v.avi")
    video(local).release()
    assert cv2.VideoCapture(local).read()[0]
    assert cv2.imread(f"{local}.png") is None
