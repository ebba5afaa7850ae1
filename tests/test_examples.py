"""Every script in examples/ runs as it stands, in an interpreter of its own, against a server of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests import servers
from tests.servers import Server

EXAMPLES: Final = Path(__file__).resolve().parent.parent / "examples"

# Google's libraries warn when they are imported on a Python that Google no longer supports, such as 3.10.
GOOGLE_ON_OLD_PYTHON: Final = "ignore:You are using a :FutureWarning"

pytestmark = pytest.mark.slow


def run(script: str, **environment: str) -> str:
    """What the script prints, if it ends well; unbuffered, so that its lines and those of ``ls`` come in order."""
    finished = subprocess.run(
        [sys.executable, "-u", "-W", "error", "-W", GOOGLE_ON_OLD_PYTHON, str(EXAMPLES / script)],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    return finished.stdout


@pytest.fixture
def s3(moto: Server, moto_bucket: str) -> dict[str, str]:
    """The environment that leads a script to its bucket on moto."""
    return {
        "VFSMOUNT_EXAMPLE_ENDPOINT": moto.endpoint_url,
        "VFSMOUNT_EXAMPLE_BUCKET": moto_bucket,
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
    }


def test_s3_with_secret(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    moto.put(moto_bucket, "dir/there.txt", b"x")
    assert run("s3_with_secret.py", **s3) == "hello from a bucket\n['dir', 'hello.txt']\ndir\nhello.txt\n"
    assert moto.get(moto_bucket, "hello.txt") == b"hello from a bucket\n"


def test_s3_region(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    moto.put(moto_bucket, "there.txt", b"x")
    assert run("s3_region.py", **s3) == "True\n"


def test_s3_session_token(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    moto.put(moto_bucket, "there.txt", b"x")
    assert run("s3_session_token.py", **s3, AWS_SESSION_TOKEN="token", AWS_REGION="us-east-1") == "['there.txt']\n"


def test_s3_key_prefix(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    moto.put(moto_bucket, "path/to/dir/inside.txt", b"x")
    moto.put(moto_bucket, "path/to/outside.txt", b"x")
    assert run("s3_key_prefix.py", **s3) == "inside.txt\nnote.txt\n"
    assert moto.get(moto_bucket, "path/to/dir/note.txt") == b"below the prefix\n"


def test_s3_read_only(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    moto.put(moto_bucket, "there.txt", b"x")
    out = run("s3_read_only.py", **s3)
    assert out == "there.txt\nEROFS [Errno 30] Read-only file system: '/my-mount/new.txt'\n"
    assert moto.keys(moto_bucket) == ["there.txt"]


def test_r2(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    assert run("r2.py", **s3) == "kept in R2\n"
    assert moto.get(moto_bucket, "r2.txt") == b"kept in R2\n"


def test_gcs_by_hmac_keys(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    """Google's S3 interface speaks S3, so moto stands for it; the keys must be the Google ones."""
    place = {name: value for name, value in s3.items() if name.startswith("VFSMOUNT_")}
    keys = {"GOOGLE_ACCESS_KEY_ID": "GOOG1", "GOOGLE_ACCESS_KEY_SECRET": "secret"}
    assert run("gcs_hmac.py", **place, **keys) == "kept in Google Cloud Storage\n"
    assert moto.get(moto_bucket, "gcs.txt") == b"kept in Google Cloud Storage\n"


@pytest.mark.servers
def test_gcs_native(gcs: Server, gcs_bucket: str) -> None:
    query = f"?endpoint_url={gcs.endpoint_url}&anonymous=true"
    out = run("gcs_native.py", VFSMOUNT_EXAMPLE_BUCKET=gcs_bucket, VFSMOUNT_EXAMPLE_QUERY=query)
    assert out == "kept in Google Cloud Storage\n['gcs.txt']\n"
    assert gcs.get(gcs_bucket, "gcs.txt") == b"kept in Google Cloud Storage\n"


def test_toml_config(moto: Server, moto_bucket: str, s3: dict[str, str], tmp_path: Path) -> None:
    moto.put(moto_bucket, "path/to/dir/a.txt", b"12345")
    text = (EXAMPLES / "vfsmount.toml").read_text(encoding="utf-8")
    line = f'bucket_name = "{moto_bucket}"\nbucket_endpoint_url = "{moto.endpoint_url}"'
    here = tmp_path / "vfsmount.toml"
    here.write_text(text.replace('bucket_name = "s3-bucket-name"', line), encoding="utf-8")
    keys = {name: s3[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    assert run("toml_config.py", VFSMOUNT_EXAMPLE_CONFIG=str(here), **keys) == "a.txt 5\n"
    assert moto.get(moto_bucket, "results/summary.txt") == b"1 files\n"


def test_dask_workers(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    pytest.importorskip("distributed")
    moto.put(moto_bucket, "there.txt", b"12345")
    assert run("dask_workers.py", **s3) == "[5]\n"


def test_spark_job(moto: Server, moto_bucket: str, s3: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("no Java")
    moto.put(moto_bucket, "there.txt", b"12345")
    found = subprocess.run(
        [sys.executable, str(EXAMPLES / "spark_job.py")],
        env={
            **os.environ,
            "PYTHONPATH": str(EXAMPLES.parent),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            **s3,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert found.stdout == "[('there.txt', 5), ('there.txt', 5)]\n", found.stderr


def test_what_a_worker_of_spark_runs(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    """In a process of its own, twice, as a worker serves two tasks."""
    moto.put(moto_bucket, "there.txt", b"12345")
    code = "import spark_job as job; print([*job.sizes(['there.txt']), *job.sizes(['there.txt'])])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{EXAMPLES.parent}{os.pathsep}{EXAMPLES}", **s3},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout == "[('there.txt', 5), ('there.txt', 5)]\n", found.stderr


def test_what_a_worker_of_spark_is_sent(moto: Server, moto_bucket: str, s3: dict[str, str]) -> None:
    """The functions of the main program are pickled by value, for each task anew."""
    pytest.importorskip("cloudpickle")
    moto.put(moto_bucket, "there.txt", b"12345")
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **s3}
    lines = {
        "main": "job = runpy.run_path(sys.argv[1], run_name='job')['sizes']; "
        "sys.stdout.buffer.write(cloudpickle.dumps(job))",
        "worker": "job = sys.stdin.buffer.read(); "
        "print([size for _ in range(2) for size in cloudpickle.loads(job)(['there.txt'])])",
    }
    sent = b""
    for line in lines.values():
        command = [sys.executable, "-c", f"import cloudpickle, runpy, sys; {line}", str(EXAMPLES / "spark_job.py")]
        found = subprocess.run(command, env=environment, input=sent, capture_output=True, timeout=60, check=False)
        assert found.returncode == 0, found.stderr.decode()
        sent = found.stdout
    assert sent == b"[('there.txt', 5), ('there.txt', 5)]\n"


def test_kubernetes(moto: Server, moto_bucket: str, s3: dict[str, str], tmp_path: Path) -> None:
    """The command of the container, with the configuration of the map."""
    yaml = pytest.importorskip("yaml")
    moto.put(moto_bucket, "path/to/dir/a.txt", b"12345")
    settings, job = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    (name,) = settings["data"]
    line = f'bucket_name = "{moto_bucket}"\nbucket_endpoint_url = "{moto.endpoint_url}"'
    (tmp_path / name).write_text(settings["data"][name].replace('bucket_name = "s3-bucket-name"', line))
    program, *options = [word.replace("/etc/vfsmount", str(tmp_path)) for word in container["command"]]
    assert program == "vfsmount"
    command = [sys.executable, "-m", "vfsmount", *options[: options.index("--") + 1], "ls", "/data"]
    keys = {key: s3[key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    found = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "TMPDIR": str(tmp_path), **keys},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout == "a.txt\n", found.stderr


class TestPermissions:
    """The policy of the README, in force on a server that checks every request against it."""

    @staticmethod
    def policy() -> str:
        return (EXAMPLES / "iam_policy.json").read_text(encoding="utf-8")

    def test_readme_shows_the_same_policy(self) -> None:
        readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
        shown = re.search(r"```json\n(.*?)```", readme, re.DOTALL)
        assert shown is not None
        assert json.loads(shown[1].replace("<MY-S3-BUCKET>", "s3-bucket-name")) == json.loads(self.policy())

    def test_each_permission_is_used_and_no_other(self, tmp_path: Path) -> None:
        with servers.moto_server(tmp_path) as server:
            bucket = server.new_bucket()
            keys = self.user(server, self.policy().replace("s3-bucket-name", bucket))
            out = run(
                "iam_policy.py", VFSMOUNT_EXAMPLE_ENDPOINT=server.endpoint_url, VFSMOUNT_EXAMPLE_BUCKET=bucket, **keys
            )
        assert [line.split()[0] for line in out.splitlines()] == [
            "s3:ListBucket",
            "s3:PutObject",
            "s3:AbortMultipartUpload",
            "s3:GetObject",
            "s3:DeleteObject",
        ]

    def test_without_a_permission_the_server_refuses(self, tmp_path: Path) -> None:
        """So that the test above can fail."""
        with servers.moto_server(tmp_path) as server:
            bucket = server.new_bucket()
            policy = self.policy().replace("s3-bucket-name", bucket).replace('"s3:DeleteObject"', '"s3:GetObjectAcl"')
            keys = self.user(server, policy)
            with pytest.raises(AssertionError, match="PermissionError"):
                run(
                    "iam_policy.py",
                    VFSMOUNT_EXAMPLE_ENDPOINT=server.endpoint_url,
                    VFSMOUNT_EXAMPLE_BUCKET=bucket,
                    **keys,
                )

    @staticmethod
    def user(server: Server, policy: str) -> dict[str, str]:
        """Makes a user with that policy, and has the server enforce policies from now on."""
        import urllib.request

        import boto3

        iam: Any = boto3.client(
            "iam",
            endpoint_url=server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="AK",
            aws_secret_access_key="SK",
        )
        iam.create_user(UserName="reader")
        iam.put_user_policy(UserName="reader", PolicyName="mount", PolicyDocument=policy)
        made = iam.create_access_key(UserName="reader")["AccessKey"]
        request = urllib.request.Request(
            f"{server.endpoint_url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


@pytest.mark.parametrize("backend", ["moto", "memory"])
def test_with_pytest(backend: str) -> None:
    """Without the entry point, which an installed copy of vfsmount would add."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "vfsmount.pytest_plugin", "-p", "no:cacheprovider"]
    command += ["-p", "pytest_timeout"]  # setup.cfg says how long a test may take
    command += [f"--vfsmount-backend={backend}", str(EXAMPLES / "test_with_pytest.py")]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "3 passed" in finished.stdout


def test_every_script_is_run_here() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [file.name for file in EXAMPLES.glob("*.py") if f'"{file.name}"' not in tested] == []
