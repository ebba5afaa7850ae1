"""``sys.path`` with a mount on it, in interpreters that have imported next to nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

import pytest

from tests.servers import Server

PROGRAM = """
import sys
import vfsmount
from vfsmount import CloudBucketMount, Secret
secret = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
mount = CloudBucketMount(
    sys.argv[2], sys.argv[1], secret=secret, region="us-east-1", force_path_style=True, max_attempts=1
)
assert "asyncio" not in sys.modules
with vfsmount.activate({"/vfs-imports": mount}, check=False):
    sys.path[:0] = ["/vfs-imports/none", "/vfs-imports/code", "/vfs-imports/code.zip"]
"""


@pytest.fixture
def bucket(moto: Server) -> str:
    made = moto.new_bucket()
    moto.put(made, "code/plain_module.py", b"import zip_module\nVALUE = 1\n")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zip_module.py", "VALUE = 2\n")
    moto.put(made, "code.zip", archive.getvalue())
    return made


def run(lines: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + lines, *arguments], capture_output=True, text=True, timeout=30, cwd=os.getcwd()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_first_requests_that_fail_while_a_module_is_looked_for_neither_hang_nor_look_for_modules(
    moto: Server, bucket: str
) -> None:
    lines = "    import plain_module, zip_module; print(plain_module.VALUE, zip_module.VALUE)"
    assert run(lines, moto.endpoint_url, bucket) == "1 2\n"


def test_a_module_imported_in_passthrough_does_not_make_the_mount_unknown_to_imports(moto: Server, bucket: str) -> None:
    lines = """
    with vfsmount.passthrough():
        import wave
    import plain_module; print(plain_module.VALUE)
"""
    assert run(lines, moto.endpoint_url, bucket) == "1\n"


def test_import_with_a_server_that_cannot_be_reached_says_so_and_does_not_hang() -> None:
    lines = """
    try:
        import plain_module
    except (ImportError, OSError) as error:
        print("refused")
"""
    assert run(lines, "http://127.0.0.1:9", "bucket") == "refused\n"


@pytest.mark.slow
def test_the_first_read_loads_no_client_in_python(moto: Server, bucket: str) -> None:
    program = PROGRAM.replace("max_attempts=1", "").partition("assert")[0] + (
        'with vfsmount.activate({"/vfs-imports": mount}):\n'
        '    print(open("/vfs-imports/code/plain_module.py").read().count("VALUE"))\n'
        '    loaded = {"asyncio", "email", "fsspec", "botocore", "http.client", "ssl", "urllib.request", "wrapt"}\n'
        "    print(sorted(loaded & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, moto.endpoint_url, bucket],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split("\n")[:2] == ["1", "[]"], done.stderr
