"""What can be found out about a profile without taking it: for whoever asks why something doesn't work.

Nothing here writes into the profile; storage and clusters are tried from a throw-away one.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from msgspec.structs import replace

from jobtui.engine.admission import RunPolicy
from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerTimeout, OwnerUnavailable, ProbeFailed
from jobtui.files import temporary_parent
from jobtui.history import History, export
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import LOCK_NAME as LOCK
from jobtui.history.format.lock import WriterWatcher
from jobtui.history.repair import repair, verify
from jobtui.model import ConnectionStatus
from jobtui.storage.base import Host

_PAIRS = [(b"key %d" % number, b"value") for number in range(100)]
_SPACE = "tried"
_HOST = "local0"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class OwnerInfo:
    """The process that has a profile (None: it left no name) and why it does not answer ("": it does).

    `is_silent`: it accepted the connection and sent nothing, so it is suspended or stuck.
    """

    pid: int | None
    trouble: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class HistoryInfo:
    """What a history holds: the ids given so far, those still queued or running, what was found damaged."""

    last_id: int
    live: int
    damage: tuple[str, ...]


def owner_of(profile: Profile) -> OwnerInfo | None:
    """Who has the profile; None where nobody has. Raises OSError where that can't be seen."""
    disk = Disk()
    if in_its_place := disk.wrong_type(profile.history / LOCK):
        raise OSError(errno.EEXIST, in_its_place)
    watch = WriterWatcher(disk, profile.history)
    try:
        if not watch.has_writer():
            return None
        mark = watch.read_status()
    finally:
        watch.close()
    pid = mark.pid if mark else None
    try:
        RemoteClient.connect(profile).close()
    except OwnerUnavailable as silent:
        return OwnerInfo(pid, str(silent), isinstance(silent, OwnerTimeout))
    return OwnerInfo(pid, "")


def is_owned(profile: Profile) -> bool:
    """Whether a process has the profile; where that can't be seen, one may."""
    try:
        watch = WriterWatcher(Disk(), profile.history)
        try:
            return watch.has_writer()
        finally:
            watch.close()
    except OSError:
        return True


def owner_in_words(profile: Profile) -> str:
    """`process 4711`; `the jobtui that owns this profile` where its id can't be seen."""
    try:
        watch = WriterWatcher(Disk(), profile.history)
        try:
            mark = watch.read_status() if watch.has_writer() else None
        finally:
            watch.close()
    except OSError:
        mark = None
    return "the jobtui that owns this profile" if mark is None else f"process {mark.pid}"


def kept_in(profile: Profile) -> HistoryInfo:
    """What the profile's history holds. Raises StoreError."""
    history = History.open(profile.history, write=False)
    try:
        return HistoryInfo(history.last_id(), len(history.live()), tuple(map(str, history.notes)))
    finally:
        history.close()


def probe_storage(*fallbacks: Path) -> None:
    """Write, flush and compact in an embedded database, in one of the `fallbacks` if there is no other place.

    Raises StorageError, StoreError and OSError.
    """
    with _elsewhere(Profile("doctor", Path(), {_HOST: None}), *fallbacks) as engine:
        session = Session(_SPACE, Path("/"))
        _carried_out(engine, f"CREATE SPACE {_SPACE}", session)
        engine.load(_SPACE, _PAIRS).result(_SECONDS)
        answer = _carried_out(engine, "ADMIN FLUSH; ADMIN COMPACT", session)
        for job in engine.wait_ended(answer.jobs).result(_SECONDS):
            if job.reason:
                raise ProbeFailed(job.reason)


def try_cluster(profile: Profile, seconds: float) -> tuple[ConnectionStatus | None, tuple[Host, ...]]:
    """The connection to the profile's cluster after at most so many seconds, and the hosts that it tells of.

    Raises StorageError, StoreError and OSError.
    """
    with _elsewhere(profile, profile.root) as engine:
        engine.wait_connected(seconds, whole=False).result(seconds + _SECONDS)
        return engine.connection, engine.fetch_overview().result(seconds + _SECONDS).hosts


def _carried_out(engine: LocalClient, text: str, session: Session) -> ExecuteResult:
    answer = engine.execute(text, session).result(_SECONDS)
    if answer.failure is not None:
        raise ProbeFailed(answer.failure.message)
    return answer


@contextmanager
def _elsewhere(profile: Profile, *fallbacks: Path) -> Iterator[LocalClient]:
    """An engine as the profile has it, in a directory of its own that goes with it."""
    parent = temporary_parent(*fallbacks)
    with tempfile.TemporaryDirectory(prefix="jobtui-doctor-", dir=parent) as root:
        engine = LocalClient.open(replace(profile, root=Path(root)), run=RunPolicy.SUBMITTED)
        try:
            yield engine
        finally:
            engine.close()


# ---- merged from jobtui.engine.looking_after: ----
# Looking after a profile's history: for the rooms above the engine, which know only the profile.
def verify_history(profile: Profile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All that is not as it was written, a line each, and what was found before.

    Raises StoreError.
    """
    found = verify.verify(profile.history)
    places = {(note.file, note.byte) for note in found}
    before = [note for note in verify.past_notes(profile.history) if (note.file, note.byte) not in places]
    return tuple(map(str, found)), tuple(map(str, before))


def repair_history(profile: Profile) -> tuple[str, ...]:
    """Make it whole; what was done, a line each. Raises StoreLocked while a process has it, and StoreError."""
    return tuple(repair.repair(profile.history))


def export_history(
    profile: Profile, out: TextIO, form: str, *, raw: bool = False
) -> tuple[int, tuple[str, ...]]:
    """Write every job to `out` as json, jsonl or csv; how many there are, and what is missing, a line each.

    `raw` leaves texts in a CSV as they are that a spreadsheet would compute. Raises StoreError.
    """
    exported = export.export(profile.history, out, form, raw=raw)
    return exported.count, exported.missing
