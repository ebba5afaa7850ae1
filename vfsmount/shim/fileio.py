"""A stand-in for the class ``io.FileIO``: a file object of ours for a mounted path, the real ones for all others.

Subclasses that are made while it stands in for the class reach a mount too. They are real ``FileIO`` objects, on a
descriptor that leads to the content or to a spool, because their methods are written in C.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

from vfsmount import real
from vfsmount.shim.calls import as_number
from vfsmount.shim.collected import interrupts_own_code
from vfsmount.shim.route import follow_up

if TYPE_CHECKING:
    from vfsmount.shim.description import Description
    from vfsmount.shim.fileobjects import Files

_NAMES: Final = ("file", "mode", "closefd", "opener")


def file_io_class(files: Files) -> type:
    """The class for one activation."""
    original = io.FileIO

    class FileIOType(type(real.FileIO)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if cls is not FileIO:
                return super().__call__(*args, **kwargs)
            bound = _bound(*args, **kwargs)
            if bound is None:
                return original(*args, **kwargs)
            if type(bound[0]) is bool:
                return original(as_number(bound[0]), *bound[1:])
            return files.raw(*bound, original)

        def __setattr__(cls, name: str, value: object) -> None:
            if cls is FileIO:
                raise TypeError(f"cannot set {name!r} attribute of immutable type '_io.FileIO'")
            super().__setattr__(name, value)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real.FileIO) if cls is FileIO else super().__instancecheck__(instance)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real.FileIO) if cls is FileIO else super().__subclasscheck__(subclass)

    class FileIO(real.FileIO, metaclass=FileIOType):  # type: ignore[valid-type,misc]
        __doc__ = real.FileIO.__doc__

        _vfsmount_opened: tuple[int, Description, bool] | None = None
        _vfsmount_late = False

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            bound = _bound(*args, **kwargs)
            if bound is None:
                super().__init__(*args, **kwargs)
                return
            opened = files.number(*bound)
            if opened is None:
                local, opened = files.by_opener(*bound)
            if opened is None:
                local = local or files.local_opener(bound[0], bound[3])
                try:
                    if local is None:
                        super().__init__(*args, **kwargs)
                    else:
                        super().__init__(*bound[:3], local)
                    return
                except OSError as error:
                    opened = files.number(*bound, error=error)
                    if opened is None:
                        if local is not None:
                            follow_up(error, bound[0])
                        raise
            number, description = opened
            file, mode, closefd, _ = bound
            try:
                super().__init__(number, mode, False)  # closed below, so that the upload's failure is told
            except BaseException:
                files.close_number(number, description)
                raise
            self.name = file
            self._vfsmount_opened = (number, description, bool(closefd))

        def close(self) -> None:
            opened, self._vfsmount_opened = self._vfsmount_opened, None
            super().close()
            if opened is not None and opened[2]:
                files.close_number(opened[0], opened[1], late=self._vfsmount_late)

        def _dealloc_warn(self, source: object) -> None:
            if self._vfsmount_opened is not None and self._vfsmount_opened[2]:
                self._vfsmount_late = interrupts_own_code(sys._getframe(1))
                warnings.warn(f"unclosed file {source!r}", ResourceWarning, stacklevel=2, source=source)

        def __del__(self) -> None:
            if self._vfsmount_opened is not None:
                self._dealloc_warn(self)
            super().__del__()

    type.__setattr__(FileIO, "__module__", real.FileIO.__module__)
    type.__setattr__(FileIO, "__qualname__", real.FileIO.__qualname__)
    return FileIO


def _bound(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any, Any] | None:
    """``(file, mode, closefd, opener)``, or None where the original has to judge them."""
    values: dict[str, Any] = {"mode": "r", "closefd": True, "opener": None}
    values.update(zip(_NAMES, args, strict=False))
    values.update(kwargs)
    if len(args) > len(_NAMES) or set(values) != set(_NAMES) or not kwargs.keys().isdisjoint(_NAMES[: len(args)]):
        return None
    return values["file"], values["mode"], values["closefd"], values["opener"]
