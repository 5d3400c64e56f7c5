"""Directories whose contents a test process makes once and copies for its tests."""

from __future__ import annotations

import atexit
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp


def template_directory(name: str) -> Path:
    """Return a new directory, which is deleted when this process ends."""
    directory = Path(mkdtemp(prefix=f"jobtui-test-{name}-"))
    atexit.register(_delete, directory, os.getpid())
    return directory


def _delete(directory: Path, maker: int) -> None:
    if os.getpid() == maker:  # a fork of the process inherits the registration
        shutil.rmtree(directory, ignore_errors=True)
