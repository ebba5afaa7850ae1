"""The version, read by the package's metadata too."""

from __future__ import annotations

__version__ = "0.1.0"
