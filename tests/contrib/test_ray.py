"""The mounts in the worker processes of a real, local Ray, in a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.contrib.test_dask import ROOT, SECRET
from tests.servers import Server

PROGRAM: Final = """
import os, sys
import ray
import vfsmount
from vfsmount import CloudBucketMount, Secret
from vfsmount.contrib.ray import worker_hook

endpoint, bucket, secret, scratch = sys.argv[1:]
keys = Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": secret})
hook = worker_hook({"/cluster-mount": CloudBucketMount(bucket, endpoint, secret=keys, force_path_style=True)})
assert secret not in repr(hook)
ray.init(
    num_cpus=2,
    include_dashboard=False,
    log_to_driver=False,
    _temp_dir=scratch,
    runtime_env={"worker_process_setup_hook": hook, "env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}},
)

@ray.remote
def work(name):
    with open("/cluster-mount/in.txt") as file:
        text = file.read()
    with open(f"/cluster-mount/{name}", "w") as file:
        file.write(text)
    return os.getpid()

pids = ray.get([work.remote(f"{index}.txt") for index in range(2)], timeout=100)
assert os.getpid() not in pids and not vfsmount.is_active()
ray.shutdown()
for directory, _, names in os.walk(scratch):
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                assert secret.encode() not in file.read(), path
print("ok")
"""


@pytest.mark.slow
def test_workers(moto: Server, moto_bucket: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("ray")
    moto.put(moto_bucket, "in.txt", b"from the bucket")
    here = tmp_path_factory.mktemp("ray")  # Ray's sockets lie below it, and a socket's path has room for 107 bytes
    (here / "program.py").write_text(PROGRAM)
    (here / "s").mkdir()
    finished = subprocess.run(
        [sys.executable, "program.py", moto.endpoint_url, moto_bucket, SECRET, str(here / "s")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        cwd=Path(here),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.splitlines()[-1] == "ok"
    assert SECRET not in finished.stdout + finished.stderr
    assert [moto.get(moto_bucket, f"{index}.txt") for index in range(2)] == [b"from the bucket"] * 2
