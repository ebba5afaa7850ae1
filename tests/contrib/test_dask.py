"""The mounts on the workers of a real cluster of processes, in a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.servers import Server

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SECRET: Final = "never-to-be-shown"
PROGRAM: Final = """
import os, sys
import cloudpickle
import vfsmount
from distributed import Client, LocalCluster
from vfsmount import CloudBucketMount, Secret
from vfsmount.contrib.dask import MountPlugin

endpoint, bucket, secret = sys.argv[1:]

def read(name):
    with open(f"/cluster-mount/{name}") as file:
        return os.getpid(), file.read()

def write(name):
    os.makedirs("/cluster-mount/out", exist_ok=True)
    with open(f"/cluster-mount/out/{name}", "w") as file:
        file.write(str(os.getpid()))
    return os.getpid()

def config(**options):
    values = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": secret}
    keys = Secret.from_dict(values)
    return {"/cluster-mount": CloudBucketMount(bucket, endpoint, secret=keys, force_path_style=True, **options)}

def main():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            plugin = MountPlugin(config())
            assert secret not in repr(plugin) + str(vars(plugin)) and "/cluster-mount" in repr(plugin)
            client.register_plugin(plugin)
            workers = list(client.scheduler_info()["workers"])
            found = [client.submit(read, "in.txt", workers=[one], pure=False) for one in workers]
            pids = {pid for pid, text in client.gather(found) if text == "from the bucket"}
            assert len(pids) == 2 and os.getpid() not in pids, found
            writing = [client.submit(write, f"{index}", workers=[one]) for index, one in enumerate(workers)]
            written = client.gather(writing)
            assert [int(read_back) for _, read_back in client.gather(client.map(read, ["out/0", "out/1"]))] == written
            assert not vfsmount.is_active()  # here

            client.register_plugin(MountPlugin(config(read_only=True)))  # in the place of the first
            assert isinstance(client.submit(write, "no").exception(), OSError)
            cluster.scale(3)
            client.wait_for_workers(3, timeout=60)
            assert list(client.run(vfsmount.is_active).values()) == [True] * 3

            logs = str(client.get_worker_logs()) + str(client.get_scheduler_logs()) + str(cluster.get_logs())
            assert logs and secret not in logs
            graph = [task.run_spec for task in cluster.scheduler.tasks.values()]
            assert graph and secret.encode() not in cloudpickle.dumps(graph)

            client.unregister_worker_plugin(plugin.name)
            assert set(client.run(vfsmount.is_active).values()) == {False}
            try:
                url = f"s3://no-such-bucket-here?endpoint_url={endpoint}"
                client.register_plugin(MountPlugin({"/cluster-mount": url}))
            except OSError as error:
                print(type(error).__name__, error.filename)

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_a_cluster_of_processes(moto: Server, moto_bucket: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    moto.put(moto_bucket, "in.txt", b"from the bucket")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    finished = subprocess.run(
        [sys.executable, str(program), moto.endpoint_url, moto_bucket, SECRET],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "100"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout == "FileNotFoundError /cluster-mount\n"
    assert SECRET not in finished.stderr
    assert len(moto.get(moto_bucket, "out/0")) > 0
    assert moto.keys(moto_bucket) == ["in.txt", "out/0", "out/1"]
