"""The dashboard: on a profile, or on the throw-away one of --demo."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from jobtui.cli.asked import OpenDashboard, OpenDemo
from jobtui.cli.exits import UsageError, unusable
from jobtui.cli.front import Front, step_behind
from jobtui.cli.profiles import profile_of, settings_of
from jobtui.cli.streams import is_terminal
from jobtui.cli.unopened import told_on_a_screen
from jobtui.engine.desk import Desk
from jobtui.engine.profile import Profile
from jobtui.tui.settings import TuiSettings


def open_dashboard(asked: OpenDashboard | OpenDemo) -> int:
    """Show the dashboard until it is left; the answer is the exit status. Raises CommandError."""
    _must_have_a_terminal()
    config = settings_of(asked)
    if isinstance(asked, OpenDemo):
        with _throw_away() as root:
            profile = Profile("demo", root)
            return _run(profile, replace(config.dashboard, demo=True))
    profile = profile_of(asked, config)
    return _run_behind(step_behind(), profile, replace(config.dashboard, state_dir=profile.root / "dashboard"))


def _run_behind(front: Front, profile: Profile, settings: TuiSettings) -> int:
    """Show the dashboard; where it leaves its work behind, go on with that without the terminal."""
    from jobtui.engine.shared import SharedDesk
    from jobtui.tui.app import run

    desk = told_on_a_screen(lambda: _desk(profile, demo=False), settings.theme)
    try:
        if not isinstance(desk, SharedDesk):
            return run(desk, settings, lambda: front.gone)
        desk.may_hand_over = True
        status = run(desk, settings, lambda: front.gone)
        if desk.handed_over and status == 0:
            from jobtui.cli.serve import go_on_as_server

            return go_on_as_server(desk, profile, front)
        return status
    finally:
        desk.close()


def _run(profile: Profile, settings: TuiSettings) -> int:
    from jobtui.tui.app import run

    desk = told_on_a_screen(lambda: _desk(profile, settings.demo), settings.theme)
    try:
        return run(desk, settings)
    finally:
        desk.close()


def _desk(profile: Profile, demo: bool) -> Desk:
    """The profile's engine, here or in the process that has it already."""
    from jobtui.engine.engine import Engine
    from jobtui.engine.failures import StorageError, StoreError
    from jobtui.engine.shared import SharedDesk

    try:
        return Engine.open(profile, demo=True) if demo else SharedDesk(profile)
    except (StoreError, StorageError) as error:
        raise unusable(error) from None


@contextmanager
def _throw_away() -> Iterator[Path]:
    directory = tempfile.mkdtemp(prefix="jobtui-demo-")
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
