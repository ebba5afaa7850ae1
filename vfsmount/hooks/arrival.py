"""Notices the import of a library that has a hook.

The finder answers for a handful of module names only, and lets the other finders find them. Third-party import hooks
are not used: theirs stay in ``sys.meta_path`` for good and cost more to load than all of vfsmount.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Hook, Seam
from vfsmount.shim.descriptors import FdTable
from vfsmount.shim.patcher import Ledger
from vfsmount.shim.process import ChildPlanner
from vfsmount.shim.route import Router

_log: Final = logging.getLogger(__name__)

_LIBRARIES: Final = {
    "IPython.utils._process_posix": "notebook",
    "asyncio.base_subprocess": "stdlib",
    "compileall": "stdlib",
    "ctypes": "stdlib",
    "cv2": "pictures",
    "dbm": "stdlib",
    "duckdb": "queries",
    "h5py._hl.files": "hdf5",
    "lxml.etree": "xml",
    "netCDF4": "netcdf",
    "pandas.io.parquet": "tables",
    "polars": "frames",
    "pyarrow": "arrowfiles",
    "pyarrow.csv": "arrow",
    "pyarrow.dataset": "arrow",
    "pyarrow.feather": "arrow",
    "pyarrow.fs": "arrow",
    "pyarrow.ipc": "arrowfiles",
    "pyarrow.json": "arrow",
    "pyarrow.parquet.core": "arrow",
    "rasterio": "rasters",
    "readline": "stdlib",
    "safetensors": "tensors",
    "safetensors.numpy": "tensors",
    "safetensors.torch": "tensors",
    "socket": "stdlib",
    "soundfile": "sound",
    "sqlite3.dbapi2": "database",
    "tarfile": "stdlib",
    "ssl": "stdlib",
    "tables.file": "pytables",
    "tables.utilsextension": "pytables",
    "tokenizers": "vocabularies",
    "tokenizers.models": "vocabularies",
    "torch": "networks",
    "torch.export": "networks",
    "torch.jit._script": "networks",
    "torch.jit._serialization": "networks",
    "torch.serialization": "networks",
    "wave": "stdlib",
    "zipfile": "stdlib",
}
"""Awaited module -> the module here that holds its hook under ``HOOKS``."""

NATIVE: Final = tuple(sorted({name.partition(".")[0] for name, home in _LIBRARIES.items() if home != "stdlib"}))
"""Libraries that open files without Python, which a program has to mount for before it imports them."""


class Arrivals:
    """A finder at the head of ``sys.meta_path``, from :meth:`start` to :meth:`undo`."""

    def __init__(self, router: Router, fds: FdTable, children: ChildPlanner) -> None:
        self._seam = Seam(router, fds, children)
        self._active = False

    def start(self) -> tuple[list[tuple[object, object]], Ledger]:
        """Hook what is imported, and wait for the rest.

        Returns (original, replacement) of the functions hooked, and the ledger, so that one search finds what captured
        those and the shim's: it may cost more than all else.
        """
        self._active = True
        sys.meta_path.insert(0, self)
        for name in _LIBRARIES:
            module = sys.modules.get(name)
            if module is not None:
                self._apply(module, name)
        return self._seam.take_fresh(), self._seam.ledger

    def undo(self) -> list[tuple[object, object]]:
        """Take the finder out and put every library back, but for what captured ours: for the search of the shim."""
        self._active = False
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        return self._seam.undo()

    def arrived(self, module: ModuleType, name: str) -> None:
        """Apply the hook of the module, which has just been executed."""
        if self._active:
            self._apply(module, name)
            self._seam.settle()

    def _apply(self, module: ModuleType, name: str) -> None:
        source = importlib.import_module(f"vfsmount.hooks.{_LIBRARIES[name]}")
        hook: Hook = next(hook for hook in source.HOOKS if hook.module == name)
        if hook.fits():
            try:
                hook.apply(self._seam, module)
            except AttributeError as error:  # not made as the tested versions are: its native opens go on failing
                _log.debug("%s: left alone: %s", name, error)
        else:
            _log.debug("%s: a version that no test ran with; its functions are left alone", name)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The other finders' answer, with a loader that tells of the module when it has run."""
        if name not in _LIBRARIES:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Telling(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None


class _Telling:
    """Stands in for a loader until the module runs, which finds the real one in its ``__spec__``."""

    def __init__(self, loader: Any, arrivals: Arrivals) -> None:
        self._loader = loader
        self._arrivals = arrivals

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        spec.loader = self._loader
        try:
            made: ModuleType | None = self._loader.create_module(spec)
        finally:
            spec.loader = self  # type: ignore[assignment]
        return made

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._arrivals.arrived(module, spec.name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
