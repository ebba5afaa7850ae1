"""Libraries that only the tests of their own hooks load, and these come last of all.

What they hold makes every later activation of the process search for captured references: 0.2 s instead of 0.05.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

LATE: Final = {
    "test_duckdb.py": "duckdb",
    "test_netcdf.py": "netCDF4",
    "test_opencv.py": "cv2",
    "test_pytables.py": "tables",
}
"""Which module loads what; see the fixture and the order in ``conftest``."""


class Library:
    """A library as its module object, imported by whoever first asks it for something."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest looks at all that modules hold for what fixtures have
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
