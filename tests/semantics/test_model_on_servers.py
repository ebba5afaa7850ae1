"""The random operations of test_model.py on real servers: moto, and SeaweedFS as far as it keeps what it is given."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.semantics.buckets import ServerBucket
from tests.semantics.test_model import AWKWARD, BUCKETS, NAMES, ON_SERVERS, Machine
from tests.servers import Server
from tests.store.quirks import MOTO
from vfsmount.testing.keys import KEYS
from vfsmount.testing.reference import above

REFUSED_BY_MOTO: Final = [case.key for case in KEYS if case.name in MOTO]


class OnMoto(Machine):
    where = "moto"

    def takes(self, key: str) -> bool:
        return not any(key.endswith(odd) for odd in REFUSED_BY_MOTO)


class StagedOnMoto(OnMoto):
    staged = True


class MarkersOnMoto(OnMoto):
    keep_dirs = True


class OnWeed(Machine):
    """SeaweedFS keeps directories of its own: a key is either a file or a directory, directories stay when their last
    key is gone, and it rewrites awkward keys. So nothing is deleted here, and other clients put what does not clash."""

    where = "weed"
    tidy = False

    def takes(self, key: str) -> bool:
        if any(key.endswith(odd) for odd in [*AWKWARD, "/"]) or set(key.split("/")) - set(NAMES):
            return False
        for mount in self.mounts:
            if not key.startswith(mount.key_prefix):
                continue
            path = key[len(mount.key_prefix) :]
            shown = {**mount.shown(), **{handle.path: b"" for handle in self.handles if handle.mount is mount}}
            if path in shown and shown[path] is None:
                return False
            if any(shown.get(one) is not None for one in above(path)):
                return False
            if any(other.startswith(f"{path}/") for other in shown):
                return False
        return True


class StagedOnWeed(OnWeed):
    staged = True


@pytest.fixture(scope="module")
def _on_moto(moto: Server) -> None:
    BUCKETS["moto"] = lambda: ServerBucket(moto, moto.new_bucket())


@pytest.fixture(scope="module")
def _on_weed(weed: Server) -> None:
    BUCKETS["weed"] = lambda: ServerBucket(weed, weed.new_bucket())


def _case(machine: type[Machine]) -> Any:
    case = pytest.mark.slow(pytest.mark.servers(pytest.mark.usefixtures(f"_on_{machine.where}")(machine.TestCase)))
    case.settings = ON_SERVERS
    return case


TestOnMoto = _case(OnMoto)
TestStagedOnMoto = _case(StagedOnMoto)
TestMarkersOnMoto = _case(MarkersOnMoto)
TestOnWeed = _case(OnWeed)
TestStagedOnWeed = _case(StagedOnWeed)
