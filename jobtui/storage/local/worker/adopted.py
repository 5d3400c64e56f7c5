"""An adopted database: opened with its own options, for as long as it is used, and left as it was found."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from rocksdict import AccessType, DBRecoveryMode, Options, Rdict

from jobtui.errors import Code
from jobtui.storage.local.adopted_directory import AdoptedDirectory
from jobtui.storage.local.adoption import Recovery, Survey, Surveyor
from jobtui.storage.local.reasons import Trouble
from jobtui.storage.local.worker.database import Opened
from jobtui.storage.local.worker.manifest import Watch
from jobtui.storage.local.worker.options import Shared

_HIDDEN = 0o066
_FIFO = "kCompactionStyleFIFO"
_STILL = {_FIFO, "kCompactionStyleNone"}
_LOG_FILES = 2
_TRIES = 3


class AdoptedKeeper:
    """Opens and closes one adopted database; see database.Keeper.

    `notes` is a directory of ours.
    """

    brief = True

    def __init__(self, path: Path, notes: Path, surveyor: Surveyor, shared: Shared) -> None:
        self.path = path
        self._shared = shared
        self._directory = AdoptedDirectory(path, notes)
        self._surveyor = surveyor
        self._watch = Watch(
            path, notes / "manifest.json", foreign=True, lost_end=lambda: self._surveyor.survey().lost_end
        )
        self._writing = False
        self._lock: int | None = None

    @property
    def log(self) -> Path:
        """RocksDB's log."""
        return self._directory.log

    def open(self, read_only: bool) -> Opened:
        """Open it with all its column families; `read_only` takes no LOCK, so its owner may be at work."""
        if not read_only:
            self._take_lock()
        try:
            opened = self._look_at() if read_only else self._survey_and_open(read_only=False)
        except BaseException:
            self._release_lock()
            raise
        self._writing = not read_only
        self._directory.opened()
        if self._writing:
            self._watch.opened()
        return opened

    def closing(self) -> None:
        """Nothing to do: what opening wrote was removed at once."""

    def closed(self) -> None:
        """Give its owner what was written, and note how we left it."""
        try:
            self._directory.closed()
            if self._writing:
                self._watch.closed()
        finally:
            self._release_lock()

    def worked(self) -> None:
        """Note how long the MANIFEST has grown."""
        if self._writing:
            self._watch.opened()

    def _look_at(self) -> Opened:
        """Open it for reading; again if its owner deleted a file in between."""
        for left in reversed(range(_TRIES)):
            try:
                return self._survey_and_open(read_only=True)
            except Trouble:
                raise  # the survey has tried again by itself
            except Exception as error:  # rocksdict raises nothing narrower
                if not left or "No such file" not in str(error):
                    raise
        raise AssertionError("unreachable")

    def _survey_and_open(self, *, read_only: bool) -> Opened:
        self._directory.restore()
        if not read_only:
            # first, because a MANIFEST that lost its end makes the rest look like another kind of database
            self._watch.check(lambda: set(self._surveyor.survey().named))
        survey = self._surveyor.survey()
        if not read_only:
            survey.refuse_writing(self.path)
        options = self._directory.snapshot(survey.options, survey.wal_directory, writing=not read_only)
        if not read_only:
            # who may read its files now may read the new ones
            os.umask(_HIDDEN & ~(self.path / "CURRENT").stat().st_mode)
            self._watch.before_opening(lambda: set(survey.named))
        try:
            return self._open(survey, options, read_only)
        except BaseException:
            self._directory.restore()
            raise

    def _open(self, survey: Survey, source: Path, read_only: bool) -> Opened:
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
        return Opened(
            main,
            tuple(handles.values()),
            options,
            levelled=set(styles.values()) - _STILL <= {"kCompactionStyleLevel"},
            still=tuple(handle for name, handle in handles.items() if styles.get(name) in _STILL),
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
            raise Trouble(Code.LOCKED, reason) from None
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
