"""Code that is imported or run from a file, and what looks at its source."""

from __future__ import annotations

import compileall
import contextlib
import doctest
import importlib
import importlib.resources
import importlib.util
import inspect
import linecache
import pkgutil
import py_compile
import runpy
import sys
import traceback
import unittest
import zipimport
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from tests.ways.way import Place, way

GROUP = "import"


@contextlib.contextmanager
def searching(*entries: str) -> Iterator[None]:
    """``entries`` at the head of ``sys.path``; what is imported meanwhile is forgotten afterwards."""
    before = dict(sys.modules)
    sys.path[:0] = entries
    importlib.invalidate_caches()
    try:
        yield
    finally:
        del sys.path[: len(entries)]
        for name in set(sys.modules) - set(before):
            if name.startswith(("way_", "zipped_")):
                del sys.modules[name]
        for entry in list(sys.path_importer_cache):
            if entry.startswith(entries):
                del sys.path_importer_cache[entry]
        linecache.clearcache()


def _import(at: Place, name: str) -> ModuleType:
    with searching(at("code")):
        return importlib.import_module(name)


@way(GROUP, "a module")
def _(at: Place) -> object:
    module: Any = _import(at, "way_module")
    return module.VALUE, at.without_root(module.__file__)


@way(GROUP, "a package and its modules")
def _(at: Place) -> object:
    module: Any = _import(at, "way_package.inner")
    return module.DEEP, at.without_root(module.__file__), module.__package__


@way(GROUP, "a namespace package")
def _(at: Place) -> object:
    module: Any = _import(at, "way_spread.part")
    return module.PART


@way(GROUP, "a zip file")
def _(at: Place) -> object:
    with searching(at("app.zip")):
        module: Any = importlib.import_module("zipped_module")
        return module.ZIPPED, at.without_root(module.__file__), type(module.__loader__).__name__


@way(GROUP, "zipimport.zipimporter")
def _(at: Place) -> object:
    importer = zipimport.zipimporter(at("app.zip"))
    return importer.get_source("zipped_module"), importer.get_data(at("app.zip/zipped_module.py"))


@way(GROUP, "byte code alone", same_bytes=False)
def _(at: Place) -> object:
    py_compile.compile(at("code/way_module.py"), cfile=at("dir/way_compiled.pyc"), doraise=True)
    with searching(at("dir")):
        module: Any = importlib.import_module("way_compiled")
        return module.VALUE


@way(GROUP, "compileall")
def _(at: Place) -> object:
    return bool(compileall.compile_dir(at("code"), quiet=2))


@way(GROUP, "a reload")
def _(at: Place) -> object:
    with searching(at("code")):
        module: Any = importlib.import_module("way_module")
        with open(at("code/way_module.py"), "w") as file:
            file.write("VALUE = 43  # another size\n")
        importlib.invalidate_caches()
        return importlib.reload(module).VALUE


@way(GROUP, "spec_from_file_location")
def _(at: Place) -> object:
    spec = importlib.util.spec_from_file_location("way_named", at("code/way_module.py"))
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.VALUE


@way(GROUP, "importlib.resources")
def _(at: Place) -> object:
    with searching(at("code")):
        root = importlib.resources.files("way_package")
        with importlib.resources.as_file(root / "resource.txt") as path:
            return (root / "resource.txt").read_text(), sorted(r.name for r in root.iterdir())[1:], path.read_bytes()


@way(GROUP, "pkgutil: iter_modules, walk_packages, get_data")
def _(at: Place) -> object:
    with searching(at("code")):
        return (
            sorted(found.name for found in pkgutil.iter_modules([at("code")])),
            sorted(found.name for found in pkgutil.walk_packages([at("code")])),
            pkgutil.get_data("way_package", "resource.txt"),
        )


@way("run", "runpy.run_path of a file, a directory and a zip")
def _(at: Place) -> object:
    with searching(at("code")):
        return (
            runpy.run_path(at("code/way_module.py"))["VALUE"],
            runpy.run_path(at("code"))["RESULT"],
            runpy.run_path(at("app.zip"))["RESULT"],
        )


@way("run", "runpy.run_module")
def _(at: Place) -> object:
    with searching(at("code")):
        return runpy.run_module("way_module")["VALUE"]


@way("run", "exec of compiled text")
def _(at: Place) -> object:
    space: dict[str, Any] = {}
    with open(at("code/way_module.py")) as file:
        exec(compile(file.read(), at("code/way_module.py"), "exec"), space)
    return space["VALUE"]


@way("run", "doctest.testfile")
def _(at: Place) -> object:
    with open(at("session.txt"), "w") as file:
        file.write(">>> 1 + 1\n2\n")
    return doctest.testfile(at("session.txt"), module_relative=False)


@way("run", "unittest discovery")
def _(at: Place) -> object:
    with open(at("code/way_test_case.py"), "w") as file:
        file.write("import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        pass\n")
    with searching(at("code")):
        suite = unittest.TestLoader().discover(at("code"), "way_test_*.py", at("code"))
        return suite.countTestCases(), suite.run(unittest.TestResult()).wasSuccessful()


@way("source", "linecache")
def _(at: Place) -> object:
    try:
        return linecache.getline(at("code/way_module.py"), 5), linecache.checkcache(at("code/way_module.py"))
    finally:
        linecache.clearcache()


@way("source", "traceback")
def _(at: Place) -> object:
    with searching(at("code")):
        module: Any = importlib.import_module("way_module")
        try:
            module.fail()
        except ValueError as error:
            lines = traceback.format_exception(error)
            return [at.without_root(line) for line in lines if "way_module" in line]
    return None


@way("source", "inspect.getsource")
def _(at: Place) -> object:
    with searching(at("code")):
        module: Any = importlib.import_module("way_module")
        return inspect.getsource(module.fail), inspect.getsourcelines(module)[1]
