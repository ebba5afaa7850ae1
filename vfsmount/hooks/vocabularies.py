"""tokenizers: whole files, which are small, read and written by Python; a corpus to train on is copied."""

from __future__ import annotations

import contextlib
import os
from types import ModuleType
from typing import Any, Final

from vfsmount import real
from vfsmount.hooks.hook import Function, Hook, Seam, local_copy, writing
from vfsmount.transfer.spool import ScratchDirectory


def _tokenizer(seam: Seam, module: ModuleType) -> None:
    def make_from_file(original: Function) -> Function:
        def from_file(path: Any) -> Any:
            if not seam.is_mounted(path):
                return original(path)
            with open(path, encoding="utf-8") as file:
                return module.Tokenizer.from_str(file.read())

        return from_file

    def make_save(original: Function) -> Function:
        def save(self: Any, path: Any, pretty: bool = True) -> None:
            if not seam.is_mounted(path):
                original(self, path, pretty)
                return
            text = self.to_str(pretty)
            with writing(path) as file:
                file.write(text.encode())

        return save

    def make_train(original: Function) -> Function:
        def train(self: Any, files: Any, trainer: Any = None) -> None:
            names = [files] if isinstance(files, (str, os.PathLike)) else list(files)
            if not any(map(seam.is_mounted, names)):
                original(self, files, trainer)
                return
            with contextlib.ExitStack() as copies:
                found = [copies.enter_context(local_copy(each)) if seam.is_mounted(each) else each for each in names]
                original(self, found, trainer)

        return train

    seam.wrap(module.Tokenizer, "from_file", make_from_file)
    seam.wrap(module.Tokenizer, "save", make_save)
    seam.wrap(module.Tokenizer, "train", make_train)


def _models(seam: Seam, module: ModuleType) -> None:
    def make_read(original: Function) -> Function:
        def read(kind: Any, *paths: Any, **more: Any) -> Any:
            with contextlib.ExitStack() as copies:

                def served(value: Any) -> Any:
                    if isinstance(value, (str, os.PathLike)) and seam.is_mounted(value):
                        return copies.enter_context(local_copy(value))
                    return value

                named = {name: served(value) if name in ("vocab", "merges") else value for name, value in more.items()}
                return original(kind, *map(served, paths), **named)

        return read

    def make_save(original: Function) -> Function:
        def save(self: Any, folder: Any, prefix: Any = None) -> Any:
            if not seam.is_mounted(folder):
                return original(self, folder, prefix)
            with ScratchDirectory() as place:
                saved = []
                for local in original(self, place, prefix):
                    path = os.path.join(os.fspath(folder), os.path.basename(local))
                    with real.open(local, "rb") as made, writing(path) as file:
                        file.write(made.read())
                    saved.append(path)
                return saved

        return save

    for kind in (module.BPE, module.WordLevel, module.WordPiece):
        seam.wrap(kind, "from_file", make_read)
    seam.wrap(module.Model, "save", make_save)


HOOKS: Final = (
    Hook("tokenizers", (0, 0), _tokenizer),
    Hook("tokenizers.models", (0, 0), _models),
)
