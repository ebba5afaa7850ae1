"""Which files are fetched ahead: arithmetic alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vfsmount.transfer.sequence import MOST_WIDTH, START, OpenSequence


def test_nothing_ahead_of_the_first_opens() -> None:
    files = OpenSequence(100)
    assert [list(files.opened(position)) for position in range(START - 1)] == [[]] * (START - 1)
    assert list(files.opened(START - 1)) == [START, START + 1]


def test_the_width_doubles_up_to_its_limit_and_each_file_is_fetched_once() -> None:
    files = OpenSequence(1000)
    widths, fetched = [], []
    for position in range(1000):
        fetched += files.opened(position)
        widths.append(files.width)
    assert widths[:8] == [0, 0, 2, 4, 8, 16, 16, 16]
    assert max(widths) == MOST_WIDTH
    assert fetched == list(range(START, 1000))
    assert files.ended


def test_the_first_departure_ends_it() -> None:
    files = OpenSequence(100)
    for position in range(10):
        files.opened(position)
    assert list(files.opened(50)) == []
    assert files.width == 0
    assert [list(files.opened(position)) for position in (51, 52)] == [[], [53, 54]]


def test_backwards_and_every_second_are_no_sequence() -> None:
    assert not any(OpenSequence(100).opened(position) for position in range(99, -1, -1))
    files = OpenSequence(100)
    assert not any(files.opened(position) for position in range(0, 100, 2))


def test_opening_again_changes_nothing() -> None:
    files = OpenSequence(100)
    asked = [list(files.opened(position)) for position in (0, 0, 1, 1, 2, 2, 3)]
    assert asked == [[], [], [], [], [3, 4], [], [5, 6, 7]]


def test_a_sequence_read_to_its_end_carries_over_to_the_next_directory() -> None:
    files = OpenSequence(10, width=8)
    assert list(files.opened(0)) == list(range(1, 10))
    files = OpenSequence(10, width=8)
    assert list(files.opened(5)) == []  # but not into its middle


@given(st.integers(1, 50), st.lists(st.integers(0, 49), max_size=60))
def test_never_outside_and_never_more_than_the_width(count: int, opened: list[int]) -> None:
    files = OpenSequence(count)
    for position in opened:
        if position < count:
            ahead = files.opened(position)
            assert all(position < one < count for one in ahead)
            assert all(one <= position + MOST_WIDTH for one in ahead)
