"""The lower part of the dashboard: transcript, command bar and footer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from jobtui.tui.commands import BY_ID, LOOK_COMMANDS, SEARCH_KEYS, SIDEWAYS_KEYS, KeyCommand
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.text.console_commands import console_command, drops_space, help_topic, with_console_commands
from jobtui.tui.text.spans import TextRole
from jobtui.tui.widgets.command_bar import CommandBar
from jobtui.tui.widgets.completions import CompletionList
from jobtui.tui.widgets.footer import KeyBar
from jobtui.tui.widgets.transcript import Transcript, TranscriptLine, answered, sent

if TYPE_CHECKING:
    # the engine and the editor are imported when they are first needed: a start is mostly imports
    from jobtui.engine.client import ExecuteResult
    from jobtui.tui.widgets.command_input import CommandInput

_SIDEWAYS_CELLS = 10
_OVERDUE_SECONDS = 1.0  # about when a user starts to wonder what became of a statement


class Console(Vertical):
    """Runs what the user types and shows the results.

    The transcript is shown while the screen has the class `-transcript`: the views make room for it.
    """

    def __init__(self, context: Context, host: DashboardHost) -> None:
        super().__init__(id="console")
        self._shared = context
        self._host = host
        self.transcript = Transcript(id="transcript")
        self.completions = CompletionList(id="completions")
        self.bar = CommandBar(context, self.completions, id="bar")
        self.keys = KeyBar(context.keymap, id="keys")
        self._unanswered: list[datetime] = []

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        yield self.transcript
        yield self.bar
        yield self.keys

    @property
    def has_transcript(self) -> bool:
        """Whether the transcript is shown."""
        return self.screen.has_class("-transcript")

    def show_transcript(self, shown: bool = True) -> None:
        """Show the transcript at its end, or hide it."""
        self.screen.set_class(shown, "-transcript")

    def toggle_transcript(self) -> None:
        """Show or hide the transcript."""
        if self.transcript.empty:
            self._host.show_toast("Nothing was run here yet")
        else:
            self.show_transcript(not self.has_transcript)

    def clear_transcript(self) -> None:
        """Remove all results, and hide the transcript."""
        self.transcript.clear()
        self.show_transcript(False)

    def log_statement(self, text: str, result: ExecuteResult) -> None:
        """Add a statement and its result to the transcript."""
        self.transcript.add([*sent(self._shared.prompt, text), *answered(result)])

    def show_problems(self, problems: Sequence[str], many: str) -> None:
        """Show a problem as a toast; of several, `many` says what they are and the transcript names them."""
        if len(problems) == 1:
            self._host.show_toast(problems[0], "warning")
        elif problems:
            self.transcript.add([TranscriptLine(((text, TextRole.WARNING),)) for text in problems])
            key = self._shared.keymap.shown(BY_ID["transcript"])
            self._host.show_toast(f"{len(problems)} {many}: {key} shows which and why", "warning")

    def footer_commands(self, available: Sequence[KeyCommand], can_look: bool) -> Sequence[KeyCommand]:
        """Return the commands for the footer, of those whose keys work now."""
        if not self.bar.is_typing:
            return [command for command in available if can_look or command.id not in LOOK_COMMANDS]
        if self.bar.is_searching:
            return SEARCH_KEYS
        wide = self.has_transcript and self.transcript.widest > self.screen.size.width - 2
        return [*(SIDEWAYS_KEYS if wide and self.bar.is_blank else ()), *available]

    # -- the command bar ----------------------------------------------------------------------------

    async def focus_bar(self, text: str | None = None) -> None:
        """Give the focus to the command bar, with `text` in it."""
        if not self.transcript.empty:
            self.show_transcript()
        await self.bar.start_edit(text)

    async def on_command_input_text_submitted(self, message: CommandInput.TextSubmitted) -> None:
        """Carry out the console's own commands, and run everything else as statements."""
        message.stop()
        topic = help_topic(message.text)
        match console_command(message.text):
            case _ if topic:
                from jobtui.language.help import help_for

                lines = [((f" {line}", TextRole.PLAIN),) for line in help_for(topic).split("\n")]
                self._show_help(message.text, [TranscriptLine(line, hang=6) for line in lines])
            case "quit":
                await self.app.run_action("quit", self.screen)
            case "help":
                from jobtui.tui.screens.help import statement_lines

                help_lines = statement_lines(self.screen.size.width - 3)
                self._show_help(message.text, [TranscriptLine(line, hang=6) for line in help_lines])
            case "clear":
                self.clear_transcript()
            case _:
                self._host.start_action(self._run(message.text))

    def _show_help(self, text: str, lines: Sequence[TranscriptLine]) -> None:
        self.transcript.add([*sent(self._shared.prompt, text), *lines])
        self.show_transcript()

    async def _run(self, text: str) -> None:
        if drops_space(text) and not await self._host.confirm(
            "Drop for good?", lambda: [((text.strip(), TextRole.STRONG),)], "Run"
        ):
            return
        prompt = self._shared.prompt
        sent_at = self._shared.now()
        self._unanswered.append(sent_at)
        try:
            result = await asyncio.wrap_future(self._shared.desk.execute(text, self._shared.session))
        finally:
            self._unanswered.remove(sent_at)
        self.transcript.add([*sent(prompt, text), *answered(with_console_commands(text, result))])
        if self.bar.is_typing:
            self.show_transcript()
            self._host.show_keys()
        is_syntax_error = result.failure is not None and result.failure.syntax
        if not is_syntax_error or self._shared.settings.keep_failed:
            self._shared.typed.add(text.strip())
        self._host.watch_jobs(result.jobs)
        if result.jobs:
            self._host.select_job(result.jobs[-1])
        self._host.refresh_space()
        self._shared.places.ask()

    @property
    def overdue(self) -> int:
        """How many texts have been without an answer for noticeably long."""
        now = self._shared.now()
        return sum((now - sent_at).total_seconds() >= _OVERDUE_SECONDS for sent_at in self._unanswered)

    def on_command_input_analysis_changed(self, message: CommandInput.AnalysisChanged) -> None:
        """Show what was found in the text that is being typed."""
        message.stop()
        self.keys.remark = () if self.bar.is_searching else message.line
        self._host.show_keys()
        self.bar.show_usage(message.usage, message.typed)

    def on_command_input_editing_ended(self, message: CommandInput.EditingEnded) -> None:
        """Hide the transcript and give the focus back."""
        message.stop()
        self.show_transcript(False)
        if self.screen.focused is None:  # else a later key was handled already, and moved the focus
            self._host.leave_bar()

    def on_command_input_results_scrolled(self, message: CommandInput.ResultsScrolled) -> None:
        """Scroll the transcript."""
        message.stop()
        if message.sideways:
            self.transcript.scroll_relative(x=message.by * _SIDEWAYS_CELLS, animate=False)
            return
        scroll: Callable[..., None] = (
            self.transcript.scroll_page_down if message.by > 0 else self.transcript.scroll_page_up
        )
        scroll(animate=False)

    def on_command_input_results_cleared(self, message: CommandInput.ResultsCleared) -> None:
        """Clear the transcript."""
        message.stop()
        self.clear_transcript()
