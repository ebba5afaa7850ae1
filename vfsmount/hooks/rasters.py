"""rasterio: reading through Python's ``open``, which GDAL is given for ranges; writing to a local file."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam
from vfsmount.hooks.local import Changed, Produced


def _rasters(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def open_dataset(fp: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            if more.get("opener") is not None or not isinstance(fp, (str, os.PathLike)) or not seam.is_mounted(fp):
                return original(fp, mode, *args, **more)
            if mode == "r":
                os.stat(fp)  # GDAL would only say that it does not recognise the file
                return original(fp, mode, *args, opener=open, **more)
            made = Changed(fp) if mode == "r+" else Produced(fp, "wb")
            try:
                dataset = original(made.local, mode, *args, **more)
                dataset._env.callback(made.close)
            except BaseException:
                made.discard()
                raise
            return dataset

        return open_dataset

    seam.wrap(module, "open", make)


HOOKS: Final = (Hook("rasterio", (1, 1), _rasters),)
