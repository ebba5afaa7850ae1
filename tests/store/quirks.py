"""What the servers in these tests do to awkward keys, by the name of the case in vfsmount.testing.keys."""

from __future__ import annotations

from typing import Final

from vfsmount.testing.keys import Quirk

WEED: Final[dict[str, Quirk]] = {}
