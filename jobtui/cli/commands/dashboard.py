"""The dashboard: on a profile, or on the throw-away one of --demo."""

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

from jobtui.cli.args import DashboardCommand, OpenDemo
from jobtui.cli.commands.foreground import ForegroundProcess, fork_behind_foreground
from jobtui.cli.errors import CommandError, Exit, UsageError, hold_signals, is_hangup, profile_error
from jobtui.cli.profiles import profile_of, settings_of
from jobtui.cli.streams import is_terminal, print_error
from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client
from jobtui.engine.profile import Profile
from jobtui.files import temporary_parent

if TYPE_CHECKING:
    from jobtui.engine.failover import FailoverClient


SIGNALLED = 128  # the shell's way to say that a signal ended a program


def open_dashboard(asked: DashboardCommand | OpenDemo) -> int:
    """Show the dashboard until it is left; the answer is the exit status. Raises CommandError."""
    _must_have_a_terminal()
    config = settings_of(asked)
    if isinstance(asked, OpenDemo):
        with _throw_away() as root:
            profile = Profile("demo", root)
            return _run(profile, replace(config.dashboard, demo=True))
    profile = profile_of(asked, config)
    settings = replace(config.dashboard, state_dir=profile.root / "dashboard")
    return _run_behind(fork_behind_foreground(), profile, settings)


def _run_behind(front: ForegroundProcess, profile: Profile, settings: TuiSettings) -> int:
    """Show the dashboard; if it leaves its work behind, go on with that without the terminal."""
    from jobtui.engine.failover import FailoverClient

    with hold_signals() as received:
        client = retry_on_error_screen(lambda: _client(profile, demo=False), settings.theme)
        try:
            if isinstance(client, FailoverClient):
                client.may_hand_over = True
            status = _shown(client, settings, received, lambda: front.is_gone)
            if isinstance(client, FailoverClient) and _is_to_go_on(client, settings, status, received):
                try:
                    return _go_on(client, profile, front, received)
                except CommandError as error:
                    print_error(f"jobtui: the work cannot go on in the background: {error}")
            return _wind_down(client, status, received)
        finally:
            client.close()


def _run(profile: Profile, settings: TuiSettings) -> int:
    with hold_signals() as received:
        client = retry_on_error_screen(lambda: _client(profile, settings.demo), settings.theme)
        try:
            status = _shown(client, settings, received)
            if received:
                print_error(f"Ended by {received[0].name}")
            return status
        finally:
            client.close()


def _shown(
    client: Client,
    settings: TuiSettings,
    received: list[signal.Signals],
    forsaken: Callable[[], bool] = lambda: False,
) -> int:
    """Show the dashboard unless a signal came before; the exit status. Adds the signal that ended it."""
    from jobtui.tui.launch import load, run

    load()
    if not received:
        status = run(client, settings, lambda: bool(received) or forsaken())
        if not received and status > SIGNALLED:
            received.append(signal.Signals(status - SIGNALLED))
        if not received:
            return status
    # the terminal is the shell's again: a suspended dashboard that ends must not be stopped for writing to it
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    return SIGNALLED + next((one for one in received if one is not signal.SIGHUP), signal.SIGHUP)


def _is_to_go_on(
    client: FailoverClient, settings: TuiSettings, status: int, received: Sequence[signal.Signals]
) -> bool:
    """Return whether the work goes on in this process without a terminal."""
    if received:
        return (
            settings.continue_after_hangup
            and is_hangup(received)
            and bool(_own_jobs(client))
            and client.hand_over()
        )
    return client.handed_over and status == Exit.DONE


def _go_on(
    client: FailoverClient, profile: Profile, front: ForegroundProcess, received: list[signal.Signals]
) -> int:
    from jobtui.cli.commands.serve import continue_as_server

    return continue_as_server(client, profile, front, received)


def _wind_down(client: Client, status: int, received: Sequence[signal.Signals]) -> int:
    """Stop the work of this process if a signal or a defect ended the dashboard; the exit status."""
    if not received and status == Exit.DONE:
        return status
    from jobtui.cli.wait import WaitAborted, wait_for_engine
    from jobtui.engine.failover import FailoverClient

    reason = f"Ended by {received[0].name}" if received else "The dashboard failed"
    engine = client.engine if isinstance(client, FailoverClient) else None
    if engine is None or not _own_jobs(client):
        print_error(reason)
        return status
    first, *more = received or [signal.SIGTERM]
    with wait_for_engine(engine, more) as waiting:
        try:
            waiting.stop_and_wait(first, reason)
        except WaitAborted:
            waiting.report_abort()
    return status


def _own_jobs(client: Client) -> list[int]:
    """Return the jobs that end with this process: a cluster's go on without it, and so do an owner's."""
    return [job.id for job in client.active_jobs() if job.origin is None] if client.is_owner else []


def _client(profile: Profile, demo: bool) -> Client:
    """The profile's engine, here or in the process that has it already."""
    from jobtui.engine.failover import FailoverClient
    from jobtui.engine.local import LocalClient
    from jobtui.errors import StorageError
    from jobtui.history import StoreError

    try:
        return LocalClient.open(profile, demo=True) if demo else FailoverClient(profile)
    except (StoreError, StorageError) as error:
        raise profile_error(error) from None


@contextmanager
def _throw_away() -> Iterator[Path]:
    try:
        directory = tempfile.mkdtemp(prefix="jobtui-demo-", dir=temporary_parent())
    except OSError as error:
        raise CommandError(f"the demo needs a directory for its data: {error.strerror}") from None
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _must_have_a_terminal() -> None:
    ways = "there are -e TEXT, -f FILE and a pipe"
    if not (is_terminal(0) and is_terminal(1)):
        raise UsageError(f"the dashboard needs a terminal; for scripts {ways}")
    if (os.environ.get("TERM") or "dumb") == "dumb":
        raise UsageError(
            "the dashboard needs a terminal that can move its cursor, and TERM says that this one can't; "
            f"without it {ways}"
        )


_ADVICE = (
    "jobtui doctor looks at the profile and says what is wrong with it and what to do",
    "jobtui history verify looks into the stored jobs, and changes nothing",
    "--profile NAME or --data-dir DIR opens another one, and jobtui --demo a throw-away one",
)


def retry_on_error_screen(opened: Callable[[], Client], theme: str) -> Client:
    """What `opened` comes to, as often as one tries again. Raises its CommandError once one leaves."""
    while True:
        try:
            return opened()
        except CommandError as error:
            from jobtui.tui.launch import explain

            why = str(error).partition("; jobtui doctor")[0]
            if not explain("This profile can't be opened", why, _ADVICE, theme):
                raise
