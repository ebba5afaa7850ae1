"""An event loop in a thread: whoever waits for it hears of its end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from vfsmount.errors import Unavailable
from vfsmount.store.loop_thread import LoopThread


async def one() -> int:
    return 1


def test_what_is_on_its_way_when_the_loop_is_closed_fails_and_does_not_wait_for_ever() -> None:
    loop = LoopThread("test")
    begun = threading.Event()
    heard: list[BaseException] = []

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            loop.call(endless)
        except BaseException as error:  # noqa: BLE001 - whatever it is is looked at below
            heard.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert begun.wait(10)
    loop.close()
    waiting.join(10)
    assert [type(error) for error in heard] == [Unavailable]


@pytest.mark.parametrize("stopped_only", [True, False])
def test_a_call_after_the_end_fails_at_once(stopped_only: bool) -> None:
    loop = LoopThread("test")
    assert loop.call(one) == 1
    if stopped_only:  # as in the moment before it is closed too
        loop.loop.call_soon_threadsafe(loop.loop.stop)
        loop._thread.join(10)
    else:
        loop.close()
    heard: list[BaseException] = []

    def call() -> None:
        with pytest.raises(Unavailable) as caught:
            loop.call(one)
        heard.append(caught.value)

    calling = threading.Thread(target=call, daemon=True)
    calling.start()
    calling.join(10)
    assert len(heard) == 1
    loop.close()


def test_what_a_coroutine_raises_comes_as_it_is() -> None:
    loop = LoopThread("test")

    async def late() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        loop.call(late)
    loop.close()
