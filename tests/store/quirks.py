"""What the servers in these tests do to awkward keys, by the name of the case in vfsmount.testing.keys."""

from __future__ import annotations

from typing import Final

from vfsmount.testing.keys import Quirk

_SEGMENT: Final = Quirk("SeaweedFS stores a segment as a file name of at most 255 bytes")
_DOTS: Final = Quirk("SeaweedFS refuses . and .. segments: InvalidRequest")

WEED: Final[dict[str, Quirk]] = {
    "empty segment": Quirk("SeaweedFS merges slashes", "a/b"),
    "leading dot segment": _DOTS,
    "dot segment": _DOTS,
    "dot-dot segment": _DOTS,
    "leading dot-dot": _DOTS,
    "name of a dot": _DOTS,
    "name of two dots": _DOTS,
    "marker": Quirk("SeaweedFS keeps a marker as a directory, which has no content", "dir/", drops_body=True),
    "nested marker": Quirk("as marker", "deep/dir/", drops_body=True),
    "leading slash": Quirk("SeaweedFS drops a leading slash", "lead"),
    "only a slash": Quirk("SeaweedFS makes a file of the bucket's name, which nobody can read", "/", lost=True),
    "double trailing slash": Quirk("slashes merged, then as marker", "twice/", drops_body=True),
    "backslash": Quirk("SeaweedFS takes a backslash for a slash", "back/slash"),
    "1,024 bytes": _SEGMENT,
    "1,024 bytes of two": _SEGMENT,
}

MOTO: Final[dict[str, Quirk]] = {
    "newline": Quirk("moto's URL routes do not match a newline: 404"),
    "control character": Quirk("moto answers 500, as its XML cannot name the key", "bell\x07", no_upload=True),
}

GCS: Final[dict[str, Quirk]] = {}

_PATH: Final = Quirk("no path has such a segment")
_MARKER: Final = Quirk("a directory has no content")

PATHS: Final[dict[str, Quirk]] = {
    "empty segment": _PATH,
    "leading dot segment": _PATH,
    "dot segment": _PATH,
    "dot-dot segment": _PATH,
    "leading dot-dot": _PATH,
    "name of a dot": _PATH,
    "name of two dots": _PATH,
    "leading slash": _PATH,
    "only a slash": _PATH,
    "double trailing slash": _PATH,
    "marker": _MARKER,
    "nested marker": _MARKER,
}

_NAME: Final = Quirk("a file's name has at most 255 bytes")
LOCAL: Final[dict[str, Quirk]] = PATHS | {"1,024 bytes": _NAME, "1,024 bytes of two": _NAME}
