"""Where a mount differs from a directory on disk: the one list that the POSIX tests go by.

Each entry: what the operation does on the mount instead, and why. An operation that differs without an entry fails its
test, and so does an entry for one that does not differ.
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple


class Divergence(NamedTuple):
    """What happens instead: an errno, or a result."""

    outcome: object
    reason: str


def _fails(number: int, reason: str) -> Divergence:
    return Divergence(errno.errorcode[number], reason)


_SEQUENTIAL_ONLY: Final = 'an object is written once, from its beginning; writes="staged" lifts it'
_ONE_OR_MANY: Final = "one writer or many readers"
_NO_METADATA: Final = "a bucket keeps no modes, owners or times of one's own"
_NO_LINKS: Final = "a bucket has no links and no special files"
_LINKS_COUNT: Final = "nothing counts the directories below a directory"

EVERYWHERE: Final[dict[str, Divergence]] = {
    "chmod": _fails(errno.EPERM, _NO_METADATA),
    "fchmod": _fails(errno.EPERM, _NO_METADATA),
    "chown": _fails(errno.EPERM, _NO_METADATA),
    "utime": _fails(errno.EPERM, _NO_METADATA),
    "utime of a directory": _fails(errno.EPERM, _NO_METADATA),
    "symlink": _fails(errno.EPERM, _NO_LINKS),
    "link": _fails(errno.EPERM, _NO_LINKS),
    "mkfifo": _fails(errno.EPERM, _NO_LINKS),
    "flock": _fails(errno.ENOTSUP, "a bucket has no locks"),
    "lockf": _fails(errno.ENOTSUP, "a bucket has no locks"),
    "posix_fallocate": _fails(errno.ENOTSUP, "space in a bucket cannot be reserved"),
    "open with O_SYNC": _fails(errno.EINVAL, "an object appears as a whole; use fsync"),
    "links of a directory": Divergence(2, _LINKS_COUNT),
    "copy with metadata": _fails(errno.EPERM, _NO_METADATA),
    "rmdir of what another file made": _fails(errno.EPERM, "a directory in the bucket is its keys"),
}
"""In both modes of writing."""

SEQUENTIAL: Final[dict[str, Divergence]] = {
    **EVERYWHERE,
    "append": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "update in place": Divergence("UnsupportedOperation", _SEQUENTIAL_ONLY),
    "write after a seek": _fails(errno.EINVAL, _SEQUENTIAL_ONLY),
    "write leaving a hole": _fails(errno.EINVAL, _SEQUENTIAL_ONLY),
    "read back what is being written": Divergence("UnsupportedOperation", _SEQUENTIAL_ONLY),
    "overwrite without truncation": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "touch an existing file": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "truncate to a part": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "truncate to more": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "truncate to nothing": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "ftruncate while writing": _fails(errno.EPERM, _SEQUENTIAL_ONLY),
    "write after fsync": _fails(errno.EIO, "fsync publishes the object, and that ends it"),
    "two writers": _fails(errno.EPERM, _ONE_OR_MANY),
    "read while writing": _fails(errno.EPERM, _ONE_OR_MANY),
    "truncate while reading": _fails(errno.EPERM, _ONE_OR_MANY),
    "unlink while writing": _fails(errno.EPERM, _ONE_OR_MANY),
    "rename while writing": _fails(errno.EPERM, _ONE_OR_MANY),
    "write through mmap": _fails(errno.EACCES, _SEQUENTIAL_ONLY),
}

STAGED: Final[dict[str, Divergence]] = {
    **EVERYWHERE,
}


_PHANTOM: Final = "SeaweedFS goes on listing a directory for a while after its last key is gone"
SERVER_LIMITS: Final[dict[str, dict[str, str]]] = {
    "memory": {},
    "moto": {"a newline in a name": "moto's routes match no newline, so that every such key is 404"},
    "weed": {
        "a backslash in a name": "SeaweedFS takes a backslash in a key for a slash",
        "rmdir after the last file": _PHANTOM,
        "rmtree": _PHANTOM,
        "rename of a directory": _PHANTOM,
        "rename of a directory over an empty one": _PHANTOM,
    },
}
"""Operations that a server cannot be asked for, with the reason; each runs on the other stores."""
