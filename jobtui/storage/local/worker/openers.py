"""An adopted database: opened with its own options, for as long as it is used, and left as it was found."""

from __future__ import annotations

import fcntl
import os
import re
from collections import Counter
from pathlib import Path

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    WriteBufferManager,
)

from jobtui.errors import ErrorCode
from jobtui.files import sync_directory
from jobtui.storage.local.adopted_directory import AdoptedDirectory
from jobtui.storage.local.adoption import Recovery, Survey, Surveyor
from jobtui.storage.local.errors import WorkerError, rocksdb_error, system_error
from jobtui.storage.local.worker.database import DatabaseHandle
from jobtui.storage.local.worker.disk import wal_bytes
from jobtui.storage.local.worker.manifest_guard import ManifestGuard

_HIDDEN = 0o066
_FIFO = "kCompactionStyleFIFO"
_STILL = {_FIFO, "kCompactionStyleNone"}
_LOG_FILES = 2
_TRIES = 3


class AdoptedOpener:
    """Opens and closes one adopted database; see database.Keeper.

    `notes` is a directory of ours.
    """

    is_transient = True

    def __init__(self, path: Path, notes: Path, surveyor: Surveyor, shared: SharedOptions) -> None:
        self.path = path
        self._shared = shared
        self._directory = AdoptedDirectory(path, notes)
        self._surveyor = surveyor
        self._manifest_guard = ManifestGuard(
            path, notes / "manifest.json", foreign=True, lost_end=lambda: self._surveyor.survey().lost_end
        )
        self._writing = False
        self._lock: int | None = None

    @property
    def log(self) -> Path:
        """RocksDB's log."""
        return self._directory.log

    def open(self, read_only: bool) -> DatabaseHandle:
        """Open it with all its column families; `read_only` takes no LOCK, so its owner may be at work."""
        if not read_only:
            self._take_lock()
        try:
            opened = self._open_for_reading() if read_only else self._survey_and_open(read_only=False)
        except BaseException:
            self._release_lock()
            raise
        self._writing = not read_only
        self._directory.opened()
        if self._writing:
            self._manifest_guard.note_open()
        return opened

    def closing(self) -> None:
        """Nothing to do: what opening wrote was removed at once."""

    def after_close(self) -> None:
        """Give its owner what was written, and note how we left it."""
        try:
            self._directory.closed()
            if self._writing:
                self._manifest_guard.note_closed()
        finally:
            self._release_lock()

    def after_write(self) -> None:
        """Note how long the MANIFEST has grown."""
        if self._writing:
            self._manifest_guard.note_open()

    def _open_for_reading(self) -> DatabaseHandle:
        """Open it for reading; again if its owner deleted a file in between."""
        for left in reversed(range(_TRIES)):
            try:
                return self._survey_and_open(read_only=True)
            except WorkerError:
                raise  # the survey has tried again by itself
            except Exception as error:  # rocksdict raises nothing narrower
                if not left or "No such file" not in str(error):
                    raise
        raise AssertionError("unreachable")

    def _survey_and_open(self, *, read_only: bool) -> DatabaseHandle:
        self._directory.restore()
        if not read_only:
            # first, because a MANIFEST that lost its end makes the rest look like another kind of database
            self._manifest_guard.check(lambda: set(self._surveyor.survey().named))
        survey = self._surveyor.survey()
        if not read_only:
            survey.refuse_writing(self.path)
        options = self._directory.snapshot(survey.options, survey.wal_directory, writing=not read_only)
        if not read_only:
            # who may read its files now may read the new ones
            os.umask(_HIDDEN & ~(self.path / "CURRENT").stat().st_mode)
            self._manifest_guard.before_opening(lambda: set(survey.named))
        try:
            return self._open(survey, options, read_only)
        except BaseException:
            self._directory.restore()
            raise

    def _open(self, survey: Survey, source: Path, read_only: bool) -> DatabaseHandle:
        # from our copy of its OPTIONS file, so that what was found safe is what is opened
        options, families = Options.load_latest(str(source), cache=self._shared.cache)
        options.enable_statistics()
        options.set_wal_recovery_mode(_recovery_mode(survey.recovery, read_only))
        options.set_db_log_dir(str(self._directory.notes))
        options.set_keep_log_file_num(_LOG_FILES)
        for each in families.values():
            each.set_disable_auto_compactions(True)  # what was asked for is done, and nothing else
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        main = Rdict(str(self.path), options=options, column_families=families, access_type=access)
        handles = {"default": main}
        handles.update((name, main.get_column_family(name)) for name in families if name != "default")
        styles = survey.styles
        return DatabaseHandle(
            main,
            tuple(handles.values()),
            options,
            is_leveled=set(styles.values()) - _STILL <= {"kCompactionStyleLevel"},
            unmoved=tuple(handle for name, handle in handles.items() if styles.get(name) in _STILL),
            read_only=read_only,
            others=tuple(sorted(handles.keys() - {"default"})),
            fifo={name: handle for name, handle in handles.items() if styles.get(name) == _FIFO},
        )

    def _take_lock(self) -> None:
        """Keep the owner out from before the survey until the database is closed.

        Otherwise the owner could open, change and close it between the two. RocksDB locks the file again,
        which it can within one process. Closing any descriptor of a file drops all of the process's locks
        on it, so this one stays open for as long as the database is.
        """
        if self._lock is not None:
            return  # the last closing failed
        try:
            descriptor = os.open(self.path / "LOCK", os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            reason = f"{self.path}: another program has the database open (its LOCK is held)"
            raise WorkerError(ErrorCode.LOCKED, reason) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _recovery_mode(recovery: Recovery, read_only: bool) -> DBRecoveryMode:
    """Return a mode in which an incomplete replay is an error.

    An owner at work may be in the middle of a write when we read, at the end of its WAL.
    """
    if read_only or recovery is Recovery.TORN_TAIL:
        return DBRecoveryMode.tolerate_corrupted_tail_records()
    return DBRecoveryMode.absolute_consistency()


# ---- merged from jobtui.storage.local.worker.options: ----
# How our own databases are opened, and what their makers share within one worker.
CACHE = 64 << 20
MEMTABLE = 16 << 20
MEMTABLES = 48 << 20
FILE = 16 << 20
_NEVER = 1 << 30
_BUFFER = 1 << 20  # RocksDB's own
_LEAST_BUFFER = 4 << 10
_SYNC_AHEAD = 1 << 20


class SharedOptions:
    """One cache, one memory budget, one rate limit and one set of counters for all databases of a worker.

    The same Options object opens every own database: each of its own would cost half a megabyte for its
    counters alone. Only one operation runs on a host at a time, so the counters still tell its progress.
    """

    def __init__(self, compact_rate: int | None) -> None:
        self.cache = Cache(CACHE)
        self.own = self._own_options(compact_rate)
        # an open that finds a long WAL writes it out with everything in the process waiting: never at that rate
        self.unlimited = self.own if compact_rate is None else self._own_options(None)

    def empty_cache(self) -> None:
        """Empty the cache, but for what is in use.

        The blocks of files that a compaction has replaced stay in it until others need their room. That is 280
        bytes for each compaction of a tiny database, and 64 MiB in the end, and none of it is read again.
        """
        self.cache.set_capacity(0)
        self.cache.set_capacity(CACHE)

    def _own_options(self, compact_rate: int | None) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(False)
        options.set_write_buffer_size(MEMTABLE)
        options.set_write_buffer_manager(WriteBufferManager(MEMTABLES, False))
        options.set_target_file_size_base(FILE)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(64)
        # when to compact is what jobs are for, so a writer is never slowed by files that wait for one
        options.set_disable_auto_compactions(True)
        options.set_level_zero_slowdown_writes_trigger(_NEVER)
        options.set_level_zero_stop_writes_trigger(_NEVER)
        options.set_soft_pending_compaction_bytes_limit(1 << 50)
        options.set_hard_pending_compaction_bytes_limit(1 << 50)
        options.set_max_background_jobs(3)
        options.set_max_subcompactions(2)
        # what is written goes to the disk beside the work, and not all at once as each file ends
        options.set_bytes_per_sync(_SYNC_AHEAD)
        options.set_manifest_preallocation_size(64 << 10)
        options.set_keep_log_file_num(3)
        options.set_max_log_file_size(4 << 20)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        options.enable_statistics()
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(table)
        if compact_rate is not None:
            options.set_ratelimiter(compact_rate, 100_000, 10)
            # a stop is not seen while a buffer waits for its turn to be written
            options.set_writable_file_max_buffer_size(max(_LEAST_BUFFER, min(_BUFFER, compact_rate // 20)))
        return options


def full_compaction() -> CompactOptions:
    """A compaction that rewrites the last level too: the default does nothing on a compacted database."""
    options = CompactOptions()
    options.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
    return options


def tickers(options: Options) -> Counter[str]:
    """The counters of the databases opened with these options, by name without the `rocksdb.` before it."""
    found = re.findall(r"^rocksdb\.([\w.]+) COUNT : (\d+)", options.get_statistics() or "", re.MULTILINE)
    return Counter({name: int(count) for name, count in found})


# ---- merged from jobtui.storage.local.worker.own: ----
# Our own databases: made empty, opened with our options, kept open.
LONG_WAL = 1 << 20
NOTE = "jobtui.json"  # in the database's own directory; RocksDB passes over what it does not know


class OwnOpener:
    """Opens and closes one own database; see database.Keeper."""

    is_transient = False

    def __init__(self, path: Path, shared: SharedOptions) -> None:
        self.path = path
        self._shared = shared
        self._manifest_guard = ManifestGuard(path, path / NOTE)

    @property
    def log(self) -> Path:
        """RocksDB's log."""
        return self.path / "LOG"

    def create(self) -> None:
        """Make the empty database; its directory must not exist. Raises Trouble."""
        try:
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise system_error(error, str(self.path)) from error
        self._shared.own.create_if_missing(True)
        try:
            self._open(self._shared.own).close()
        except Exception as error:  # rocksdict raises nothing narrower
            raise rocksdb_error(str(error), str(self.path)) from error
        finally:
            self._shared.own.create_if_missing(False)
        try:
            self._manifest_guard.note_closed()
            sync_directory(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise system_error(error, str(self.path)) from error

    def open(self, read_only: bool) -> DatabaseHandle:
        """Open it for reading and writing."""
        self._refuse_links()
        self._manifest_guard.before_opening(self._named_files)
        if self._shared.unlimited is not self._shared.own and wal_bytes(self.path) > LONG_WAL:
            self._open(self._shared.unlimited).close()
        handle = self._open(self._shared.own)
        self._manifest_guard.note_open()
        return DatabaseHandle(handle, (handle,), self._shared.own)

    def closing(self) -> None:
        """Nothing to do."""

    def after_close(self) -> None:
        """Note how we left it."""
        self._manifest_guard.note_closed()

    def after_write(self) -> None:
        """Note how long the MANIFEST has grown."""
        self._manifest_guard.note_open()

    def _refuse_links(self) -> None:
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
            raise WorkerError(ErrorCode.ACCESS, reason)

    def _named_files(self) -> set[str]:
        handle = self._open(self._shared.own, AccessType.read_only(False))
        try:
            return {file["name"].lstrip("/") for file in handle.live_files()}
        finally:
            handle.close()

    def _open(self, options: Options, access: AccessType | None = None) -> Rdict:
        # both, because with `options` alone the OPTIONS file on disk wins over most of them
        access = access or AccessType.read_write()
        return Rdict(str(self.path), options=options, column_families={"default": options}, access_type=access)
