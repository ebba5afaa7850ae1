"""What holds for the project as a whole: import cost, public surface, sizes, words, entry points."""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import vfsmount

ROOT: Final = Path(__file__).resolve().parent.parent
MAX_FILE_LINES: Final = 500
MAX_CLASS_LINES: Final = 300

SURFACE: Final = [
    "CloudBucketMount",
    "Secret",
    "Session",
    "activate",
    "deactivate",
    "is_active",
    "materialize",
    "passthrough",
    "prefetch",
    "stats",
]

# Loaded when first needed, never by `import vfsmount`.
NOT_AT_IMPORT: Final = (
    "obstore fsspec s3fs gcsfs aiobotocore botocore boto3 google.cloud wrapt cachetools moto flask aiohttp asyncio "
    "requests urllib3 pandas numpy pytest"
).split()


def python_files() -> list[Path]:
    return sorted(
        file for folder in ("vfsmount", "tests", "examples", "benchmarks") for file in (ROOT / folder).rglob("*.py")
    )


def text_files() -> list[Path]:
    files = [file for file in ROOT.iterdir() if file.is_file() and file.suffix in {".md", ".cfg", ".toml", ".ini"}]
    files += [ROOT / "Makefile", ROOT / ".ci" / "run"]
    for folder in ("vfsmount", "tests", "examples", "docs", "benchmarks"):
        files += [f for f in (ROOT / folder).rglob("*") if f.suffix in {".py", ".md", ".toml", ".json", ".txt"}]
    return sorted(files)


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def test_import_loads_no_client_library() -> None:
    code = f"import sys, vfsmount; print([name for name in {NOT_AT_IMPORT!r} if name in sys.modules])"
    finished = run_python("-c", code)
    assert (finished.returncode, finished.stdout.strip()) == (0, "[]"), finished.stderr


def test_import_patches_nothing() -> None:
    code = (
        "import builtins, io, os; before = (builtins.open, io.open, os.stat, os.open, os.listdir); import vfsmount; "
        "print(before == (builtins.open, io.open, os.stat, os.open, os.listdir), vfsmount.is_active())"
    )
    finished = run_python("-c", code)
    assert finished.stdout.split() == ["True", "False"], finished.stderr


def test_public_surface_is_the_designed_one_and_sorted() -> None:
    public = [name for name in vfsmount.__all__ if not name.startswith("__")]
    assert public == sorted(SURFACE)
    assert list(vfsmount.__all__) == sorted(vfsmount.__all__)


def test_public_names_are_what_they_should_be_whatever_was_imported() -> None:
    """A module of the package by the same name must not stand in a function's place once it is loaded."""
    code = "import sys, vfsmount, vfsmount.session; print([callable(getattr(vfsmount, n)) for n in sys.argv[1:]])"
    finished = run_python("-c", code, *SURFACE)
    assert finished.stdout.strip() == repr([True] * len(SURFACE)), finished.stderr


@pytest.mark.parametrize("name", SURFACE)
def test_public_names_are_documented(name: str) -> None:
    value = getattr(vfsmount, name)
    assert inspect.getdoc(value), name
    if inspect.isclass(value):
        for member, function in vars(value).items():
            if not member.startswith("_") and callable(getattr(function, "__func__", function)):
                assert inspect.getdoc(getattr(value, member)), f"{name}.{member}"


@pytest.mark.parametrize("file", python_files(), ids=named)
def test_files_and_classes_are_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_CLASS_LINES, node.name


@pytest.mark.parametrize("file", [f for f in python_files() if "vfsmount" in f.relative_to(ROOT).parts], ids=named)
def test_modules_say_what_they_are(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text))


def definitions(file: Path) -> Iterator[str]:
    """The names that a file gives: its own, and those of its classes and functions."""
    yield file.stem
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name


def words(name: str) -> set[str]:
    """``ChunkCache_of`` -> chunk, cache, of."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("file", [f for f in python_files() if "vfsmount" in f.relative_to(ROOT).parts], ids=named)
def test_names_say_what_a_thing_does(file: Path) -> None:
    vague = {"manager", "helper", "helpers", "util", "utils", "common", "base"}
    assert [name for name in definitions(file) if words(name) & vague] == []


# Written in halves, so that this file does not hold what it looks for.
FOREIGN: Final = [
    "/wo" + "rk/",
    "/tmp/" + "dev",
    "/ro" + "ot/",
    "py" + "pi.org",
    "python" + "hosted",
    "TO" + "DO",
    "FIX" + "ME",
]


@pytest.mark.parametrize("file", text_files(), ids=named)
def test_text_holds_nothing_of_one_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert [word for word in FOREIGN if word in text] == []


def entry_points(group: str) -> list[tuple[str, str, str]]:
    """``(name, module, attribute)`` of each entry point in setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    found = []
    for line in parser["options.entry_points"][group].split("\n"):
        if line.strip():
            name, target = (piece.strip() for piece in line.split("="))
            module, _, attribute = target.partition(":")
            found.append((name, module, attribute))
    return found


def test_entry_points_lead_somewhere() -> None:
    assert entry_points("console_scripts") == [("vfsmount", "vfsmount.cli", "main")]
    assert entry_points("pytest11") == [("vfsmount", "vfsmount.pytest_plugin", "")]
    assert callable(importlib.import_module("vfsmount.cli").main)
    assert importlib.import_module("vfsmount.pytest_plugin").__doc__


@pytest.mark.slow
def test_the_command_tells_its_usage() -> None:
    finished = run_python("-m", "vfsmount", "--help")
    assert finished.returncode == 0, finished.stderr
    assert "run" in finished.stdout
    assert "usage" in finished.stdout.lower()


def test_versions_agree() -> None:
    assert "version = attr: vfsmount.version.__version__" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert released[0] == vfsmount.__version__


def test_typed_marker_is_shipped() -> None:
    assert (ROOT / "vfsmount" / "py.typed").exists()
    assert "vfsmount = py.typed" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
