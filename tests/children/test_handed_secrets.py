"""Credentials are handed to child processes in a file, and go on being renewed where their function can be found."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

import vfsmount
from vfsmount import CloudBucketMount, Secret
from vfsmount.config.handover import HandedValues, from_data, to_data


def values() -> dict[str, str | float]:
    """The function of a secret, found by its name."""
    return {"AWS_ACCESS_KEY_ID": "renewed", "AWS_SECRET_ACCESS_KEY": "key", "expires_at": time.time() + 3600}


def _handed(secret: Secret) -> Secret:
    """``secret`` as another process gets it."""
    data = json.loads(json.dumps(to_data(CloudBucketMount("bucket", secret=secret))))
    handed = from_data(data).secret
    assert handed is not None
    return handed


def test_secrets_are_handed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pair = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    assert _handed(Secret.from_dict(pair)).read().items == pair
    monkeypatch.setenv("P_AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("P_AWS_SECRET_ACCESS_KEY", "key")
    assert _handed(Secret.from_env("P_")).read().items == pair  # whatever the child's environment is
    assert _handed(Secret.from_env("NONE_")) == Secret.from_env("NONE_")
    assert _handed(Secret.from_profile("name")) == Secret.from_profile("name")
    assert _handed(Secret.from_dotenv(tmp_path / "x")) == Secret.from_dotenv(tmp_path / "x")


def test_a_function_goes_on_renewing_where_it_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"AWS_ACCESS_KEY_ID": "old", "AWS_SECRET_ACCESS_KEY": "key"}
    handed = _handed(Secret.from_callable(values))
    assert handed.read().items["AWS_ACCESS_KEY_ID"] == "renewed"
    for function, expected in ((values, "renewed"), (None, None)):
        name = None if function is None else (function.__module__, function.__qualname__)
        late = HandedValues(old, time.time() - 1, name)
        if expected is None:
            with pytest.raises(ValueError, match="can be imported"):
                late()
        else:
            assert late()["AWS_ACCESS_KEY_ID"] == expected
    assert HandedValues(old, None, None)() == {**old, "expires_at": None}
    assert "old" not in repr(HandedValues(old, None, None))
    handed = _handed(Secret.from_callable(lambda: old))
    assert handed.read().items == old


def test_a_function_that_fails_keeps_no_child_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    calls: list[int] = []

    def once() -> dict[str, str]:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("with-a-secret-in-it")
        return {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}

    mount = CloudBucketMount("bucket", "http://127.0.0.1:9", secret=Secret.from_callable(once), region="us-east-1")
    with vfsmount.activate({"/my-mount": mount}, check=False):
        assert subprocess.run(["true"], timeout=60).returncode == 0
        assert "RuntimeError" in next(tmp_path.glob(".vfsmount-session-*/[!.]*")).read_text()
    assert "with-a-secret-in-it" not in caplog.text
