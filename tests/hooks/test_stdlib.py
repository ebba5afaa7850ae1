"""Modules of the standard library that have a hook: what tests/ways does not show of them."""

from __future__ import annotations

import array
import ctypes
import dbm
import errno
import os
import shelve
import socket
import sqlite3
import ssl
import sys
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forks import in_child
from vfsmount import CloudBucketMount
from vfsmount.session import activate_stores
from vfsmount.testing import CountingStore, MemoryStore

DESCRIPTOR = 0x08
"""The flag of a zip member whose sizes follow its data. Source: PKWARE APPNOTE, 4.4.4."""


def stored(store: CountingStore, key: str) -> bytes:
    return bytes(store.get_range(key, 0, 1 << 30).data)


def test_zip_members_have_data_descriptors_on_a_mount_alone(
    point: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = tmp_path_factory.mktemp("local") / "a.zip"
    for path, expected in ((f"{point}/a.zip", DESCRIPTOR), (str(local), 0)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", b"data")
        with zipfile.ZipFile(path) as archive:
            (member,) = archive.infolist()
            assert member.flag_bits & DESCRIPTOR == expected
            assert archive.testzip() is None


def test_a_zip_that_fails_half_way_is_whole_or_not_there(point: str, store: CountingStore) -> None:
    with pytest.raises(FileNotFoundError), zipfile.ZipFile(f"{point}/a.zip", "w") as archive:
        archive.writestr("a", b"data")
        archive.write(f"{point}/none")
    with zipfile.ZipFile(f"{point}/a.zip") as archive:  # as on a disk: what was written until then
        assert archive.read("a") == b"data"


def test_a_wave_file_of_one_s_own_is_refused_where_its_header_was_wrong(point: str) -> None:
    file = open(f"{point}/a.wav", "wb")
    sound = wave.open(file, "wb")
    sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
    sound.writeframes(bytes(100))
    with pytest.raises(OSError) as caught:
        sound.writeframes(bytes(100))
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError):
        file.close()
    sound._file = None  # type: ignore[attr-defined]  # its __del__ would try again
    assert not os.path.exists(f"{point}/a.wav")


def test_a_forked_child_that_closes_a_wave_file_leaves_it_to_its_parent(point: str) -> None:
    with wave.open(f"{point}/x.wav", "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
        file.writeframes(bytes(20_000))
        in_child(file.close)
        file.writeframes(b"\x01" * 20_000)
    with wave.open(f"{point}/x.wav") as file:
        assert file.readframes(file.getnframes()) == bytes(20_000) + b"\x01" * 20_000


def test_a_wave_file_that_the_mount_refuses(read_only: str) -> None:
    with pytest.raises(OSError) as caught:
        wave.open(f"{read_only}/a.wav", "wb")
    assert caught.value.errno == errno.EROFS
    assert caught.value.filename == f"{read_only}/a.wav"


def test_a_shelf_on_a_staged_mount(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    staged = f"{tmp_path}/staged"
    with activate_stores({staged: (CloudBucketMount("shelves", writes="staged", metadata_ops="ignore"), store)}):
        with shelve.open(f"{staged}/s") as shelf:
            shelf["a"] = [1, 2]
        with shelve.open(f"{staged}/s") as shelf:
            shelf["b"] = {"c": 3}
        with shelve.open(f"{staged}/s", "r") as shelf:
            assert dict(shelf) == {"a": [1, 2], "b": {"c": 3}}
        with shelve.open(f"{staged}/s", "n") as shelf:
            assert list(shelf) == []
        with pytest.raises(dbm.error[0]):  # as on a disk
            dbm.open(f"{staged}/none")
        assert dbm.whichdb(f"{staged}/s") == "dbm.dumb"
        with dbm.open(f"{tmp_path}/local", "c") as local:
            local["a"] = "1"
        assert dbm.whichdb(f"{tmp_path}/local") == dbm._defaultmod.__name__  # type: ignore[attr-defined]


@pytest.fixture
def database(point: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path on the mount."""
    local = tmp_path_factory.mktemp("local") / "x.db"
    connection = sqlite3.connect(local)
    connection.execute("create table t (n integer)")
    connection.execute("insert into t values (7)")
    connection.commit()
    connection.close()
    Path(f"{point}/x y?.db").write_bytes(local.read_bytes())
    return f"{point}/x y?.db"


def _value(connection: sqlite3.Connection) -> object:
    try:
        return connection.execute("select n from t").fetchone()[0]
    finally:
        connection.close()


def test_sqlite_reads_whatever_the_scratch_directory_is_called(
    database: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path_factory.mktemp("a#b?c%20d")
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert _value(sqlite3.connect(database)) == 7
    assert _value(sqlite3.connect(f"file://localhost{database.replace('?', '%3f')}?mode=rw", uri=True)) == 7
    assert list(scratch.iterdir()) == []


def test_sqlite_says_what_to_do(point: str) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open") as caught:
        sqlite3.connect(f"{point}/none.db")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    if sys.version_info >= (3, 11):
        assert "shutil.copyfile" in caught.value.__notes__[0]
    assert not os.path.exists(f"{point}/none.db")


def test_sqlite_elsewhere_is_as_ever(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = tmp_path_factory.mktemp("local") / "new.db"
    for name in (":memory:", str(local), f"file:{local}?mode=rwc"):
        connection = sqlite3.connect(name, uri=name.startswith("file:"))
        connection.execute("create table if not exists t (n integer)")
        connection.close()
    with pytest.raises(TypeError):
        sqlite3.connect(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["", ":memory:", "file:", "file::memory:", "file::memory:?cache=shared", "file:x?mode=memory", "file:/x?vfs=memdb"],
)
def test_sqlite_s_names_of_no_file_are_no_paths_in_a_mounted_directory(
    point: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if "memdb" in name and sqlite3.sqlite_version_info < (3, 36):
        pytest.skip("SQLite 3.36 has memdb")
    monkeypatch.chdir(point)
    connection = sqlite3.connect(name, uri=True)
    connection.execute("create table t (n integer)")
    connection.close()
    assert os.listdir(point) == []


def test_a_rollback_journal_that_was_left_is_rolled_back_in_the_copy(
    point: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = tmp_path_factory.mktemp("local") / "x.db"
    connection = sqlite3.connect(local, isolation_level=None)
    connection.execute("pragma cache_size = 1")
    connection.execute("create table t (n integer, s text)")
    connection.executemany("insert into t values (?, ?)", [(n, "x" * 400) for n in range(400)])
    connection.execute("pragma cache_spill = 1")
    connection.execute("begin immediate")
    connection.execute("update t set n = -1")  # more than the cache holds, so the file changes before the commit
    assert os.path.getsize(f"{local}-journal") > 0
    for ending in ("", "-journal"):
        Path(f"{point}/x.db{ending}").write_bytes(Path(f"{local}{ending}").read_bytes())
    connection.execute("rollback")
    connection.close()
    copy = sqlite3.connect(f"{point}/x.db")
    assert copy.execute("select min(n), max(n) from t").fetchone() == (0, 399)
    copy.close()


def test_certificate_and_key(point: str) -> None:
    pytest.importorskip("cryptography")
    certificate, key = _self_signed()
    Path(f"{point}/cert.pem").write_bytes(certificate)
    Path(f"{point}/key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{point}/cert.pem", keyfile=f"{point}/key.pem")
    with pytest.raises(FileNotFoundError) as caught:
        context.load_cert_chain(f"{point}/none.pem")
    assert caught.value.filename == f"{point}/none.pem"
    with pytest.raises(TypeError):
        context.load_cert_chain()  # type: ignore[call-arg]


def test_a_descriptor_that_is_sent_writes_into_the_upload(point: str, store: CountingStore) -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there, open(f"{point}/out.txt", "wb", buffering=0) as file:
        file.write(b"first ")
        socket.send_fds(here, [b"x"], [file.fileno()])
        (received,) = socket.recv_fds(there, 10, 4)[1]
        os.write(received, b"by the receiver")
        os.close(received)
    assert stored(store, "out.txt") == b"first by the receiver"


def test_a_library_that_is_none(point: str) -> None:
    Path(f"{point}/not.so").write_bytes(b"no library")
    with pytest.raises(OSError):
        ctypes.CDLL(f"{point}/not.so")
    with pytest.raises(FileNotFoundError):
        ctypes.CDLL(f"{point}/none.so")
    assert ctypes.CDLL(None).getpid() == os.getpid()


def _self_signed() -> tuple[bytes, bytes]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(datetime.datetime(2100, 1, 1))
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("given", ["sock", b"sock"])
def test_regression_a_socket_is_not_bound_on_the_disk_for_want_of_one_on_the_mount(
    point: str, read_only: str, given: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the kernel's directory from now on
    os.chdir(point)
    Path("file").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as sock:
        for path, number in ((given, errno.EPERM), ("file", errno.EADDRINUSE), (f"{read_only}/sock", errno.EROFS)):
            with pytest.raises(OSError) as caught:
                sock.bind(path)
            assert caught.value.errno == number
        for path, number in ((given, errno.ENOENT), (f"{point}/file", errno.ECONNREFUSED)):
            with pytest.raises(OSError) as caught:
                sock.connect(path)
            assert caught.value.errno == number
            assert sock.connect_ex(path) == number
        sock.bind("../beside")  # leads out of the mount
    assert sorted(os.listdir(tmp_path)) == sorted(["beside", os.path.basename(point), os.path.basename(read_only)])
    os.unlink(tmp_path / "beside")


@pytest.mark.parametrize("given", ["sock", b"sock"])
def test_regression_a_message_is_not_sent_to_a_socket_on_the_disk_instead_of_one_on_the_mount(
    point: str, given: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the kernel's directory from now on
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(given)
        there.settimeout(30)
        os.chdir(point)
        Path("file").write_bytes(b"")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sends: list[Callable[[str | bytes], int]] = [
                lambda path: sock.sendto(b"x", path),
                lambda path: sock.sendto(b"x", 0, path),
                lambda path: sock.sendmsg([b"x"], [], 0, path),
            ]
            for send in sends:
                for path, number in ((given, errno.ENOENT), (f"{point}/file", errno.ECONNREFUSED)):
                    with pytest.raises(OSError) as caught:
                        send(path)
                    assert caught.value.errno == number
                assert send("../sock") == 1  # leads out of the mount
                assert there.recv(10) == b"x"
            with pytest.raises(OSError) as caught:
                sock.sendmsg([b"x"])
            assert caught.value.errno in (errno.ENOTCONN, errno.EDESTADDRREQ)
            for wrong in ((), (b"x",), (b"x", 0, "a", "b"), ("text", given)):
                with pytest.raises(TypeError):
                    sock.sendto(*wrong)  # type: ignore[arg-type]
    os.unlink(tmp_path / os.fsdecode(given))


def test_a_descriptor_in_a_message_leads_to_the_content(point: str) -> None:
    Path(point, "file").write_bytes(b"content")
    number = os.open(f"{point}/file", os.O_RDONLY)
    here, there = socket.socketpair()
    with here, there:
        rights = array.array("i", [number])
        for data in (rights, rights.tobytes(), memoryview(rights)):
            here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, data)])
            (got,) = socket.recv_fds(there, 1, 1)[1]
            assert os.pread(got, 10, 0) == b"content"
            os.close(got)
        for wrong in ([(socket.SOL_SOCKET, socket.SCM_RIGHTS)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, 5)], 5):
            with pytest.raises(TypeError):
                here.sendmsg([b"x"], wrong)  # type: ignore[arg-type]
    os.close(number)


def test_other_sockets_are_as_ever(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("local", b"bytes", f"\0vfsmount-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen(1)
            assert client.connect_ex(path) == 0
    os.unlink("local")
    os.unlink("bytes")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()
    with socket.socket(socket.AF_UNIX) as sock:
        for wrong in (None, 5, "a\0b" * 60):
            with pytest.raises((TypeError, OSError)):
                sock.bind(wrong)  # type: ignore[arg-type]


def test_the_history_of_readline(point: str, staged: str) -> None:
    readline = pytest.importorskip("readline")
    readline.clear_history()
    try:
        for line in ("one", "two"):
            readline.add_history(line)
        for top in (point, os.fsencode(staged)):
            path: str | bytes = f"{top}/history" if isinstance(top, str) else top + b"/history"
            with pytest.raises(FileNotFoundError):
                readline.read_history_file(path)
            with pytest.raises(FileNotFoundError):
                readline.append_history_file(1, path)
            readline.write_history_file(path)
            with open(path) as file:
                lines = file.read()
            assert lines.split()[-2:] == ["one", "two"]
            readline.clear_history()
            readline.read_history_file(path)
            assert [readline.get_history_item(number) for number in (1, 2)] == ["one", "two"]
        readline.append_history_file(1, f"{staged}/history")
        assert Path(staged, "history").read_text() == lines + "two\n"
        with pytest.raises(PermissionError):
            readline.append_history_file(1, f"{point}/history")
        with pytest.raises(TypeError):
            readline.read_history_file(5)
    finally:
        readline.clear_history()


def test_parameters_of_a_key_exchange(point: str) -> None:
    Path(point, "dh.pem").write_text("no parameters")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ssl.SSLError, match=r"(?i)no.start.line|unsupported"):
        context.load_dh_params(f"{point}/dh.pem")
    with pytest.raises(FileNotFoundError):
        context.load_dh_params(f"{point}/none")
