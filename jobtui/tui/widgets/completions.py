"""The list of completions over the command bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.message import Message
from textual.strip import Strip
from typing_extensions import override

from jobtui.tui.text.spans import CURSOR, Line, Span, TextRole, cut, line_width
from jobtui.tui.widgets.base import StyledWidget

if TYPE_CHECKING:
    from jobtui.language.completion import Candidate

MAX_SHOWN = 8
# without colors, the text next to the list would seem to continue it
_EDGE: Span = ("│", TextRole.RULE)
_KIND = {"keyword": TextRole.KEYWORD, "job": TextRole.NUMBER}


class CompletionList(StyledWidget):
    """A list of candidates, one of which may be chosen.

    It takes no focus: the input controls it.
    """

    class Picked(Message):
        """The user clicked a candidate."""

        def __init__(self, candidate: Candidate) -> None:
            super().__init__()
            self.candidate = candidate

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._candidates: tuple[Candidate, ...] = ()
        self._chosen = -1
        self._first = 0
        self.display = False

    @property
    def is_open(self) -> bool:
        """Whether the list is shown."""
        return bool(self._candidates)

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that the user stepped to; None if there is none."""
        return self._candidates[self._chosen] if self._chosen >= 0 else None

    @property
    def best(self) -> Candidate | None:
        """The candidate that tab inserts: the chosen one, or the first."""
        return self.chosen or (self._candidates[0] if self._candidates else None)

    def offer(self, candidates: tuple[Candidate, ...], column: int) -> None:
        """Show candidates, with their text at a column of the screen; none hides the list."""
        if candidates != self._candidates:
            self._candidates, self._chosen, self._first = candidates, -1, 0
        self.display = bool(candidates)
        if not candidates:
            return
        height = min(MAX_SHOWN, len(candidates))
        width = 1 + max(line_width(self._line(index)) for index in range(len(candidates)))
        room = self.screen.size.width
        width = min(width, room)
        self.styles.width, self.styles.height = width, height
        self.styles.offset = (max(0, min(column - 1, room - width)), 0)
        self.refresh()

    def close(self) -> None:
        """Hide the list."""
        self.offer((), 0)

    def step(self, by: int) -> bool:
        """Choose the next candidate (`by` 1) or the previous (-1); return False without a list."""
        if not self._candidates:
            return False
        count = len(self._candidates)
        if self._chosen < 0:
            self._chosen = 0 if by > 0 else count - 1
        else:
            self._chosen = (self._chosen + by) % count
        self._first = max(min(self._first, self._chosen), self._chosen - MAX_SHOWN + 1)
        self.refresh()
        return True

    def _line(self, index: int) -> Line:
        candidate = self._candidates[index]
        wide = max(line_width(((other.text, TextRole.PLAIN),)) for other in self._candidates)
        pad = " " * (wide - line_width(((candidate.text, TextRole.PLAIN),)))
        note = f"  {candidate.note}" if candidate.note else ""
        chosen = index == self._chosen
        role = TextRole.CURSOR if chosen else _KIND.get(candidate.kind, TextRole.PLAIN)
        return (
            (CURSOR, role) if chosen else _EDGE,
            (candidate.text + pad, role),
            (note + " ", role if chosen else TextRole.MUTED),
        )

    @override
    def render_line(self, y: int) -> Strip:
        index = self._first + y
        if index >= len(self._candidates):
            return Strip.blank(self.size.width, self.rich_style)
        width = self.size.width
        line = cut(self._line(index), width - 1)
        gap = " " * (width - 1 - line_width(line))
        return self.strip((*line, (gap, TextRole.PLAIN), self._edge(y)), width, self.rich_style)

    def _edge(self, y: int) -> Span:
        """Return the right edge, with an arrow if there are more candidates above or below."""
        if y == 0 and self._first:
            return "↑", TextRole.KEY
        is_last = y == self.size.height - 1
        return ("↓", TextRole.KEY) if is_last and self._first + y + 1 < len(self._candidates) else _EDGE

    def on_click(self, event: events.Click) -> None:
        """Insert the candidate that was clicked."""
        event.stop()
        index = self._first + event.y
        if index < len(self._candidates):
            self.post_message(self.Picked(self._candidates[index]))
