"""lxml: ``etree.parse`` on a file object that keeps the path as the document's address."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Final

from vfsmount.hooks.hook import Function, Hook, Seam


def _etree(seam: Seam, module: ModuleType) -> None:
    def make(original: Function) -> Function:
        def parse(source: Any, parser: Any = None, *, base_url: Any = None) -> Any:
            if not seam.is_mounted(source):
                return original(source, parser, base_url=base_url)
            with open(source, "rb") as file:
                return original(file, parser, base_url=os.fspath(source) if base_url is None else base_url)

        return parse

    seam.wrap(module, "parse", make)


HOOKS: Final = (Hook("lxml.etree", (6, 6), _etree),)
