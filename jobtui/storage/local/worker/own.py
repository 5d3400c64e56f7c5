"""Our own databases: made empty, opened with our options, kept open."""

from __future__ import annotations

import os
from pathlib import Path

from rocksdict import AccessType, Options, Rdict

from jobtui.errors import Code
from jobtui.storage.local.places import sync_directory
from jobtui.storage.local.reasons import Trouble, rocksdb_trouble, system_trouble
from jobtui.storage.local.worker.database import Opened
from jobtui.storage.local.worker.disk import wal_bytes
from jobtui.storage.local.worker.manifest import Watch
from jobtui.storage.local.worker.options import Shared

LONG_WAL = 1 << 20
NOTE = "jobtui.json"  # in the database's own directory; RocksDB passes over what it does not know


class OwnKeeper:
    """Opens and closes one own database; see database.Keeper."""

    brief = False

    def __init__(self, path: Path, shared: Shared) -> None:
        self.path = path
        self._shared = shared
        self._watch = Watch(path, path / NOTE)

    @property
    def log(self) -> Path:
        """RocksDB's log."""
        return self.path / "LOG"

    def create(self) -> None:
        """Make the empty database; its directory must not exist. Raises Trouble."""
        try:
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise system_trouble(error, str(self.path)) from error
        self._shared.own.create_if_missing(True)
        try:
            self._open(self._shared.own).close()
        except Exception as error:  # rocksdict raises nothing narrower
            raise rocksdb_trouble(str(error), str(self.path)) from error
        finally:
            self._shared.own.create_if_missing(False)
        try:
            self._watch.closed()
            sync_directory(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise system_trouble(error, str(self.path)) from error

    def open(self, read_only: bool) -> Opened:
        """Open it for reading and writing."""
        self._must_have_no_links()
        self._watch.before_opening(self._named)
        if self._shared.unlimited is not self._shared.own and wal_bytes(self.path) > LONG_WAL:
            self._open(self._shared.unlimited).close()
        handle = self._open(self._shared.own)
        self._watch.opened()
        return Opened(handle, (handle,), self._shared.own)

    def closing(self) -> None:
        """Nothing to do."""

    def closed(self) -> None:
        """Note how we left it."""
        self._watch.closed()

    def worked(self) -> None:
        """Note how long the MANIFEST has grown."""
        self._watch.opened()

    def _must_have_no_links(self) -> None:
        """Refuse a database of which a part lies elsewhere: RocksDB truncates what its file names lead to."""
        try:
            with os.scandir(self.path) as entries:
                linked = [entry.path for entry in entries if entry.is_symlink()]
        except OSError:
            return  # opening it reports what is wrong
        if self.path.is_symlink():
            linked = [str(self.path)]
        if linked:
            reason = f"{linked[0]} is a symbolic link, and jobtui writes through none: put the real one back"
            raise Trouble(Code.ACCESS, reason)

    def _named(self) -> set[str]:
        handle = self._open(self._shared.own, AccessType.read_only(False))
        try:
            return {file["name"].lstrip("/") for file in handle.live_files()}
        finally:
            handle.close()

    def _open(self, options: Options, access: AccessType | None = None) -> Rdict:
        # both, because with `options` alone the OPTIONS file on disk wins over most of them
        access = access or AccessType.read_write()
        return Rdict(str(self.path), options=options, column_families={"default": options}, access_type=access)
