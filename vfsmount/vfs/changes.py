"""What another process that mounts the same is told, and tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfsmount.vfs.attrs import AttrCache
    from vfsmount.vfs.local import LocalState


class Changes:
    """Of one mount: of its names and files, and of directories that are in no bucket. No request."""

    def __init__(self, local: LocalState, cache: AttrCache) -> None:
        self._local = local
        self._cache = cache

    def share(self, tell: Callable[[str, bool, Mapping[str, int]], None] | None) -> None:
        """Have the other told of each change that is made here, for its :meth:`take`; None: nobody.

        ``tell`` gets the path, whether all below it is meant, and the local directories at, above and below it.
        """

        def told(path: str, below: bool) -> None:
            if tell is not None:
                tell(path, below, self._local.made(path, below=below))

        self._cache.told = None if tell is None else told

    def take(self, path: str, below: bool, made: Mapping[str, int]) -> None:
        """The other has changed ``path``."""
        self._local.set_made(path, made, below=below)
        if below:
            self._cache.drop_below(path, quiet=True)
        else:
            self._cache.drop(path, quiet=True)

    def made(self) -> dict[str, int]:
        """All local directories, with their times."""
        return self._local.made("", below=True)
