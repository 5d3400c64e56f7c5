"""Textual's command palette without three faults. Written for Textual 8.2.8."""

from __future__ import annotations

from inspect import unwrap

from textual import events, work
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.message import Message
from textual.widgets import Input, OptionList
from typing_extensions import override


class GuardedPalette(CommandPalette):
    """A palette that is dismissed once, whatever arrives while it goes, and that bears a tiny terminal.

    Private: `_on_message`, `_gather_commands` with its group, `_action_command_list`. Reasons: a second enter
    or click dismissed the screen below it; a palette that was left before it was mounted has no
    list for what it found; a list without room has no pages. Gain: none in speed.
    """

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
    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).scrollable_content_region:
            super()._action_command_list(action)
