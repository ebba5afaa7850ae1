"""Window arithmetic: what is requested next, and no I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfsmount.transfer.window import (
    EARLY_GROWTH,
    FIRST_REQUEST,
    GROWTH,
    LEAST_WIDTH,
    PART,
    RANDOM_REQUEST,
    WHOLE_PART,
    WIDTH,
    Pace,
    Range,
    Window,
    split,
)

KIB, MIB = 1 << 10, 1 << 20
SIZES = st.one_of(
    st.integers(0, 4 * PART),
    st.sampled_from([0, 1, FIRST_REQUEST - 1, FIRST_REQUEST, FIRST_REQUEST + 1, PART - 1, PART, PART + 1, 40 * PART]),
)


def requests(window: Window, position: int, wanted: int) -> list[Range]:
    """What is started when the reader stands at ``position``."""
    limit = max(position + window.ahead(position, wanted), position + 1)
    found: list[Range] = []
    while (part := window.upcoming(limit)) is not None:
        found.append(part)
        window.accept(part.end)
    return found


def scan(window: Window, block: int = MIB) -> list[Range]:
    """Every request of a reader that goes from the beginning to the end."""
    found: list[Range] = []
    for position in range(0, window.size, block):
        found += requests(window, position, block)
    return found


def test_requests_grow_up_to_a_part_and_end_on_a_grid() -> None:
    ends = [part.end for part in scan(Window(10 * PART))]
    assert ends[:7] == [256 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 24 * MIB]
    assert {end % PART for end in ends[5:]} == {0}


def test_a_glance_at_the_beginning_asks_once() -> None:
    window = Window(10 * PART)
    assert requests(window, 0, MIB) == [Range(0, FIRST_REQUEST)]
    assert requests(window, 100 * KIB, 0) == []


def test_the_distance_ahead_grows_with_what_was_consumed_up_to_the_cap() -> None:
    window = Window(1000 * PART)
    seen = [window.ahead(position, MIB) for position in (FIRST_REQUEST, MIB, 4 * MIB, 8 * MIB, 100 * MIB)]
    assert seen[:2] == [(FIRST_REQUEST + MIB) * EARLY_GROWTH, 2 * MIB * EARLY_GROWTH]
    assert seen[2:] == [5 * MIB * GROWTH, 9 * MIB * GROWTH, WIDTH * PART]


def test_nothing_is_asked_beyond_the_end() -> None:
    window = Window(PART + 1)
    assert scan(window)[-1].end == PART + 1
    assert window.upcoming(100 * PART) is None


def test_a_few_last_bytes_are_no_request_of_their_own() -> None:
    assert [part.end for part in scan(Window(PART + 5))][-2:] == [4 * MIB, PART + 5]


def test_an_empty_object_asks_nothing() -> None:
    assert scan(Window(0)) == []
    assert split(0, 0) == []


def test_a_jump_fetches_little_and_forgets_the_pace() -> None:
    window = Window(100 * PART)
    scan(window)
    first = window.restart(50 * PART, 4096)
    assert first == Range(50 * PART, 50 * PART + 4096)
    window.begin(first.end)
    assert window.ahead(50 * PART, 4096) == 0  # no pattern yet, so nothing ahead
    assert window.request == FIRST_REQUEST


def test_a_jump_reads_no_more_than_a_random_request_or_a_part() -> None:
    window = Window(100 * PART)
    assert window.restart(7, MIB) == Range(7, 7 + RANDOM_REQUEST)
    assert window.restart(7, 3 * PART) == Range(7, 7 + PART)
    assert window.restart(100 * PART - 5, 100) == Range(100 * PART - 5, 100 * PART)
    assert window.restart(9, 0) == Range(9, 10)


def test_a_jump_fetches_all_at_once_for_who_takes_all() -> None:
    window = Window(100 * PART)
    assert window.restart(7, MIB, whole=True) == Range(7, 7 + MIB)
    assert window.restart(0, 3 * PART, whole=True) == Range(0, PART)
    window.begin(PART)
    assert window.ahead(0, 3 * PART, whole=True) == 3 * PART


@given(size=SIZES, block=st.sampled_from([100 * KIB, MIB, 3 * MIB, PART, 50 * PART]))
def test_a_scan_covers_the_object_once_and_in_order(size: int, block: int) -> None:
    window = Window(size)
    position = 0
    for part in scan(window, block):
        assert part.start == position
        assert part.start < part.end <= size
        assert part.end - part.start <= 1.5 * PART + FIRST_REQUEST
        position = part.end
    assert position == size or window.size - position < block  # the last step may not have been taken


@given(
    size=st.integers(1, 30 * PART),
    cap=st.integers(LEAST_WIDTH, WIDTH),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 1, exclude_max=True), st.integers(1, 2 * PART)), max_size=12),
)
def test_requests_follow_each_other_and_stay_within_the_cap(
    size: int, cap: int, steps: list[tuple[bool, float, int]]
) -> None:
    window = Window(size, pace=Pace(cap=cap * PART))
    position = 0
    for jump, where, wanted in steps:
        if jump:
            position = int(where * size)
            first = window.restart(position, wanted)
            assert first.start == position < first.end <= size
            window.begin(first.end)
        if position >= size:
            break
        before = window.next
        for part in requests(window, position, wanted):
            assert part.start == before < part.end <= size
            before = part.end
        assert window.next == before
        assert window.next - position <= max(cap * PART, wanted) + 2 * PART
        position = min(position + wanted, window.next)


@given(start=st.integers(0, 50), length=st.integers(0, 200), part=st.integers(1, 60))
def test_split_covers_exactly(start: int, length: int, part: int) -> None:
    pieces = split(start, start + length, part)
    assert [at for piece in pieces for at in range(*piece)] == list(range(start, start + length))
    assert all(0 < piece.end - piece.start <= part for piece in pieces)


@given(start=st.integers(0, PART), length=st.integers(1, 300 * MIB))
def test_a_read_of_everything_is_as_wide_as_it_can_be(start: int, length: int) -> None:
    pieces = split(start, start + length)
    assert all(piece.end - piece.start <= PART for piece in pieces)
    assert (pieces[0].start, pieces[-1].end) == (start, start + length)
    assert len(pieces) <= max(WIDTH, length / PART) + 2
    assert len(pieces) <= length / WHOLE_PART + 2


def consume(pace: Pace, rate: float, parts: int, now: float = 0.0) -> float:
    for _ in range(parts):
        pace.consumed(PART, now)
        now += PART / rate
    return now


def test_the_cap_follows_what_a_slow_reader_takes() -> None:
    pace = Pace()
    assert pace.cap == WIDTH * PART
    pace.took(PART, 0.1)
    consume(pace, 50e6, 4 * WIDTH)
    assert pace.cap == LEAST_WIDTH * PART  # 50 MB/s for 0.1 s, twice, are 10 MB


def test_the_cap_follows_the_network() -> None:
    pace = Pace()
    pace.took(PART, 0.1)
    consume(pace, 400e6, 4 * WIDTH)
    assert pace.cap == pytest.approx(2 * 400e6 * 0.1, rel=0.01)


def test_the_cap_comes_back_when_the_reader_hurries() -> None:
    pace = Pace()
    pace.took(PART, 0.1)
    now = consume(pace, 10e6, 4 * WIDTH)
    assert pace.cap == LEAST_WIDTH * PART
    consume(pace, 5e9, 4 * WIDTH, now)
    assert pace.cap == WIDTH * PART


def test_queues_of_our_own_do_not_count() -> None:
    pace = Pace()
    for seconds in (0.1, 0.8, 0.9):
        pace.took(PART, seconds)
    pace.took(FIRST_REQUEST, 0.01)
    assert pace.seconds == 0.1


def test_nothing_is_concluded_before_something_was_measured() -> None:
    pace = Pace()
    consume(pace, 1e6, 4 * WIDTH)
    assert pace.cap == WIDTH * PART
