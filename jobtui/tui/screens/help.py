"""The help: the keys that work here and now, and how to say things in the bar and the filter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from jobtui.tui.commands import KeyCommand, KeyScope
from jobtui.tui.keymap import Keymap
from jobtui.tui.screens.dialog import DismissOnceScreen
from jobtui.tui.text.spans import Line, Span, TextRole, fit, line_width, width_of, wrapped
from jobtui.tui.widgets.base import LinesView

_KEYS = 14
_TITLE = 25
_TERM = 38
# from this width on a command's title stands beside its meaning
_ROOMY = 88
_WIDEST = 100
_FILTER = (
    ("words", "jobs whose command, space, host or reason hold them all"),
    ("status:failed", "also queue, running, finished, stopped, ended, live; with commas: either"),
    ("space:nba  host:local0  cmd:compact", "of that space, host, command; a beginning will do"),
    ("since:2h  until:2019-12-17", "submitted since, or until: s m h d w, or a date"),
    ("!status:finished  !word", "the other way round"),
)
_TWO_COLUMNS = re.compile(r"(\S.*?) {2,}(\S.*)")


def help_lines(working: Sequence[KeyCommand], keymap: Keymap, width: int) -> list[Line]:
    """The commands by place, tables last; then the filter's words and the statements. No line is wider."""
    lines: list[Line] = []
    places = sorted(
        dict.fromkeys(command.where for command in working), key=lambda where: where is KeyScope.TABLE
    )
    for where in places:
        lines.append(((f"{where.value.capitalize()}", TextRole.TITLE),))
        for command in working:
            if command.where is where:
                lines.extend(_command_lines(command, keymap, width))
        lines.append(())
    if any(command.where is KeyScope.JOBS for command in working):
        lines.append((("Filter", TextRole.TITLE),))
        for words, what in _FILTER:
            lines.extend(_beside((words, TextRole.ACCENT), what, _TERM, width))
        lines.append(())
    lines.append((("Statements", TextRole.TITLE),))
    lines.extend(statement_lines(width))
    return lines


def _command_lines(command: KeyCommand, keymap: Keymap, width: int) -> list[Line]:
    keys = f"  {fit(keymap.shown(command, 3), _KEYS)}"
    title: Line = ((fit(command.title, _TITLE), TextRole.STRONG),) if width >= _ROOMY else ()
    head: Line = ((keys, TextRole.KEY), *title)
    return wrapped((*head, (command.help, TextRole.PLAIN)), width, hang=line_width(head))


def statement_lines(width: int) -> list[Line]:
    """The statements as the language's own help tells them."""
    from jobtui.language.help import help_for

    lines: list[Line] = []
    said = ""
    for text in [*help_for().split("\n"), ""]:
        columns = _TWO_COLUMNS.fullmatch(text)
        if columns is None and text:
            said += f" {text}"
            continue
        if said:
            lines.extend(wrapped(((f" {said}", TextRole.PLAIN),), width, hang=2))
            said = ""
        if columns is not None:
            lines.extend(_beside((columns[1], TextRole.PLAIN), columns[2], 53, width))
        else:
            lines.append(())
    return lines


def _beside(term: Span, what: str, column: int, width: int) -> list[Line]:
    """A term and what it means: side by side, or where that is too wide the meaning below."""
    text, ink = term
    if width_of(text) < column and column + width_of(what) + 2 <= width:
        return [((f"  {fit(text, column)}", ink), (what, TextRole.MUTED))]
    return [
        *wrapped(((f"  {text}", ink),), width, hang=4),
        *wrapped(((f"      {what}", TextRole.MUTED),), width, hang=6),
    ]


class HelpScreen(DismissOnceScreen[None]):
    """Any of the keys that lead here leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,ctrl+c", "dismiss", show=False, priority=True),
        Binding("down,j", "scroll_down", show=False),
        Binding("up,k", "scroll_up", show=False),
        Binding("pagedown,space", "page_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
    ]

    def __init__(self, working: Sequence[KeyCommand], keymap: Keymap) -> None:
        super().__init__()
        self._working = tuple(working)
        self._keymap = keymap
        self._view = LinesView(id="keys-help")

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        with Vertical(id="help"):
            yield self._view

    def on_mount(self) -> None:
        """Textual's hook."""
        self.query_one("#help").border_title = " keys "
        self.query_one("#help").border_subtitle = " esc "
        # the first frame says something already; how wide it is exactly is known afterwards
        self._show(min(_WIDEST, self.app.size.width * 96 // 100) - 5)
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        """Textual's hook."""
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        self._show(self._view.inner_width)

    def _show(self, width: int) -> None:
        self._view.show(help_lines(self._working, self._keymap, width))

    def action_scroll_down(self) -> None:
        """A line down."""
        self._view.scroll_relative(y=1, animate=False)

    def action_scroll_up(self) -> None:
        """A line up."""
        self._view.scroll_relative(y=-1, animate=False)

    def action_page_down(self) -> None:
        """A page down."""
        self._view.scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """A page up."""
        self._view.scroll_page_up(animate=False)

    def action_scroll_home(self) -> None:
        """To the top."""
        self._view.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        """To the end."""
        self._view.scroll_end(animate=False)
