"""The command palette: commands, themes and sorting by name. Written for Textual 8.2.8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from inspect import unwrap
from typing import Protocol, cast

from textual import events, on, work
from textual.await_complete import AwaitComplete
from textual.command import Command, CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.widgets import Input, OptionList
from typing_extensions import override

from jobtui.tui.base_app import style_sheet
from jobtui.tui.text.spans import CURSOR


class GuardedPalette(CommandPalette):
    """A palette that is dismissed only once, and that works in a tiny terminal.

    Private: `_on_message`, `_gather_commands` with its group, `_watch__list_visible`, `_watch__show_busy`,
    `_action_command_list`. Reasons: a second enter or click dismissed the screen below it; a palette that was
    left has no list for what it found; a list without room has no pages. Gain: none in speed.
    """

    CSS_PATH = style_sheet("palette.tcss")
    _is_dismissed = False

    @override
    def dismiss(self, result: None = None) -> AwaitComplete:
        if self._is_dismissed or not self.is_active:
            return AwaitComplete()
        self._is_dismissed = True
        return super().dismiss(result)

    @override
    async def _on_message(self, message: Message) -> None:
        chooses = isinstance(message, Input.Submitted | OptionList.OptionSelected | events.Click)
        if not (self._is_dismissed and chooses):
            await super()._on_message(message)

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    @override
    async def _gather_commands(self, search_value: str) -> None:
        if self.query(CommandList):
            await unwrap(CommandPalette._gather_commands)(self, search_value)

    @override
    def _watch__list_visible(self) -> None:
        # a search that continues after the palette was left sets these two; an error would end the app
        with suppress(NoMatches):
            super()._watch__list_visible()

    @override
    async def _watch__show_busy(self) -> None:
        with suppress(NoMatches):
            await super()._watch__show_busy()

    @override
    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).scrollable_content_region:
            super()._action_command_list(action)

    @on(OptionList.OptionHighlighted)
    def name_entry(self, event: OptionList.OptionHighlighted) -> None:
        """Name the entry under the cursor in the frame, for readers who cannot see its background."""
        if isinstance(event.option, Command):
            event.option_list.border_title = Content(f"{CURSOR} {event.option.hit.text}")
            event.option_list.border_subtitle = " esc closes "


PaletteEntry = tuple[str, str, Callable[[], None]]
"""A title, an explanation, and the function to run."""


class PaletteSource(Protocol):
    """The screen under the palette, which has its entries."""

    def palette_entries(self) -> Iterator[PaletteEntry]:
        """Yield the entries that have an effect now."""
        ...


class Palette(GuardedPalette):
    """The palette of the commands that work now, the themes and the columns to sort by."""

    def __init__(self) -> None:
        super().__init__(providers=[RegistryCommands], placeholder="Find a command …")


class RegistryCommands(Provider):
    """The palette's entries: commands with an effect where the focus was before."""

    @override
    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, help_text, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=help_text)

    @override
    async def discover(self) -> Hits:
        for title, help_text, run in self._entries():
            yield DiscoveryHit(title, run, text=title, help=help_text)

    def _entries(self) -> Iterator[PaletteEntry]:
        return cast("PaletteSource", self.screen).palette_entries()
