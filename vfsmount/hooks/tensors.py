"""safetensors: whole files, written by Python; read by Python into arrays of NumPy, and else mapped from a copy."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, local_copy, writing


def _numpy(seam: Seam, module: ModuleType) -> None:
    def make_load(original: Function) -> Function:
        def load_file(filename: Any, *args: Any, **more: Any) -> Any:
            if not seam.is_mounted(filename):
                return original(filename, *args, **more)
            with open(filename, "rb") as file:
                return module.load(file.read())

        return load_file

    seam.wrap(module, "load_file", make_load)
    _saving(seam, module)


def _saving(seam: Seam, module: ModuleType) -> None:
    def make_save(original: Function) -> Function:
        def save_file(*args: Any, **more: Any) -> None:
            # The first one is called differently in each of the library's modules.
            given = {
                **more,
                **dict(zip((original.__code__.co_varnames[0], "filename", "metadata"), args, strict=False)),
            }
            filename, metadata = given.pop("filename", None), given.pop("metadata", None)
            if len(given) != 1 or not seam.is_mounted(filename):
                original(*args, **more)
                return
            (tensors,) = given.values()
            data = module.save(tensors, metadata)
            with writing(filename) as file:
                file.write(data)

        return save_file

    seam.wrap(module, "save_file", make_save)


def _opening(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def safe_open(filename: Any, *args: Any, **more: Any) -> Any:
            if not seam.is_mounted(filename):
                return original(filename, *args, **more)
            with local_copy(filename) as local:  # it stays mapped; its name may go
                return original(local, *args, **more)

        return safe_open

    seam.wrap(module, "safe_open", make)


HOOKS: Final = (
    Hook("safetensors", (0, 0), _opening),
    Hook("safetensors.numpy", (0, 0), _numpy),
    Hook("safetensors.torch", (0, 0), _saving),
)
