"""In the place of a class that is written in C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class StandIn:
    """To all who make objects of ``original``, by ``make``, or ask for it; those of ``also`` count as its own.

    Not a subclass: OpenCV frees an object of a subclass as if it were none, which corrupts the memory.
    """

    def __init__(self, original: Any, make: Callable[..., Any], also: tuple[type, ...] = ()) -> None:
        self._original = original
        self._make = make
        self._also = also

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._make(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, (self._original, *self._also))

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(kind, self._original)

    def __mro_entries__(self, bases: object) -> tuple[Any, ...]:
        return (self._original,)
