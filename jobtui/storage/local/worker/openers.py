"""The openers of databases: of jobtui's own, and of adopted ones."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace
from rocksdict import AccessType, DBRecoveryMode, Options, Rdict
from typing_extensions import override

from jobtui.errors import ErrorCode
from jobtui.files import sync_directory
from jobtui.storage.local.adopted_directory import AdoptedDirectory
from jobtui.storage.local.adoption import ReplayStrictness, Survey, Surveyor
from jobtui.storage.local.errors import DiskSpace, WorkerError, locked_error, rocksdb_error, system_error
from jobtui.storage.local.layout import free_bytes, is_open_for_writing, wal_bytes
from jobtui.storage.local.rocksdb_files.options import parse_options
from jobtui.storage.local.worker.database import (
    ColumnFamily,
    CompactionStyle,
    DatabaseHandle,
    Opener,
    directory_identity,
)
from jobtui.storage.local.worker.manifest_guard import ManifestGuard, manifest_path
from jobtui.storage.local.worker.options import SharedOptions, WriteLimits, set_limits

# a replay of more than this would take seconds at a compaction rate limit
LONG_WAL = 1 << 20
NOTE = "jobtui.json"  # in the database's own directory; RocksDB ignores files that it does not know
_NOT_FOR_OTHERS = 0o066
_LOG_FILES = 2
# RocksDB names its log after the whole path, "…_LOG.old.1796000000000000", in at most 255 bytes
_MAX_LOGGED_PATH = 220
_MIN_FREE_BYTES = 256 << 10  # opening writes an OPTIONS file, a MANIFEST, and copies of what it replaces
_TRIES = 3


class OwnOpener(Opener):
    """The opener of one of jobtui's own databases, which stays open."""

    is_transient = False

    def __init__(self, path: Path, shared: SharedOptions) -> None:
        self.path = path
        self._shared_options = shared
        self._manifest_guard = ManifestGuard(path, path / NOTE)

    @property
    @override
    def limits(self) -> WriteLimits:
        return self._shared_options.limits

    @property
    @override
    def log(self) -> Path:
        return self.path / "LOG"

    def create(self) -> None:
        """Make the empty database; its directory must not exist. Raises WorkerError."""
        try:
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise system_error(error, str(self.path)) from error
        self._shared_options.own.create_if_missing(True)
        try:
            self._open(self._shared_options.own).close()
        except Exception as error:  # rocksdict raises nothing narrower
            raise rocksdb_error(str(error), str(self.path)) from error
        finally:
            self._shared_options.own.create_if_missing(False)
        try:
            self._manifest_guard.note_closed()
            sync_directory(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise system_error(error, str(self.path)) from error

    @override
    def open(self, read_only: bool, limits: WriteLimits | None) -> DatabaseHandle:
        limits = limits or self._shared_options.limits
        self._refuse_links()
        self._manifest_guard.before_opening(self._named_files)
        if limits.rate is not None and wal_bytes(self.path) > LONG_WAL:
            # the whole process waits until a long WAL is written out: not at that rate
            self._open(self._shared_options.own_with(replace(limits, rate=None))).close()
        options = self._shared_options.own_with(limits)
        handle = self._open(options)
        self._manifest_guard.note_open()
        return DatabaseHandle(handle, (ColumnFamily("default", handle),), options, limits)

    @override
    def after_close(self) -> None:
        self._manifest_guard.note_closed()

    @override
    def after_write(self) -> None:
        self._manifest_guard.note_open()

    def _refuse_links(self) -> None:
        """Refuse a database with a link in it: RocksDB truncates the file that a link leads to."""
        try:
            with os.scandir(self.path) as entries:
                linked = [entry.path for entry in entries if entry.is_symlink()]
        except OSError:
            return  # opening the database reports the problem
        if self.path.is_symlink():
            linked = [str(self.path)]
        if linked:
            reason = f"{linked[0]} is a symbolic link, and jobtui writes through none: put the real one back"
            raise WorkerError(ErrorCode.ACCESS, reason)

    def _named_files(self) -> set[str]:
        handle = self._open(self._shared_options.own, AccessType.read_only(False))
        try:
            return {file["name"].lstrip("/") for file in handle.live_files()}
        finally:
            handle.close()

    def _open(self, options: Options, access: AccessType | None = None) -> Rdict:
        # both: with `options` alone, the OPTIONS file on disk overrides most of them
        access = access or AccessType.read_write()
        return Rdict(str(self.path), options=options, column_families={"default": options}, access_type=access)


class AdoptedOpener(Opener):
    """The opener of an adopted database: it uses the owner's options, and leaves the database as it was.

    `notes` is a directory of jobtui's own.
    """

    is_transient = True

    def __init__(self, path: Path, notes: Path, surveyor: Surveyor, shared: SharedOptions) -> None:
        self.path = path
        self._shared_options = shared
        self._directory = AdoptedDirectory(path, notes)
        self._surveyor = surveyor
        self._manifest_guard = ManifestGuard(
            path, notes / "manifest.json", foreign=True, lost_end=lambda: self._surveyor.survey().lost_end
        )
        self._writing = False
        self._lock: int | None = None
        self._descriptors: list[int] = []
        self._checked: tuple[int, int] | None = None

    @property
    @override
    def limits(self) -> WriteLimits:
        return self._shared_options.limits

    @property
    @override
    def log(self) -> Path:
        return self._directory.log

    @override
    def open(self, read_only: bool, limits: WriteLimits | None) -> DatabaseHandle:
        self._checked = self._identify()
        # for reading it takes no LOCK, so the owner may be at work
        if not read_only:
            self._take_lock()
        try:
            handle = (
                self._open_for_reading()
                if read_only
                else self._survey_and_open(limits or self._shared_options.limits)
            )
        except BaseException:
            self._close_descriptors()
            raise
        self._writing = not read_only
        self._directory.restore_while_open()
        if self._writing:
            self._manifest_guard.note_open()
        return handle

    @override
    def after_close(self) -> None:
        try:
            self._directory.restore()
            if self._writing:
                self._manifest_guard.note_closed()
        finally:
            self._close_descriptors()

    @override
    def after_write(self) -> None:
        if self._writing:
            self._manifest_guard.note_open()

    def _open_for_reading(self) -> DatabaseHandle:
        """Open the database for reading; again if the owner deleted a file in between."""
        for left in reversed(range(_TRIES)):
            try:
                return self._survey_and_open(None)
            except WorkerError:
                raise  # the survey has tried again by itself
            except Exception as error:  # rocksdict raises nothing narrower
                if not left or "No such file" not in str(error):
                    raise
        raise AssertionError("unreachable")

    def _survey_and_open(self, limits: WriteLimits | None) -> DatabaseHandle:
        """Open the database for writing with these limits, or for reading if there are none."""
        read_only = limits is None
        self._directory.restore()
        if not read_only:
            # first, because a MANIFEST that lost its end makes the rest look like another kind of database
            self._manifest_guard.check(lambda: set(self._surveyor.survey().named))
        survey = self._surveyor.survey()
        if not read_only:
            survey.refuse_writing(self.path)
            self._refuse_unwritable()
        options = self._directory.snapshot(survey.options, survey.wal_directory, writing=not read_only)
        if not read_only:
            # users who can read its files can read the new ones
            os.umask(_NOT_FOR_OTHERS & ~(self.path / "CURRENT").stat().st_mode)
            self._manifest_guard.before_opening(lambda: set(survey.named))
        try:
            return self._open(survey, options, limits)
        except BaseException:
            self._directory.restore()
            raise

    def _open(self, survey: Survey, source: Path, limits: WriteLimits | None) -> DatabaseHandle:
        read_only = limits is None
        if self._identify() != self._checked:
            raise self._replaced_error()
        # from the copy of its OPTIONS file, so that exactly the options that were checked are used
        options, options_of = Options.load_latest(str(source), cache=self._shared_options.cache)
        options.enable_statistics()
        options.set_wal_recovery_mode(_recovery_mode(survey.strictness, read_only))
        options.set_db_log_dir(str(self._directory.notes))
        options.set_keep_log_file_num(_LOG_FILES)
        for each in options_of.values():
            each.set_disable_auto_compactions(True)  # nothing runs except the job
        if limits is not None:
            if wal_bytes(survey.wal_directory or self.path) > LONG_WAL:
                # as for an own database; a compaction opens it again, with the rate, after its flush
                limits = replace(limits, rate=None)
            set_limits(options, options_of, limits)
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        path = self._path_for_rocksdb(read_only=read_only)
        main = Rdict(path, options=options, column_families=options_of, access_type=access)
        blobs = _blob_shares(survey.options)
        families = [self._family(survey, blobs, "default", main)]
        # load_latest returns the families in any order, and the position of a compaction needs one that stays
        names = sorted(options_of.keys() - {"default"})
        families += [self._family(survey, blobs, name, main.get_column_family(name)) for name in names]
        return DatabaseHandle(main, tuple(families), options, limits or WriteLimits(), read_only)

    def _identify(self) -> tuple[int, int] | None:
        """Return the directory's identity, None if it is not there, which the survey reports."""
        with contextlib.suppress(FileNotFoundError):
            return directory_identity(self.path)
        return None

    @staticmethod
    def _family(survey: Survey, blobs: Mapping[str, float], name: str, rdict: Rdict) -> ColumnFamily:
        style = CompactionStyle(survey.styles.get(name, CompactionStyle.LEVEL))
        return ColumnFamily(name, rdict, style, name in survey.backwards, blobs.get(name, 0.0))

    def _take_lock(self) -> None:
        """Take the owner's lock, from before the survey until the database is closed.

        Otherwise the owner could open, change and close it between the survey and the opening. RocksDB locks
        the file again, which works within one process. Closing any descriptor of a file drops all locks of the
        process on it, so this one stays open as long as the database.
        """
        if self._lock is not None:
            return  # the last close failed
        try:
            descriptor = os.open(self.path / "LOCK", os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._refuse_in_use()
            return
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._refuse_in_use()
        except BlockingIOError:
            os.close(descriptor)
            raise locked_error(str(self.path)) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def _refuse_in_use(self) -> None:
        """Raise WorkerError if a program writes to the database although its LOCK is free.

        If LOCK is deleted or replaced while the owner is at work, the owner holds a lock on a file that no
        other process can find. The owner always has the MANIFEST open for writing.
        """
        try:
            manifest = manifest_path(self.path)
        except (OSError, WorkerError):
            return  # the survey reports it
        if is_open_for_writing(manifest):
            raise WorkerError(
                ErrorCode.LOCKED,
                f"{self.path}: another program has the database open, although its LOCK is free: the file was "
                f"deleted or replaced while that program was at work ({manifest.name} is open for writing); "
                "let that program end first",
            )

    def _refuse_unwritable(self) -> None:
        """Raise WorkerError if the files that opening replaces could not be restored.

        rocksdict truncates its file and writes it again, so a full disk would leave the owner an empty one.
        """
        if not os.access(self.path, os.W_OK | os.X_OK):
            is_read_only = os.statvfs(self.path).f_flag & os.ST_RDONLY
            number = errno.EROFS if is_read_only else errno.EACCES
            raise system_error(OSError(number, os.strerror(number)), str(self.path))
        free = free_bytes(self.path)
        if not _can_create_files(self.path) or (free is not None and free < _MIN_FREE_BYTES):
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise system_error(error, str(self.path), DiskSpace(_MIN_FREE_BYTES, free))

    def _path_for_rocksdb(self, *, read_only: bool) -> str:
        """Return a path where rocksdict can write, and short enough for the name of RocksDB's log."""
        linked = read_only and not _can_create_files(self.path)
        path = self._directory.link_for_reading() if linked else self.path
        if len(os.fsencode(path)) <= _MAX_LOGGED_PATH or sys.platform != "linux":
            return str(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._descriptors.append(descriptor)
        status = os.fstat(descriptor)
        if not linked and (status.st_dev, status.st_ino) != self._checked:
            raise self._replaced_error()
        return f"/proc/self/fd/{descriptor}"

    def _replaced_error(self) -> WorkerError:
        reason = f"{self.path}: another directory was put in its place while it was checked"
        return WorkerError(ErrorCode.MISSING, reason)

    def _close_descriptors(self) -> None:
        """Release the owner's lock, and close the directory."""
        for descriptor in (*self._descriptors, *(() if self._lock is None else (self._lock,))):
            os.close(descriptor)
        self._descriptors, self._lock = [], None


def _can_create_files(directory: Path) -> bool:
    """Return whether files can be created in a directory, as far as is known without creating one."""
    if not os.access(directory, os.W_OK | os.X_OK):
        return False
    disk = os.statvfs(directory)
    if not disk.f_blocks:
        return True  # a file system that does not say how large it is
    return disk.f_bavail > 0 and (not disk.f_files or disk.f_favail > 0)


def _blob_shares(options: bytes) -> dict[str, float]:
    """Return the share of the oldest blob files that a compaction copies, for families that collect garbage."""
    if b"enable_blob_garbage_collection=true" not in options:
        return {}  # 1,000 families take long to parse
    return {
        name: float(family.options.get("blob_garbage_collection_age_cutoff", "0.25"))
        for name, family in parse_options(options).families.items()
        if family.options.get("enable_blob_garbage_collection") == "true"
    }


def _recovery_mode(strictness: ReplayStrictness, read_only: bool) -> DBRecoveryMode:
    """Return a mode in which an incomplete replay is an error.

    An owner at work may be in the middle of a write when we read, at the end of its WAL.
    """
    if read_only or strictness is ReplayStrictness.TORN_TAIL:
        return DBRecoveryMode.tolerate_corrupted_tail_records()
    return DBRecoveryMode.absolute_consistency()
