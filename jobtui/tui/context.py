"""What every part of the dashboard is given: the desk it asks, the settings, and the state that is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client, Session
from jobtui.tui.data.pollers import OverviewCache
from jobtui.tui.keymap import Keymap
from jobtui.tui.state import CommandHistory, SavedState, StateStore


class Context(msgspec.Struct, frozen=True):
    """Shared by all parts.

    `now` is the clock that running times are shown by. `watched`: jobs whose end is to be told, as the user
    asked. `submitted`: jobs that were submitted here, whose end is told too.
    """

    desk: Client
    settings: TuiSettings
    session: Session
    keymap: Keymap
    store: StateStore
    kept: SavedState
    typed: CommandHistory
    places: OverviewCache
    now: Callable[[], datetime]
    watched: set[int] = msgspec.field(default_factory=set)
    submitted: set[int] = msgspec.field(default_factory=set)

    @property
    def space(self) -> str | None:
        """The space chosen in the command bar."""
        return self.session.space

    @property
    def prompt(self) -> str:
        """The prompt of the command bar: `local[nba]> `."""
        return f"{self.desk.profile}[{self.session.space or ''}]> "
