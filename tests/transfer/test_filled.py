"""Memory that is filled in place."""

from __future__ import annotations

import gc
import sys

import pytest

from vfsmount.transfer.filled import Filled


def test_what_was_filled_is_the_value() -> None:
    with Filled(5) as filled:
        filled.out[:3] = b"abc"
        filled.out[3:] = b"de"
    assert filled.value() == b"abcde"


def test_it_is_collected_in_silence_while_its_memory_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames of an upload's error may keep both, and know each other; Python 3.13 reports a failing close."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    filled = Filled(5)
    cycle: list[object] = [filled, filled.out, filled.out[1:]]
    cycle.append(cycle)
    del filled, cycle
    gc.collect()
    assert said == []
