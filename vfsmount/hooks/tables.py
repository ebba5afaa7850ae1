"""pandas: ``to_parquet``, which opens its target with Arrow's own file class; reading goes through pyarrow's hook."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam


def _parquet(seam: Seam, module: ModuleType) -> None:
    # pandas 2 gives Arrow the name of the file that it has opened; Arrow's own hook takes the path.
    names_handles = sys.modules["pandas"].__version__.startswith("2.")

    def make(original: Function) -> Function:
        def _get_path_or_handle(path: Any, fs: Any, *args: Any, **more: Any) -> Any:
            mode = more.get("mode", args[1] if len(args) > 1 else "rb")
            is_dir = more.get("is_dir", args[2] if len(args) > 2 else False)
            if fs is None and "w" in mode and not is_dir and seam.is_mounted(path):
                if names_handles:
                    return path, None, None
                handles = module.get_handle(path, mode, is_text=False)
                return handles.handle, handles, None
            return original(path, fs, *args, **more)

        return _get_path_or_handle

    seam.wrap(module, "_get_path_or_handle", make)


HOOKS: Final = (Hook("pandas.io.parquet", (2, 3), _parquet),)
