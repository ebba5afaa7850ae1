"""``python -m vfsmount.demo``: a bucket on an S3 server of this machine, used as a directory by Python and by ``ls``.

Each step below is a small function, as a program of yours could have it. The demo prints its source, runs it, compares
what it returns with what is expected, and says how long it took and how many requests the bucket saw. Anything
unexpected ends the demo with exit code 1. Needs the extra ``demo`` (moto, Flask and boto3; pandas if you like).
"""

from __future__ import annotations

import csv
import errno
import glob
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import vfsmount
from vfsmount import CloudBucketMount, Secret

BUCKET: Final = "demo-bucket"
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo-secret", "AWS_REGION": "us-east-1"}
SECRET: Final = Secret.from_dict(CREDENTIALS)

BEFORE: Final[dict[str, bytes]] = {
    "animals/birds/owl.json": b'{"legs": 2, "flies": true}',
    "animals/cats/lion.json": b'{"legs": 4, "flies": false}',
    "animals/cats/tiger.json": b'{"legs": 4, "flies": false}',
    "data.csv": b"city,year,people\nOslo,2023,717710\nOslo,2024,724290\nBergen,2023,291940\nBergen,2024,294029\n",
    "hello.txt": b"Hello from a bucket!\nThis is the second line.\n",
    "large.bin": bytes(range(256)) * 8 * 4096,
}
"""What the bucket holds when the story begins, and when it has ended; ``large.bin`` has 8 MiB."""

# Set by main(): the address of the server, and a boto3 client that knows nothing of vfsmount.
endpoint = ""
another_client: Any = None


# -- the story


def activate() -> vfsmount.Session:
    return vfsmount.activate(
        {
            "/my-mount": CloudBucketMount(BUCKET, endpoint, secret=SECRET),
            "/cats": CloudBucketMount(BUCKET, endpoint, secret=SECRET, key_prefix="animals/cats/"),
            "/safe": CloudBucketMount(BUCKET, endpoint, secret=SECRET, read_only=True),
        }
    )


def list_the_bucket() -> object:
    return os.listdir("/my-mount")


def read_a_text_file() -> object:
    with open("/my-mount/hello.txt") as file:
        return file.read()


def read_it_line_by_line() -> object:
    with open("/my-mount/hello.txt", encoding="utf-8") as file:
        return [line.split()[0] for line in file]


def read_from_the_middle_of_a_large_file() -> object:
    with open("/my-mount/large.bin", "rb") as file:
        file.seek(5_000_000)
        return file.read(4)


def read_all_of_it() -> object:
    return len(Path("/my-mount/large.bin").read_bytes())


def ask_about_a_file() -> object:
    about = os.stat("/my-mount/data.csv")
    return about.st_size, oct(about.st_mode), os.path.isdir("/my-mount/animals"), os.path.exists("/my-mount/nothing")


def read_what_is_not_there() -> object:
    try:
        return open("/my-mount/nothing.txt").read()
    except FileNotFoundError as error:
        return str(error)


def write_a_file() -> object:
    os.makedirs("/my-mount/results/today")
    with open("/my-mount/results/today/report.txt", "w") as file:
        return file.write("All is well.\n")


def let_another_client_see_it() -> object:
    answer = another_client.get_object(Bucket=BUCKET, Key="results/today/report.txt")
    return answer["Body"].read()


def read_what_another_client_wrote() -> object:
    another_client.put_object(Bucket=BUCKET, Key="results/theirs.txt", Body=b"Written elsewhere.")
    return Path("/my-mount/results/theirs.txt").read_text()


def walk_the_tree() -> object:
    return [os.path.join(folder, name) for folder, _, names in os.walk("/my-mount/animals") for name in names]


def find_files_by_pattern() -> object:
    with_glob = glob.glob("/my-mount/**/*.json", recursive=True)
    with_pathlib = sorted(Path("/my-mount").rglob("*.json"))
    return sorted(with_glob) == [str(path) for path in with_pathlib], len(with_glob)


def load_and_dump_json() -> object:
    with open("/my-mount/animals/birds/owl.json") as file:
        owl = json.load(file)
    with open("/my-mount/results/owl.json", "w") as file:
        json.dump({**owl, "name": "Strix"}, file)
    return json.loads(Path("/my-mount/results/owl.json").read_text())


def read_and_write_csv() -> object:
    with open("/my-mount/data.csv", newline="") as source, open("/my-mount/results/big.csv", "w", newline="") as target:
        rows = csv.DictReader(source)
        writer = csv.writer(target)
        writer.writerows([row["city"], row["people"]] for row in rows if int(row["people"]) > 500_000)
    return Path("/my-mount/results/big.csv").read_bytes()


def use_pandas() -> object:
    import pandas

    frame = pandas.read_csv("/my-mount/data.csv")
    frame.groupby("city").people.mean().to_csv("/my-mount/results/mean.csv")
    return Path("/my-mount/results/mean.csv").read_text()


def copy_from_disk_and_back() -> object:
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "local.txt")
        local.write_text("from the disk")
        shutil.copyfile(local, "/my-mount/results/copied.txt")
        shutil.copyfile("/my-mount/results/copied.txt", Path(folder, "back.txt"))
        return Path(folder, "back.txt").read_text()


def be_refused_a_rename() -> object:
    try:
        os.rename("/my-mount/hello.txt", "/my-mount/bye.txt")
        return "renamed"
    except OSError as error:
        hint = getattr(error, "__notes__", ["(Python 3.11 and later say here which option would allow it)"])
        return errno.errorcode[error.errno or 0], str(error), *hint


def be_refused_a_change_of_mode() -> object:
    try:
        os.chmod("/my-mount/hello.txt", 0o600)
        return "changed"
    except PermissionError as error:
        return errno.errorcode[error.errno or 0], os.stat("/my-mount/hello.txt").st_mode & 0o777 == 0o644


def see_only_one_path_of_the_bucket() -> object:
    return os.listdir("/cats"), os.path.ismount("/cats")


def be_refused_a_file_where_all_is_read_only() -> object:
    try:
        return open("/safe/new.txt", "w")
    except OSError as error:
        return errno.errorcode[error.errno or 0], error.filename


def run_ls() -> object:
    finished = subprocess.run(["ls", "-l", "/my-mount"], stdout=subprocess.PIPE, text=True, check=True)
    return finished.stdout


def remove_what_was_made() -> object:
    shutil.rmtree("/my-mount/results")
    return os.listdir("/my-mount")


@dataclass(frozen=True, slots=True)
class Step:
    """One function of the story, and the test that what it returned must pass."""

    function: Callable[[], object]
    is_right: Callable[[Any], bool]
    needs: str = ""
    """A module without which the step is left out."""


def equals(wanted: object) -> Callable[[Any], bool]:
    return lambda got: bool(got == wanted)


def lists(names: list[str]) -> Callable[[Any], bool]:
    """The output of ``ls -l``: a line for each name, after the one with the total."""
    return lambda got: [line.split()[-1] for line in got.splitlines()[1:]] == names


NAMES: Final = ["animals", "data.csv", "hello.txt", "large.bin"]

STORY: Final = (
    Step(list_the_bucket, equals(NAMES)),
    Step(read_a_text_file, equals(BEFORE["hello.txt"].decode())),
    Step(read_it_line_by_line, equals(["Hello", "This"])),
    Step(read_from_the_middle_of_a_large_file, equals(BEFORE["large.bin"][5_000_000:5_000_004])),
    Step(read_all_of_it, equals(len(BEFORE["large.bin"]))),
    Step(ask_about_a_file, equals((len(BEFORE["data.csv"]), "0o100644", True, False))),
    Step(read_what_is_not_there, equals("[Errno 2] No such file or directory: '/my-mount/nothing.txt'")),
    Step(write_a_file, equals(13)),
    Step(let_another_client_see_it, equals(b"All is well.\n")),
    Step(read_what_another_client_wrote, equals("Written elsewhere.")),
    Step(walk_the_tree, equals([f"/my-mount/{key}" for key in sorted(BEFORE) if key.startswith("animals/")])),
    Step(find_files_by_pattern, equals((True, 3))),
    Step(load_and_dump_json, equals({"legs": 2, "flies": True, "name": "Strix"})),
    Step(read_and_write_csv, equals(b"Oslo,717710\r\nOslo,724290\r\n")),
    Step(use_pandas, equals("city,people\nBergen,292984.5\nOslo,721000.0\n"), needs="pandas"),
    Step(copy_from_disk_and_back, equals("from the disk")),
    Step(be_refused_a_rename, lambda got: got[0] == "ENOSYS" and "/my-mount/hello.txt" in got[1] and bool(got[2])),
    Step(be_refused_a_change_of_mode, equals(("EPERM", True))),
    Step(see_only_one_path_of_the_bucket, equals((["lion.json", "tiger.json"], True))),
    Step(be_refused_a_file_where_all_is_read_only, equals(("EROFS", "/safe/new.txt"))),
    Step(run_ls, lists([*NAMES, "results"])),
    Step(remove_what_was_made, equals(NAMES)),
)


# -- the stage


TITLE_WIDTH: Final = 48


class Wrong(Exception):
    """A step gave something else than it should."""


_SERVER: Final = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # ends when the demo does, however that happens
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server in a process of its own, empty, on a free port of this machine; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise Wrong("the S3 server did not start; install it with: pip install 'vfsmount[demo]'")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def new_client(url: str) -> Any:
    """A boto3 client for the server."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def content_of_the_bucket() -> dict[str, bytes]:
    keys = [item["Key"] for item in another_client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    return {key: another_client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def source_of(function: Callable[[], object]) -> str:
    """The body of ``function`` as it stands in this file."""
    lines = inspect.getsource(function).splitlines()[1:]
    return textwrap.dedent("\n".join(lines)).strip()


def title_of(function: Callable[[], object]) -> str:
    return function.__name__.replace("_", " ").capitalize().replace("csv", "CSV").replace("json", "JSON")


def tell(number: int, step: Step, source: str, session: vfsmount.Session, out: TextIO) -> None:
    """Run one step and print it. Raises: Wrong."""
    title = f"{number:2}. {title_of(step.function)}"
    if step.needs:
        try:
            __import__(step.needs)
        except ImportError:
            print(f"{title}: left out, {step.needs} is not installed\n", file=out)
            return
    requests = session.stats().total.requests
    started = time.perf_counter()
    got = step.function()
    milliseconds = (time.perf_counter() - started) * 1000
    requests = session.stats().total.requests - requests
    print(f"{title:<{TITLE_WIDTH}}{milliseconds:8.1f} ms {requests:4} request{'s' * (requests != 1)}", file=out)
    print(textwrap.indent(source, "        "), file=out)
    shown = textwrap.indent(f"\n{got}", "        ") if isinstance(got, str) and got.count("\n") > 1 else repr(got)
    print(f"    ->  {shown}\n", file=out)
    if not step.is_right(got):
        raise Wrong(f"step {number} ({step.function.__name__}) returned {got!r}")


def run(out: TextIO = sys.stdout) -> None:
    """The whole demo. Raises: Wrong where anything is not as it should be."""
    global endpoint, another_client
    began = time.perf_counter()
    source, sources = source_of(activate), [source_of(step.function) for step in STORY]
    was_a_directory = os.path.isdir("/my-mount")
    with s3_server() as endpoint:
        another_client = new_client(endpoint)
        another_client.create_bucket(Bucket=BUCKET)
        for key, data in BEFORE.items():
            another_client.put_object(Bucket=BUCKET, Key=key, Body=data)
        print(f"An S3 server runs at {endpoint}; its bucket {BUCKET!r} has {len(BEFORE)} objects.\n", file=out)

        started = time.perf_counter()
        with activate() as session:
            milliseconds = (time.perf_counter() - started) * 1000
            print(f"{' 0. Activate':<{TITLE_WIDTH}}{milliseconds:8.1f} ms", file=out)
            print(f"{textwrap.indent(source, ' ' * 8)}\n", file=out)
            for number, (step, body) in enumerate(zip(STORY, sources, strict=True), start=1):
                tell(number, step, body, session, out)
            usage = session.stats()

        if os.path.isdir("/my-mount") != was_a_directory or vfsmount.is_active():
            raise Wrong("something of the mount is left on this machine")
        if content_of_the_bucket() != BEFORE:
            raise Wrong("the bucket does not hold what it held before")
        if another_client.list_multipart_uploads(Bucket=BUCKET).get("Uploads"):
            raise Wrong("an unfinished upload is left in the bucket")
    seconds = time.perf_counter() - began
    by_kind = ", ".join(f"{kind} {part.requests}" for kind, part in usage.items())
    print(
        f"All {len(STORY)} steps gave what they should, in {seconds:.1f} s and {usage.total.requests} requests",
        file=out,
    )
    print(f"({by_kind}).", file=out)
    print("The bucket is as it was, and nothing is left on this machine.", file=out)


def main() -> int:
    """Exit code 0 if every step was right."""
    try:
        run()
    except Wrong as error:
        sys.stdout.flush()
        print(f"\nvfsmount demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
