"""Memory that is filled in place."""

from __future__ import annotations

from vfsmount.transfer.filled import Filled


def test_what_was_filled_is_the_value() -> None:
    with Filled(5) as filled:
        filled.out[:3] = b"abc"
        filled.out[3:] = b"de"
    assert filled.value() == b"abcde"
