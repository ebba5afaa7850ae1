"""Window arithmetic: what is requested next, and no I/O."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vfsmount.transfer.window import FIRST_REQUEST, PART, RANDOM_REQUEST, WIDTH, Range, Window, split

KIB = 1 << 10
SIZES = st.one_of(
    st.integers(0, 4 * PART),
    st.sampled_from([0, 1, FIRST_REQUEST - 1, FIRST_REQUEST, FIRST_REQUEST + 1, PART - 1, PART, PART + 1, 40 * PART]),
)


def scan(window: Window) -> list[Range]:
    """Every request of a reader that consumes range after range."""
    requested: list[Range] = []
    position = 0
    while position < window.size:
        requested += window.wanted(position)
        position = next(part.end for part in requested if part.start <= position < part.end)
        window.advance(position)
    return requested


def test_requests_grow_up_to_a_part() -> None:
    lengths = [part.end - part.start for part in scan(Window(10 * PART))]
    assert lengths[:4] == [256 * KIB, 1024 * KIB, 4096 * KIB, PART]
    assert set(lengths[4:-1]) == {PART}


def test_the_distance_ahead_grows_up_to_the_cap() -> None:
    window = Window(1000 * PART)
    seen = []
    for _ in range(12):
        window.advance(0)
        seen.append(window.ahead)
    assert seen[:3] == [4 * FIRST_REQUEST, 16 * FIRST_REQUEST, 64 * FIRST_REQUEST]
    assert seen[-1] == PART * WIDTH == window.cap


def test_nothing_is_asked_beyond_the_end() -> None:
    window = Window(FIRST_REQUEST + 1)
    window.advance(0)
    assert window.wanted(0) == [Range(0, FIRST_REQUEST), Range(FIRST_REQUEST, FIRST_REQUEST + 1)]
    assert window.wanted(FIRST_REQUEST) == []


def test_an_empty_object_asks_nothing() -> None:
    window = Window(0)
    window.advance(0)
    assert window.wanted(0) == []
    assert split(0, 0) == []


def test_a_jump_fetches_little_and_forgets_the_pace() -> None:
    window = Window(100 * PART)
    scan_until = window.wanted(0)[-1].end
    for _ in range(10):
        window.advance(scan_until)
    assert window.restart(50 * PART, 4096) == Range(50 * PART, 50 * PART + 4096)
    assert window.wanted(50 * PART) == []  # no pattern yet, so nothing ahead
    assert window.request == FIRST_REQUEST


def test_a_jump_reads_no_more_than_a_random_request_or_a_part() -> None:
    window = Window(100 * PART)
    assert window.restart(7, 1 << 20) == Range(7, 7 + RANDOM_REQUEST)
    assert window.restart(7, 3 * PART) == Range(7, 7 + PART)
    assert window.restart(100 * PART - 5, 100) == Range(100 * PART - 5, 100 * PART)
    assert window.restart(9, 0) == Range(9, 10)


def test_a_jump_fetches_all_at_once_for_who_takes_all() -> None:
    window = Window(100 * PART)
    assert window.restart(7, 1 << 20, whole=True) == Range(7, 7 + (1 << 20))
    assert window.wanted(7) == []
    assert window.restart(7, 3 * PART, whole=True) == Range(7, 7 + PART)
    assert window.wanted(7) == [Range(7 + PART, 7 + 2 * PART), Range(7 + 2 * PART, 7 + 3 * PART)]


@given(size=SIZES)
def test_a_scan_covers_the_object_once_and_in_order(size: int) -> None:
    requested = scan(Window(size))
    position = 0
    for part in requested:
        assert part.start == position
        assert part.start < part.end <= size
        assert part.end - part.start <= PART
        position = part.end
    assert position == size


@given(
    size=st.integers(1, 4 * PART),
    jumps=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2 * PART)), max_size=8),
)
def test_after_any_jumps_requests_follow_each_other(size: int, jumps: list[tuple[float, int]]) -> None:
    window = Window(size)
    for where, wanted in jumps:
        start = int(where * size)
        first = window.restart(start, wanted)
        assert first.start == start < first.end <= size
        window.advance(first.end)
        position = first.end
        for part in window.wanted(first.end):
            assert part.start == position < part.end <= size
            position = part.end
        assert window.next == position


@given(start=st.integers(0, 50), length=st.integers(0, 200), part=st.integers(1, 60))
def test_split_covers_exactly(start: int, length: int, part: int) -> None:
    pieces = split(start, start + length, part)
    assert [at for piece in pieces for at in range(*piece)] == list(range(start, start + length))
    assert all(0 < piece.end - piece.start <= part for piece in pieces)
