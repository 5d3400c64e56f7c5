"""The Python interpreter of the processes that jobtui starts.

The current directory is foreign: a file called `socket.py` in it must not be imported. So no started
interpreter looks for modules there, and each finds jobtui where this process did.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGES = Path(__file__).resolve().parents[1]
_NEVER_PASSED_ON = ("PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONBREAKPOINT")
"""What makes an interpreter wait for a person."""


def interpreter() -> list[str]:
    """Return the command of an interpreter that does not import from the current directory.

    `-I` would also leave out PYTHONPATH and the user's site-packages, where jobtui itself may be installed.
    """
    return [sys.executable, "-P"]


def environment() -> dict[str, str]:
    """Return this process's environment, with a PYTHONPATH of absolute directories only."""
    passed_on = {name: value for name, value in os.environ.items() if name not in _NEVER_PASSED_ON}
    # an empty entry, or a relative one, stands for the current directory
    known = [one for one in passed_on.pop("PYTHONPATH", "").split(os.pathsep) if Path(one).is_absolute()]
    if _PACKAGES.name not in ("site-packages", "dist-packages"):
        known.insert(0, str(_PACKAGES))  # a checkout that is not installed
    return passed_on | ({"PYTHONPATH": os.pathsep.join(known)} if known else {})
