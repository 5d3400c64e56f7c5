"""The command palette: the registry's commands by name, and what can be chosen by name: themes, sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from jobtui.tui.data.job_rows import JOB_COLUMNS
from jobtui.tui.textual_ext.palette import GuardedPalette
from jobtui.tui.themes import THEMES

if TYPE_CHECKING:
    from jobtui.tui.screens.dashboard import Dashboard

Entry = tuple[str, str, Callable[[], None]]


class Palette(GuardedPalette):
    """The palette of the commands that work now, the themes and the columns to sort by."""

    def __init__(self) -> None:
        super().__init__(providers=[RegistryCommands], placeholder="Find a command …")


class RegistryCommands(Provider):
    """Offers what works where the focus was when the palette was opened."""

    async def search(self, query: str) -> Hits:
        """Textual's hook."""
        matcher = self.matcher(query)
        for title, help_text, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=help_text)

    async def discover(self) -> Hits:
        """Textual's hook."""
        for title, help_text, run in self._entries():
            yield DiscoveryHit(title, run, text=title, help=help_text)

    def _entries(self) -> Iterator[Entry]:
        dashboard = cast("Dashboard", self.screen)
        keymap = dashboard.context.keymap
        for command in dashboard.working():
            if command.palette:
                keys = f"{command.help}  ({keymap.shown(command)})"
                yield command.title.capitalize(), keys, partial(dashboard.start, command)
        for theme in THEMES:
            yield f"Theme: {theme.name}", "Colours", partial(dashboard.desktop.choose_theme, theme.name)
        for column in JOB_COLUMNS:
            if column.sorts:
                run = partial(dashboard.jobs.list.sort_by, column.key)
                yield f"Sort by {column.label}", "Order the jobs by this column; again turns it round", run
