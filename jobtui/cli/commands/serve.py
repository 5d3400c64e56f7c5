"""`jobtui serve`: the owner of a profile without a screen.

It runs the queue, accepts jobs from other jobtui processes, and prints a line on stderr when a job starts or
ends. The first SIGTERM, SIGINT or SIGHUP stops the running jobs and leaves the queue for the next start; a
second SIGTERM or SIGINT exits at once. With `--background` the server has a session of its own, and outlives
the terminal that it was started from. With `--until-idle` it ends when no job is left to run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from jobtui.cli.errors import CommandError, Exit, hold_signals, profile_error
from jobtui.cli.options import ProfileOptions, ServeCommand
from jobtui.cli.profiles import profile_options, read_settings, resolve_profile
from jobtui.cli.streams import print_error
from jobtui.cli.wait import EngineWaiter, WaitAborted, describe_jobs, receive_into
from jobtui.engine.client import EngineEvent
from jobtui.engine.job_log import describe_request, last_stop
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.errors import StorageError
from jobtui.files import foreign_owner, open_to_append
from jobtui.formatting import format_duration, to_local
from jobtui.history import StoreError, StoreLocked, describe_damage
from jobtui.interpreter import interpreter_command, interpreter_environment
from jobtui.model import (
    ConnectionChanged,
    ConnectionState,
    ConnectionStatus,
    Job,
    JobChanged,
    Notice,
    Status,
    TaskProgressed,
)
from jobtui.os_errors import describe_os_error

START_SECONDS = 30.0
UNTIL_IDLE = "--until-idle"
POLL_SECONDS = 0.05  # between two reads of a starting server's log: only the log shows when it is ready
LOG = "serve.log"
SERVES = "jobtui serves"  # begins the line by which a server in the background reports that it has the profile
MAX_LOG_BYTES = 1 << 20


def serve(command: ServeCommand) -> int:
    """Own the profile until a signal ends the server, and return the exit status.

    Raises CommandError.
    """
    profile = resolve_profile(command, read_settings(command))
    if command.background:
        options = [UNTIL_IDLE] if command.until_idle else []
        if command.metrics is not None:
            host, port = command.metrics
            options += ["--metrics", f"[{host}]:{port}"]
        return serve_in_background(profile, command, log_path(profile), words=options)
    with hold_signals() as received:
        try:
            engine = LocalClient.open(profile)
        except StoreLocked:
            from jobtui.engine.health import describe_owner

            words = describe_owner(profile)
            raise CommandError(f"{profile.name} is already served by {words}; its jobs run there") from None
        except (StoreError, StorageError) as error:
            raise profile_error(error) from None
        try:
            with serve_metrics(engine, profile, command.metrics) as address:
                return _serve(engine, received, until_idle=command.until_idle, metrics=address)
        finally:
            engine.close()


def serve_in_background(profile: Profile, options: ProfileOptions, log: Path, *, words: Sequence[str]) -> int:
    """Start a server without this terminal, and return when it has the profile.

    Raises CommandError if it ends before that.
    """
    require_stored_password(profile)
    file = open_log(log)
    write_first_line(file, log)
    size_before = os.fstat(file).st_size
    server = subprocess.Popen(
        [
            *interpreter_command(),
            "-m",
            "jobtui",
            *profile_options(profile, options),
            "serve",
            *words,
        ],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=file,
        start_new_session=True,
        env=interpreter_environment(),
    )
    os.close(file)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise CommandError(_last_message(log, size_before))
        if SERVES in log.read_bytes()[size_before:].decode(errors="replace"):
            print_error(
                f"jobtui serves {profile.name} as process {server.pid} and writes {log}"
                f"{' until its jobs have ended' if UNTIL_IDLE in words else ''}; "
                f"kill {server.pid} ends it"
            )
            return Exit.DONE
        time.sleep(POLL_SECONDS)  # the server has no channel back: only its log shows that it serves
    server.terminate()
    raise CommandError(
        f"the server did not have {profile.name} within {START_SECONDS:g} s, and was terminated; see {log}"
    )


def write_first_line(file: int, log: Path) -> None:
    """Write a first line to the log: if the disk does not accept it, a server could not report anything.

    Raises CommandError, and closes the file then.
    """
    try:
        os.write(file, f"{to_local(datetime.now(UTC)).isoformat(timespec='seconds')} starting\n".encode())
    except OSError as error:
        os.close(file)
        raise CommandError(
            f"{log} cannot be written: {describe_os_error(error, log)}; nothing was started. "
            "jobtui doctor shows what to do"
        ) from None


def require_stored_password(profile: Profile) -> None:
    """Reject a cluster whose password is stored nowhere: a server in the background cannot ask for it."""
    cluster = profile.cluster
    if cluster is None or not cluster.addresses:
        return
    try:
        cluster.password.read()
    except StorageError as error:
        raise CommandError(
            f"{error.detail}; a server in the background cannot ask for it: set it, or store it in the keyring"
        ) from None


def _last_message(log: Path, size_before: int) -> str:
    words = log.read_bytes()[size_before:].decode(errors="replace").strip().splitlines()
    return words[-1].removeprefix("jobtui: ") if words else f"the server ended as it started; see {log}"


def log_path(profile: Profile) -> Path:
    """Return the path of the log of a server without a terminal."""
    return profile.root / LOG


def open_log(path: Path) -> int:
    """Open the log to append to it; a long one is renamed first. Raises CommandError."""
    try:
        if reason := foreign_owner(path.parent):
            raise CommandError(f"{path} cannot be written: {reason}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.lexists(path) and path.lstat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return open_to_append(path)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written: {describe_os_error(error, path)}; jobtui doctor shows what to do"
        ) from None


@contextmanager
def serve_metrics(
    engine: LocalClient, profile: Profile, address: tuple[str, int] | None
) -> Iterator[str | None]:
    """Serve the metrics until the block ends, and yield their URL; None if there is no address.

    Raises CommandError if the address cannot be used.
    """
    if address is None:
        yield None
        return
    # late: prometheus-client and its HTTP server take 60 ms to import
    from prometheus_client import start_http_server

    from jobtui.engine.metrics import ProfileMetrics

    host, port = address
    metrics = ProfileMetrics(engine, profile, has_owner=True)
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise CommandError(f"metrics cannot be served at {host}:{port}: {describe_os_error(error)}") from None
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _serve(
    engine: LocalClient, received: Sequence[signal.Signals], *, until_idle: bool, metrics: str | None
) -> int:
    console = ServerConsole(engine, dated=not _stderr_is_journal())
    with receive_into(console, engine, received):
        try:
            console.print(f"{SERVES} {engine.profile} as process {os.getpid()}")
            if metrics is not None:
                console.print(f"Metrics are at {metrics}")
            if damage := describe_damage(engine.history.notes):
                console.print(damage)
            console.print_connection(engine.connection)
            if until_idle:
                console.print_active_jobs()
            console.wait_for_signal(until_idle=until_idle)
            console.finish()
        except WaitAborted:
            console.report_abort()
    return Exit.FAILED if engine.unwritten() else Exit.DONE


class ServerConsole(EngineWaiter):
    """A printer of a line for each event; with `dated`, with the time, unless the journal adds it."""

    def __init__(self, engine: LocalClient, *, dated: bool) -> None:
        super().__init__(engine)
        self._dated = dated
        self._end_requested: Future[None] = Future()
        self._connection = ""
        self._began = datetime.now(UTC)

    def print_connection(self, link: ConnectionStatus | None) -> None:
        """Print the state of the connection to a cluster if it changed; retries do not change it."""
        words = "" if link is None else _describe_connection(link)
        if words and words != self._connection:
            self._connection = words
            self.print(words)

    def print_active_jobs(self) -> None:
        """Print a line for each job that the server takes over."""
        for job in self._engine.active_jobs():
            status = "queued" if job.status is Status.QUEUE else "running"
            self.print(f"Job {job.id} ({job.label}) is {status} and continues here")

    def print(self, text: str) -> None:
        """Print one line on stderr."""
        now = f"{to_local(datetime.now(UTC)).isoformat(timespec='seconds')} " if self._dated else ""
        print_error(now + " ".join(text.splitlines()))

    def wait_for_signal(self, *, until_idle: bool) -> None:
        """Return after a signal, or, with `until_idle`, when no job is left to run."""
        while until_idle and not self.interrupted:
            left = self.result(self._engine.close_if_idle())
            if not left:
                return
            self._either(self._engine.wait_ended(left))
        self.result(self._end_requested)

    def finish(self) -> None:
        """Stop the running jobs, and print the queued ones."""
        if self.interrupted is not None:
            self.stop_and_wait(self.interrupted)
        queued = [
            job.id for job in self._engine.active_jobs() if job.status is Status.QUEUE and job.origin is None
        ]
        self.print(f"Ended{': ' + describe_jobs(queued) + ' queued for the next start' if queued else ''}")

    def _either(self, work: Future[tuple[Job, ...]]) -> None:
        """Wait for the work or for a signal."""
        first: Future[None] = Future()
        for one in (work, self._end_requested):
            one.add_done_callback(_once(first))
        self.result(first)

    def _on_first_signal(self) -> None:
        self._end_requested.set_result(None)

    def _on_messages(self, messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            match message:
                case Notice(text=text):
                    self.print(text)
                case ConnectionChanged(connection=link):
                    self.print_connection(link)
                case JobChanged(job=job, was=was) if was is not job.status and not self._is_old(job, was):
                    self.print(_describe_change(job))
                case JobChanged() | TaskProgressed():
                    if text := self._holds.describe(message):
                        self.print(text)

    def _is_old(self, job: Job, was: Status | None) -> bool:
        """Return whether a job of a cluster had ended before this server began, and is only listed now."""
        return was is None and job.stop is not None and job.stop < self._began


def _stderr_is_journal() -> bool:
    """Return whether systemd's journal reads stderr; the journal dates each line itself."""
    status = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _describe_connection(link: ConnectionStatus) -> str:
    match link.state:
        case ConnectionState.CONNECTED:
            if link.detail:
                return f"The cluster gives {link.detail}; the jobs shown may be out of date"
            return f"Connected to the cluster at {link.address}" if link.address else "Connected to the cluster"
        case ConnectionState.LOST:
            return f"No connection to the cluster: {link.detail}; retrying until there is one"
        case ConnectionState.REFUSED:
            return f"Not connected to the cluster: {link.detail}; it is not retried automatically"
    return ""


def _describe_change(job: Job) -> str:
    took = f" after {format_duration(job.took)}" if job.took is not None else ""
    reason = f": {job.reason}" if job.reason else ""
    match job.status:
        case Status.QUEUE:
            return f"Job {job.id} ({job.label}) queued"
        case Status.RUNNING:
            return f"Job {job.id} ({job.label}) started"
    return f"Job {job.id} ({job.label}) {job.status}{took}{reason or describe_request(last_stop(job))}"


def _once(first: Future[None]) -> Callable[[object], None]:
    def complete(_: object) -> None:
        if not first.done():
            first.set_result(None)

    return complete
