"""OpenCV: pictures are decoded and encoded in memory; a video is read from a local copy and written to a local file."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam, local_copy, writing
from vfsmount.hooks.local import Produced
from vfsmount.hooks.standin import StandIn

_ABSENT: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""OpenCV answers these with None or False, and its callers ask for that; everything else is raised."""


class _NotEncoded(Exception):
    pass


def _pictures(seam: Seam, module: ModuleType) -> None:
    if not hasattr(module, "__path__"):
        return  # the extension, from which the package of the same name takes its functions

    def make_imread(original: Function) -> Function:
        def imread(filename: Any, *args: Any, **more: Any) -> Any:
            if not seam.is_mounted(filename):
                return original(filename, *args, **more)
            try:
                if len(args) > 1 or set(more) - {"flags"} or not all(isinstance(each, int) for each in args):
                    with local_copy(filename) as local:
                        return original(local, *args, **more)
                with open(filename, "rb") as file:
                    data = file.read()
            except _ABSENT:
                return None
            return module.imdecode(_array(data), *(args or (more.get("flags", module.IMREAD_COLOR),))) if data else None

        return imread

    def make_reader(absent: Any) -> Any:
        def make(original: Function) -> Function:
            def read(filename: Any, *args: Any, **more: Any) -> Any:
                if not seam.is_mounted(filename):
                    return original(filename, *args, **more)
                try:
                    with local_copy(filename) as local:
                        return original(local, *args, **more)
                except _ABSENT:
                    return absent

            return read

        return make

    def make_writer(encoder: str) -> Any:
        def make(original: Function) -> Function:
            def write(filename: Any, img: Any, params: Any = ()) -> Any:
                if not seam.is_mounted(filename):
                    return original(filename, img, params)
                try:
                    with writing(filename) as file:
                        ending = os.path.splitext(os.fspath(filename))[1]
                        done, data = getattr(module, encoder)(ending, img, params)
                        if not done:
                            raise _NotEncoded
                        file.write(data)
                except _NotEncoded:
                    return False
                return True

            return write

        return make

    seam.wrap(module, "imread", make_imread)
    seam.wrap(module, "imreadmulti", make_reader((False, ())))
    seam.wrap(module, "imcount", make_reader(0))
    seam.wrap(module, "haveImageReader", make_reader(False))
    seam.wrap(module, "imwrite", make_writer("imencode"))
    seam.wrap(module, "imwritemulti", make_writer("imencodemulti"))
    seam.wrap(module, "VideoCapture", lambda original: _capture(seam, original))
    seam.wrap(module, "VideoWriter", lambda original: _writer(seam, original))


def _array(data: bytes) -> Any:
    import numpy  # OpenCV has imported it

    return numpy.frombuffer(data, numpy.uint8)


def _capture(seam: Seam, original: Any) -> Any:
    def make(*args: Any, **more: Any) -> Any:
        if not _on_mount(seam, args, more):
            return original(*args, **more)
        try:
            # The file stays open; its name may go.
            with local_copy(args[0] if args else more["filename"]) as local:
                return original(local, *args[1:], **more) if args else original(**{**more, "filename": local})
        except _ABSENT:
            return original()

    return StandIn(original, make, also=(_Writing,))


def _writer(seam: Seam, original: Any) -> Any:
    class Writing(_Writing):
        kind = original

    def make(*args: Any, **more: Any) -> Any:
        return (Writing if _on_mount(seam, args, more) else original)(*args, **more)

    return StandIn(original, make, also=(_Writing,))


class _Writing:
    """A video writer whose file is uploaded when it is released, or collected."""

    kind: Any
    """The class that it stands for."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self._writer = self.kind()
        self._made: Produced | None = None
        self.open(*args, **more)

    def open(self, *args: Any, **more: Any) -> Any:
        self.release()
        made = Produced(args[0] if args else more["filename"], "wb")
        try:
            if args:
                opened = self._writer.open(made.local, *args[1:], **more)
            else:
                opened = self._writer.open(**{**more, "filename": made.local})
        except BaseException:
            made.discard()
            raise
        if opened:
            self._made = made
        else:
            made.discard()
        return opened

    def release(self) -> Any:
        released = self._writer.release()
        made, self._made = self._made, None
        if made is not None:
            made.close()
        return released

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_writer"], name)

    def __del__(self) -> None:
        if self.__dict__.get("_made") is not None:
            self.release()


def _on_mount(seam: Seam, args: tuple[Any, ...], more: dict[str, Any]) -> bool:
    path = args[0] if args else more.get("filename")
    return isinstance(path, (str, os.PathLike)) and seam.is_mounted(path)


HOOKS: Final = (Hook("cv2", (4, 5), _pictures),)
