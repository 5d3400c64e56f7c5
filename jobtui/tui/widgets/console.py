"""The lower part of the dashboard: transcript, command bar and footer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from typing_extensions import override

from jobtui.formatting import format_count
from jobtui.model import Job, Status
from jobtui.tui.commands import BY_ID, LOOK_COMMANDS, SEARCH_KEYS, SIDEWAYS_KEYS, KeyCommand
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.text.console_commands import (
    console_command,
    drops_space,
    help_topic,
    job_number,
    profile_name,
    with_console_commands,
)
from jobtui.tui.text.spans import Line, TextRole, line_width, wrapped
from jobtui.tui.widgets.base import LinesView
from jobtui.tui.widgets.command_bar import CommandBar
from jobtui.tui.widgets.completions import CompletionList
from jobtui.tui.widgets.footer import KeyBar

if TYPE_CHECKING:
    # the engine and the editor are imported when they are first needed: a start is mostly imports
    from jobtui.engine.client import ExecuteResult, Failure
    from jobtui.language.results import Result
    from jobtui.tui.widgets.command_input import CommandInput


MAX_ROWS = 1000
_MAX_LINES = 20_000
_MAX_JOB_LINES = 20


class TranscriptLine(msgspec.Struct, frozen=True):
    """A line of the transcript before its width is known.

    Attributes:
        line: The line.
        wraps: Whether a long line is broken; a line of a table is not, and scrolls sideways instead.
        hang: The cells by which the rest of a broken line is indented.
        carets: Carets before the line, or above it if both do not fit into one line.
    """

    line: Line
    wraps: bool = True
    hang: int = 0
    carets: Line = ()

    def lay_out(self, width: int) -> list[Line]:
        """Return the lines of that width."""
        whole = (*self.carets, *self.line)
        if not self.wraps or line_width(whole) <= width:
            return [whole]
        return [*((self.carets,) if self.carets else ()), *wrapped(self.line, width, self.hang)]


def sent_lines(prompt: str, text: str) -> list[TranscriptLine]:
    """Return the lines for a text that was sent, after its prompt."""
    first, *rest = text.split("\n")
    pad = " " * len(prompt)
    return [
        TranscriptLine(((prompt, TextRole.ACCENT), (first, TextRole.STRONG)), hang=len(prompt)),
        *(TranscriptLine(((pad, TextRole.PLAIN), (line, TextRole.STRONG)), hang=len(prompt)) for line in rest),
    ]


def answer_lines(
    answer: ExecuteResult, job_of: Callable[[int], Job | None] = lambda job_id: None
) -> list[TranscriptLine]:
    """Return the lines for an answer: a table for each result, and the failure that ended it.

    If all rows of a result are new jobs, each is a line instead: `job 325: compact cities, running`.

    Args:
        answer: The answer.
        job_of: Returns a job by its id.
    """
    lines: list[TranscriptLine] = []
    for result in answer.results:
        jobs = [job_of(job_id) for job_id in result.jobs[:_MAX_JOB_LINES]]
        if result.jobs and len(result.rows) == len(jobs) and None not in jobs:
            lines.extend(_job_line(job) for job in jobs if job is not None)
            lines.extend(
                TranscriptLine(((text, TextRole.MUTED),)) for text in result.notice.split("\n") if text
            )
        else:
            lines.extend(_result(result))
    if answer.failure is not None:
        lines.extend(_failure(answer.failure))
    if not lines:
        lines.append(TranscriptLine((("nothing to do", TextRole.MUTED),)))
    return lines


def _job_line(job: Job) -> TranscriptLine:
    again = f", which runs job {job.recovered_from} again" if job.recovered_from is not None else ""
    status = "queued" if job.status is Status.QUEUE else job.status.value
    return TranscriptLine(((f"job {job.id}: {job.label}, {status}{again}", TextRole.PLAIN),))


def _failure(failure: Failure) -> Iterator[TranscriptLine]:
    if not failure.syntax or not failure.caret:
        for text in failure.message.split("\n"):
            yield TranscriptLine(((text, TextRole.FAILED),))
        return
    statement, *rest = failure.caret.split("\n")
    yield TranscriptLine(((statement, TextRole.FAILED),), wraps=False)
    for text in rest:
        words = text.lstrip(" ^")
        carets = text[: len(text) - len(words)]
        yield TranscriptLine(((words, TextRole.FAILED),), carets=((carets, TextRole.FAILED),) if carets else ())


def _result(result: Result) -> Iterator[TranscriptLine]:
    from jobtui.language.results import format_table

    total = result.total if result.total is not None else len(result.rows)
    if len(result.rows) > MAX_ROWS:
        result = replace(result, rows=result.rows[-MAX_ROWS:])
    if result.columns:
        for text in format_table(result).rstrip("\n").split("\n"):
            yield TranscriptLine(((text, TextRole.PLAIN),), wraps=False)
    if total > len(result.rows):
        yield TranscriptLine(
            ((f"the newest {len(result.rows):,} of {format_count(total, 'row')}", TextRole.MUTED),)
        )
    if result.notice:
        for text in result.notice.split("\n"):
            yield TranscriptLine(((text, TextRole.MUTED),))
    elif not result.columns:
        yield TranscriptLine((("done", TextRole.MUTED),))


class Transcript(LinesView):
    """The transcript; its end stays in view unless the user has scrolled away from it.

    Lines that are wider than the widget scroll sideways; signs at the edges show that there is more.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._kept: list[TranscriptLine] = []
        self._layout_width = 0

    @property
    def has_lines(self) -> bool:
        """Whether anything was sent, and not cleared since."""
        return bool(self._kept)

    @property
    @override
    def allow_horizontal_scroll(self) -> bool:
        # scrolls sideways without a scrollbar, which would take a line
        return self.max_scroll_x > 0

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        # not by `max-height: 50vh`: Textual ignores it in the height of the parent, which is auto.
        # The parent became higher than its children, so that bar and keys left the lower edge of the screen
        return min(super().get_content_height(container, viewport, width), max(1, viewport.height // 2 - 1))

    def on_resize(self) -> None:
        """Lay the lines out for the new width, and show the newest."""
        if self.inner_width != self._layout_width:
            self._lay_out()
        self.scroll_end(x_axis=False, animate=False, immediate=True)

    def add(self, lines: Sequence[TranscriptLine]) -> None:
        """Add lines at the end, and show them."""
        self._kept = [*self._kept, *lines][-_MAX_LINES:]
        self._lay_out()
        self.scroll_to(x=0, animate=False)
        self.scroll_end(x_axis=False, animate=False)

    def clear(self) -> None:
        """Remove all lines."""
        self._kept = []
        self._lay_out()

    def _lay_out(self) -> None:
        # it has no width before it is first shown, which then resizes it
        self._layout_width = width = self.inner_width
        room = width if width > 1 else self.screen.size.width
        self.show([line for kept in self._kept for line in kept.lay_out(room)], wide=True)


_SIDEWAYS_CELLS = 10
_OVERDUE_SECONDS = 1.0  # after about this time, users wonder what happened to a statement


class Console(Vertical):
    """The part of the dashboard that runs what the user types and shows the results.

    The transcript is shown while the screen has the class `-transcript`: the views make room for it.
    """

    def __init__(self, context: Context, host: DashboardHost) -> None:
        super().__init__(id="console")
        self.context = context
        self._host = host
        self.transcript = Transcript(id="transcript")
        self.completions = CompletionList(id="completions")
        self.bar = CommandBar(context, self.completions, id="bar")
        self.keys = KeyBar(context.keymap, id="keys")
        self._was_writable = context.client.writable

    def compose(self) -> ComposeResult:
        """Create the transcript, the command bar and the footer."""
        yield self.transcript
        yield self.bar
        yield self.keys

    def tick(self) -> None:
        """Update what changes with the spaces, and with the process that runs the profile."""
        self.bar.refresh_example()
        if self.context.client.writable != self._was_writable:
            self._was_writable = self.context.client.writable
            self._host.show_keys()

    @property
    def has_transcript(self) -> bool:
        """Whether the transcript is shown."""
        return self.screen.has_class("-transcript")

    def show_transcript(self, shown: bool = True) -> None:
        """Show the transcript at its end, or hide it."""
        self.screen.set_class(shown, "-transcript")

    def toggle_transcript(self) -> None:
        """Show or hide the transcript."""
        if self.transcript.has_lines:
            self.show_transcript(not self.has_transcript)
        else:
            self._host.show_toast("Nothing was run here yet")

    def clear_transcript(self) -> None:
        """Remove all results, and hide the transcript."""
        self.transcript.clear()
        self.show_transcript(False)

    def log_statement(self, text: str, result: ExecuteResult) -> None:
        """Add a statement and its result to the transcript."""
        self.transcript.add(
            [*sent_lines(self.context.prompt, text), *answer_lines(result, self.context.client.job)]
        )

    def show_keymap_problems(self, problems: Sequence[str]) -> None:
        """Show a problem of the keymap as a toast; several are listed in the transcript."""
        if len(problems) == 1:
            self._host.show_toast(problems[0], "warning")
        elif problems:
            self.transcript.add([TranscriptLine(((text, TextRole.WARNING),)) for text in problems])
            key = self.context.keymap.shown(BY_ID["transcript"])
            self._host.show_toast(
                f"{len(problems)} keys of the keymap were left out: {key} shows which and why", "warning"
            )

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
        if self.transcript.has_lines:
            self.show_transcript()
        await self.bar.start_edit(text)

    async def on_command_input_text_submitted(self, message: CommandInput.TextSubmitted) -> None:
        """Run the console's own commands, and everything else as statements."""
        message.stop()
        topic = help_topic(message.text)
        match console_command(message.text):
            case _ if topic:
                from jobtui.language.help import help_for

                lines = [((f" {line}", TextRole.PLAIN),) for line in help_for(topic).split("\n")]
                self._show_help(message.text, [TranscriptLine(line, hang=6) for line in lines])
            case "profile":
                self._host.switch_profile()
            case _ if name := profile_name(message.text):
                self._host.switch_profile(name)
            case "quit":
                await self.app.run_action("quit", self.screen)
            case "help":
                from jobtui.tui.screens.help import statement_lines

                help_lines = statement_lines(self.screen.size.width - 3)
                self._show_help(message.text, [TranscriptLine(line, hang=6) for line in help_lines])
            case "clear":
                self.clear_transcript()
            case _ if number := job_number(message.text):
                self._host.start_action(self._host.jump_to_job(number))
            case _:
                self._host.start_action(self._run(message.text))

    def _show_help(self, text: str, lines: Sequence[TranscriptLine]) -> None:
        self.transcript.add([*sent_lines(self.context.prompt, text), *lines])
        self.show_transcript()

    async def _run(self, text: str) -> None:
        if drops_space(text) and not await self._host.confirm(
            "Drop for good?", lambda: [((text.strip(), TextRole.STRONG),)], "Run"
        ):
            self.context.command_history.add_until_next(text.strip())
            self._host.show_toast("Nothing was dropped")
            return
        prompt = self.context.prompt
        result = await self.context.execute(text, self.context.session)
        self.transcript.add(
            [
                *sent_lines(prompt, text),
                *answer_lines(with_console_commands(text, result), self.context.client.job),
            ]
        )
        if self.bar.is_typing:
            self.show_transcript()
            self._host.show_keys()
        is_syntax_error = result.failure is not None and result.failure.syntax
        history = self.context.command_history
        if is_syntax_error and not self.context.settings.keep_failed:
            history.add_until_next(text.strip())
        else:
            history.add(text.strip())
        self._host.watch_jobs(result.jobs)
        if result.jobs:
            self._host.select_job(result.jobs[-1])
        self._host.refresh_space()
        self.context.overview_cache.request()

    @property
    def overdue(self) -> int:
        """The number of texts that have had no answer for longer than users like to wait."""
        now = self.context.now()
        return sum((now - sent_at).total_seconds() >= _OVERDUE_SECONDS for sent_at in self.context.unanswered)

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
        if self.screen.focused is None:  # otherwise a later key has been handled, and has moved the focus
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
