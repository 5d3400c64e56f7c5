"""The filter as one types it, and how many of how many jobs it lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from jobtui.tui.commands import KeyScope, bindings
from jobtui.tui.text.spans import Line, TextRole, cut, line_width
from jobtui.tui.widgets.base import OneLine

# cells of the field, with the sign before it, that the figures beside it leave
_LEAST_FIELD = 16
# cells that the figures take at least, so that the field keeps its width while they change
_LEAST_FIGURES = 30


class FilterInput(Input):
    """The field that a filter is typed in."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.FILTER)]

    def __init__(self, text: str, leave: Callable[[bool], None]) -> None:
        """Create the field. `leave` is called when a key ends typing: True keeps what was typed."""
        super().__init__(
            text,
            placeholder="words  status:failed  space:nba  host:…  cmd:compact  since:2h  !…",
            # text selected when the focus comes would be replaced by the next key, also what was typed by then
            select_on_focus=False,
            compact=True,
        )
        self._leave = leave

    async def handle_key(self, event: events.Key) -> bool:
        """Characters are taken in."""
        if event.is_printable:
            event.stop()
            event.prevent_default()
            self.replace(event.character or "", *self.selection)
        return event.is_printable

    def insert_paste(self, text: str) -> None:
        """Take in the first line of what was pasted."""
        first = text.splitlines()[0] if text else ""
        self.replace(first, *self.selection)

    def action_done(self) -> None:
        """Keep it."""
        self._leave(True)

    def action_drop(self) -> None:
        """As it was before."""
        self._leave(False)


class FilterCounts(msgspec.Struct, frozen=True):
    """What a filter lets through. `shown` None: it is being looked for. `remark`: what is wrong with it."""

    text: str = ""
    shown: int | None = None
    total: int = 0
    marked: int = 0
    remark: str = ""


class TallyText(OneLine):
    """`3 of 1,204`, and what the filter says where it is not being typed."""

    _tally = FilterCounts()
    _typing = False

    def show(self, tally: FilterCounts, typing: bool) -> None:
        """Show these figures."""
        if (tally, typing) != (self._tally, self._typing):
            self._tally, self._typing = tally, typing
            self.refresh()

    @property
    def needed(self) -> int:
        """The cells that the figures and the remark take while a filter is being typed."""
        return line_width(((f"{self._tally.remark}  ", TextRole.WARNING), *self._figures()))

    def _figures(self) -> Line:
        tally = self._tally
        shown = "…" if tally.shown is None else f"{tally.shown:,}"
        figures: Line = ((f"{shown} of {tally.total:,} ", TextRole.STRONG),)
        return ((f"{tally.marked:,} marked  ", TextRole.MARK), *figures) if tally.marked else figures

    def line(self, width: int) -> Line:
        """The filter's text, then the figures at the right."""
        tally = self._tally
        figures = self._figures()
        if tally.remark:
            whole: Line = ((f"{tally.remark}  ", TextRole.WARNING), *figures)
            figures = whole if line_width(whole) <= width else whole[:1]
        left: Line = (
            ((" / ", TextRole.KEY), (tally.text, TextRole.ACCENT)) if tally.text and not self._typing else ()
        )
        figures = cut(figures, width)
        room = width - sum(len(text) for text, _ in figures)
        left = cut(left, max(0, room - 1))
        return (*left, (" " * max(0, room - sum(len(text) for text, _ in left)), TextRole.PLAIN), *figures)


class FilterPrompt(OneLine):
    """Stands before what is being typed."""

    def line(self, width: int) -> Line:
        """The key that led here."""
        return ((" / ", TextRole.KEY),)


class FilterLine(Horizontal):
    """The line over the table: shown while there is a filter, a mark, or a filter being typed.

    There is a field if and only if a filter is being typed. Focus that moves to another widget, by whatever
    key, click or command, ends typing and keeps the text: a field without the focus could neither be typed in
    nor closed. Focus that is merely gone (the terminal's window lost it, or is too small) ends nothing: the
    next key is meant for the field.
    """

    class Edited(Message):
        """The text changed: it is `text` by now."""

    def __init__(self, closed: Callable[[str], None], leave: Callable[[], None]) -> None:
        """Create the line.

        Args:
            closed: is called with the text that stands when typing ends, before the next key is handled.
            leave: gives the focus back to the table.
        """
        super().__init__()
        self._closed_with = closed
        self._leave = leave
        self._field: FilterInput | None = None
        self._tally_text = TallyText()
        self._slash = FilterPrompt()
        self._tally = FilterCounts()
        self._before = ""
        self.display = False

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        if self.display and self._slash.parent is None:
            yield self._slash
            yield self._tally_text

    def on_mount(self) -> None:
        """Follow the focus: the screen reports each move at once, the field itself only after a while."""
        self.watch(self.screen, "focused", self._focus_moved, init=False)

    def _focus_moved(self, focused: Widget | None) -> None:
        if self._field is not None and focused is not None and focused is not self._field:
            self._close(True)

    def _furnish(self) -> None:
        """Have in it what is in it, once it is to be seen."""
        if self._slash.parent is None and self.is_attached:
            self.mount(self._slash, self._tally_text)

    @property
    def typing(self) -> bool:
        """Whether it is being typed now."""
        return self._field is not None

    @property
    def field(self) -> FilterInput | None:
        """The field, while a filter is being typed."""
        return self._field

    @property
    def text(self) -> str | None:
        """What is typed by now; None where nobody types."""
        return self._field.value if self._field is not None else None

    @property
    def tally(self) -> FilterCounts:
        """The figures shown."""
        return self._tally

    def show(self, tally: FilterCounts) -> None:
        """Show these figures."""
        self._tally = tally
        self.display = self.typing or bool(tally.text or tally.marked)
        if self.display:
            self._furnish()
        self._show_tally()

    def _show_tally(self) -> None:
        """Show the figures: whole, as long as the field keeps room enough to type in."""
        self._tally_text.show(self._tally, self.typing)
        if self.typing:
            room = self.size.width - _LEAST_FIELD
            self._tally_text.styles.width = max(_LEAST_FIGURES, min(self._tally_text.needed, room))
        else:
            self._tally_text.styles.width = "1fr"

    def on_resize(self) -> None:
        """Textual's hook: another width leaves the figures more room, or less."""
        self._show_tally()

    async def open(self, text: str) -> None:
        """Have a filter typed, beginning with `text`; one that is being typed goes on."""
        if self._field is not None:
            self.screen.set_focus(self._field)
            return
        self._before = text
        self.add_class("-typing")
        self.display = True
        self._furnish()
        field = self._field = FilterInput(text, self._end)
        field.cursor_blink = False
        await self.mount(field, after=0)
        self._show_tally()
        if self._field is field:  # else a click elsewhere ended it meanwhile
            # at once: what is typed next belongs here already
            self.screen.set_focus(field)

    def drop(self) -> None:
        """End typing; the filter is what it was before."""
        self._end(False)

    async def on_click(self, event: events.Click) -> None:
        """Edit the filter that is shown."""
        event.stop()
        await self.open(self._tally.text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Textual's hook: filter as one types."""
        event.stop()
        if event.input is self._field:
            self.post_message(self.Edited())

    def _end(self, kept: bool) -> None:
        if self._field is not None:
            self._close(kept)
            self._leave()

    def _close(self, kept: bool) -> None:
        field, self._field = self._field, None
        if field is None:
            return
        self.remove_class("-typing")
        field.remove()
        self.show(self._tally)
        self._closed_with(field.value if kept else self._before)
