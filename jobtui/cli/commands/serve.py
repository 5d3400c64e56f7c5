"""`jobtui serve --background`: a server of its own session, that outlives the terminal it was started from."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

from jobtui.cli.args import ServeCommand
from jobtui.cli.commands.foreground import ForegroundProcess
from jobtui.cli.errors import CommandError, Exit, profile_error
from jobtui.cli.profiles import profile_of, settings_of
from jobtui.cli.signals import hold_signals
from jobtui.cli.streams import print_error
from jobtui.cli.wait import EngineWaiter, WaitAborted, describe_jobs, receive_into
from jobtui.engine.client import EngineEvent
from jobtui.engine.failover import FailoverClient
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.errors import StorageError
from jobtui.files import foreign_owner, open_to_append
from jobtui.formatting import format_duration, to_local
from jobtui.history import StoreError, StoreLocked
from jobtui.interpreter import environment, interpreter
from jobtui.model import ConnectionChanged, ConnectionState, ConnectionStatus, Job, JobChanged, Notice, Status
from jobtui.os_errors import explain

START_SECONDS = 30.0
BETWEEN_LOOKS_SECONDS = 0.05


def serve_in_background(profile: Profile, asked: ServeCommand, log: Path) -> int:
    """Start the server, and return once it has the profile. Raises CommandError where it ends before that."""
    _must_have_its_password(profile)
    file = open_log(log)
    begin_in(file, log)
    told_before = os.fstat(file).st_size
    server = subprocess.Popen(
        [*interpreter(), "-m", "jobtui", *_place(profile, asked), "serve"],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=file,
        start_new_session=True,
        env=environment(),
    )
    os.close(file)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise CommandError(_last_words(log, told_before))
        if SERVES in log.read_bytes()[told_before:].decode(errors="replace"):
            print_error(
                f"jobtui serves {profile.name} as process {server.pid} and writes {log}; "
                f"kill {server.pid} ends it"
            )
            return Exit.DONE
        time.sleep(BETWEEN_LOOKS_SECONDS)
    server.terminate()
    raise CommandError(
        f"the server did not have {profile.name} within {START_SECONDS:g} s, and was told to end; see {log}"
    )


def begin_in(file: int, log: Path) -> None:
    """Write the log's next first line: where there is no room for that, no server could tell what happens."""
    try:
        os.write(file, f"{to_local(datetime.now(UTC)).isoformat(timespec='seconds')} starting\n".encode())
    except OSError as error:
        os.close(file)
        raise CommandError(
            f"{log} can't be written: {explain(error, log)}; nothing was started. "
            "jobtui doctor tells what to do"
        ) from None


def _must_have_its_password(profile: Profile) -> None:
    """Refuse a cluster whose password is nowhere: a server in the background can ask nobody for it."""
    cluster = profile.cluster
    if cluster is None or not cluster.addresses:
        return
    try:
        cluster.password.read()
    except StorageError as error:
        raise CommandError(
            f"{error.detail}; a server in the background can't ask for it: set it, or keep it in the keyring"
        ) from None


def _place(profile: Profile, asked: ServeCommand) -> list[str]:
    """The same profile, from wherever the server looks at it."""
    words = ["--profile", profile.name] if asked.nebula is None else ["--nebula", asked.nebula]
    if asked.user is not None:
        words += ["-u", asked.user]
    if asked.tls is not None:
        words += ["--tls", asked.tls if asked.tls == "system" else str(Path(asked.tls).absolute())]
    if asked.data_dir is not None:
        words += ["--data-dir", str(asked.data_dir.absolute())]
    if asked.config is not None:
        words += ["--config", str(asked.config.absolute())]
    return words


def _last_words(log: Path, told_before: int) -> str:
    words = log.read_bytes()[told_before:].decode(errors="replace").strip().splitlines()
    return words[-1].removeprefix("jobtui: ") if words else f"the server ended as it started; see {log}"


# ---- merged from jobtui.cli.serve: ----
# `jobtui serve`: the owner of a profile without a screen, and a dashboard that goes on as one.
#
# It runs the queue, takes what other jobtui processes hand in, and says on stderr, a line each, what starts
# and how it ends. The first SIGTERM, SIGINT or SIGHUP stops what runs and leaves the queue for the next
# start; a second SIGTERM or SIGINT leaves at once.
#
LOG = "serve.log"
SERVES = "jobtui serves"
LONGEST_LOG = 1 << 20


def serve(asked: ServeCommand) -> int:
    """Own the profile until a signal ends it; the answer is the exit status. Raises CommandError."""
    profile = profile_of(asked, settings_of(asked))
    if asked.background:
        return serve_in_background(profile, asked, log_of(profile))
    with hold_signals() as received:
        try:
            engine = LocalClient.open(profile)
        except StoreLocked:
            from jobtui.engine.health import owner_in_words

            words = owner_in_words(profile)
            raise CommandError(f"{profile.name} is already served by {words}; its jobs run there") from None
        except (StoreError, StorageError) as error:
            raise profile_error(error) from None
        try:
            return _serve(engine, received, until_idle=False)
        finally:
            engine.close()


def go_on_as_server(
    desk: FailoverClient, profile: Profile, front: ForegroundProcess, received: list[signal.Signals]
) -> int:
    """Run the desk's jobs to their end without a terminal; the answer is the exit status.

    The process stays the same, and with it the workers: what runs is not touched. `received` grows with
    the signals that came meanwhile. Raises CommandError if the log cannot be written: then nothing was changed.
    """
    engine = desk.engine
    if engine is None:
        return Exit.DONE
    log = log_of(profile)
    file = open_log(log)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # there is no terminal any more that could hang up
    jobs = describe_jobs([job.id for job in engine.active_jobs()])
    print_error(
        f"{jobs[0].upper()}{jobs[1:]} left to process {os.getpid()}, which ends with the last; it writes {log}"
    )
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, stands_for in ((0, nothing), (1, file), (2, file)):
        os.dup2(stands_for, descriptor)
    os.close(nothing)
    os.close(file)
    front.release()
    while signal.SIGHUP in received:
        received.remove(signal.SIGHUP)
    return _serve(engine, received, until_idle=True)


def log_of(profile: Profile) -> Path:
    """Where a server without a terminal writes what it would say."""
    return profile.root / LOG


def open_log(path: Path) -> int:
    """Open the log to go on where it ends; one that has grown long is put aside first. Raises CommandError."""
    try:
        if reason := foreign_owner(path.parent):
            raise CommandError(f"{path} can't be written: {reason}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.lexists(path) and path.lstat().st_size > LONGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        return open_to_append(path)
    except OSError as error:
        raise CommandError(
            f"{path} can't be written: {explain(error, path)}; jobtui doctor tells what to do"
        ) from None


def _serve(engine: LocalClient, received: Sequence[signal.Signals], *, until_idle: bool) -> int:
    serving = ServerConsole(engine, dated=not _is_the_journal(2))
    with receive_into(serving, engine, received):
        try:
            serving.say(f"{SERVES} {engine.profile} as process {os.getpid()}")
            serving.say_connection(engine.connection)
            if until_idle:
                serving.say_what_goes_on()
            serving.until_ended_by_signal_or(until_idle=until_idle)
            serving.wind_up()
        except WaitAborted:
            serving.report_abort()
    return Exit.FAILED if engine.unwritten() else Exit.DONE


class ServerConsole(EngineWaiter):
    """Says what happens, a line each; `dated` where nobody else writes the time before it."""

    def __init__(self, engine: LocalClient, *, dated: bool) -> None:
        super().__init__(engine)
        self._dated = dated
        self._told_to_end: Future[None] = Future()
        self._connection = ""

    def say_connection(self, link: ConnectionStatus | None) -> None:
        """How it stands with the connection to a cluster, if that is another than before: each try is none."""
        words = "" if link is None else _connection(link)
        if words and words != self._connection:
            self._connection = words
            self.say(words)

    def say_what_goes_on(self) -> None:
        """A line for each job that is taken over."""
        for job in self._engine.active_jobs():
            as_it_is = "queued" if job.status is Status.QUEUE else "running"
            self.say(f"Job {job.id} ({job.label}) is {as_it_is} and goes on here")

    def say(self, text: str) -> None:
        """One line on stderr."""
        now = f"{to_local(datetime.now(UTC)).isoformat(timespec='seconds')} " if self._dated else ""
        print_error(now + " ".join(text.splitlines()))

    def until_ended_by_signal_or(self, *, until_idle: bool) -> None:
        """Return when a signal came, or, with `until_idle`, once there is nothing left to run."""
        while until_idle and not self.interrupted:
            left = self.result(self._engine.close_if_idle())
            if not left:
                return
            self._either(self._engine.wait_ended(left))
        self.result(self._told_to_end)

    def wind_up(self) -> None:
        """Stop what runs, and say what becomes of the rest."""
        if self.interrupted is not None:
            self.stop_and_wait(self.interrupted)
        queued = [
            job.id for job in self._engine.active_jobs() if job.status is Status.QUEUE and job.origin is None
        ]
        self.say(f"Ended{': ' + describe_jobs(queued) + ' queued for the next start' if queued else ''}")

    def _either(self, work: Future[tuple[Job, ...]]) -> None:
        """Wait for the work, or for a signal."""
        first: Future[None] = Future()
        for one in (work, self._told_to_end):
            one.add_done_callback(_once(first))
        self.result(first)

    def _begin_to_end(self) -> None:
        self._told_to_end.set_result(None)

    def _hear(self, messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            match message:
                case Notice(text=text):
                    self.say(text)
                case ConnectionChanged(connection=link):
                    self.say_connection(link)
                case JobChanged(job=job, was=was) if was is not job.status:
                    self.say(_told(job))


def _is_the_journal(descriptor: int) -> bool:
    """Whether systemd's journal reads there, which dates each line itself."""
    status = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _connection(link: ConnectionStatus) -> str:
    match link.state:
        case ConnectionState.CONNECTED:
            return f"Connected to the cluster at {link.address}" if link.address else "Connected to the cluster"
        case ConnectionState.LOST:
            return f"No connection to the cluster: {link.detail}; it is tried again until there is one"
        case ConnectionState.REFUSED:
            return f"Not connected to the cluster: {link.detail}; it is not tried again by itself"
    return ""


def _told(job: Job) -> str:
    took = f" after {format_duration(job.took)}" if job.took is not None else ""
    reason = f": {job.reason}" if job.reason else ""
    match job.status:
        case Status.QUEUE:
            return f"Job {job.id} ({job.label}) queued"
        case Status.RUNNING:
            return f"Job {job.id} ({job.label}) started"
    return f"Job {job.id} ({job.label}) {job.status}{took}{reason}"


def _once(first: Future[None]) -> Callable[[object], None]:
    def set_it(_: object) -> None:
        if not first.done():
            first.set_result(None)

    return set_it
