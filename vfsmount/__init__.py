"""A cloud bucket is a directory inside your Python process.

    import vfsmount
    vfsmount.activate({"/my-mount": vfsmount.CloudBucketMount("s3-bucket-name")})
    open("/my-mount/data.csv").read()

No FUSE, no LD_PRELOAD, no root, no daemon. Importing this package imports no SDK and patches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "CloudBucketMount",
    "Secret",
    "Session",
    "activate",
    "deactivate",
    "is_active",
    "materialize",
    "passthrough",
    "prefetch",
    "stats",
]

if TYPE_CHECKING:
    from vfsmount.config import CloudBucketMount as CloudBucketMount
    from vfsmount.config import Secret as Secret
    from vfsmount.session import Session as Session
    from vfsmount.session import activate as activate
    from vfsmount.session import deactivate as deactivate
    from vfsmount.session import is_active as is_active
    from vfsmount.session import materialize as materialize
    from vfsmount.session import passthrough as passthrough
    from vfsmount.session import stats as stats
    from vfsmount.version import __version__ as __version__
    from vfsmount.warming import prefetch as prefetch

_HOME = {
    "CloudBucketMount": "vfsmount.config",
    "Secret": "vfsmount.config",
    "__version__": "vfsmount.version",
    **dict.fromkeys(__all__[2:], "vfsmount.session"),
    "prefetch": "vfsmount.warming",
}


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that ``import vfsmount`` costs next to nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
