"""The texts that were sent from the command bar, and their results as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from jobtui.formatting import format_count
from jobtui.tui.text.spans import Line, TextRole, line_width, wrapped
from jobtui.tui.widgets.lines import LinesView

if TYPE_CHECKING:
    from jobtui.engine.client import ExecuteResult, Failure
    from jobtui.language.tables import Result

MOST_ROWS = 1000
_MOST_LINES = 20_000


class TranscriptLine(msgspec.Struct, frozen=True):
    """A line of the transcript before its width is known.

    `wraps`: a long line is broken, and its rest indented by `hang` cells; a line of a table is not broken, but
    scrolls sideways. `marks` (carets) are before the line, or above it if both do not fit into one line.
    """

    line: Line
    wraps: bool = True
    hang: int = 0
    marks: Line = ()

    def lay_out(self, width: int) -> list[Line]:
        """Return the lines of that width."""
        whole = (*self.marks, *self.line)
        if not self.wraps or line_width(whole) <= width:
            return [whole]
        return [*((self.marks,) if self.marks else ()), *wrapped(self.line, width, self.hang)]


def sent(prompt: str, text: str) -> list[TranscriptLine]:
    """Return the lines for a text that was sent, after its prompt."""
    first, *rest = text.split("\n")
    pad = " " * len(prompt)
    return [
        TranscriptLine(((prompt, TextRole.ACCENT), (first, TextRole.STRONG)), hang=len(prompt)),
        *(TranscriptLine(((pad, TextRole.PLAIN), (line, TextRole.STRONG)), hang=len(prompt)) for line in rest),
    ]


def answered(answer: ExecuteResult) -> list[TranscriptLine]:
    """Return the lines for an answer: a table for each result, and the failure that ended it."""
    said: list[TranscriptLine] = []
    for result in answer.results:
        said.extend(_result(result))
    if answer.failure is not None:
        said.extend(_failure(answer.failure))
    if not said:
        said.append(TranscriptLine((("nothing to do", TextRole.MUTED),)))
    return said


def _failure(failure: Failure) -> Iterator[TranscriptLine]:
    if not failure.syntax or not failure.caret:
        for text in failure.message.split("\n"):
            yield TranscriptLine(((text, TextRole.FAILED),))
        return
    statement, *rest = failure.caret.split("\n")
    yield TranscriptLine(((statement, TextRole.FAILED),), wraps=False)
    for text in rest:
        words = text.lstrip(" ^")
        marks = text[: len(text) - len(words)]
        yield TranscriptLine(((words, TextRole.FAILED),), marks=((marks, TextRole.FAILED),) if marks else ())


def _result(result: Result) -> Iterator[TranscriptLine]:
    from jobtui.language.tables import format_table

    total = result.total if result.total is not None else len(result.rows)
    if len(result.rows) > MOST_ROWS:
        result = replace(result, rows=result.rows[-MOST_ROWS:])
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
    """The transcript; the newest lines stay in view unless the user has scrolled away from the end.

    Lines that are wider than the widget scroll sideways; signs at the edges show that there is more.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._kept: list[TranscriptLine] = []
        self._layout_width = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was sent yet."""
        return not self._kept

    @property
    @override
    def allow_horizontal_scroll(self) -> bool:
        # scrolls sideways without a scrollbar, which would take a line
        return self.max_scroll_x > 0

    def on_resize(self) -> None:
        """Lay the lines out for the new width, and show the newest."""
        if self.inner_width != self._layout_width:
            self._lay_out()
        self.scroll_end(x_axis=False, animate=False, immediate=True)

    def add(self, said: Sequence[TranscriptLine]) -> None:
        """Add lines at the end, and show them."""
        self._kept = [*self._kept, *said][-_MOST_LINES:]
        self._lay_out()
        self.scroll_to(x=0, animate=False)
        self.scroll_end(x_axis=False, animate=False)

    def clear(self) -> None:
        """Remove all lines."""
        self._kept = []
        self._lay_out()

    def _lay_out(self) -> None:
        # before it is first shown it has no width; being shown resizes it
        self._layout_width = width = self.inner_width
        room = width if width > 1 else self.screen.size.width
        self.show([line for said in self._kept for line in said.lay_out(room)], wide=True)
