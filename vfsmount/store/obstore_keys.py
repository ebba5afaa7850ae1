"""Which keys obstore can name.

obstore parses every path it is given: it strips one slash at either end, refuses empty, ``.`` and ``..`` segments and
ASCII control characters, and takes everything else verbatim (percent signs, ``#?*~\\``, spaces and non-ASCII included).
Whatever it would strip must be refused here, or a request would silently go to another key.
Source: object_store ``path::Path::parse``; held by tests against a real server.
"""

from __future__ import annotations

import re
from typing import Final

from vfsmount.errors import InvalidKey

MAX_KEY_BYTES: Final = 1024
"""UTF-8 bytes; some servers take more, and then nobody else can read them. Source: S3, object key names."""

_REFUSED: Final = re.compile(
    r"""\A\Z                    # the empty key: obstore would address the bucket itself
      | (?:\A|/)\.{0,2}(?:/|\Z) # an empty, '.' or '..' segment; so also a slash at either end
      | [\x00-\x1f\x7f]         # control characters
      | [\ud800-\udfff]         # a lone surrogate has no UTF-8""",
    re.VERBOSE,
)


def refusal(key: str) -> str | None:
    """Why obstore cannot name ``key`` exactly; None where it can."""
    found = _REFUSED.search(key)
    if found is None:
        return None
    if not key:
        return "the empty key"
    part = found.group()
    return f"a segment or character that obstore refuses or rewrites: {part!r}"


def check_key(key: str, *, operation: str, bucket: str) -> None:
    """Raises InvalidKey where obstore would refuse ``key`` or name another one; costs no request."""
    if _REFUSED.search(key) is not None:
        raise InvalidKey(refusal(key) or "", operation=operation, bucket=bucket, key=key)
    if len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:  # a character has four bytes at most
        raise InvalidKey(f"over {MAX_KEY_BYTES} bytes", operation=operation, bucket=bucket, key=key)


def list_prefix(prefix: str, *, bucket: str) -> str | None:
    """What to hand obstore for the raw prefix ``prefix`` (``""`` or ending in ``/``).

    obstore adds the slash back. Raises InvalidKey for a prefix it cannot express.
    """
    if not prefix:
        return None
    if not prefix.endswith("/") or _REFUSED.search(prefix[:-1]) is not None:
        raise InvalidKey("a prefix that obstore cannot express", operation="list", bucket=bucket, key=prefix)
    return prefix[:-1]
