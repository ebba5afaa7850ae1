"""The frame of every replacement that takes paths: local calls go straight through, mounted ones to an action.

A replacement takes ``(path, *args, **kwargs)`` whatever the original's signature is: bad calls then reach the
original and fail in CPython's own words, and a plain local call costs one substring test. For a mounted path the
arguments are first tried on the original with an empty path, which parses them all and can change nothing (ENOENT).
"""

from __future__ import annotations

import contextlib
import errno
import sys
import warnings
from collections.abc import Callable
from typing import Any

from vfsmount import real
from vfsmount.errors import os_error
from vfsmount.shim.context import ShimContext
from vfsmount.shim.patcher import MISSING
from vfsmount.shim.route import follow_up, names_directory, require_directory
from vfsmount.vfs.ending import Purpose

# The arguments and results of sixty functions have no common type; Any stops at this module's border.
Function = Callable[..., Any]


def by_path(
    context: ShimContext,
    original: Function,
    act: Function,
    *,
    on_file: Function | None = None,
    follow: bool = True,
    purpose: Purpose = Purpose.LOOK,
) -> Function:
    """A replacement for ``original(path, ...)``.

    ``act(target, ...)`` answers for an absolute path below a mount (or a synthetic directory above one),
    ``on_file(entry, ...)`` for one of our descriptors; both get the caller's other arguments, already checked.
    ``follow``, ``purpose``: see ``Router.route``.
    """
    router = context.router
    fds = context.fds

    def call(_: object, /, path: object = MISSING, *args: object, **kwargs: object) -> object:
        # No local name holds an exception that is raised here: its traceback holds the callers' frames, and the two
        # would keep each other, and whatever those frames own, until the garbage collector runs.
        if type(path) is str and not kwargs and router.needle not in path:
            try:
                return original(path, *args) if args else original(path)
            except OSError as error:
                target = after(error, path, kwargs)
                if target is None:
                    raise
            return mounted(act, target, path, args, kwargs)
        if type(path) is str and (not kwargs or kwargs.get("dir_fd") is None):
            for piece in router.pieces:  # as Router.is_foreign, whose call would cost as much as the tests
                if piece in path:
                    break
            else:
                try:
                    return original(path, *args, **kwargs) if args or kwargs else original(path)
                except OSError as error:
                    target = after(error, path, kwargs)
                    if target is None:
                        raise
                return mounted(act, target, path, args, kwargs)
        if path is MISSING:
            return original(*args, **kwargs)
        if isinstance(path, int):
            path = as_number(path)
            entry = fds.get(path) if on_file is not None and not real.in_passthrough() else None
            return original(path, *args, **kwargs) if entry is None else mounted(on_file, entry, path, args, kwargs)
        dir_fd = kwargs.get("dir_fd")
        if type(dir_fd) is bool:
            dir_fd = kwargs["dir_fd"] = as_number(dir_fd)
        try:
            target = router.route(path, dir_fd=dir_fd, follow=follows(kwargs), purpose=purpose)
            local = router.local(path, dir_fd) if target is None else path
        except OSError as error:
            raise follow_up(error, path) from error.__cause__
        if target is not None:
            return mounted(act, target, path, args, kwargs)
        try:
            if local is path:
                return original(path, *args, **kwargs)
            return original(local, *args, **{**kwargs, "dir_fd": None} if "dir_fd" in kwargs else kwargs)
        except OSError as error:
            target = after(error, path, kwargs)
            if target is None:
                if local is not path:
                    follow_up(error, path)
                raise
        return mounted(act, target, path, args, kwargs)

    def follows(kwargs: dict[str, object]) -> bool:
        return follow and bool(kwargs.get("follow_symlinks", True))

    def after(error: OSError, path: object, kwargs: dict[str, object]) -> str | None:
        try:
            return router.retry(error, path, dir_fd=kwargs.get("dir_fd"), follow=follows(kwargs), purpose=purpose)
        except OSError as failed:
            raise follow_up(failed, path) from failed.__cause__

    def mounted(
        action: Function | None, target: object, path: object, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        assert action is not None
        empty = empty_like(path)
        if args or kwargs or empty is not None:
            with contextlib.suppress(OSError):
                original("" if empty is None else empty, *args, **kwargs)
        try:
            return action(target, *args, **kwargs)
        except OSError as error:
            raise follow_up(error, path) from error.__cause__
        except TypeError:
            if not args and not kwargs:
                original("")
            raise

    return call


def as_number(descriptor: int) -> int:
    """``descriptor``, with the warning of Python 3.13 where it is a bool; called by a replacement, on behalf of its
    caller, to whom CPython's own warning would not be ascribed.
    """
    if type(descriptor) is bool and sys.version_info >= (3, 13):
        warnings.warn("bool is used as a file descriptor", RuntimeWarning, stacklevel=3)
        return int(descriptor)
    return descriptor


def empty_like(path: object) -> Any:
    """An empty path of the type of ``path`` where that makes the original warn: it takes any buffer. Else None."""
    if isinstance(path, (str, bytes, int)) or hasattr(path, "__fspath__"):
        return None
    try:
        return type(path)(b"")  # type: ignore[call-arg]
    except TypeError:
        return None


def by_two_paths(
    context: ShimContext,
    original: Function,
    act: Function,
    *,
    leaving: Purpose = Purpose.LOOK,
    taking: Purpose = Purpose.MAKE,
) -> Function:
    """A replacement for ``original(src, dst, ...)``, neither of which follows a link in its last place.

    ``act(source, target)`` gets absolute paths, at least one of them mounted. ``leaving`` is what happens to the first
    name, ``taking`` what happens to the second.
    """
    router = context.router

    def call(_: object, /, src: object = MISSING, dst: object = MISSING, *args: object, **kwargs: object) -> object:
        if src is MISSING or dst is MISSING:
            given = {name: path for name, path in (("src", src), ("dst", dst)) if path is not MISSING}
            return original(*args, **given, **kwargs)
        if (
            type(src) is str
            and type(dst) is str
            and not kwargs
            and router.needle not in src
            and router.needle not in dst
        ):
            try:
                return original(src, dst, *args)
            except OSError as error:
                source, target = after(error, src, dst, kwargs)
                if source is None and target is None:
                    raise
            return mounted(source, target, src, dst, args, kwargs)
        src_fd, dst_fd = kwargs.get("src_dir_fd"), kwargs.get("dst_dir_fd")
        try:
            source = router.route(src, dir_fd=src_fd, follow=False, purpose=leaving)
            target = router.route(dst, dir_fd=dst_fd, follow=False, purpose=taking)
            if source is None and target is None:
                local, local2 = router.local(src, src_fd), router.local(dst, dst_fd)
        except OSError as error:
            raise follow_up(error, src, dst) from error.__cause__
        if source is not None or target is not None:
            return mounted(source, target, src, dst, args, kwargs)
        options = dict(kwargs)
        if local is not src:
            options["src_dir_fd"] = None
        if local2 is not dst:
            options["dst_dir_fd"] = None
        try:
            return original(local, local2, *args, **options)
        except OSError as error:
            source, target = after(error, src, dst, kwargs)
            if source is None and target is None:
                follow_up(error, src, dst)
                raise
        return mounted(source, target, src, dst, args, kwargs)

    def after(error: OSError, src: object, dst: object, kwargs: dict[str, object]) -> tuple[str | None, str | None]:
        try:
            source = router.retry(error, src, dir_fd=kwargs.get("src_dir_fd"), follow=False, purpose=leaving)
            return source, router.retry(error, dst, dir_fd=kwargs.get("dst_dir_fd"), follow=False, purpose=taking)
        except OSError as failed:
            raise follow_up(failed, src, dst) from failed.__cause__

    def mounted(
        source: str | None,
        target: str | None,
        src: object,
        dst: object,
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> object:
        # The original judges the arguments, and a path of a wrong type beside a mounted one.
        with contextlib.suppress(OSError):
            original("" if source is not None else src, "", *args, **kwargs)
        if target is None:
            with contextlib.suppress(OSError):
                original("", dst, *args, **kwargs)
        try:
            first = source if source is not None else router.absolute(src, kwargs.get("src_dir_fd"))
            second = target if target is not None else router.absolute(dst, kwargs.get("dst_dir_fd"))
            if first is None or second is None:  # the empty path, the only one that passed the original's judgement
                raise os_error(errno.ENOENT)
            if source is not None and names_directory(dst) and context.table.covers(source):
                require_directory(context.table.stat(source), source)  # rename(2): only a directory becomes "name/"
            return act(first, second)
        except OSError as error:
            raise follow_up(error, src, dst) from error.__cause__

    return call
