"""Dialogs: a question over the dashboard, and the app of a profile that does not open.

A question has a few answers, each with its key; the safe one has the focus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.screen import ModalScreen
from textual.strip import Strip
from typing_extensions import override

from jobtui.tui.base_app import BaseApp, StyledScreen, style_sheet, style_sheets
from jobtui.tui.text.spans import CURSOR, Line, TextRole, cut, line_width, width_of, wrap, wrapped
from jobtui.tui.widgets.base import LinesView, StyledWidget

ClosedT = TypeVar("ClosedT")


class DismissOnceScreen(ModalScreen[ClosedT]):
    """A modal screen that is dismissed once, and only while it is in front.

    Textual's `dismiss` removes the topmost screen, whichever screen calls it: a second key, or a key for a
    question that another one covers, would remove the wrong screen.
    """

    CSS_PATH = style_sheet("dialog.tcss")
    _is_dismissed = False

    @override
    def dismiss(self, result: ClosedT | None = None) -> AwaitComplete:
        if self._is_dismissed or not self.is_active:
            return AwaitComplete()
        self._is_dismissed = True
        return super().dismiss(result)


T = TypeVar("T")

_BORDER_CELLS = 6
"""Cells of a line for the border and the blanks next to it."""
_BORDER_LINES = 3
"""Lines that the border and the gap above the answers take."""
_UPDATE_SECONDS = 0.25
_MIN_TEXT_LINES = 3
"""Lines of the text that the answers leave visible."""


class Choice(msgspec.Struct, Generic[T], frozen=True):
    """An answer: its key, its title, and the value that it stands for."""

    key: str
    title: str
    value: T


class AnswerList(StyledWidget, can_focus=True):
    """The answers: arrows move, enter chooses; an answer's key or a click chooses at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left,shift+tab,k", "step(-1)", show=False),
        Binding("down,right,tab,j", "step(1)", show=False),
        Binding("enter,space", "take", show=False),
    ]

    class AnswerChosen(Message):
        """The message with the answer that the user chose."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, titles: Sequence[tuple[str, str]], at: int = 0, across: bool = False) -> None:
        """Create the answers.

        Args:
            titles: The key and the title of each answer.
            at: The answer that the cursor is on.
            across: Whether the answers are side by side in one line.
        """
        super().__init__()
        self._titles = tuple(titles)
        self._at = at
        self._across = across
        self._first = 0
        self.styles.height = 1 if across else len(self._titles)

    def _cell(self, index: int) -> Line:
        key, title = self._titles[index]
        role = TextRole.CURSOR if index == self._at else TextRole.PLAIN
        sign = CURSOR if index == self._at else " "
        if self._across:
            return (
                (f"{sign} {title} ", role),
                (f"{key}  ", TextRole.CURSOR if index == self._at else TextRole.KEY),
            )
        return (
            (f"{sign} {key:<6}", TextRole.CURSOR if index == self._at else TextRole.KEY),
            (f"{title}  ", role),
        )

    @override
    def render_line(self, y: int) -> Strip:
        width, background = self.size.width, self.rich_style
        if self._across:
            line: Line = ()
            for index in range(len(self._titles)):
                line += (*self._cell(index), ("  ", TextRole.PLAIN))
            pad = max(0, width - line_width(line))
            return self.strip(((" " * pad, TextRole.PLAIN), *line), width, background)
        index = self._first + y
        if index >= len(self._titles):
            return Strip.blank(width, background)
        role = TextRole.CURSOR if index == self._at else TextRole.PLAIN
        line = cut(self._cell(index), width - 2)
        more = self._more(y)
        return self.strip(
            (*line, (" " * (width - line_width(line) - 1), role), (more, TextRole.KEY)), width, background
        )

    def _more(self, y: int) -> str:
        """Return a sign if there are answers above the first visible one or below the last."""
        if y == 0 and self._first:
            return "↑"
        last = y == self.size.height - 1
        return "↓" if last and self._first + y + 1 < len(self._titles) else " "

    def on_resize(self) -> None:
        """Keep the answer under the cursor visible."""
        self._reveal()

    def _reveal(self) -> None:
        if not self._across:
            height = max(1, self.size.height)
            last = max(0, len(self._titles) - height)
            self._first = max(self._at - height + 1, min(self._first, self._at, last), 0)
        self.refresh()

    def action_step(self, by: int) -> None:
        """Move the cursor by this many answers."""
        self._at = (self._at + by) % len(self._titles)
        self._reveal()

    def action_take(self) -> None:
        """Choose the answer under the cursor."""
        self.post_message(self.AnswerChosen(self._at))

    def on_click(self, event: events.Click) -> None:
        """Choose the answer that was clicked."""
        event.stop()
        index = self._clicked(event)
        if index is not None:
            self.post_message(self.AnswerChosen(index))

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


QuestionText = Callable[[], tuple[str, Sequence[Line]]]
"""Returns the title and the lines of a question as they are now."""


class Question(DismissOnceScreen[T | None]):
    """A question. Its result is the value of the choice, None for esc."""

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
        update: QuestionText | None = None,
    ) -> None:
        """Create a question.

        Args:
            title: The first line.
            lines: The text below the title.
            choices: The answers.
            at: The answer that the cursor is on.
            across: Whether the answers are side by side.
            update: Returns the title and the text as they are now; called repeatedly. None if they stay.
        """
        super().__init__()
        self._update = update
        self._title = title
        self._lines = tuple(lines)
        self.choices = tuple(choices)
        self._at = at
        self._across = across
        self._text = LinesView(id="question-text")
        self._answers = AnswerList([(choice.key, choice.title) for choice in self.choices], at, across)
        self._frame = Vertical(self._text, self._answers, id="question")

    @override
    def compose(self) -> ComposeResult:
        yield self._frame

    def on_mount(self) -> None:
        """Give the focus to the answers, and update the text from now on."""
        if not self._answers.is_attached:
            return  # esc arrived together with the key that asks, and has closed the question already
        self._answers.focus()
        self._frame.border_subtitle = " esc closes "
        self._fit(self.app.size)
        if self._update is not None:
            self.set_interval(_UPDATE_SECONDS, self._update_text)

    def _update_text(self) -> None:
        if self._update is not None:
            title, lines = self._update()
            if (title, tuple(lines)) != (self._title, self._lines):
                self._title, self._lines = title, tuple(lines)
                self._fit(self.app.size)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the question into the screen."""
        if self._answers.is_attached:
            self._fit(event.size)

    def _fit(self, size: Size) -> None:
        """Make the question as wide as its text if the screen allows it; otherwise wrap the text."""
        title: Line = ((self._title, TextRole.TITLE),)
        widest = max(line_width(line) for line in (title, *self._lines))
        wide = [width_of(choice.title) + 12 for choice in self.choices]
        answers = sum(wide) if self._across else max(wide)
        # as `max-width` in dialog.tcss, or the ends of long lines are cut off
        width = min(max(36, widest + _BORDER_CELLS, answers + _BORDER_CELLS), size.width * 96 // 100)
        self._frame.styles.width = width
        text = self._wrapped_text(width - _BORDER_CELLS)
        # the answers are always visible: if both do not fit, the text scrolls
        room = size.height * 9 // 10 - _BORDER_LINES
        least = min(len(text), _MIN_TEXT_LINES)
        height = 1 if self._across else max(1, min(len(self.choices), room - least))
        self._answers.styles.height = height
        room = max(1, room - height)
        if len(text) > room:
            text = self._wrapped_text(width - _BORDER_CELLS - 2)  # the scrollbar, and a blank before it
        self._text.show(text)
        self._text.styles.height = min(len(text), room)

    def _wrapped_text(self, cells: int) -> list[Line]:
        """Return the title and the text, in lines of at most this many cells."""
        lines = [piece for line in self._lines for piece in wrapped(line, cells, _hang(line))]
        return [*wrapped(((self._title, TextRole.TITLE),), cells), *(((), *lines) if lines else ())]

    def on_answer_list_answer_chosen(self, message: AnswerList.AnswerChosen) -> None:
        """Return the value of the answer."""
        self.dismiss(self.choices[message.index].value)

    def on_key(self, event: events.Key) -> None:
        """Choose an answer by its key."""
        for choice in self.choices:
            if event.key == choice.key or (event.character == choice.key):
                event.stop()
                self.dismiss(choice.value)
                return

    def action_page(self, by: int) -> None:
        """Scroll the text by this many pages."""
        self._text.scroll_relative(y=by * self._text.size.height, animate=False)

    def action_dismiss_none(self) -> None:
        """Close the question without an answer."""
        self.dismiss(None)


def _hang(line: Line) -> int:
    """Return the indent of the rest of a wrapped line, which an entry has and prose has not."""
    return 2 if line and line[0][1] is TextRole.STRONG else 0


def confirmation(title: str, lines: Callable[[], Sequence[Line]], verb: str) -> Question[bool]:
    """Return the question whether to do something; cancel has the focus.

    Args:
        title: The first line.
        lines: Returns the text below it as it is now; called repeatedly.
        verb: The title of the answer that agrees.
    """
    choices = [Choice("n", "Cancel", False), Choice("y", verb, True)]
    return Question(title, lines(), choices, across=True, update=lambda: (title, lines()))


_ANSWERS = (("r", "Try again"), ("q", "Leave"))
_WIDTH = 76


def failure_lines(what: str, why: str, advice: Sequence[str], width: int) -> list[Line]:
    """Return the text of a failure: what cannot be done, the reason in full, and the advice."""
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
    """The screen of a failure, which asks whether to try again."""

    def __init__(self, what: str, why: str, advice: Sequence[str]) -> None:
        super().__init__()
        self._what, self._why, self._advice = what, why, tuple(advice)
        self._text = LinesView(id="why")
        self._answers = AnswerList(_ANSWERS)

    @override
    def compose(self) -> ComposeResult:
        yield self._text
        yield self._answers

    def on_mount(self) -> None:
        """Give the focus to the answers."""
        self._answers.focus()

    def on_resize(self) -> None:
        """Wrap the text for the new size."""
        lines = failure_lines(self._what, self._why, self._advice, min(_WIDTH, self.size.width - 6))
        self._text.show(lines)
        self._text.styles.height = min(len(lines), max(1, self.size.height - 5))

    def page(self, by: int) -> None:
        """Scroll the text by this many pages."""
        self._text.scroll_relative(y=by * self._text.size.height, animate=False)


class FailureApp(BaseApp[bool]):
    """The app of a failure; its return value is whether to try again."""

    CSS_PATH = [*style_sheets()]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "answer(True)", show=False),
        Binding("q,escape,ctrl+c", "answer(False)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]

    def __init__(self, what: str, why: str, advice: Sequence[str], theme: str = "") -> None:
        super().__init__(theme, None)
        self._failure = FailureScreen(what, why, advice)

    @override
    def get_default_screen(self) -> FailureScreen:
        return self._failure

    def on_answer_list_answer_chosen(self, message: AnswerList.AnswerChosen) -> None:
        """Leave with the answer."""
        self.exit(message.index == 0)

    def action_page(self, by: int) -> None:
        """Scroll the text by this many pages."""
        self._failure.page(by)

    def action_answer(self, again: bool) -> None:
        """Leave with the answer of a key."""
        self.exit(again)
