"""The dashboard on a profile, or on the temporary one of --demo."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.cli.errors import (
    SIGNAL_STATUS,
    CommandError,
    Exit,
    UsageError,
    hold_signals,
    is_hangup,
    profile_error,
)
from jobtui.cli.options import DashboardCommand, OpenDemo
from jobtui.cli.profiles import read_settings, resolve_profile
from jobtui.cli.streams import is_terminal, print_error
from jobtui.config.settings import Config, TuiSettings
from jobtui.engine.client import Client
from jobtui.engine.lifecycle import is_held
from jobtui.engine.profile import Profile
from jobtui.files import temporary_parent

if TYPE_CHECKING:
    from jobtui.tui.launch import DashboardEnd


def open_dashboard(command: DashboardCommand | OpenDemo) -> int:
    """Show the dashboard until the user leaves, and return the exit status.

    Raises CommandError.
    """
    _require_terminal()
    config = read_settings(command)
    if isinstance(command, OpenDemo):
        # the signals first: a signal between the two would leave the directory behind
        with hold_signals() as received, _temporary_directory() as root:
            return _run(Profile("demo", root), replace(config.dashboard, demo=True), received).status
    return _show_profiles(command, config)


def _show_profiles(command: DashboardCommand, config: Config) -> int:
    """Show the dashboard on the command's profile, then on those that the user switches to.

    If one of these cannot be opened, the one before is opened again. Raises CommandError.
    """
    previous: DashboardCommand | None = None
    while True:
        try:
            end = _run_profile(command, config)
        except CommandError as error:
            if previous is None:
                raise
            print_error(f"jobtui: profile {command.profile} was not opened: {error}")
            command, previous = previous, None
            continue
        if not end.profile or end.status:
            return end.status
        # what named a cluster instead of a profile does not belong to the next one
        previous, command = command, replace(command, profile=end.profile, nebula=None, user=None, tls=None)


def _run_profile(command: DashboardCommand, config: Config) -> DashboardEnd:
    profile = resolve_profile(command, config)
    known = config.profiles.get(profile.name)
    settings = replace(
        config.dashboard,
        state_dir=profile.root / "dashboard",
        profile_color=known.color if known is not None and command.nebula is None else "",
        profiles=tuple(config.profiles),
    )
    with hold_signals() as received:
        return _run(profile, settings, received, command)


def _run(
    profile: Profile,
    settings: TuiSettings,
    received: list[signal.Signals],
    command: DashboardCommand | None = None,
) -> DashboardEnd:
    """Show the dashboard, then end or hand over the jobs that it ran.

    Args:
        received: The signals received so far.
        command: The options with which another process opens the profile, None if none can.
    """
    client = retry_on_error_screen(lambda: _client(profile, settings.demo), settings.theme)
    try:
        end = _show(client, settings, received)
        if command is not None and _must_continue(client, settings, received):
            try:
                return replace(end, status=_continue_in_background(client, profile, command, received))
            except CommandError as error:
                print_error(f"jobtui: the jobs cannot continue in the background: {error}")
                end = replace(end, status=end.status or Exit.FAILED)
        return replace(end, status=_stop_jobs(client, end.status, received))
    finally:
        client.close()


def _continue_in_background(
    client: Client, profile: Profile, command: DashboardCommand, received: list[signal.Signals]
) -> int:
    """Leave the jobs to a server without a terminal that ends with the last, and return the exit status.

    The jobs are left at their next step, so that the server continues them there. After a hang-up the status is
    that of SIGHUP, as it is without jobs.

    Raises:
        CommandError: The server cannot be started; the jobs are still this process's.
    """
    from jobtui.cli.commands.serve import (
        UNTIL_IDLE,
        log_path,
        open_log,
        require_stored_password,
        serve_in_background,
    )

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal is gone, and cannot hang up again
    require_stored_password(profile)
    os.close(open_log(log_path(profile)))
    client.yield_jobs().result()
    if signal.SIGTERM in received:
        return _stop_jobs(client, SIGNAL_STATUS + signal.SIGTERM, received)
    client.close()
    status = serve_in_background(profile, command, log_path(profile), words=[UNTIL_IDLE])
    return SIGNAL_STATUS + signal.SIGHUP if received else status


def _show(client: Client, settings: TuiSettings, received: list[signal.Signals]) -> DashboardEnd:
    """Show the dashboard unless a signal was received.

    Args:
        received: The signals received so far; the one that ends the dashboard is added.
    """
    from jobtui.tui.launch import DashboardEnd, import_dashboard, run

    import_dashboard()
    if not received:
        end = run(client, settings, lambda: bool(received))
        if not received and end.status > SIGNAL_STATUS:
            received.append(signal.Signals(end.status - SIGNAL_STATUS))
        if not received:
            return end
    # the shell has the terminal again: a suspended dashboard that ends must not be stopped for writing to it
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    number = next((each for each in received if each is not signal.SIGHUP), signal.SIGHUP)
    return DashboardEnd(SIGNAL_STATUS + number)


def _must_continue(client: Client, settings: TuiSettings, received: Sequence[signal.Signals]) -> bool:
    """Return whether another process must continue the jobs of this one."""
    # late: the error screen does not need the engine
    from jobtui.engine.failover import FailoverClient

    if received:
        return settings.continue_after_hangup and is_hangup(received) and bool(_own_jobs(client))
    return isinstance(client, FailoverClient) and client.has_yielded


def _stop_jobs(client: Client, status: int, received: Sequence[signal.Signals]) -> int:
    """Stop the jobs of this process if a signal or a defect ended the dashboard; return the exit status."""
    if not received and status == Exit.DONE:
        return status
    from jobtui.cli.wait import WaitAborted, engine_waiter
    from jobtui.engine.failover import FailoverClient

    reason = f"Ended by {received[0].name}" if received else "The dashboard failed"
    engine = client.engine if isinstance(client, FailoverClient) else None
    if engine is None or not _own_jobs(client):
        print_error(reason)
        return status
    first, *more = received or [signal.SIGTERM]
    with engine_waiter(engine, more) as waiter:
        try:
            waiter.stop_and_wait(first, reason)
        except WaitAborted:
            waiter.report_abort()
    return status


def _own_jobs(client: Client) -> list[int]:
    """Return the jobs that end with this process; those of a cluster or of another owner continue."""
    if not client.is_owner:
        return []
    return [job.id for job in client.active_jobs() if job.origin is None and not is_held(job)]


def _client(profile: Profile, demo: bool) -> Client:
    """Return a client of the profile's engine, in this process or in the owner.

    Raises CommandError.
    """
    from jobtui.engine.failover import FailoverClient
    from jobtui.engine.local import LocalClient
    from jobtui.errors import StorageError
    from jobtui.history import StoreError

    try:
        return LocalClient.open(profile, demo=True) if demo else FailoverClient(profile)
    except (StoreError, StorageError) as error:
        raise profile_error(error) from None


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    try:
        directory = tempfile.mkdtemp(prefix="jobtui-demo-", dir=temporary_parent())
    except OSError as error:
        raise CommandError(f"the demo needs a directory for its data: {error.strerror}") from None
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _require_terminal() -> None:
    """Reject streams without a terminal, or one that cannot show the dashboard.

    Raises UsageError.
    """
    alternatives = "use -e TEXT, -f FILE or a pipe"
    if not (is_terminal(0) and is_terminal(1)):
        raise UsageError(f"the dashboard needs a terminal; in scripts {alternatives}")
    if (os.environ.get("TERM") or "dumb") == "dumb":
        raise UsageError(
            "the dashboard needs a terminal that can move its cursor, which this one cannot according to TERM; "
            f"without it {alternatives}"
        )


_ADVICE = (
    "jobtui doctor checks the profile and reports what to do",
    "jobtui history verify checks the stored jobs, and changes nothing",
    "--profile NAME or --data-dir DIR opens another profile, and jobtui --demo a temporary one",
)


def retry_on_error_screen(connect: Callable[[], Client], theme: str) -> Client:
    """Return the client of `connect`, which is called again each time the user requests it.

    Raises its CommandError when the user leaves.
    """
    while True:
        try:
            return connect()
        except CommandError as error:
            from jobtui.tui.launch import show_open_error

            why = str(error).partition("; jobtui doctor")[0]
            if not show_open_error(why, _ADVICE, theme):
                raise
