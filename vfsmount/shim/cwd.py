"""A current directory that may lie inside a mount, where the kernel's cannot."""

from __future__ import annotations


class VirtualCwd:
    """Where relative paths start while the process stands inside a mount; the kernel's own directory otherwise.

    Process-wide, as the kernel's is. The kernel's directory stays where it was when the process entered the mount, so
    that leaving the session finds the process somewhere real.
    """

    __slots__ = ("path",)

    def __init__(self) -> None:
        self.path: str | None = None
        """Absolute and normalised; None while the kernel's directory holds."""

    def __repr__(self) -> str:
        return f"VirtualCwd({self.path!r})"
