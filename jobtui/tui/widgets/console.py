"""The lower part of the dashboard: results, command bar, key line, and what is said and answered there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult

from jobtui.errors import StorageError
from jobtui.history import StoreError
from jobtui.model import Job
from jobtui.tui.base_app import StyledScreen
from jobtui.tui.commands import BY_ID, LOOK_COMMANDS, SEARCH_KEYS, SIDEWAYS_KEYS, KeyCommand
from jobtui.tui.context import Context
from jobtui.tui.text.console_commands import console_command, drops_space, help_topic, with_console_commands
from jobtui.tui.text.spans import Line, TextRole
from jobtui.tui.widgets.command_bar import CommandBar
from jobtui.tui.widgets.completions import CompletionList
from jobtui.tui.widgets.footer import KeyBar
from jobtui.tui.widgets.transcript import Transcript, TranscriptLine, answered, sent

if TYPE_CHECKING:
    from jobtui.engine.client import ExecuteResult
    from jobtui.tui.widgets.command_input import CommandInput


# cells of a step sideways through the results
_STEP = 10
_OVERDUE_SECONDS = 1.0


class Console(StyledScreen):
    """Sends what is typed to the desk and shows what comes of it."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
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

    # -- what the upper part adds -------------------------------------------------------------------

    async def confirm(self, title: str, lines: Callable[[], Sequence[Line]], deed: str) -> bool:
        """Ask; cancel is the focused answer."""
        raise NotImplementedError

    def tell(self, text: str, severity: str = "information") -> None:
        """Say it in passing."""
        raise NotImplementedError

    def tell_all(self, troubles: Sequence[str], many: str) -> None:
        """Say what is wrong: the one thing, or that there are `many` and where they are told."""
        if len(troubles) == 1:
            self.tell(troubles[0], "warning")
        elif troubles:
            self.transcript.add([TranscriptLine(((text, TextRole.WARNING),)) for text in troubles])
            key = self.context.keymap.shown(BY_ID["transcript"])
            self.tell(f"{len(troubles)} {many}: {key} tells which and why", "warning")

    def tell_ends(self, jobs: Sequence[Job]) -> None:
        """Say that these jobs have ended."""
        raise NotImplementedError

    def mind(self, jobs: Sequence[int]) -> None:
        """Have the end of jobs that were submitted here told: at once where it came before the answer."""
        found = {job_id: self.context.desk.job(job_id) for job_id in jobs}
        ended = [job for job in found.values() if job is not None and job.status.ended]
        self.context.submitted.update(found.keys() - {job.id for job in ended})
        if ended:
            self.tell_ends(ended)

    def leave_bar(self) -> None:
        """Give the focus back to where one was."""
        raise NotImplementedError

    def show_keys(self) -> None:
        """Bring the key line up to date."""
        raise NotImplementedError

    def hinted(self, working: Sequence[KeyCommand], looks: bool) -> Sequence[KeyCommand]:
        """The commands for the key line, of those that work. `looks`: there is something to look into."""
        if not self.bar.is_typing:
            return [command for command in working if looks or command.id not in LOOK_COMMANDS]
        if self.bar.is_searching:
            return SEARCH_KEYS
        wide = self.has_class("-transcript") and self.transcript.widest > self.size.width - 2
        return [*(SIDEWAYS_KEYS if wide and self.bar.is_blank else ()), *working]

    def submitted_here(self, job_id: int) -> None:
        """The newest job that came of what was typed."""
        raise NotImplementedError

    def space_chosen(self) -> None:
        """Another space may have been chosen."""
        self.bar.show_prompt()

    def work(self, deed: Coroutine[Any, Any, object]) -> None:
        """Do it beside the screen; what a disk or a host refuses is told."""
        self.run_worker(self._told_if_refused(deed), group="deeds")

    async def _told_if_refused(self, deed: Coroutine[Any, Any, object]) -> None:
        try:
            await deed
        except (OSError, StoreError, StorageError) as error:
            self.tell(str(error), "error")

    # -- the command bar ----------------------------------------------------------------------------

    async def action_bar(self) -> None:
        """Go to the command bar."""
        await self.enter_bar()

    async def enter_bar(self, text: str | None = None) -> None:
        """Go to the command bar, with `text` typed there already."""
        if not self.transcript.empty:
            self.show_transcript()
        await self.bar.start_edit(text)

    async def on_command_input_text_submitted(self, message: CommandInput.TextSubmitted) -> None:
        """Run it: a word for the screen here, all else at the desk."""
        message.stop()
        asked = help_topic(message.text)
        match console_command(message.text):
            case _ if asked:
                from jobtui.language.help import help_for

                told = [
                    TranscriptLine(((f" {line}", TextRole.PLAIN),), hang=6)
                    for line in help_for(asked).split("\n")
                ]
                self.transcript.add([*sent(self.context.prompt, message.text), *told])
                self.show_transcript()
            case "quit":
                await self.app.run_action("quit", self)
            case "help":
                from jobtui.tui.screens.help import statement_lines

                lines = statement_lines(self.size.width - 3)
                self.transcript.add(
                    [
                        *sent(self.context.prompt, message.text),
                        *(TranscriptLine(line, hang=6) for line in lines),
                    ]
                )
                self.show_transcript()
            case "clear":
                self.clear_transcript()
            case _:
                self.work(self.send(message.text))

    async def send(self, text: str) -> None:
        """Have the desk run a text, and show what came of it."""
        if drops_space(text) and not await self.confirm(
            "Drop for good?", lambda: [((text.strip(), TextRole.STRONG),)], "Run"
        ):
            return
        prompt = self.context.prompt
        sent_at = self.context.now()
        self._unanswered.append(sent_at)
        try:
            answer = await asyncio.wrap_future(self.context.desk.execute(text, self.context.session))
        finally:
            self._unanswered.remove(sent_at)
        self.transcript.add([*sent(prompt, text), *answered(with_console_commands(text, answer))])
        if self.bar.is_typing:
            self.show_transcript()
            self.show_keys()
        syntax = answer.failure is not None and answer.failure.syntax
        if not syntax or self.context.settings.keep_failed:
            self.context.typed.add(text.strip())
        self.mind(answer.jobs)
        if answer.jobs:
            self.submitted_here(answer.jobs[-1])
        self.space_chosen()
        self.context.places.ask()

    @property
    def overdue(self) -> int:
        """How many texts have been without an answer for so long that one would ask what became of them."""
        now = self.context.now()
        return sum((now - sent_at).total_seconds() >= _OVERDUE_SECONDS for sent_at in self._unanswered)

    def on_command_input_analysis_changed(self, message: CommandInput.AnalysisChanged) -> None:
        """What is to be said about what is being typed."""
        message.stop()
        self.keys.remark = () if self.bar.is_searching else message.line
        self.show_keys()
        self.bar.show_usage(message.usage, message.typed)

    def on_completion_list_picked(self, message: CompletionList.Picked) -> None:
        """A candidate was clicked."""
        message.stop()
        self.bar.insert_candidate(message.candidate)

    def on_command_input_editing_ended(self, message: CommandInput.EditingEnded) -> None:
        """Back to where one was."""
        message.stop()
        self.remove_class("-transcript")
        if self.focused is None:
            self.leave_bar()  # else a later key was done with already, and led elsewhere

    def on_command_input_results_scrolled(self, message: CommandInput.ResultsScrolled) -> None:
        """Through the results."""
        message.stop()
        if message.sideways:
            self.transcript.scroll_relative(x=message.by * _STEP, animate=False)
            return
        pages: Callable[..., None] = (
            self.transcript.scroll_page_down if message.by > 0 else self.transcript.scroll_page_up
        )
        pages(animate=False)

    def on_command_input_results_cleared(self, message: CommandInput.ResultsCleared) -> None:
        """Forget the results."""
        message.stop()
        self.clear_transcript()

    def clear_transcript(self) -> None:
        """Forget the results."""
        self.transcript.clear()
        self.remove_class("-transcript")

    def action_retry(self) -> None:
        """Connect now."""
        self.context.desk.retry_now()

    def action_redraw(self) -> None:
        """Paint everything again."""
        self.app.refresh()

    def action_transcript(self) -> None:
        """Show or hide the results."""
        if self.transcript.empty:
            self.tell("Nothing was run here yet")
        else:
            self.show_transcript(not self.has_class("-transcript"))

    def show_transcript(self, shown: bool = True) -> None:
        """Show the results, the newest of them, or hide them."""
        self.set_class(shown, "-transcript")

    def log_statement(self, text: str, answer: ExecuteResult) -> None:
        """Note in the transcript what was run."""
        self.transcript.add([*sent(self.context.prompt, text), *answered(answer)])
