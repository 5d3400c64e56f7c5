"""Our own databases: made empty, opened with our options, kept open."""

from __future__ import annotations

import os
from pathlib import Path

from rocksdict import Rdict

from jobtui.storage.local.reasons import system_trouble
from jobtui.storage.local.worker.database import Opened
from jobtui.storage.local.worker.options import Shared


class OwnKeeper:
    """Opens and closes one own database; see database.Keeper."""

    brief = False

    def __init__(self, path: Path, shared: Shared) -> None:
        self.path = path
        self._shared = shared

    def create(self) -> None:
        """Make the empty database; its directory must not exist. Raises Trouble, and what rocksdict raises."""
        try:
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise system_trouble(error, str(self.path)) from error
        self._shared.own.create_if_missing(True)
        try:
            self._open().close()
        finally:
            self._shared.own.create_if_missing(False)
        _sync(self.path)
        _sync(self.path.parent)

    def open(self, read_only: bool) -> Opened:
        """Open it for reading and writing."""
        handle = self._open()
        return Opened(handle, (handle,), self._shared.own)

    def closed(self) -> None:
        """Nothing to do."""

    def worked(self) -> None:
        """Nothing to do."""

    def _open(self) -> Rdict:
        # both, because with `options` alone the OPTIONS file on disk wins over most of them
        options = self._shared.own
        return Rdict(str(self.path), options=options, column_families={"default": options})


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
