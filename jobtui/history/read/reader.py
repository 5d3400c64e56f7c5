"""The reading side of the history: a process that only reads, with or without a writer at work."""

from __future__ import annotations

import threading
from pathlib import Path

from jobtui.history.format.disk import Disk
from jobtui.history.format.journal import journal_name
from jobtui.history.format.lock import WriterWatcher
from jobtui.history.format.manifest import MANIFEST_NAME as MANIFEST
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.recovery import LoadedHistory, load_history
from jobtui.history.format.state import State

_LOAD_ATTEMPTS = 50


class HistoryReader:
    """A history that is open for reading. It changes nothing on disk."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._directory = disk, directory
        self._watcher = WriterWatcher(disk, directory)
        self._refresh_lock = threading.Lock()
        self._status_bytes = b""
        self._identity: tuple[int, int, int] | None = None
        self._must_reload = False
        self.quarantine = Quarantine(disk, directory, write=False)
        self._loaded = self._load()

    @property
    def state(self) -> State:
        """What the history holds, as far as it was taken up."""
        return self._loaded.state

    def refresh(self) -> bool:
        """Read what the writer changed since; return whether there was anything. Raises StoreError, OSError."""
        with self._refresh_lock:
            return self._refresh()

    def close(self) -> None:
        """Close the files."""
        self._watcher.close()

    def _refresh(self) -> bool:
        seen = self._watcher.read_raw()
        identity = self._disk.identity(self._directory / MANIFEST)
        if not self._must_reload and seen == self._status_bytes and identity == self._identity:
            return False
        if self._must_reload or identity != self._identity:
            self._loaded = self._load()
            return True
        return self._read_changes(seen)

    def _load(self) -> LoadedHistory:
        # whatever fails on the way, it begins anew when it is tried again
        self._must_reload = True
        for left in reversed(range(_LOAD_ATTEMPTS)):
            self._status_bytes = self._watcher.read_raw()
            self._identity = self._disk.identity(self._directory / MANIFEST)
            quarantine = Quarantine(self._disk, self._directory, write=False)
            mark, alive = self._watcher.read_status(), self._watcher.has_writer()
            try:
                found = load_history(self._disk, self._directory, quarantine, mark, alive=alive)
            except FileNotFoundError:
                if not left:
                    raise
                continue
            if self._identity == self._disk.identity(self._directory / MANIFEST):
                break
        if mark is None and alive:
            self._status_bytes = b""
        self.quarantine, self._must_reload = quarantine, False
        return found

    def _read_changes(self, seen: bytes) -> bool:
        mark, alive = self._watcher.read_status(), self._watcher.has_writer()
        if mark is None and alive:
            return False  # how far it has come is not to be told at this moment
        replay = self._loaded.replay
        position = replay.position
        before = position.seq, position.journal
        position.durable = mark.durable if mark is not None and alive else None
        last = mark.journal if mark is not None else position.journal
        self._must_reload = True
        try:
            self._read_journal()
            while position.journal < last:
                number = position.journal + 1
                path = self._directory / journal_name(number)
                replay.start_journal(number, path.name)
                if self._disk.identity(path) is not None:
                    self._read_journal()
        except FileNotFoundError:
            self._loaded = self._load()
            return True
        self._status_bytes, self._must_reload = seen, False
        return (position.seq, position.journal) != before

    def _read_journal(self) -> None:
        position = self._loaded.replay.position
        file = self._disk.open(self._directory / journal_name(position.journal))
        try:
            data = self._disk.read(file, self._disk.size(file) - position.offset, position.offset)
        finally:
            self._disk.close(file)
        self._loaded.replay.apply(data, final=False)
