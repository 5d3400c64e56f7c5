"""What was sent from the command bar and what came of it, in the seed's box."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.tui import units
from jobtui.tui.lines import Ink, Line
from jobtui.tui.widgets.lines_view import LinesView

if TYPE_CHECKING:
    from jobtui.engine.desk import Answer
    from jobtui.language.result import Result

MOST_ROWS = 1000
_MOST_LINES = 20_000


def sent_lines(prompt: str, text: str) -> list[Line]:
    """A text as it was sent, after its prompt."""
    first, *rest = text.split("\n")
    pad = " " * len(prompt)
    return [
        ((prompt, Ink.ACCENT), (first, Ink.STRONG)),
        *(((pad, Ink.PLAIN), (line, Ink.STRONG)) for line in rest),
    ]


def answer_lines(answer: Answer) -> list[Line]:
    """An answer: a box a result, and the failure that ended it."""
    lines: list[Line] = []
    for result in answer.results:
        lines.extend(_result(result))
    if answer.failure is not None:
        failure = answer.failure
        said = failure.caret if failure.syntax and failure.caret else failure.message
        lines.extend(((text, Ink.FAILED),) for text in said.split("\n"))
    if not lines:
        lines.append((("nothing to do", Ink.MUTED),))
    return lines


def _result(result: Result) -> list[Line]:
    from jobtui.language.tables import box

    lines: list[Line] = []
    total = result.total if result.total is not None else len(result.rows)
    if len(result.rows) > MOST_ROWS:
        result = replace(result, rows=result.rows[-MOST_ROWS:])
    if result.columns:
        lines.extend(((text, Ink.PLAIN),) for text in box(result).rstrip("\n").split("\n"))
    if total > len(result.rows):
        lines.append(((f"the newest {len(result.rows):,} of {units.many(total, 'row')}", Ink.MUTED),))
    if result.notice:
        lines.extend(((text, Ink.MUTED),) for text in result.notice.split("\n"))
    elif not result.columns:
        lines.append((("done", Ink.MUTED),))
    return lines


class Transcript(LinesView):
    """Scrolls; keeps the newest in sight unless one has scrolled away from the end."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._kept: list[Line] = []

    @property
    def empty(self) -> bool:
        """Whether nothing was sent yet."""
        return not self._kept

    def on_resize(self) -> None:
        """Textual's hook: shown, or given another size: the newest is what one wants to see."""
        self.scroll_end(animate=False, immediate=True)

    def add(self, lines: list[Line]) -> None:
        """Lines at the end, which is then shown."""
        self._kept = (self._kept + lines)[-_MOST_LINES:]
        self.show(self._kept, wide=True)
        self.scroll_end(animate=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept = []
        self.show(self._kept)
