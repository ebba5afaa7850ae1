"""The order of the layers, held by walking the imports: a package imports what stands left of it, never right.

real errors model clock counters _compat <- store <- transfer <- vfs <- shim <- hooks, children <- config, session
    <- __init__ cli pytest_plugin
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

PACKAGE: Final = Path(__file__).resolve().parent.parent / "vfsmount"

FOUNDATION: Final = frozenset({"real", "errors", "model", "clock", "counters", "_compat", "version"})
ENTRANCE: Final = frozenset({"__init__", "__main__", "cli", "pytest_plugin", "demo", "contrib", "bootstrap"})

# What each part may import, beside itself. Siblings (hooks and children; config and session) are told apart here.
_BELOW_SHIM: Final = FOUNDATION | {"store", "transfer", "vfs"}
ALLOWED: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "store": FOUNDATION,
    "transfer": FOUNDATION | {"store"},
    "vfs": FOUNDATION | {"store", "transfer"},
    "shim": _BELOW_SHIM,
    "hooks": _BELOW_SHIM | {"shim"},
    "children": _BELOW_SHIM | {"shim"},
    # Public surface; each layer takes its own options, which session fills in.
    "config": FOUNDATION | {"store"},
    "activation": _BELOW_SHIM | {"shim", "hooks", "children", "config"},
    "session": _BELOW_SHIM | {"shim", "hooks", "children", "config", "activation"},
    "testing": _BELOW_SHIM,
    "warming": _BELOW_SHIM | {"session"},
    "__init__": _BELOW_SHIM | {"shim", "hooks", "children", "config", "activation", "session", "warming"},
    **{
        name: _BELOW_SHIM | {"shim", "hooks", "children", "config", "activation", "session", "testing"} | ENTRANCE
        for name in ENTRANCE - {"__init__"}
    },
}

SDKS: Final = frozenset({"obstore", "fsspec", "s3fs", "gcsfs", "aiobotocore", "botocore", "boto3", "google", "aiohttp"})
# Where else a client library may be imported (inside a function all the same), and why.
SDK_EXCEPTIONS: Final[dict[str, str]] = {
    "testing": "starts servers and seeds their buckets behind the mount's back",
    "demo": "shows that another client sees what was written",
}

# Functions that take a path or a descriptor, and that are ours while a session is active.
_OS: Final = frozenset(
    "access chdir chmod chown close copy_file_range dup dup2 fchdir fchmod fchown fdatasync fdopen fstat fstatvfs "
    "fsync ftruncate fwalk getcwd getcwdb getxattr lchown link listdir listxattr lseek lstat makedirs mkdir "
    "mkfifo mknod open pathconf posix_fadvise posix_fallocate pread preadv pwrite pwritev read readlink readv "
    "remove removedirs removexattr rename renames replace rmdir scandir sendfile setxattr stat statvfs symlink "
    "truncate unlink utime walk write writev system popen".split()
)
_OS_PATH: Final = frozenset(
    "abspath exists getatime getctime getmtime getsize isdir isfile islink ismount lexists realpath relpath samefile "
    "sameopenfile".split()
)
_IO: Final = frozenset({"open", "open_code", "FileIO"})

# Parts that are users of the patched names, or that hold the originals.
USES_PATCHED_NAMES: Final[dict[str, str]] = {
    "real": "captures the originals",
    "hooks": "gives libraries the file objects that a program's own open would give",
    "demo": "is a program like any user's: it wants the mount",
    "bootstrap": "runs before the session, or wants the mount",
    "cli": "runs before and after the session, and its file commands want the mount",
    "testing": "is used from tests, on both sides of the mount",
    "pytest_plugin": "is used from tests, on both sides of the mount",
    "children/supervisor/keeper.py": "is a program of its own, which imports nothing of vfsmount",
    "children/supervisor/launcher.py": "is a program of its own, which imports nothing of vfsmount",
    "children/prelude.py": "is a program of its own, which imports nothing of vfsmount",
}
# Single uses elsewhere, each with its reason.
EXCEPTIONS: Final[dict[tuple[str, str], str]] = {
    ("store/after_fork.py", "os.sendfile"): "between two descriptors of its own",
}


class Import(NamedTuple):
    """One import statement's module."""

    file: str
    line: int
    target: str
    lazy: bool
    """Inside a function, or for type checkers only."""


def part_of(file: Path) -> str:
    """``shim/route.py`` -> ``shim``, ``real.py`` -> ``real``."""
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports_of(file: Path, text: str | None = None) -> Iterator[Import]:
    """Every import in the file, with relative ones resolved."""
    here = file.relative_to(PACKAGE.parent).with_suffix("").parts
    tree = ast.parse(file.read_text(encoding="utf-8") if text is None else text)

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(str(file), child.lineno, alias.name, lazy)
            elif isinstance(child, ast.ImportFrom):
                stem = ".".join(here[: len(here) - child.level]) if child.level else ""
                module = ".".join(part for part in (stem, child.module) if part)
                for alias in child.names:
                    yield Import(str(file), child.lineno, f"{module}.{alias.name}", lazy)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for statement in child.body:
                    yield from visit(ast.Module([statement], []), True)
                for statement in child.orelse:
                    yield from visit(ast.Module([statement], []), lazy)
            else:
                deeper = lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from visit(child, deeper)

    yield from visit(tree, False)


def target_part(target: str) -> str | None:
    """The part of vfsmount that ``target`` names; None for other packages."""
    pieces = target.split(".")
    if pieces[0] != "vfsmount":
        return None
    if len(pieces) > 1 and ((PACKAGE / pieces[1]).is_dir() or (PACKAGE / f"{pieces[1]}.py").exists()):
        return pieces[1]
    return "__init__"


def layer_faults(file: Path, text: str | None = None) -> Iterator[str]:
    part = part_of(file)
    for found in imports_of(file, text):
        target = target_part(found.target)
        if target is not None and target != part and target not in ALLOWED[part]:
            yield f"{file.relative_to(PACKAGE.parent)}:{found.line}: {part} imports {target} ({found.target})"


def sdk_faults(file: Path, text: str | None = None) -> Iterator[str]:
    part = part_of(file)
    for found in imports_of(file, text):
        if found.target.split(".")[0] not in SDKS:
            continue
        where = f"{file.relative_to(PACKAGE.parent)}:{found.line}"
        if not found.lazy:
            yield f"{where}: {found.target} is imported with the module, not when needed"
        if part != "store" and part not in SDK_EXCEPTIONS:
            yield f"{where}: {found.target} outside the store adapters"


def patched_name_faults(file: Path, text: str | None = None) -> Iterator[str]:
    """Direct uses of a function that a session replaces; inside ``with passthrough():`` they are the real ones.

    The shim may refer to one, for it captures the originals (``original = os.listdir``), but not call it by that name.
    """
    tree = ast.parse(file.read_text(encoding="utf-8") if text is None else text)
    where = file.relative_to(PACKAGE.parent)

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.With) and any("passthrough" in ast.dump(item) for item in child.items):
                continue
            name = _patched(child)
            if part_of(file) == "shim" and not (isinstance(node, ast.Call) and node.func is child):
                name = None
            if name is not None and (str(file.relative_to(PACKAGE)), name) not in EXCEPTIONS:
                yield f"{where}:{child.lineno}: {name}: own code calls real.*"  # type: ignore[attr-defined]
            yield from visit(child)

    yield from visit(tree)


def _patched(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
        return "open()"
    if not isinstance(node, ast.Attribute):
        return None
    owner = ast.unparse(node.value)
    for owners, names in ((("os", "posix"), _OS), (("os.path", "posixpath"), _OS_PATH), (("io", "_io"), _IO)):
        if owner in owners and node.attr in names:
            return f"{owner}.{node.attr}"
    return None


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_part_imports_only_what_stands_left_of_it(file: Path) -> None:
    assert part_of(file) in ALLOWED, "a new part: say in ALLOWED where it stands"
    assert list(layer_faults(file)) == []


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_client_libraries_are_imported_lazily_and_only_by_store_adapters(file: Path) -> None:
    assert list(sdk_faults(file)) == []


@pytest.mark.parametrize(
    "file",
    [file for file in sources() if not {part_of(file), str(file.relative_to(PACKAGE))} & USES_PATCHED_NAMES.keys()],
    ids=lambda file: str(file.relative_to(PACKAGE)),
)
def test_own_code_calls_the_real_functions(file: Path) -> None:
    assert list(patched_name_faults(file)) == []


def test_config_takes_from_the_stores_only_their_options() -> None:
    files = sorted((PACKAGE / "config").glob("*.py"))
    assert files
    for found in (found for file in files for found in imports_of(file)):
        if target_part(found.target) == "store":
            assert found.target.startswith("vfsmount.store.options"), found


def test_the_native_supervisor_never_imports_the_shim() -> None:
    """It serves other processes' system calls, and patched names would route them twice."""
    files = sorted((PACKAGE / "children" / "supervisor").glob("*.py"))
    assert files
    for file in files:
        assert [found for found in imports_of(file) if target_part(found.target) == "shim"] == []


class TestTheWalkItself:
    """A rule that cannot fail holds nothing."""

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("vfs/x.py", "from vfsmount.shim import route"),
            ("vfs/x.py", "from ..shim.route import Router"),
            ("store/x.py", "def f():\n    import vfsmount.session"),
            (
                "transfer/x.py",
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vfsmount.vfs import mounts",
            ),
            ("hooks/x.py", "import vfsmount.children.staging"),
            ("shim/x.py", "from vfsmount import session"),
            ("shim/x.py", "from vfsmount import activate"),
            ("session.py", "from vfsmount.testing import FaultyStore"),
        ],
    )
    def test_sees_an_import_to_the_right(self, file: str, text: str) -> None:
        assert len(list(layer_faults(PACKAGE / file, text))) == 1

    @pytest.mark.parametrize(
        ("file", "text", "faults"),
        [
            ("store/x.py", "import obstore", 1),
            ("store/x.py", "def f():\n    import obstore", 0),
            ("store/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import obstore.store", 0),
            ("vfs/x.py", "def f():\n    from botocore import session", 1),
            ("vfs/x.py", "import s3fs", 2),
        ],
    )
    def test_sees_a_client_library(self, file: str, text: str, faults: int) -> None:
        assert len(list(sdk_faults(PACKAGE / file, text))) == faults

    @pytest.mark.parametrize(
        ("text", "faults"),
        [
            ("import os\nos.stat('/x')", 1),
            ("f = os.path.exists", 1),
            ("open('/x')", 1),
            ("io.open('/x')", 1),
            ("os.path.join('a', 'b'); os.environ; os.fspath(1); os.O_RDONLY", 0),
            ("with real.passthrough():\n    os.walk('/x')", 0),
            ("real.open('/x'); self.open('/x')", 0),
        ],
    )
    def test_sees_a_patched_name(self, text: str, faults: int) -> None:
        assert len(list(patched_name_faults(PACKAGE / "vfs/x.py", text))) == faults

    @pytest.mark.parametrize(
        ("text", "faults"),
        [("original = os.listdir", 0), ("os.listdir('/x')", 1), ("f(os.listdir('/x'))", 1), ("f(os.listdir)", 0)],
    )
    def test_lets_the_shim_capture_but_not_call(self, text: str, faults: int) -> None:
        assert len(list(patched_name_faults(PACKAGE / "shim/x.py", text))) == faults
