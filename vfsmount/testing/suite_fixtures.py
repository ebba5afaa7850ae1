"""What a subclass of the suite provides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import pytest

from vfsmount.store.protocol import Store
from vfsmount.testing.keys import Quirk


class RawBucket(Protocol):
    """The bucket, reached by another way than the store under test."""

    def put(self, key: str, data: bytes) -> None:
        """Store an object as another client would."""

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None where there is none."""

    def delete(self, key: str) -> None:
        """Delete an object as another client would."""

    def uploads(self) -> list[str]:
        """Keys of the uploads that are neither completed nor aborted; empty where the service cannot tell."""


class SuiteFixtures:
    """Override ``store`` and ``raw``, both over one empty bucket."""

    quirks: ClassVar[Mapping[str, Quirk]] = {}
    """What the server does to keys, by the name of the key's case."""

    departures: ClassVar[frozenset[str]] = frozenset()
    """Where the service is known to differ, which is asserted too.

    ``complete ignores if_match``; ``prefixes on every page``; ``markers of empty directories only``; ``directories
    stay`` (when the last file below is deleted); ``no file beside a directory of its name``.
    """

    many: ClassVar[int] = 25
    """Objects that are deleted by one call."""

    @pytest.fixture
    def store(self) -> Store:
        """The store under test."""
        raise NotImplementedError("a subclass of StoreSuite must have a fixture 'store'")

    @pytest.fixture
    def raw(self) -> RawBucket:
        """A way behind its back."""
        raise NotImplementedError("a subclass of StoreSuite must have a fixture 'raw'")
