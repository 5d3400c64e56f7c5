"""The screen for a profile that can't be opened: what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from jobtui.tui.base_app import BaseApp, StyledScreen
from jobtui.tui.screens.dialog import Choices
from jobtui.tui.text.spans import Line, TextRole, wrap
from jobtui.tui.widgets.lines import LinesView

_ANSWERS = (("r", "Try again"), ("q", "Leave"))
_WIDTH = 76


def failure_lines(what: str, why: str, advice: Sequence[str], width: int) -> list[Line]:
    """The whole of it: what can't be done, the reason in full, a line of advice each."""
    lines: list[Line] = [((f"✖ {what}", TextRole.FAILED),), ()]
    lines.extend(((text, TextRole.PLAIN),) for text in wrap(why, width))
    if advice:
        lines += [(), (("What can be done:", TextRole.STRONG),)]
    for line in advice:
        first, *rest = wrap(line, width - 2)
        lines.append((("· ", TextRole.KEY), (first, TextRole.PLAIN)))
        lines.extend(((f"  {text}", TextRole.PLAIN),) for text in rest)
    return lines


class FailureScreen(StyledScreen):
    """Says it, and asks whether to try again."""

    def __init__(self, what: str, why: str, advice: Sequence[str]) -> None:
        super().__init__()
        self._what, self._why, self._advice = what, why, tuple(advice)
        self._text = LinesView(id="why")
        self._answers = Choices(_ANSWERS)

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        yield self._text
        yield self._answers

    def on_mount(self) -> None:
        """Textual's hook."""
        self._answers.focus()

    def on_resize(self) -> None:
        """Textual's hook."""
        lines = failure_lines(self._what, self._why, self._advice, min(_WIDTH, self.size.width - 6))
        self._text.show(lines)
        self._text.styles.height = min(len(lines), max(1, self.size.height - 5))

    def page(self, by: int) -> None:
        """Scroll what is said."""
        self._text.scroll_relative(y=by * self._text.size.height, animate=False)


class FailureApp(BaseApp[bool]):
    """Its return value: whether to try again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "answer(True)", show=False),
        Binding("q,escape,ctrl+c", "answer(False)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]

    def __init__(self, what: str, why: str, advice: Sequence[str], theme: str = "") -> None:
        super().__init__(theme, None)
        self._failure = FailureScreen(what, why, advice)

    def get_default_screen(self) -> FailureScreen:
        """Textual's hook."""
        return self._failure

    def on_choices_taken(self, message: Choices.Taken) -> None:
        """An answer was taken."""
        self.exit(message.index == 0)

    def action_page(self, by: int) -> None:
        """Through a text that does not fit."""
        self._failure.page(by)

    def action_answer(self, again: bool) -> None:
        """An answer's key."""
        self.exit(again)
