"""Noticing a MANIFEST that was cut.

RocksDB opens a database whose MANIFEST lost its end without complaint, and deletes the SST files that it
no longer names. So a note is kept of how long the MANIFEST was when we last saw it, and whether we closed
the database. One that is shorter now was cut, unless it is another file: the owner of an adopted database
may make it anew, or bring a backup back. Where a note says nothing (another program was there since), the
SST files on disk are compared with those that the MANIFEST names, before anything is opened for writing.
After a crash of our own, unnamed files are to be expected: a compaction's that was never through.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from jobtui.errors import DECODE_ERRORS, ErrorCode
from jobtui.files import read_regular, replace_file
from jobtui.formatting import format_bytes
from jobtui.storage.local.errors import WorkerError, missing_error
from jobtui.storage.local.worker.disk import table_files

_SHOWN = 5
_LONGEST_IDENTITY = 100  # characters: RocksDB's have 36

# names of the SST files that the MANIFEST names; raises what rocksdict raises
Named = Callable[[], set[str]]


class ManifestNote(msgspec.Struct, frozen=True):
    """The MANIFEST's name and length when last seen; `open`: the database had not been closed since.

    `inode` is the MANIFEST's, `identity` what RocksDB gave the database when it was made; 0 and "": not known.
    """

    manifest: str
    size: int
    open: bool
    inode: int = 0
    identity: str = ""

    def is_other_database(self, now: ManifestNote) -> bool:
        """Whether the database that lies there `now` is not the one that was noted."""
        return bool(
            (self.identity and now.identity and self.identity != now.identity)
            or (self.manifest == now.manifest and self.inode and self.inode != now.inode)
        )


class ManifestGuard:
    """Keeps a database's note in `file`; a `foreign` database may be replaced by its owner at any time.

    `lost_end` says of a foreign database whether its MANIFEST shows that it lost its end.
    """

    def __init__(
        self,
        database: Path,
        file: Path,
        *,
        foreign: bool = False,
        lost_end: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._file = file
        self._foreign = foreign
        self._lost_end = lost_end
        self._last: ManifestNote | None = None

    def before_opening(self, named: Named) -> None:
        """Check the MANIFEST, then note that the database is being opened.

        Raises:
            Trouble: The MANIFEST is gone or was cut.
            OSError: The note cannot be written.
        """
        self.check(named)
        self._write(self._current_note(open_=True))

    def check(self, named: Named) -> None:
        """Raise Trouble if the MANIFEST is gone or was cut."""
        now = self._current_note(open_=True)
        note = self._read()
        if note is not None and self._foreign and note.is_other_database(now):
            note = None
        if note is not None and note.manifest == now.manifest and now.size < note.size:
            self._refuse_cut(now.manifest, now.size, note.size, named)
        closed = note is not None and not note.open
        if note is None or (closed and (note.manifest, note.size) != (now.manifest, now.size)):
            self._refuse_unnamed(now.manifest, named)

    def note_open(self) -> None:
        """Note how long the MANIFEST is now, while the database is open."""
        self._update(open_=True)

    def note_closed(self) -> None:
        """Note how long the MANIFEST is, now that the database is closed."""
        self._update(open_=False)

    def _update(self, *, open_: bool) -> None:
        try:
            note = self._current_note(open_=open_)
            if note != self._last:
                self._write(note)
        except (OSError, WorkerError):
            return  # the older note stands: it says less, but nothing false

    def _current_note(self, *, open_: bool) -> ManifestNote:
        current = self._database / "CURRENT"
        name = current.read_text("utf-8", "replace").strip()
        if not name.startswith("MANIFEST-") or "/" in name:
            raise WorkerError(ErrorCode.CORRUPT, f"{current}: it does not name a MANIFEST")
        try:
            status = (self._database / name).stat()
        except FileNotFoundError:
            raise missing_error(str(self._database), f"{name}, which CURRENT names, is missing") from None
        return ManifestNote(name, status.st_size, open_, status.st_ino, self._identity())

    def _identity(self) -> str:
        try:
            text = (self._database / "IDENTITY").read_text("utf-8", "replace")
        except OSError:
            return ""  # RocksDB works without one, and makes one at the next opening
        return text.strip()[:_LONGEST_IDENTITY]

    def _refuse_cut(self, manifest: str, size: int, was: int, named: Named) -> None:
        text = f"{self._database}: {manifest} was cut: it has {size} bytes and had {was}"
        try:
            unnamed = table_files(self._database) - named()
        except Exception as error:  # rocksdict raises nothing narrower, and its words are a reason too
            raise WorkerError(ErrorCode.CORRUPT, f"{text} (RocksDB: {error})") from error
        if unnamed:
            text += f"; SST files that it no longer names: {self._list(unnamed)}"
        raise WorkerError(
            ErrorCode.CORRUPT, f"{text}. Nothing was opened or deleted: bring a backup of it back"
        )

    def _refuse_unnamed(self, manifest: str, named: Named) -> None:
        unnamed = table_files(self._database) - named()
        if unnamed:
            found = f"{self._database}: {manifest} does not name these SST files on disk: {self._list(unnamed)}"
            if self._foreign and not self._lost_end():
                raise WorkerError(
                    ErrorCode.UNSUPPORTED,
                    f"{found}. Its program was interrupted in a flush or a compaction. Opening deletes them, "
                    "so nothing was opened; open it once with its own program, which tidies up",
                )
            raise WorkerError(
                ErrorCode.CORRUPT,
                f"{found}. "
                "It was cut, or a program crashed at its work. Opening deletes them, so nothing was opened: if "
                "nobody misses their data, move them elsewhere and run this again; else bring a backup back",
            )

    def _list(self, files: set[str]) -> str:
        size = sum((self._database / name).stat().st_size for name in files)
        shown = ", ".join(sorted(files)[:_SHOWN]) + (", …" if len(files) > _SHOWN else "")
        return f"{len(files)} ({shown}; {format_bytes(size)})"

    def _read(self) -> ManifestNote | None:
        try:
            self._last = msgspec.json.decode(read_regular(self._file), type=ManifestNote)
        except (OSError, *DECODE_ERRORS):
            self._last = None  # a note that can't be read says nothing
        return self._last

    def _write(self, note: ManifestNote) -> None:
        replace_file(self._file, msgspec.json.encode(note))
        self._last = note
