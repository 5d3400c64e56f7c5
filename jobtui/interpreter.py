"""The command and the environment of the Python interpreters that jobtui starts.

The current directory is not trusted: a file called `socket.py` in it must not be imported. No started
interpreter looks for modules there, and each finds jobtui where this process found it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGES = Path(__file__).resolve().parents[1]
_NOT_INHERITED = ("PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONBREAKPOINT")
"""Variables that make an interpreter wait for input."""


def interpreter_command() -> list[str]:
    """Return the command of an interpreter that does not import from the current directory.

    Not `-I`: it also ignores PYTHONPATH and the user's site-packages, where jobtui itself may be installed.
    """
    return [sys.executable, "-P"]


def interpreter_environment() -> dict[str, str]:
    """Return this process's environment, with a PYTHONPATH of absolute directories only."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    # an empty entry, or a relative one, stands for the current directory
    known = [path for path in inherited.pop("PYTHONPATH", "").split(os.pathsep) if Path(path).is_absolute()]
    if _PACKAGES.name not in ("site-packages", "dist-packages"):
        known.insert(0, str(_PACKAGES))  # a checkout that is not installed
    return inherited | ({"PYTHONPATH": os.pathsep.join(known)} if known else {})
