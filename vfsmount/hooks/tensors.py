"""safetensors for NumPy: whole files, read and written by Python."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, writing


def _numpy(seam: Seam, module: ModuleType) -> None:
    def make_load(original: Function) -> Function:
        def load_file(filename: Any, *args: Any, **more: Any) -> Any:
            if not seam.is_mounted(filename):
                return original(filename, *args, **more)
            with open(filename, "rb") as file:
                return module.load(file.read())

        return load_file

    def make_save(original: Function) -> Function:
        def save_file(tensor_dict: Any, filename: Any, metadata: Any = None) -> None:
            if not seam.is_mounted(filename):
                original(tensor_dict, filename, metadata)
                return
            data = module.save(tensor_dict, metadata)
            with writing(filename) as file:
                file.write(data)

        return save_file

    seam.wrap(module, "load_file", make_load)
    seam.wrap(module, "save_file", make_save)


HOOKS: Final = (Hook("safetensors.numpy", (0, 0), _numpy),)
