"""Which of CPython's test modules are run: those whose tests reach files, or what vfsmount replaces."""

from __future__ import annotations

from typing import Final

FILES: Final = (
    "test_os test_posix test_fileio test_file test_bufio test_univnewlines test_io test_largefile test_fcntl "
    "test_mmap test_builtin test_stat"
).split()
"""Files and descriptors."""

PATHS: Final = (
    "test_genericpath test_posixpath test_glob test_pathlib test_shutil test_filecmp test_tempfile test_fileinput"
).split()
"""Paths and trees."""

FORMATS: Final = (
    "test_zipfile test_zipapp test_tarfile test_gzip test_bz2 test_lzma test_dbm test_dbm_dumb test_shelve "
    "test_mailbox test_netrc test_wave test_mimetypes test_csv"
).split()
"""Modules of the library that keep something in files."""

IMPORTS: Final = (
    "test_import test_zipimport test_pkg test_pkgutil test_runpy test_linecache test_py_compile test_compileall "
    "test_modulefinder"
).split()
"""Code in files."""

PROCESS: Final = (
    "test_subprocess test_popen test_fork1 test_audit test_inspect test_logging test_httpservers test_support "
    "test_trace test_tracemalloc"
).split()
"""Children, and what looks at the functions that are replaced."""

ALL: Final = (*FILES, *PATHS, *FORMATS, *IMPORTS, *PROCESS)

OUTSIDE_ONLY: Final = {
    "test_largefile": "each of its tests would upload 2.5 GB to a store in memory",
    "test_tracemalloc": "it works on no files; a session's threads allocate too",
}
"""Not run inside a mount, and why."""

FAST_ACTIVE: Final = (
    "test_genericpath test_posixpath test_glob test_fileio test_file test_univnewlines test_os test_shutil "
    "test_tempfile test_pathlib"
).split()
FAST_INSIDE: Final = "test_genericpath test_posixpath test_fileio test_file test_univnewlines test_filecmp".split()
"""What `make test` runs: about twenty seconds of CPU."""
