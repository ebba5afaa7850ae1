"""What a listing, and what opening a small file, cost in requests."""

from __future__ import annotations

from tests.vfs.world import World
from vfsmount.testing import CountingStore


def test_what_was_listed_is_stat_for_nothing(world: World) -> None:
    for index in range(2500):
        world.memory.put_object(f"d/{index:05}", b"x")
    with world.store.expect(list_page=3):
        names = world.names("d")
        assert all(world.stat(f"d/{name}") == (False, 1) for name in names)


def test_what_was_listed_is_opened_with_one_get(world: World) -> None:
    world.put("d/f", "d/g/h")
    world.names("d")
    with world.store.expect(get_range=1):
        assert world.read("d/f") == b"data"


def test_a_small_file_is_opened_read_and_closed_in_one_round_trip(world: World) -> None:
    world.put("d/f", data=b"x" * 100_000)
    held = world.faulty.hold("get_range")
    reading = world.pool.submit(lambda: world.read("d/f"))
    held.wait_arrived()  # and now, beside it, what may hide the file is asked
    for _ in range(1000):
        if world.store.counts["list_page"]:
            break
        world.pool.submit(lambda: None).result(10)
    assert world.store.counts == {"get_range": 1, "list_page": 1}
    held.release()
    assert reading.result(10) == b"x" * 100_000
    assert isinstance(world.store, CountingStore)
    assert world.store.counts == {"get_range": 1, "list_page": 1}


def test_a_missing_name_is_remembered_for_its_own_time() -> None:
    world = World(negative_ttl=5.0)
    world.put("d/f")
    assert not world.exists("none")
    with world.store.expect():
        assert not world.exists("none")
    world.clock.step(5.0)
    with world.store.expect(head=1, list_page=1):
        assert not world.exists("none")
    world.close()
