"""The reading side: what a process sees that does not write, beside a writer or without one."""

from __future__ import annotations

import threading
from pathlib import Path

from jobtui.history.format.disk import Disk
from jobtui.history.format.journal import journal_name
from jobtui.history.format.lock import WriterWatcher
from jobtui.history.format.manifest import NAME as MANIFEST
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.state import State
from jobtui.history.write.recovery import LoadedHistory, load

_TRIES = 50


class HistoryReader:
    """A history that is open for reading. It changes nothing on disk."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._directory = disk, directory
        self._watch = WriterWatcher(disk, directory)
        self._refreshing = threading.Lock()
        self._seen = b""
        self._identity: tuple[int, int, int] | None = None
        self._lost = False
        self.quarantine = Quarantine(disk, directory, write=False)
        self._found = self._load()

    @property
    def state(self) -> State:
        """What the history holds, as far as it was taken up."""
        return self._found.state

    def refresh(self) -> bool:
        """Take up what the writer did since; True if there was anything. Raises StoreError and OSError."""
        with self._refreshing:
            return self._refreshed()

    def close(self) -> None:
        """Let go of the files."""
        self._watch.close()

    def _refreshed(self) -> bool:
        seen = self._watch.look()
        identity = self._disk.identity(self._directory / MANIFEST)
        if not self._lost and seen == self._seen and identity == self._identity:
            return False
        if self._lost or identity != self._identity:
            self._found = self._load()
            return True
        return self._take_up(seen)

    def _load(self) -> LoadedHistory:
        # whatever fails on the way, it begins anew when it is tried again
        self._lost = True
        for left in reversed(range(_TRIES)):
            self._seen = self._watch.look()
            self._identity = self._disk.identity(self._directory / MANIFEST)
            quarantine = Quarantine(self._disk, self._directory, write=False)
            mark, alive = self._watch.mark(), self._watch.has_writer()
            try:
                found = load(self._disk, self._directory, quarantine, mark, alive=alive)
            except FileNotFoundError:
                if not left:
                    raise
                continue
            if self._identity == self._disk.identity(self._directory / MANIFEST):
                break
        if mark is None and alive:
            self._seen = b""
        self.quarantine, self._lost = quarantine, False
        return found

    def _take_up(self, seen: bytes) -> bool:
        mark, alive = self._watch.mark(), self._watch.has_writer()
        if mark is None and alive:
            return False  # how far it has come is not to be told at this moment
        replay = self._found.replay
        reading = replay.reading
        before = reading.seq, reading.journal
        reading.durable = mark.durable if mark is not None and alive else None
        last = mark.journal if mark is not None else reading.journal
        self._lost = True
        try:
            self._read_on()
            while reading.journal < last:
                number = reading.journal + 1
                path = self._directory / journal_name(number)
                replay.begin(number, path.name)
                if self._disk.identity(path) is not None:
                    self._read_on()
        except FileNotFoundError:
            self._found = self._load()
            return True
        self._seen, self._lost = seen, False
        return (reading.seq, reading.journal) != before

    def _read_on(self) -> None:
        reading = self._found.replay.reading
        file = self._disk.open(self._directory / journal_name(reading.journal))
        try:
            data = self._disk.read(file, self._disk.size(file) - reading.offset, reading.offset)
        finally:
            self._disk.close(file)
        self._found.replay.take(data, final=False)
