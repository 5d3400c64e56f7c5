"""`jobtui --version`: the versions that matter in a bug report."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jobtui import __version__

_OF_INTEREST = ("textual", "rocksdict", "msgspec", "pyparsing")


def version_line() -> str:
    """`jobtui 0.1.0 (Python 3.11.7, textual 8.2.8, …, Linux 6.1.0)`."""
    system = os.uname()
    parts = [f"Python {sys.version.split()[0]}", *_installed(), f"{system.sysname} {system.release}"]
    return f"jobtui {__version__} ({', '.join(parts)})"


def _installed() -> list[str]:
    """Versions by the names of the metadata directories, which is quicker than `importlib.metadata`."""
    found: dict[str, str] = {}
    for place in map(Path, sys.path):
        for name in _OF_INTEREST:
            for directory in place.glob(f"{name}-*.dist-info") if name not in found else ():
                found[name] = directory.name.removeprefix(f"{name}-").removesuffix(".dist-info")
    return [f"{name} {found.get(name, 'missing')}" for name in _OF_INTEREST]
