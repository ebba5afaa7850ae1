"""torch on paths of a mount: checkpoints, TorchScript, exported programs, mapped files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.session.starting import interpreter
from vfsmount.testing import CountingStore

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    import torch

    torch.save({"a": torch.arange(5)}, point + "/m.pt")
    assert torch.load(point + "/m.pt")["a"].tolist() == [0, 1, 2, 3, 4]
    assert torch.load(point + "/m.pt", mmap=True)["a"].tolist() == [0, 1, 2, 3, 4]
    session.close()
    assert not hasattr(torch.save, "__wrapped__") and not hasattr(torch.load, "__wrapped__")
    print("done")
"""


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_save_and_load(point: str, kind: type, options: dict[str, Any]) -> None:
    path = kind(f"{point}/m.pt")
    torch.save({"a": torch.arange(1000), "b": [1, "x"]}, f=path, **options)
    loaded = torch.load(f=path)
    assert torch.equal(loaded["a"], torch.arange(1000))
    assert loaded["b"] == [1, "x"]


@pytest.mark.parametrize("kind", [str, Path])
def test_load_mapped(point: str, kind: type) -> None:
    path = kind(f"{point}/m.pt")
    torch.save(torch.arange(1000), path)
    loaded = torch.load(path, mmap=True)
    os.remove(path)
    assert torch.equal(loaded, torch.arange(1000))


def test_saving_streams(point: str, store: CountingStore) -> None:
    """More than a part goes out in parts, while torch writes."""
    torch.save(torch.zeros(5_000_000), f"{point}/m.pt")
    assert store.counts["put"] == 0
    assert store.bytes_written > 20_000_000
    assert torch.load(f"{point}/m.pt").shape == (5_000_000,)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript(point: str) -> None:
    module = torch.jit.script(torch.nn.Linear(2, 3))
    torch.jit.save(module, f"{point}/a.ts")
    module.save(f"{point}/b.ts")
    for name in ("a.ts", "b.ts"):
        assert torch.jit.load(f"{point}/{name}")(torch.zeros(1, 2)).shape == (1, 3)


def test_from_file(point: str) -> None:
    Path(point, "raw").write_bytes(bytes(range(100)))
    mapped = torch.from_file(f"{point}/raw", size=100, dtype=torch.uint8)
    assert mapped[7] == 7
    with pytest.raises(OSError) as refused:
        torch.from_file(f"{point}/raw", shared=True, size=100, dtype=torch.uint8)
    assert refused.value.errno == errno.ENOTSUP


def test_refusals(point: str, read_only: str) -> None:
    with pytest.raises(OSError) as refused:
        torch.save(torch.zeros(1), f"{read_only}/m.pt")
    assert refused.value.errno == errno.EROFS
    for options in ({}, {"mmap": True}):
        with pytest.raises(FileNotFoundError):
            torch.load(f"{point}/none", **options)  # type: ignore[arg-type]


def test_a_failed_save_leaves_what_was_there(point: str) -> None:
    torch.save(torch.arange(3), f"{point}/m.pt")
    with pytest.raises((AttributeError, TypeError)):
        torch.save({"a": torch.zeros(10), "f": lambda: 1}, f"{point}/m.pt")
    assert torch.load(f"{point}/m.pt").tolist() == [0, 1, 2]


def test_a_local_file_is_torchs_own_business(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = tmp_path_factory.mktemp("local") / "m.pt"
    torch.save(torch.arange(3), local)
    assert torch.load(local, mmap=True).tolist() == [0, 1, 2]


def test_safetensors(point: str, read_only: str) -> None:
    library = pytest.importorskip("safetensors.torch")
    library.save_file({"a": torch.arange(10)}, f"{point}/m.safetensors", {"k": "v"})
    assert library.load_file(f"{point}/m.safetensors")["a"].tolist() == list(range(10))
    library.save_model(torch.nn.Linear(2, 3), f"{point}/n.safetensors")
    library.load_model(torch.nn.Linear(2, 3), f"{point}/n.safetensors")
    with pytest.raises(OSError) as refused:
        library.save_file({"a": torch.arange(10)}, f"{read_only}/m.safetensors")
    assert refused.value.errno == errno.EROFS
