"""Modules of the standard library that read and write files."""

from __future__ import annotations

import bz2
import configparser
import cProfile
import csv
import ctypes
import dbm.dumb
import email
import fileinput
import functools
import gzip
import http.server
import io
import json
import logging
import logging.config
import logging.handlers
import lzma
import mailbox
import marshal
import os
import pickle
import plistlib
import pstats
import shelve
import sqlite3
import ssl
import sysconfig
import tarfile
import threading
import urllib.request
import wave
import xml.etree.ElementTree as ET
import xml.sax
import zipfile
from typing import Any

from tests.ways.archives import TEXT
from tests.ways.way import Place, way


@way("archives", "zipfile, read")
def _(at: Place) -> object:
    with zipfile.ZipFile(at("some.zip")) as archive:
        return archive.namelist(), archive.read("a.txt"), archive.testzip(), zipfile.is_zipfile(at("some.zip"))


@way("archives", "zipfile, w", same_bytes=False)
def _(at: Place) -> object:
    with zipfile.ZipFile(at("new.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TEXT)
        archive.write(at("data.bin"), "data.bin")
        archive.write(at("dir"), "dir")
        with archive.open("streamed", "w") as member:
            member.write(b"piece by piece")
    with zipfile.ZipFile(at("new.zip")) as archive:
        return archive.namelist(), [archive.read(name) for name in archive.namelist()], archive.testzip()


@way("archives", "zipfile, x and a of a new file, and a file object of one's own", same_bytes=False)
def _(at: Place) -> object:
    with zipfile.ZipFile(at("x.zip"), "x") as archive:
        archive.writestr("a", b"1")
    with zipfile.ZipFile(at("a.zip"), "a") as archive:
        archive.writestr("a", b"2")
    with open(at("f.zip"), "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"3")
    found = []
    for name in ("x.zip", "a.zip", "f.zip"):
        with zipfile.ZipFile(at(name)) as archive:
            found.append(archive.read("a"))
    return found


@way("archives", "zipfile, a of an existing file", mode="staged", same_bytes=False)
def _(at: Place) -> object:
    with zipfile.ZipFile(at("some.zip"), "a") as archive:
        archive.writestr("more", b"more")
    with zipfile.ZipFile(at("some.zip")) as archive:
        return archive.namelist(), archive.read("more")


@way("archives", "zipfile.Path and extractall")
def _(at: Place) -> object:
    with zipfile.ZipFile(at("some.zip")) as archive:
        archive.extractall(at("out"))
    return zipfile.Path(at("some.zip"), "d/b.txt").read_text(), at.names("out")


@way("archives", "tarfile, r and r:gz")
def _(at: Place) -> object:
    found = []
    for name in ("some.tar", "some.tar.gz"):
        with tarfile.open(at(name)) as archive:
            member: Any = archive.extractfile("a.txt")
            found.append((archive.getnames(), member.read()))
    return found, tarfile.is_tarfile(at("some.tar"))


@way("archives", "tarfile, w, w:gz, w:bz2, w:xz and streams", same_bytes=False)
def _(at: Place) -> object:
    found = []
    for mode in ("w", "w:gz", "w:bz2", "w:xz", "w|", "w|gz"):
        with tarfile.open(at("new.tar"), mode) as archive:
            archive.add(at("dir"), "dir")
        with tarfile.open(at("new.tar")) as archive:
            found.append(sorted(archive.getnames()))
    return found


@way("archives", "tarfile, extractall")
def _(at: Place) -> object:
    with tarfile.open(at("some.tar")) as archive:
        archive.extractall(at("out"), filter="data")
    return at.bytes_of("out", "a.txt")


@way("compressed", "gzip", same_bytes=False)
def _(at: Place) -> object:
    with gzip.open(at("new.gz"), "wt") as file:
        file.write("compressed")
    with gzip.open(at("new.gz"), "rt") as again, gzip.open(at("text.gz")) as old:
        return again.read(), old.read(), old.seek(2), old.read(3)


@way("compressed", "gzip, a", mode="staged", same_bytes=False)
def _(at: Place) -> object:
    with gzip.open(at("text.gz"), "ab") as file:
        file.write(b"more")
    with gzip.open(at("text.gz")) as file:
        return file.read()


@way("compressed", "bz2")
def _(at: Place) -> object:
    with bz2.open(at("new.bz2"), "wb") as file:
        file.write(TEXT)
    with bz2.open(at("text.bz2"), "rt") as file:
        return file.read()


@way("compressed", "lzma")
def _(at: Place) -> object:
    with lzma.open(at("new.xz"), "wb") as file:
        file.write(TEXT)
    with lzma.open(at("text.xz"), "rt") as file:
        return file.read()


@way("data files", "json, pickle, marshal")
def _(at: Place) -> object:
    with open(at("a.json"), "w") as text:
        json.dump({"a": [1, 2]}, text)
    with open(at("a.pickle"), "wb") as file:
        pickle.dump({"b": DATA}, file)
    with open(at("a.marshal"), "wb") as file:
        marshal.dump([1, "x"], file)
    with open(at("a.json")) as text, open(at("a.pickle"), "rb") as first, open(at("a.marshal"), "rb") as second:
        return json.load(text), pickle.load(first), marshal.load(second)


DATA = list(range(100))


@way("data files", "csv and configparser")
def _(at: Place) -> object:
    with open(at("a.csv"), "w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], [1, "x y"]])
    with open(at("a.ini"), "w") as file:
        file.write("[s]\nk = v\n")
    parser = configparser.ConfigParser()
    read = [at.without_root(name) for name in parser.read(at("a.ini"))]
    with open(at("a.csv"), newline="") as file:
        return list(csv.DictReader(file)), read, parser["s"]["k"]


@way("data files", "xml.etree and xml.sax")
def _(at: Place) -> object:
    ET.ElementTree(ET.fromstring("<a><b n='1'/></a>")).write(at("a.xml"))
    handler = xml.sax.ContentHandler()
    xml.sax.parse(at("a.xml"), handler)
    return [element.tag for element in ET.parse(at("a.xml")).iter()], [e for e, _ in ET.iterparse(at("a.xml"))]


@way("data files", "plistlib, email and mailbox")
def _(at: Place) -> object:
    with open(at("a.plist"), "wb") as file:
        plistlib.dump({"a": 1}, file)
    with open(at("a.eml"), "w") as text:
        text.write("Subject: s\n\nbody\n")
    with open(at("a.eml")) as text, open(at("a.plist"), "rb") as file:
        return email.message_from_file(text)["subject"], plistlib.load(file), mailbox.Maildir(at("mail")).keys()


@way("data files", "wave")
def _(at: Place) -> object:
    with wave.open(at("some.wav")) as sound:
        parameters, frames = sound.getparams(), sound.readframes(10)
    with wave.open(at("new.wav"), "wb") as made:
        made.setparams(parameters)
        for _ in range(3):
            made.writeframes(b"\1\2" * 50)  # more than the header says at first
    return tuple(parameters), frames


@way("data files", "cProfile and pstats", same_bytes=False)
def _(at: Place) -> object:
    profile = cProfile.Profile()
    profile.runcall(sum, [1, 2])
    profile.dump_stats(at("a.prof"))
    return pstats.Stats(at("a.prof"), stream=io.StringIO()).total_calls > 0  # type: ignore[attr-defined]


@way("databases", "dbm.dumb", mode="staged")
def _(at: Place) -> object:
    with dbm.dumb.open(at("d"), "c") as database:
        database[b"k"] = b"v"
    with dbm.dumb.open(at("d"), "w") as database:
        database[b"k"] = b"longer than before"
        del database[b"k"]
        database[b"l"] = b"w"
    with dbm.dumb.open(at("d"), "r") as database:
        return database.keys(), database[b"l"]


@way("databases", "shelve", mode="staged")
def _(at: Place) -> object:
    with shelve.Shelf(dbm.dumb.open(at("s"), "c")) as shelf:
        shelf["k"] = [1, 2]
    with shelve.Shelf(dbm.dumb.open(at("s"), "r")) as shelf:
        return dict(shelf)


def _rows(connection: sqlite3.Connection) -> Any:
    try:
        return connection.execute("select count(*), max(s) from t where n < 400").fetchone()
    finally:
        connection.close()


@way("databases", "sqlite3.connect, to read")
def _(at: Place) -> object:
    return _rows(sqlite3.connect(at("some.db")))


@way("databases", "sqlite3.connect of a URI with mode=ro")
def _(at: Place) -> object:
    return (
        _rows(sqlite3.connect(f"file:{at('some.db')}?mode=ro", uri=True)),
        _rows(sqlite3.connect(f"file:{at('some.db')}?immutable=1&cache=private", uri=True)),
    )


@way("databases", "sqlite3.connect of bytes and of a path object, with a row factory")
def _(at: Place) -> object:
    class Connection(sqlite3.Connection):
        pass

    connection = sqlite3.connect(os.fsencode(at("some.db")), factory=Connection)
    connection.row_factory = sqlite3.Row
    try:
        return type(connection).__name__, connection.execute("select s from t where n = 3").fetchone()["s"]
    finally:
        connection.close()


@way("databases", "sqlite3 with a write-ahead log that was left behind")
def _(at: Place) -> object:
    local = f"{at.local}/w.db"
    writer = sqlite3.connect(local)
    writer.execute("pragma journal_mode = wal").fetchone()
    writer.execute("create table t (n integer, s text)")
    writer.execute("insert into t values (1, 'in the log')")
    writer.commit()
    for ending in ("", "-wal"):
        with open(local + ending, "rb") as source, open(at(f"w.db{ending}"), "wb") as target:
            target.write(source.read())
    writer.close()
    row = _rows(sqlite3.connect(at("w.db")))
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(at(f"w.db{ending}")):
            os.remove(at(f"w.db{ending}"))
    return row


def _logged(handler: logging.Handler, *messages: str) -> None:
    logger = logging.getLogger("tests.ways")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        for message in messages:
            logger.error(message)
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.propagate = True


@way("logging", "FileHandler")
def _(at: Place) -> object:
    return _logged(logging.FileHandler(at("new.log")), "one", "two")


@way("logging", "FileHandler that goes on", mode="staged")
def _(at: Place) -> object:
    _logged(logging.FileHandler(at("new.log")), "one")
    return _logged(logging.FileHandler(at("new.log"), delay=True), "two")


@way("logging", "RotatingFileHandler", mode="staged")
def _(at: Place) -> object:
    return _logged(logging.handlers.RotatingFileHandler(at("r.log"), maxBytes=20, backupCount=2), *"abcdefgh" * 4)


@way("logging", "WatchedFileHandler", mode="staged")
def _(at: Place) -> object:
    return _logged(logging.handlers.WatchedFileHandler(at("w.log")), "one", "two")


@way("logging", "TimedRotatingFileHandler and dictConfig")
def _(at: Place) -> object:
    handler = logging.handlers.TimedRotatingFileHandler(at("t.log"), when="D")
    _logged(handler, "timed")
    logging.config.dictConfig(
        {
            "version": 1,
            "incremental": False,
            "disable_existing_loggers": False,
            "handlers": {"file": {"class": "logging.FileHandler", "filename": at("c.log")}},
            "loggers": {"tests.ways.configured": {"handlers": ["file"], "propagate": False}},
        }
    )
    logger = logging.getLogger("tests.ways.configured")
    logger.error("configured")
    for each in list(logger.handlers):
        logger.removeHandler(each)
        each.close()


@way("fileinput", "several files")
def _(at: Place) -> object:
    with fileinput.input([at("text.txt"), at("dir/one.txt")]) as lines:
        return [(line, fileinput.filelineno(), at.without_root(fileinput.filename())) for line in lines]


@way("fileinput", "in place")
def _(at: Place) -> object:
    with fileinput.input(at("text.txt"), inplace=True) as lines:
        for line in lines:
            print(line.upper(), end="")


@way("network", "urllib of a file: URL")
def _(at: Place) -> object:
    with urllib.request.urlopen(f"file://{at('text.txt')}") as answer:
        return answer.read(), answer.headers["Content-length"]


@way("network", "http.server of a directory")
def _(at: Place) -> object:
    handler = functools.partial(_Quiet, directory=at.root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            base = f"http://127.0.0.1:{server.server_address[1]}"
            with opener.open(f"{base}/text.txt", timeout=30) as file, opener.open(f"{base}/dir/", timeout=30) as page:
                return file.read(), b"one.txt" in page.read()
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@way("shared libraries", "import of an extension module")
def _(at: Place) -> object:
    import importlib.util

    source = _extension()
    if source is None:
        return None
    with open(source, "rb") as file, open(at(os.path.basename(source)), "wb") as copy:
        copy.write(file.read())
    name = os.path.basename(source).partition(".")[0]
    spec = importlib.util.spec_from_file_location(name, at(os.path.basename(source)))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return name, at.without_root(str(module.__file__))


@way("shared libraries", "ctypes.CDLL")
def _(at: Place) -> object:
    source = _extension()
    if source is None:
        return None
    with open(source, "rb") as file, open(at("library.so"), "wb") as copy:
        copy.write(file.read())
    library = ctypes.CDLL(at("library.so"))
    return hasattr(library, f"PyInit_{os.path.basename(source).partition('.')[0]}"), at.without_root(library._name)


@functools.cache
def _extension() -> str | None:
    """A small extension module of this Python; None where all are built in."""
    directory = sysconfig.get_config_var("DESTSHARED")
    names = sorted(os.listdir(directory)) if directory and os.path.isdir(directory) else []
    return next((os.path.join(directory, name) for name in names if name.startswith("_bisect.")), None)


@way("shared libraries", "certificates of an ssl context")
def _(at: Place) -> object:
    paths = ssl.get_default_verify_paths()
    source = next((p for p in (paths.cafile, paths.openssl_cafile) if p and os.path.isfile(p)), None)
    if source is None:
        return None
    with open(source, "rb") as file, open(at("ca.pem"), "wb") as copy:
        copy.write(file.read())
    context = ssl.create_default_context(cafile=at("ca.pem"))
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other.load_verify_locations(at("ca.pem"))
    return len(context.get_ca_certs()), len(other.get_ca_certs())
