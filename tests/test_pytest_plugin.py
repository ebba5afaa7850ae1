"""The pytest plugin, in runs of pytest of its own: both backends, failing tests, xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytest_plugins = ["pytester"]

ROOT: Final = Path(__file__).resolve().parent.parent
BACKENDS: Final = ("memory", "moto")


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this plugin, from this checkout, whatever is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("-p", "vfsmount.pytest_plugin", "-p", "no:cacheprovider", *options)


USES: Final = """
    import os
    import pytest
    import vfsmount
    from vfsmount.errors import NotFound, Unavailable

    REAL = os.stat

    def test_bucket(vfs_bucket):
        vfs_bucket.put("a/b.txt", "text")
        vfs_bucket.put("empty", b"")
        assert vfs_bucket.list() == ["a/b.txt", "empty"]
        assert vfs_bucket.list("a/") == ["a/b.txt"]
        assert vfs_bucket.get("a/b.txt") == b"text"
        assert vfs_bucket.get("empty") == b""
        vfs_bucket.delete("empty")
        with pytest.raises(NotFound):
            vfs_bucket.get("empty")
        assert not vfsmount.is_active()

    def test_fresh(vfs_bucket):
        assert vfs_bucket.list() == []

    def test_mount(vfs_bucket, vfs_mount):
        path = vfs_mount("/vfs-data", key_prefix="in/", allow_overwrite=False)
        assert str(path) == "/vfs-data"
        vfs_bucket.put("in/a", b"behind")
        assert (path / "a").read_bytes() == b"behind"
        (path / "b").write_text("through")
        assert vfs_bucket.get("in/b") == b"through"
        with pytest.raises(PermissionError):
            open("/vfs-data/b", "w")

    def test_default_points_and_seed(vfs_mount, tmp_path):
        one = vfs_mount(seed={"x": "1", "d/y": b"2"})
        two = vfs_mount(key_prefix="d/")
        assert one != two
        assert sorted(os.listdir(one)) == ["d", "x"]
        assert (two / "y").read_bytes() == b"2"

    def test_fault(vfs_bucket, vfs_mount):
        path = vfs_mount(seed={"a": b"1"}, lookup="cheap")
        fault = vfs_bucket.fail("get_range", Unavailable, times=None)
        vfs_bucket.fail("head", Unavailable, times=None)
        with pytest.raises(OSError) as caught:
            (path / "a").read_bytes()
        assert isinstance(caught.value.__cause__, Unavailable)
        vfs_bucket.heal()
        assert (path / "a").read_bytes() == b"1"
        assert vfs_bucket.get("a") == b"1"

    @pytest.mark.vfsmount("/vfs-marked", seed={"a.txt": b"seeded"}, read_only=True)
    def test_marker(vfs_bucket):
        assert open("/vfs-marked/a.txt").read() == "seeded"
        assert vfs_bucket.list() == ["a.txt"]
        with pytest.raises(OSError):
            open("/vfs-marked/b", "w")

    @pytest.mark.vfsmount("/vfs-outer", seed={"a": "1"})
    class TestClass:
        @pytest.mark.vfsmount("/vfs-outer/inner", key_prefix="p/", seed={"b": "2"})
        def test_both(self, vfs_bucket):
            assert open("/vfs-outer/a").read() + open("/vfs-outer/inner/b").read() == "12"
            assert vfs_bucket.list() == ["a", "p/b"]

    def test_nothing_is_left():
        assert os.stat is REAL
        assert not vfsmount.is_active()
        assert not os.path.isdir("/vfs-marked")  # another worker's placeholder may be there
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_everything_on_both_backends(pytester: pytest.Pytester, backend: str) -> None:
    result = run(pytester, USES, f"--vfsmount-backend={backend}", "--strict-markers", "-Werror")
    result.assert_outcomes(passed=8)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_under_xdist(pytester: pytest.Pytester, backend: str) -> None:
    result = run(pytester, USES, f"--vfsmount-backend={backend}", "-p", "xdist", "-n2", "--dist=load")
    result.assert_outcomes(passed=8)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_stays_patched_after_tests_that_fail(pytester: pytest.Pytester, backend: str) -> None:
    source = """
        import builtins, os, pytest, vfsmount

        REAL = (builtins.open, os.stat, os.listdir)

        @pytest.mark.vfsmount("/vfs-a")
        def test_fails():
            assert vfsmount.is_active() and os.stat is not REAL[1]
            open("/vfs-a/x", "w").write("1")
            assert False

        def test_is_clean_1():
            assert (builtins.open, os.stat, os.listdir) == REAL and not vfsmount.is_active()

        def test_fails_in_the_body(vfs_mount):
            os.chdir(vfs_mount())
            raise KeyError("on purpose")

        def test_is_clean_2():
            assert (builtins.open, os.stat, os.listdir) == REAL and not vfsmount.is_active()
            os.getcwd()

        @pytest.fixture
        def broken(vfs_mount):
            vfs_mount("/vfs-b")
            raise RuntimeError("in set-up")

        def test_error(broken):
            pass

        @pytest.mark.vfsmount("/vfs-c", key_prefix="no-slash")
        def test_wrong_option():
            pass

        def test_is_clean_3():
            assert (builtins.open, os.stat, os.listdir) == REAL and not vfsmount.is_active()
    """
    result = run(pytester, source, f"--vfsmount-backend={backend}")
    result.assert_outcomes(passed=3, failed=2, errors=2)
    result.stdout.fnmatch_lines(["*ValueError: key_prefix: *"])


@pytest.mark.slow
def test_the_backend_can_stand_in_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nvfsmount_backend = memory\n")
    source = "def test_it(vfs_bucket):\n    assert vfs_bucket.endpoint_url is None"
    run(pytester, source).assert_outcomes(passed=1)
    pytester.makeini("[pytest]\nvfsmount_backend = disk\n")
    result = run(pytester, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*vfsmount_backend: 'disk' is none of moto, memory*"])


@pytest.mark.slow
def test_moto_is_the_default_and_other_clients_reach_it(pytester: pytest.Pytester) -> None:
    source = """
        import urllib.request

        def test_it(vfs_bucket):
            vfs_bucket.put("a", "1")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            text = opener.open(f"{vfs_bucket.endpoint_url}/{vfs_bucket.name}?list-type=2").read().decode()
            assert "<Key>a</Key>" in text
    """
    run(pytester, source).assert_outcomes(passed=1)


def test_an_unused_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import vfsmount.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['vfsmount', 'vfsmount.pytest_plugin']\n"


@pytest.mark.slow
def test_a_run_that_does_not_use_it_loads_no_session(pytester: pytest.Pytester) -> None:
    source = """
        import sys

        def test_it():
            heavy = ("vfsmount.session", "vfsmount.config", "moto", "obstore", "fsspec")
            assert [name for name in heavy if name in sys.modules] == []
    """
    run(pytester, source).assert_outcomes(passed=1)
