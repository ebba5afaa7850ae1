"""``fsync`` of a file that is being written: what a staged one holds is published, as in process.

On other mounts a file is published once, when it is closed: it succeeds there, and says nothing of the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfsmount.children.supervisor.call import PROCEED
from vfsmount.children.supervisor.processes import Process, say
from vfsmount.errors import reason

if TYPE_CHECKING:
    from vfsmount.children.supervisor.call import Call

SYNCS: Final = frozenset({"fsync", "fdatasync"})


def sync(call: Call) -> int:
    """Raises: OSError, what the upload failed with; the close after it tries again."""
    family = call.family
    writer = family.closing.written(call, call.integer(0))
    if writer is None:
        return PROCEED
    family.take_time()
    with writer.lock:
        path = writer.where
        try:
            return 0 if path is not None and writer.publish() else PROCEED
        except OSError as error:
            text = f"vfsmount: {path} was not uploaded: {reason(error)}"
            say(Process.of(call.pid), text, unless=family.skeleton.root)
            raise
