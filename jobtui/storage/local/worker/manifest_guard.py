"""A guard against opening a database whose MANIFEST was cut.

RocksDB opens a database whose MANIFEST lost its end without an error, and deletes the SST files that it no
longer names. So a note records the length of the MANIFEST when jobtui last read it, and whether jobtui closed
the database. If the MANIFEST is shorter now, it was cut, unless it is another file: the owner of an adopted
database may create it again, or restore a backup. If there is no note for the current state (another program
has opened the database since), the SST files on disk are compared with those that the MANIFEST names, before
anything is opened for writing. After a crash of jobtui itself, unnamed files are normal: they belong to an
incomplete compaction.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from jobtui.errors import DECODE_ERRORS, ErrorCode
from jobtui.files import read_regular, replace_file
from jobtui.formatting import format_bytes
from jobtui.storage.local.errors import WorkerError, missing_error
from jobtui.storage.local.layout import table_files

_MAX_SHOWN = 5
_MAX_IDENTITY_BYTES = 100  # bytes: RocksDB's have 37
_MAX_CURRENT_BYTES = 100  # bytes: the name of a MANIFEST has 30 at most

# returns the SST files that the MANIFEST names; raises exceptions of rocksdict
Named = Callable[[], set[str]]


class ManifestNote(msgspec.Struct, frozen=True):
    """The MANIFEST's name and length when it was last seen.

    `open`: the database has not been closed since.

    `inode` is the MANIFEST's, 0 if unknown. `identity` is the content of the IDENTITY file that RocksDB wrote
    when it created the database, "" if unknown.
    """

    manifest: str
    size: int
    open: bool
    inode: int = 0
    identity: str = ""

    def is_other_database(self, now: ManifestNote) -> bool:
        """Return whether the database of the note `now` is another one."""
        return bool(
            (self.identity and now.identity and self.identity != now.identity)
            or (self.manifest == now.manifest and self.inode and self.inode != now.inode)
        )


def read_identity(database: Path) -> str:
    """Return the identity of a database, independent of its directory: the content of IDENTITY, or "".

    RocksDB works without the file, and creates it at the next opening.
    """
    try:
        text = read_regular(database / "IDENTITY", _MAX_IDENTITY_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return text.strip()


def manifest_path(database: Path) -> Path:
    """Return the path of the MANIFEST that CURRENT names. Raises WorkerError and OSError."""
    current = database / "CURRENT"
    name = read_regular(current, _MAX_CURRENT_BYTES).decode("utf-8", "replace").strip()
    if not name.startswith("MANIFEST-") or "/" in name:
        raise WorkerError(ErrorCode.CORRUPT, f"{current}: it does not name a MANIFEST")
    return database / name


class ManifestGuard:
    """The guard of one database, with its note in `file`.

    A `foreign` database may be replaced by its owner at any time; `lost_end` then returns whether its MANIFEST
    shows that it lost its end.
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
            WorkerError: The MANIFEST is missing or was cut.
            OSError: The note cannot be written.
        """
        self.check(named)
        self._write(self._current_note(open_=True))

    def check(self, named: Named) -> None:
        """Raise WorkerError if the MANIFEST is missing or was cut."""
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
        """Record the length of the MANIFEST while the database is open."""
        self._update(open_=True)

    def note_closed(self) -> None:
        """Record the length of the MANIFEST after the database was closed."""
        self._update(open_=False)

    def _update(self, *, open_: bool) -> None:
        try:
            note = self._current_note(open_=open_)
            if note != self._last:
                self._write(note)
        except (OSError, WorkerError):
            return  # the older note stays: it is less complete, but still correct

    def _current_note(self, *, open_: bool) -> ManifestNote:
        path = manifest_path(self._database)
        try:
            status = path.stat()
        except FileNotFoundError:
            what = f"{path.name}, which CURRENT names, is missing"
            raise missing_error(str(self._database), what) from None
        return ManifestNote(path.name, status.st_size, open_, status.st_ino, read_identity(self._database))

    def _refuse_cut(self, manifest: str, size: int, was: int, named: Named) -> None:
        text = f"{self._database}: {manifest} was cut: it has {size} bytes and had {was}"
        try:
            unnamed = table_files(self._database) - named()
        except Exception as error:  # rocksdict raises nothing narrower, and its words are a reason too
            raise WorkerError(ErrorCode.CORRUPT, f"{text} (RocksDB: {error})") from error
        if unnamed:
            text += f"; SST files that it no longer names: {self._list(unnamed)}"
        raise WorkerError(ErrorCode.CORRUPT, f"{text}. Nothing was opened or deleted: restore a backup of it")

    def _refuse_unnamed(self, manifest: str, named: Named) -> None:
        unnamed = table_files(self._database) - named()
        if unnamed:
            found = f"{self._database}: {manifest} does not name these SST files on disk: {self._list(unnamed)}"
            if self._foreign and not self._lost_end():
                raise WorkerError(
                    ErrorCode.UNSUPPORTED,
                    f"{found}. Its program was interrupted in a flush or a compaction. Opening deletes them, "
                    "so nothing was opened; open it once with its own program, which repairs this",
                )
            raise WorkerError(
                ErrorCode.CORRUPT,
                f"{found}. "
                "It was cut, or a program crashed in a flush or a compaction. Opening deletes them, so nothing "
                "was opened: if their data is not needed, move them elsewhere and run this again; otherwise "
                "restore a backup",
            )

    def _list(self, files: set[str]) -> str:
        size = sum((self._database / name).stat().st_size for name in files)
        shown = ", ".join(sorted(files)[:_MAX_SHOWN]) + (", …" if len(files) > _MAX_SHOWN else "")
        return f"{len(files)} ({shown}; {format_bytes(size)})"

    def _read(self) -> ManifestNote | None:
        try:
            self._last = msgspec.json.decode(read_regular(self._file), type=ManifestNote)
        except (OSError, *DECODE_ERRORS):
            self._last = None  # an unreadable note is as good as none
        return self._last

    def _write(self, note: ManifestNote) -> None:
        replace_file(self._file, msgspec.json.encode(note))
        self._last = note
