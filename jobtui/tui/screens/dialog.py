"""Dialogs: a question over the dashboard, and the screen for a profile that cannot be opened.

A question has a few answers, each with its key; the safe one has the focus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.screen import ModalScreen
from textual.strip import Strip

from jobtui.tui.base_app import BaseApp, StyledScreen
from jobtui.tui.text.spans import Line, TextRole, cut, line_width, width_of, wrap, wrapped
from jobtui.tui.widgets.base import LinesView, StyledWidget

ClosedT = TypeVar("ClosedT")


class DismissOnceScreen(ModalScreen[ClosedT]):
    """Textual takes away whatever is on top: a second key, or one for a question below, would end more."""

    _left = False

    def dismiss(self, result: ClosedT | None = None) -> AwaitComplete:
        """Textual's hook: only while it is in front, and only the first time."""
        if self._left or not self.is_active:
            return AwaitComplete()
        self._left = True
        return super().dismiss(result)


T = TypeVar("T")

# cells that the border and the blanks beside a text take, lines that the border and the gap take
_AROUND = 6
_BORDERS = 3
# between two looks at what a question is about
_RENEW_SECONDS = 0.25
# lines of what is said that the answers leave
_LEAST_SAID = 3


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """An answer: its key, its words, and what it stands for."""

    key: str
    title: str
    value: T


class Choices(StyledWidget, can_focus=True):
    """The answers; arrows move, enter takes, an answer's own key or a click takes it at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left,shift+tab,k", "step(-1)", show=False),
        Binding("down,right,tab,j", "step(1)", show=False),
        Binding("enter,space", "take", show=False),
    ]

    @dataclass
    class Taken(Message):
        """The answer at this place."""

        index: int

    def __init__(self, titles: Sequence[tuple[str, str]], at: int = 0, across: bool = False) -> None:
        super().__init__()
        self._titles = tuple(titles)
        self._at = at
        self._across = across
        self._first = 0
        self.styles.height = 1 if across else len(self._titles)

    def _cell(self, index: int) -> Line:
        key, title = self._titles[index]
        ink = TextRole.CURSOR if index == self._at else TextRole.PLAIN
        if self._across:
            return ((f"  {title} ", ink), (f"{key}  ", TextRole.CURSOR if index == self._at else TextRole.KEY))
        return ((f"  {key:<6}", TextRole.CURSOR if index == self._at else TextRole.KEY), (f"{title}  ", ink))

    def render_line(self, y: int) -> Strip:
        """Textual's line API."""
        width, ground = self.size.width, self.rich_style
        if self._across:
            line: Line = ()
            for index in range(len(self._titles)):
                line += (*self._cell(index), ("  ", TextRole.PLAIN))
            pad = max(0, width - line_width(line))
            return self.strip(((" " * pad, TextRole.PLAIN), *line), width, ground)
        index = self._first + y
        if index >= len(self._titles):
            return Strip.blank(width, ground)
        ink = TextRole.CURSOR if index == self._at else TextRole.PLAIN
        line = cut(self._cell(index), width - 2)
        more = self._more(y)
        return self.strip(
            (*line, (" " * (width - line_width(line) - 1), ink), (more, TextRole.KEY)), width, ground
        )

    def _more(self, y: int) -> str:
        """A sign where there are answers above the first or below the last that are in sight."""
        if y == 0 and self._first:
            return "↑"
        last = y == self.size.height - 1
        return "↓" if last and self._first + y + 1 < len(self._titles) else " "

    def on_resize(self) -> None:
        """Textual's hook: where not all fit, the marked one is in sight."""
        self._reveal()

    def _reveal(self) -> None:
        if not self._across:
            height = max(1, self.size.height)
            last = max(0, len(self._titles) - height)
            self._first = max(self._at - height + 1, min(self._first, self._at, last), 0)
        self.refresh()

    def action_step(self, by: int) -> None:
        """To the next answer."""
        self._at = (self._at + by) % len(self._titles)
        self._reveal()

    def action_take(self) -> None:
        """Take the answer that is marked."""
        self.post_message(self.Taken(self._at))

    def on_click(self, event: events.Click) -> None:
        """Textual's hook."""
        event.stop()
        index = self._clicked(event)
        if index is not None:
            self.post_message(self.Taken(index))

    def _clicked(self, event: events.Click) -> int | None:
        if not self._across:
            index = self._first + event.y
            return index if index < len(self._titles) else None
        widths = [line_width(self._cell(index)) + 2 for index in range(len(self._titles))]
        x = event.x - max(0, self.size.width - sum(widths))
        for index, width in enumerate(widths):
            if 0 <= x < width:
                return index
            x -= width
        return None


Live = Callable[[], tuple[str, Sequence[Line]]]


class Question(DismissOnceScreen[T | None]):
    """Asks; the answer is the choice's value, or None for esc. `live` tells the title and lines anew."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c,q", "dismiss_none", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]

    def __init__(
        self,
        title: str,
        lines: Sequence[Line],
        choices: Sequence[Choice[T]],
        at: int = 0,
        across: bool = False,
        live: Live | None = None,
    ) -> None:
        super().__init__()
        self._live = live
        self._title = title
        self._said = tuple(lines)
        self.choices = tuple(choices)
        self._at = at
        self._across = across
        self._text = LinesView(id="said")

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        with Vertical(id="question"):
            yield self._text
            yield Choices([(choice.key, choice.title) for choice in self.choices], self._at, self._across)

    def on_mount(self) -> None:
        """Textual's hook: the safe answer has the focus."""
        self.query_one(Choices).focus()
        self._fit(self.app.size)
        if self._live is not None:
            self.set_interval(_RENEW_SECONDS, self._renew)

    def _renew(self) -> None:
        if self._live is not None:
            title, lines = self._live()
            if (title, tuple(lines)) != (self._title, self._said):
                self._title, self._said = title, tuple(lines)
                self._fit(self.app.size)

    def on_resize(self, event: events.Resize) -> None:
        """Textual's hook."""
        self._fit(event.size)

    def _fit(self, size: Size) -> None:
        """As wide as what is said, as far as the screen allows; the rest is wrapped."""
        title: Line = ((self._title, TextRole.TITLE),)
        widest = max(line_width(line) for line in (title, *self._said))
        wide = [width_of(choice.title) + 12 for choice in self.choices]
        answers = sum(wide) if self._across else max(wide)
        width = min(max(36, widest + _AROUND, answers + _AROUND), size.width - 2)
        said = [piece for line in self._said for piece in wrapped(line, width - _AROUND, hang=2)]
        self._text.show([*wrapped(title, width - _AROUND), *(((), *said) if said else ())])
        self.query_one("#question").styles.width = width
        # the answers are always in sight: what is said scrolls where both don't fit
        room = size.height * 9 // 10 - _BORDERS
        least = min(len(self._text.lines), _LEAST_SAID)
        asked = 1 if self._across else max(1, min(len(self.choices), room - least))
        self.query_one(Choices).styles.height = asked
        room -= asked
        self._text.styles.height = max(1, min(len(self._text.lines), room))

    def on_choices_taken(self, message: Choices.Taken) -> None:
        """An answer was taken."""
        self.dismiss(self.choices[message.index].value)

    def on_key(self, event: events.Key) -> None:
        """Textual's hook: an answer's own key."""
        for choice in self.choices:
            if event.key == choice.key or (event.character == choice.key):
                event.stop()
                self.dismiss(choice.value)
                return

    def action_page(self, by: int) -> None:
        """Through what is said, where it does not fit."""
        self._text.scroll_relative(y=by * self._text.size.height, animate=False)

    def action_dismiss_none(self) -> None:
        """No answer."""
        self.dismiss(None)


def confirmation(title: str, lines: Callable[[], Sequence[Line]], deed: str) -> Question[bool]:
    """Whether to do the `deed`: cancel is focused, y and n answer. The lines are asked for again and again."""
    choices = [Choice("n", "Cancel", False), Choice("y", deed, True)]
    return Question(title, lines(), choices, across=True, live=lambda: (title, lines()))


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
