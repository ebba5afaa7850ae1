"""NAME: from keys to names and back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.semantics.buckets import Bucket
from tests.semantics.mounting import Mounter, memory_only, refused, tree, verbatim_stores

claim = pytest.mark.claim


@claim("NAME-1")
def test_slashes_make_directories(bucket: Bucket, mount: Mounter) -> None:
    for key in ("colors/blue/cat.jpg", "colors/red/dog.jpg", "colors/list.txt"):
        bucket.put(key, key.encode())
    assert tree(mount().path) == {
        "colors": None,
        "colors/blue": None,
        "colors/red": None,
        "colors/blue/cat.jpg": b"colors/blue/cat.jpg",
        "colors/red/dog.jpg": b"colors/red/dog.jpg",
        "colors/list.txt": b"colors/list.txt",
    }


@claim("NAME-2")
@verbatim_stores
def test_a_directory_shadows_an_object(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("blue", b"object")
    bucket.put("blue/image.jpg", b"image")
    mnt = mount()
    assert os.listdir(mnt.path) == ["blue"]
    assert (mnt / "blue").is_dir()
    assert os.listdir(mnt / "blue") == ["image.jpg"]
    with refused(errno.EISDIR, mnt / "blue"):
        (mnt / "blue").read_bytes()


@claim("NAME-3")
@memory_only
def test_precedence(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(metadata_ttl=0)
    os.mkdir(mnt / "local")
    bucket.put("local", b"remote file")  # local before remote file
    assert (mnt / "local").is_dir()
    with open(mnt / "file", "wb") as writing:
        writing.write(b"here")
        bucket.put("file", b"elsewhere")
        assert (mnt / "file").stat().st_size == 0  # what is written is still in the file object's buffer
        bucket.put("file/below", b"")  # remote directory before local file
        assert (mnt / "file").is_dir()
        assert os.listdir(mnt / "file") == ["below"]
        entries = {entry.name: entry.is_dir() for entry in os.scandir(mnt.path)}
        assert entries == {"file": True, "local": True}


HIDDEN = ("a//b", "./x", "a/./b", "x/../y", "../up", "/lead", "/", "d/.", "d/..", "twice//", "name\0nul", "L" * 256)


@claim("NAME-4")
@claim("NAME-8")
@memory_only
def test_what_no_path_can_name_is_hidden(bucket: Bucket, mount: Mounter) -> None:
    for key in (*HIDDEN, "plain", "\u00e9" * 127):
        bucket.put(key, b"content")
    found = tree(mount().path)
    assert found == {
        "a": None,
        "x": None,
        "d": None,
        "twice": None,
        "plain": b"content",
        "\u00e9" * 127: b"content",  # 254 bytes
    }


@claim("NAME-5")
@verbatim_stores
def test_a_leading_slash_is_an_empty_name(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("/lead", b"hidden")
    bucket.put("/deep/er", b"hidden")
    bucket.put("seen", b"")
    mnt = mount()
    assert os.listdir(mnt.path) == ["seen"]
    with refused(errno.ENOENT, mnt / "lead"):
        os.stat(mnt / "lead")


@claim("NAME-6")
@verbatim_stores
@pytest.mark.parametrize("key", ["d//x", "d/./x", "d/../x", "d//", "d/."])
def test_above_a_hidden_segment_the_directory_is_visible(key: str, bucket: Bucket, mount: Mounter) -> None:
    bucket.put(key, b"hidden")
    mnt = mount()
    assert tree(mnt.path) == {"d": None}
    assert (mnt / "d").is_dir()
    with refused(errno.EPERM, mnt / "d"):
        os.rmdir(mnt / "d")


@claim("NAME-7")
def test_markers_make_directories(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("blue/")
    bucket.put("blue/image.jpg", b"image")
    bucket.put("red/")
    bucket.put("deep/er/")
    mnt = mount()
    found = tree(mnt.path)
    assert found == {"blue": None, "red": None, "deep": None, "deep/er": None, "blue/image.jpg": b"image"}
    assert os.listdir(mnt / "red") == []


@claim("NAME-7")
@claim("DIR-13")
@verbatim_stores
@pytest.mark.parametrize("lister", ["walk", "rglob", "scandir"])
def test_a_marker_that_holds_bytes_is_a_directory_to_every_listing(lister: str, bucket: Bucket, mount: Mounter) -> None:
    for key in ("d/full/", "full/", "above/in/full/"):
        bucket.put(key, b"bytes of a marker")
    bucket.put("d/file", b"bytes")
    top = mount().path
    if lister == "walk":
        found = {os.path.join(at, name) for at, directories, _ in os.walk(top) for name in directories}
        assert {name for _, _, files in os.walk(top) for name in files} == {"file"}
    elif lister == "rglob":
        found = {str(path) for path in top.rglob("*") if path.is_dir()}
    else:
        found = {
            entry.path for at in ("", "d", "above", "above/in") for entry in os.scandir(top / at) if entry.is_dir()
        }
    assert {name[len(str(top)) + 1 :] for name in found} == {
        "d",
        "d/full",
        "full",
        "above",
        "above/in",
        "above/in/full",
    }


@claim("NAME-9")
def test_listings_are_sorted_by_name(bucket: Bucket, mount: Mounter) -> None:
    for key in ("a/x", "a-/x", "a.txt", "b", "B", "a0"):
        bucket.put(key)
    mnt = mount()
    expected = ["B", "a", "a-", "a.txt", "a0", "b"]
    assert os.listdir(mnt.path) == expected
    assert [entry.name for entry in os.scandir(mnt.path)] == expected


@claim("NAME-9")
@memory_only
def test_a_file_and_what_hides_it_can_be_pages_apart(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("a", b"hidden")
    for number in range(1200):
        bucket.put(f"a-{number:04}")
    bucket.put("a/below")
    mnt = mount()
    names = os.listdir(mnt.path)
    assert (names[0], len(names), len(set(names))) == ("a", 1201, 1201)
    assert (mnt / "a").is_dir()
    assert {entry.name for entry in os.scandir(mnt.path) if entry.is_dir()} == {"a"}


@claim("NAME-10")
@verbatim_stores
def test_spellings_are_different_files(bucket: Bucket, mount: Mounter) -> None:
    keys = {"caf\u00e9": b"NFC", "cafe\u0301": b"NFD", "name": b"small", "Name": b"large", "back\\slash": b"one name"}
    for key, data in keys.items():
        bucket.put(key, data)
    assert tree(mount().path) == keys


@claim("NAME-11")
@memory_only
def test_a_name_that_begins_alike_is_not_below(mount: Mounter, tmp_path: Path) -> None:
    mount()
    beside = tmp_path / "mnt-beside"
    beside.mkdir()
    (beside / "file").write_text("on disk")
    assert os.listdir(beside) == ["file"]
    assert os.stat(beside).st_dev == os.stat(tmp_path).st_dev


@claim("NAME-12")
def test_a_prefix_is_all_there_is(bucket: Bucket, mount: Mounter) -> None:
    for key in ("outside", "team/a", "team/sub/b", "team-x/c"):
        bucket.put(key, key.encode())
    mnt = mount(key_prefix="team/")
    assert tree(mnt.path) == {"a": b"team/a", "sub": None, "sub/b": b"team/sub/b"}
    assert not os.path.exists(f"{mnt.path}/sub/../../outside")
    (mnt / "new").write_bytes(b"x")
    assert bucket.get("team/new") == b"x"


@claim("NAME-13")
@memory_only
def test_long_names_are_refused(mount: Mounter) -> None:
    mnt = mount(allow_rename=True)
    fits, long = mnt / ("\u00e9" * 127 + "x"), mnt / ("\u00e9" * 128)
    fits.write_bytes(b"255 bytes")
    assert fits.read_bytes() == b"255 bytes"
    with refused(errno.ENAMETOOLONG, long):
        long.write_bytes(b"")
    with refused(errno.ENAMETOOLONG, long):
        open(long, "rb")
    with refused(errno.ENAMETOOLONG, long):
        os.stat(long)
    with refused(errno.ENAMETOOLONG, long):
        os.mkdir(long)
    with refused(errno.ENAMETOOLONG, long):
        os.unlink(long)
    with refused(errno.ENAMETOOLONG, long):
        os.rmdir(long)
    with refused(errno.ENAMETOOLONG, long):
        os.listdir(long)
    with refused(errno.ENAMETOOLONG):
        os.rename(fits, long)


@claim("NAME-14")
@memory_only
def test_long_keys_are_refused(bucket: Bucket, mount: Mounter) -> None:
    mnt = mount(key_prefix="p/")
    name = "/".join(["d" * 200] * 5)  # 1004 bytes, 1006 with the prefix
    os.makedirs(mnt / name)
    (mnt / name / "17-bytes-of-name.").write_bytes(b"")
    assert [len(key) for key in bucket.keys()] == [1024]
    with refused(errno.ENAMETOOLONG, mnt / name / "18-bytes-of-name.."):
        (mnt / name / "18-bytes-of-name..").write_bytes(b"")
    with refused(errno.ENAMETOOLONG):
        os.stat(mnt / name / "18-bytes-of-name..")


@claim("NAME-15")
@memory_only
def test_names_that_are_not_text(mount: Mounter) -> None:
    mnt = mount()
    name = os.fsencode(mnt.path) + b"/\xff\xfe"
    with refused(errno.ENOENT, name):
        os.stat(name)
    with refused(errno.ENOENT, name):
        os.unlink(name)
    with refused(errno.EILSEQ, name):
        open(name, "wb")
    with refused(errno.EILSEQ, name):
        os.mkdir(name)


@claim("NAME-16")
@verbatim_stores
def test_a_shadowed_object_comes_back(bucket: Bucket, mount: Mounter) -> None:
    bucket.put("blue", b"object")
    bucket.put("blue/image.jpg", b"image")
    mnt = mount(metadata_ttl=0)
    assert (mnt / "blue").is_dir()
    bucket.delete("blue/image.jpg")
    assert (mnt / "blue").read_bytes() == b"object"
