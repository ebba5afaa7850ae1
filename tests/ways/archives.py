"""Archives, compressed files and databases that the ways read, made once."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import sqlite3
import tarfile
import tempfile
import wave
import zipfile

TEXT = b"alpha\nbeta\ngamma\n"


@functools.cache
def archives() -> dict[str, bytes]:
    """Name -> content."""
    return {
        "app.zip": _zip({"zipped_module.py": b"ZIPPED = 'yes'\n", "__main__.py": b"RESULT = 'main of a zip'\n"}),
        "some.zip": _zip({"a.txt": TEXT, "d/b.txt": b"b"}),
        "some.tar": _tar(),
        "some.tar.gz": gzip.compress(_tar(), mtime=0),
        "text.gz": gzip.compress(TEXT, mtime=0),
        "text.bz2": bz2.compress(TEXT),
        "text.xz": lzma.compress(TEXT),
        "some.wav": _wave(),
        "some.db": _database(),
    }


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return out.getvalue()


def _wave() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(400))
    return out.getvalue()


def _database() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "x.db")
        connection = sqlite3.connect(path)
        connection.execute("create table t (n integer, s text)")
        connection.executemany("insert into t values (?, ?)", [(n, str(n) * 50) for n in range(500)])
        connection.commit()
        connection.close()
        with open(path, "rb") as file:
            return file.read()
