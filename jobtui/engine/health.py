"""The health of a profile, examined without locking it.

Only `repair_history` writes into the profile; storage and clusters are probed from a temporary one.
"""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import msgspec
from msgspec.structs import replace

from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.reader import orphaned_job_view
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import OwnerTimeout, OwnerUnavailable, ProbeFailed
from jobtui.files import temporary_parent
from jobtui.history import History, export, repair, verify
from jobtui.history.format import quarantine
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import LOCK_NAME as LOCK
from jobtui.history.format.lock import WriterWatcher
from jobtui.model import ConnectionStatus, Status
from jobtui.os_errors import bare_reason
from jobtui.storage.base import Host

_PROBE_PAIRS = [(b"key %d" % number, b"value") for number in range(100)]
_PROBE_SPACE = "tried"
_PROBE_HOST = "local0"
_PROBE_SECONDS = 60.0


class OwnerInfo(msgspec.Struct, frozen=True):
    """The process that owns a profile.

    Attributes:
        pid: Its id, None if it recorded none.
        problem: Why it does not answer, "" if it does.
        is_silent: Whether it accepted a connection and sent nothing: it is suspended or hangs.
    """

    pid: int | None
    problem: str
    is_silent: bool = False


class HistoryInfo(msgspec.Struct, frozen=True):
    """A summary of a history.

    Attributes:
        last_id: The highest id of a job.
        live: The number of queued and running jobs.
        interrupted: The number of jobs that were running when their owner died, which the next one records.
        damage: The damage found, a line each.
    """

    last_id: int
    live: int
    interrupted: int
    damage: tuple[str, ...]


def owner_of(profile: Profile) -> OwnerInfo | None:
    """Return the process that owns the profile, None if there is none.

    Raises OSError if it is not visible.
    """
    disk = Disk()
    if in_its_place := disk.wrong_type(profile.history / LOCK):
        raise OSError(errno.EEXIST, in_its_place)
    with closing(WriterWatcher(disk, profile.history)) as watcher:
        if not watcher.has_writer():
            return None
        status = watcher.read_status()
    pid = status.pid if status else None
    try:
        RemoteClient.connect(profile).close()
    except OwnerUnavailable as silent:
        return OwnerInfo(pid, str(silent), isinstance(silent, OwnerTimeout))
    return OwnerInfo(pid, "")


def describe_owner(profile: Profile) -> str:
    """Return `process 4711`, or `the jobtui that owns this profile` if its id is not visible."""
    try:
        with closing(WriterWatcher(Disk(), profile.history)) as watcher:
            status = watcher.read_status() if watcher.has_writer() else None
    except OSError:
        status = None
    return "the jobtui that owns this profile" if status is None else f"process {status.pid}"


def summarize_history(profile: Profile) -> HistoryInfo:
    """Return a summary of the profile's history. Raises StoreError."""
    history = History.open(profile.history, write=False, view_orphaned=orphaned_job_view(profile))
    try:
        interrupted = sum(job.status.ended for job in history.orphaned_views)
        with quarantine.convert_read_errors():
            wrong_types = verify.find_wrong_types(Disk(), history.path)  # a start would refuse them
        damage = tuple(map(str, (*wrong_types, *history.notes)))
        return HistoryInfo(history.last_id(), len(history.live()), interrupted, damage)
    finally:
        history.close()


def probe_storage(*fallbacks: Path) -> None:
    """Write, flush and compact in a temporary embedded database; in one of the `fallbacks` if necessary.

    Raises StorageError, StoreError and OSError.
    """
    with _temporary_engine(Profile("doctor", Path(), {_PROBE_HOST: None}), *fallbacks) as engine:
        session = Session(_PROBE_SPACE, Path("/"))
        _execute(engine, f"CREATE SPACE {_PROBE_SPACE}", session)
        engine.load(_PROBE_SPACE, _PROBE_PAIRS).result(_PROBE_SECONDS)
        answer = _execute(engine, "ADMIN FLUSH; ADMIN COMPACT", session)
        for job in engine.wait_ended(answer.jobs).result(_PROBE_SECONDS):
            if job.status is not Status.FINISHED:
                raise ProbeFailed(job.reason)


def probe_cluster(profile: Profile, seconds: float) -> tuple[ConnectionStatus | None, tuple[Host, ...]]:
    """Return the profile's connection to its cluster after at most this many seconds, and its hosts.

    Raises StorageError, StoreError and OSError.
    """
    with _temporary_engine(profile, profile.root) as engine:
        engine.wait_connected(seconds, caught_up=False).result(seconds + _PROBE_SECONDS)
        hosts = engine.fetch_overview().result(seconds + _PROBE_SECONDS).hosts  # some storages connect only now
        return engine.connection, hosts


def find_dead_graphds(profile: Profile) -> dict[str, str]:
    """Return why each of the cluster's graphds accepts no connection, by its address; none of those that do."""
    problems: dict[str, str] = {}
    assert profile.cluster is not None
    for address in profile.cluster.addresses:
        try:
            socket.create_connection((address.host, address.port), profile.cluster.connect_timeout).close()
        except TimeoutError:
            problems[str(address)] = "no connection in time"
        except (OSError, UnicodeError) as error:
            problems[str(address)] = bare_reason(error)
    return problems


def _execute(engine: LocalClient, text: str, session: Session) -> ExecuteResult:
    answer = engine.execute(text, session).result(_PROBE_SECONDS)
    if answer.failure is not None:
        raise ProbeFailed(answer.failure.message)
    return answer


@contextmanager
def _temporary_engine(profile: Profile, *fallbacks: Path) -> Iterator[LocalClient]:
    """Open an engine with the profile's settings in a temporary directory."""
    parent = temporary_parent(*fallbacks)
    with tempfile.TemporaryDirectory(prefix="jobtui-doctor-", dir=parent) as root:
        engine = LocalClient.open(replace(profile, root=Path(root), notify=None), run=RunPolicy.SUBMITTED)
        try:
            yield engine
        finally:
            engine.close()


def check_catalog(profile: Profile) -> tuple[int, str, tuple[str, ...]]:
    """Return the number of spaces, the damage of their list, and a line for each database that is missing.

    It opens no database. Raises StorageError.
    """
    from jobtui.storage.local.catalog import Catalog  # late: a profile of a cluster has none

    catalog = Catalog.open(profile.storage, profile.hosts, profile.wal_dirs)
    return len(catalog.spaces()), catalog.damage, tuple(catalog.missing_databases())


def verify_history(profile: Profile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the damage of the history, a line each, and the damage that was found before.

    Raises StoreError.
    """
    found = verify.verify(profile.history)
    places = {(note.file, note.byte) for note in found}
    before = [note for note in verify.past_notes(profile.history) if (note.file, note.byte) not in places]
    return tuple(map(str, found)), tuple(map(str, before))


def repair_history(profile: Profile) -> tuple[str, ...]:
    """Repair the history; return a line for each repair. Raises StoreLocked and StoreError."""
    return tuple(repair.repair(profile.history))


def export_history(
    profile: Profile, out: TextIO, form: str, *, raw: bool = False
) -> tuple[int, tuple[str, ...]]:
    """Write every job as json, jsonl or csv; return their number, and a line for each missing part.

    `raw` leaves texts in a CSV unchanged that a spreadsheet would take for formulas. Raises StoreError.
    """
    exported = export.export(profile.history, out, form, raw=raw, view_orphaned=orphaned_job_view(profile))
    return exported.count, exported.missing
