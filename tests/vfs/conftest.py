"""Worlds that close their threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.vfs.world import World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Worlds with options."""
    made: list[World] = []

    def make(**options: object) -> World:
        world = World(**options)  # type: ignore[arg-type]
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """With the defaults of ``CloudBucketMount``."""
    return make_world()
