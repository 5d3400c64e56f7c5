"""The filter bar: the field for a filter, and how many of all jobs pass it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from rich.highlighter import Highlighter
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input
from typing_extensions import override

from jobtui.formatting import single_cells
from jobtui.tui.commands import KeyScope, bindings
from jobtui.tui.text.spans import Line, TextRole, cut, line_width
from jobtui.tui.widgets.base import OneLine

_JOB_TERMS = "words  status:failed  space:nba  host:…  took:>1h  since:2h  by:…  why:…  !…"
_MIN_FIELD = 16
"""Cells that the field and the sign before it have at least."""
_MIN_FIGURES = 30
"""Cells that the figures have at least, so that the field keeps its width while they change."""


class FilterSuggester(Suggester):
    """The suggestion of the rest of the last term; tab and the right arrow accept it."""

    def __init__(self, complete: Callable[[str], str | None]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    @override
    async def get_suggestion(self, value: str) -> str | None:
        found = self._complete(value)
        # Textual draws a suggestion as it is: a name with a bidirectional character would reverse the line
        return found if found is None or single_cells(found) == found else None


class VisibleCharacters(Highlighter):
    """A highlighter that paints control and bidirectional characters as visible ones."""

    @override
    def highlight(self, text: Text) -> None:
        # one by one: each becomes one character, so that the cursor stays on its own
        text.plain = "".join(map(single_cells, text.plain))


class FilterInput(Input):
    """The field that a filter is typed in."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.FILTER)]

    def __init__(
        self,
        text: str,
        leave: Callable[[bool], None],
        complete: Callable[[str], str | None] = lambda text: None,
        earlier: Sequence[str] = (),
        placeholder: str = "",
    ) -> None:
        """Create the field.

        Args:
            text: The text at first.
            leave: Called when a key ends the input: True keeps the text.
            complete: Returns the text with its last term completed.
            earlier: The filters that were used before, the newest last.
            placeholder: Examples, shown while there is no text.
        """
        super().__init__(
            text,
            placeholder=placeholder,
            # otherwise the next key would replace the text, which may have been typed before the focus arrived
            select_on_focus=False,
            compact=True,
            highlighter=VisibleCharacters(),
            suggester=FilterSuggester(complete),
        )
        self._leave = leave
        self._completion = complete
        self._texts = [*(each for each in earlier if each != text), text]
        self._place = len(self._texts) - 1

    async def handle_key(self, event: events.Key) -> bool:
        """Insert a character; return whether the key is one."""
        if event.is_printable:
            event.stop()
            event.prevent_default()
            self.replace(event.character or "", *self.selection)
        return event.is_printable

    def insert_paste(self, text: str) -> None:
        """Insert the first line of a pasted text."""
        first = text.splitlines()[0] if text else ""
        self.replace(first, *self.selection)

    def action_recall(self, by: int) -> None:
        """Replace the text by the filter used before or after it; after the newest, end the input."""
        if by > 0 and self._place == len(self._texts) - 1:
            self._leave(True)
            return
        if self._place == len(self._texts) - 1:
            self._texts[-1] = self.value
        self._place = max(0, self._place + by)
        self.value = self._texts[self._place]
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete the last term; if nothing completes it, keep the text and end the input."""
        found = self._completion(self.value)
        if found is None or found == self.value:
            self._leave(True)
            return
        self.value = found
        self.cursor_position = len(found)

    def action_done(self) -> None:
        """Keep the text and end the input."""
        self._leave(True)

    def action_drop(self) -> None:
        """Restore the text from before and end the input."""
        self._leave(False)


class FilterCounts(msgspec.Struct, frozen=True):
    """A filter and how many jobs pass it.

    Attributes:
        text: The filter's text.
        shown: The number of jobs that pass, None while they are searched for.
        total: The number of all jobs.
        marked: The number of marked jobs.
        remark: What is wrong with the filter.
    """

    text: str = ""
    shown: int | None = None
    total: int = 0
    marked: int = 0
    remark: str = ""


class FilterFigures(OneLine):
    """The figures, such as `3 of 1,204`, after the filter's text unless it is being typed."""

    _counts = FilterCounts()
    _typing = False

    def show(self, counts: FilterCounts, typing: bool) -> None:
        """Show these figures."""
        if (counts, typing) != (self._counts, self._typing):
            self._counts, self._typing = counts, typing
            self.refresh()

    @property
    def needed(self) -> int:
        """The cells that the figures and the remark take while a filter is being typed."""
        return line_width(((f"{self._counts.remark}  ", TextRole.WARNING), *self._figures()))

    def _figures(self) -> Line:
        counts = self._counts
        shown = "…" if counts.shown is None else f"{counts.shown:,}"
        figures: Line = ((f"{shown} of {counts.total:,} ", TextRole.STRONG),)
        return ((f"{counts.marked:,} marked  ", TextRole.MARK), *figures) if counts.marked else figures

    @override
    def line(self, width: int) -> Line:
        counts = self._counts
        figures = self._figures()
        if counts.remark:
            whole: Line = ((f"{counts.remark}  ", TextRole.WARNING), *figures)
            figures = whole if line_width(whole) <= width else whole[:1]
        left: Line = (
            ((" / ", TextRole.KEY), (counts.text, TextRole.ACCENT)) if counts.text and not self._typing else ()
        )
        figures = cut(figures, width)
        room = width - sum(len(text) for text, _ in figures)
        left = cut(left, max(0, room - 1))
        return (*left, (" " * max(0, room - sum(len(text) for text, _ in left)), TextRole.PLAIN), *figures)


class FilterPrompt(OneLine):
    """The sign before the field."""

    @override
    def line(self, width: int) -> Line:
        return ((" / ", TextRole.KEY),)


class FilterBar(Horizontal):
    """The line above a table.

    It is shown while there is a filter or a mark, or a filter is being typed.

    There is a field if and only if a filter is being typed. If the focus moves to another widget, by whatever
    key, click or command, the input ends and the text is kept: a field without the focus could neither be typed
    in nor closed. If no widget has the focus (the terminal's window lost it, or is too small), the input
    continues: the next key is meant for the field.
    """

    class Edited(Message):
        """The message that the text has changed."""

    def __init__(
        self,
        on_close: Callable[[str], None],
        leave: Callable[[], None],
        complete: Callable[[str], str | None] = lambda text: None,
        earlier: Callable[[], Sequence[str]] = tuple,
        placeholder: str = _JOB_TERMS,
    ) -> None:
        """Create the line.

        Args:
            on_close: Called with the text when the input ends, before the next key is handled.
            leave: Gives the focus back to the table.
            complete: Returns a text with its last term completed.
            earlier: Returns the filters that were used before, the newest last.
            placeholder: Examples of terms.
        """
        super().__init__()
        self._placeholder = placeholder
        self._complete, self._earlier = complete, earlier
        self._on_close = on_close
        self._leave = leave
        self._field: FilterInput | None = None
        self._figures = FilterFigures()
        self._prompt = FilterPrompt()
        self._counts = FilterCounts()
        self._before = ""
        self.display = False

    @override
    def compose(self) -> ComposeResult:
        if self.display and self._prompt.parent is None:
            yield self._prompt
            yield self._figures

    def on_mount(self) -> None:
        """Watch the focus: the screen reports each move at once, the field itself only later."""
        self.watch(self.screen, "focused", self._focus_moved, init=False)

    def _focus_moved(self, focused: Widget | None) -> None:
        if self._field is not None and focused is not None and focused is not self._field:
            self._close(True)

    def _mount_children(self) -> None:
        """Mount the children when the line is first shown."""
        if self._prompt.parent is None and self.is_attached:
            self.mount(self._prompt, self._figures)

    @property
    def is_typing(self) -> bool:
        """Whether a filter is being typed."""
        return self._field is not None

    @property
    def field(self) -> FilterInput | None:
        """The field, while a filter is being typed."""
        return self._field

    @property
    def text(self) -> str | None:
        """The text that is being typed, None if no filter is being typed."""
        return self._field.value if self._field is not None else None

    @property
    def counts(self) -> FilterCounts:
        """The figures that are shown."""
        return self._counts

    def show(self, counts: FilterCounts) -> None:
        """Show these figures."""
        self._counts = counts
        self.display = self.is_typing or bool(counts.text or counts.marked)
        if self.display:
            self._mount_children()
        self._show_figures()

    def _show_figures(self) -> None:
        """Show the figures, in full if the field keeps enough room to type in."""
        self._figures.show(self._counts, self.is_typing)
        if self.is_typing:
            room = self.size.width - _MIN_FIELD
            self._figures.styles.width = max(_MIN_FIGURES, min(self._figures.needed, room))
        else:
            self._figures.styles.width = "1fr"

    def on_resize(self) -> None:
        """Fit the figures into the new width."""
        self._show_figures()

    async def open(self, text: str) -> None:
        """Open the field with `text`, or give it the focus if a filter is being typed already."""
        if self._field is not None:
            self.screen.set_focus(self._field)
            return
        self._before = text
        self.add_class("-typing")
        self.display = True
        self._mount_children()
        field = self._field = FilterInput(text, self._end, self._complete, self._earlier(), self._placeholder)
        field.cursor_blink = False
        await self.mount(field, after=0)
        self._show_figures()
        if self._field is field:  # otherwise a click elsewhere has ended the input meanwhile
            # at once: the next key belongs to the field
            self.screen.set_focus(field)

    def drop(self) -> None:
        """End the input and restore the filter from before."""
        self._end(False)

    async def on_click(self, event: events.Click) -> None:
        """Edit the filter that is shown."""
        event.stop()
        await self.open(self._counts.text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Apply the filter while it is being typed."""
        event.stop()
        if event.input is self._field:
            self.post_message(self.Edited())

    def _end(self, keep: bool) -> None:
        if self._field is not None:
            self._close(keep)
            self._leave()

    def _close(self, keep: bool) -> None:
        field, self._field = self._field, None
        if field is None:
            return
        self.remove_class("-typing")
        field.remove()
        self.show(self._counts)
        self._on_close(field.value if keep else self._before)
