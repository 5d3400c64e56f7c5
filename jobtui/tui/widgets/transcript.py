"""What was sent from the command bar and what came of it, in the seed's box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from jobtui.formatting import format_count
from jobtui.tui.text.spans import Line, TextRole, line_width, wrapped
from jobtui.tui.widgets.lines import LinesView

if TYPE_CHECKING:
    from jobtui.engine.client import ExecuteResult, Failure
    from jobtui.language.tables import Result

MOST_ROWS = 1000
_MOST_LINES = 20_000


class TranscriptLine(msgspec.Struct, frozen=True):
    """A line of the transcript before it is known how wide it may be.

    `wraps`: it is broken where it does not fit, the rest `hang` cells in; a box's line is not: it scrolls
    sideways. `marks` stand before it, or above it where both don't fit in one line.
    """

    line: Line
    wraps: bool = True
    hang: int = 0
    marks: Line = ()

    def laid(self, width: int) -> list[Line]:
        """As lines of that width."""
        whole = (*self.marks, *self.line)
        if not self.wraps or line_width(whole) <= width:
            return [whole]
        return [*((self.marks,) if self.marks else ()), *wrapped(self.line, width, self.hang)]


def sent(prompt: str, text: str) -> list[TranscriptLine]:
    """A text as it was sent, after its prompt."""
    first, *rest = text.split("\n")
    pad = " " * len(prompt)
    return [
        TranscriptLine(((prompt, TextRole.ACCENT), (first, TextRole.STRONG)), hang=len(prompt)),
        *(TranscriptLine(((pad, TextRole.PLAIN), (line, TextRole.STRONG)), hang=len(prompt)) for line in rest),
    ]


def answered(answer: ExecuteResult) -> list[TranscriptLine]:
    """An answer: a box a result, and the failure that ended it."""
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
    """Scrolls; keeps the newest in sight unless one has scrolled away from the end.

    What is wider than it scrolls sideways, and shows at its edge that there is more.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._kept: list[TranscriptLine] = []
        self._laid_for = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was sent yet."""
        return not self._kept

    @property
    def allow_horizontal_scroll(self) -> bool:
        """Textual's hook: sideways without a scrollbar, which would cost a line."""
        return self.max_scroll_x > 0

    def on_resize(self) -> None:
        """Textual's hook: shown, or given another size: the newest is what one wants to see."""
        if self.inner_width != self._laid_for:
            self._lay()
        self.scroll_end(x_axis=False, animate=False, immediate=True)

    def add(self, said: Sequence[TranscriptLine]) -> None:
        """Something at the end, which is then shown."""
        self._kept = [*self._kept, *said][-_MOST_LINES:]
        self._lay()
        self.scroll_to(x=0, animate=False)
        self.scroll_end(x_axis=False, animate=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept = []
        self._lay()

    def _lay(self) -> None:
        # before it is shown for the first time it has no width: what comes with it lays it again
        self._laid_for = width = self.inner_width
        room = width if width > 1 else self.screen.size.width
        self.show([line for said in self._kept for line in said.laid(room)], wide=True)
