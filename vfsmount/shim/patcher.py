"""Patching with a ledger: every change is written down, and undone in reverse only where it is still ours."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

if TYPE_CHECKING:
    import inspect

_log: Final = logging.getLogger(__name__)


_module_dict: Final[Any] = vars(ModuleType)["__dict__"]
_class_dict: Final[Any] = vars(type)["__dict__"]


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Final = _Missing()
"""Stands for "no such name" where None is a value."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry: ``put(before)`` undoes what ``put(after)`` did, if ``get()`` still answers ``after``."""

    where: str
    """For the log."""
    before: object
    after: object
    get: Callable[[], object]
    put: Callable[[object], None]


class Ledger:
    """Changes in the order in which they were made."""

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        self._changes: list[Change] = []

    def __len__(self) -> int:
        return len(self._changes)

    def changes(self, since: int = 0) -> list[Change]:
        """All but the first ``since`` of them."""
        return self._changes[since:]

    def patch(self, namespace: ModuleType | type, name: str, value: object) -> None:
        """Set ``namespace.name`` to ``value``; nothing happens if it is that already."""
        before = lookup(namespace, name)
        if before is value:
            return

        def get() -> object:
            return lookup(namespace, name)

        def put(new: object) -> None:
            assign(namespace, name, new)

        self.record(Change(f"{_name_of(namespace)}.{name}", before, value, get, put))

    def record(self, change: Change) -> None:
        """Make ``change`` and write it down."""
        change.put(change.after)
        self._changes.append(change)

    def undo(self) -> list[str]:
        """Undo everything, last first; returns and logs what somebody else has changed since, which is left."""
        left: list[str] = []
        while self._changes:
            change = self._changes.pop()
            if change.get() is change.after:
                change.put(change.before)
            else:
                left.append(change.where)
                _log.warning("%s was patched by somebody else after vfsmount did; it is left as it is", change.where)
        return left


def namespace_of(owner: object) -> dict[str, object] | None:
    """The ``__dict__`` of a module-like object without running code of its own (lazy modules load on getattr); None
    if it has none.
    """
    try:
        if issubclass(type(owner), ModuleType):
            found = _module_dict.__get__(owner)
        else:
            found = object.__getattribute__(owner, "__dict__")
    except (AttributeError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def lookup(namespace: ModuleType | type, name: str) -> object:
    """What ``namespace`` itself holds under ``name``: a staticmethod stays one, nothing is inherited."""
    if _is_class(namespace):
        return _class_dict.__get__(namespace).get(name, MISSING)
    held = namespace_of(namespace)
    return MISSING if held is None else held.get(name, MISSING)


def assign(namespace: ModuleType | type, name: str, value: object) -> None:
    """The inverse of :func:`lookup`; MISSING deletes."""
    if _is_class(namespace):
        try:
            if value is MISSING:
                type.__delattr__(namespace, name)
            else:
                type.__setattr__(namespace, name, value)
        except TypeError:
            # A metaclass written in C insists on its own; a class that cannot be changed raises again.
            if value is MISSING:
                delattr(namespace, name)
            else:
                setattr(namespace, name, value)
        return
    held = namespace_of(namespace)
    assert held is not None
    if value is MISSING:
        held.pop(name, None)
    else:
        held[name] = value


def disguise(function: object, original: object) -> None:
    """Give a plain function the name, documentation and signature of what it replaces, so that it pickles by
    reference.
    """
    if not isinstance(function, FunctionType) or not callable(original):
        return
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        value = getattr(original, name, None)
        if value is not None or name == "__doc__":
            setattr(function, name, value)
    text = getattr(original, "__text_signature__", None)
    if isinstance(text, str):
        # inspect.getfullargspec leaves a builtin's module out, and takes a function's text at its word.
        plain = re.sub(r"^\(\$module(, /)?(, )?", "(", text)
        function.__text_signature__ = plain  # type: ignore[attr-defined]
    # inspect.signature follows this lazily; computing seventy signatures would take longer than all the rest.
    function.__wrapped__ = original  # type: ignore[attr-defined]


class _Home:
    """What a replacement of a function written in C is bound to, as that is to its module. Pickles as the module."""

    __slots__ = ("_module",)

    def __init__(self, module: str) -> None:
        self._module = module

    def __reduce__(self) -> tuple[object, ...]:
        return importlib.import_module, (self._module,)

    def __getattr__(self, name: str) -> object:  # copy.copy() looks a method's function up here
        return getattr(importlib.import_module(self._module), name)

    def __deepcopy__(self, memo: object) -> _Home:
        return self

    def __repr__(self) -> str:
        return f"<module {self._module!r}>"


class _Wrapped:
    """An original, as ``inspect.signature`` is to see it: with the parameter that a method has been given already."""

    __slots__ = ("__wrapped__",)

    def __init__(self, original: Any) -> None:
        self.__wrapped__ = original

    @property
    def __signature__(self) -> inspect.Signature:
        import inspect

        found = inspect.signature(self.__wrapped__)
        first = inspect.Parameter("_", inspect.Parameter.POSITIONAL_ONLY)
        return found.replace(parameters=[first, *found.parameters.values()])


def stand_in(function: object, original: object) -> object:
    """``function``, disguised as what it replaces, in a form that behaves as that does in a class.

    A function written in C does not bind there (``class Files: opener = os.open``), one in Python does. So what
    replaces such a function takes one parameter before the caller's, called ``_``, and is a bound method, which does
    not bind again and costs a call nothing. (The original itself may be Python, where somebody else patched it.)
    """
    disguise(function, original)
    if not isinstance(function, FunctionType) or function.__code__.co_varnames[:1] != ("_",):
        return function
    function.__wrapped__ = _Wrapped(original)  # type: ignore[attr-defined]
    return MethodType(function, _Home(function.__module__))


def _name_of(namespace: ModuleType | type) -> str:
    if _is_class(namespace):
        return namespace.__qualname__
    name = lookup(namespace, "__name__")
    return name if isinstance(name, str) else repr(type(namespace))


def _is_class(namespace: object) -> TypeGuard[type]:
    # isinstance would ask a lazy module for its __class__.
    return issubclass(type(namespace), type)
