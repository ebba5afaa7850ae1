"""What happens to the mounts, or to the copies, while a program works, costs nobody an object."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.children.conftest import SEED, Served


@pytest.mark.parametrize("restricted", [{"allow_rename": True}], indirect=True)
def test_what_another_made_meanwhile_is_not_replaced_by_renaming(
    restricted: Served, caplog: pytest.LogCaptureFixture
) -> None:
    line = "read line; mv $0 $1"
    child = subprocess.Popen(["sh", "-c", line, "/my-mount/a.txt", "/my-mount/new"], stdin=subprocess.PIPE)
    Path("/my-mount/new").write_text("of another\n")
    child.communicate(b"\n", timeout=60)
    assert child.returncode == 1
    assert "/my-mount/new was not renamed: File exists" in caplog.text
    assert {key: restricted.stored(key) for key in restricted.keys()} == {**SEED, "new": b"of another\n"}


@pytest.mark.parametrize("mode", ["000", "600"])
def test_what_can_be_read_no_more_is_not_taken_for_removed(tmp_path: Path, mode: str) -> None:
    """Root may read everything, so here it is an ordinary user who asks."""
    code = (
        "import subprocess\n"
        "from vfsmount import CloudBucketMount\n"
        "from vfsmount.session import activate_stores\n"
        "from vfsmount.store.memory import MemoryStore\n"
        "store = MemoryStore()\n"
        "for key in ('dir/a', 'dir/sub/b', 'c'): store.put(key, b'x')\n"
        "with activate_stores({'/my-mount': (CloudBucketMount('bucket'), store)}, children='staging'):\n"
        f"    line = 'echo y > $0/new; chmod {mode} $0; rm $1'\n"
        "    try: subprocess.run(['sh', '-c', line, '/my-mount/dir', '/my-mount/c'])\n"
        "    except PermissionError as error: print(error.filename)\n"
        "print(sorted(store.objects()))\n"
    )
    start = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root, and no setpriv")
        start[:0] = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("/my-mount/dir"), done.stderr
    assert done.stdout.endswith("\n['c', 'dir/a', 'dir/sub/b']\n")
    (stage,) = tmp_path.glob("vfsmount-*/t")
    kept = stage / "my-mount" / "dir"
    assert str(kept) in done.stderr
    kept.chmod(0o700)
    assert (kept / "new").read_text() == "y\n"
