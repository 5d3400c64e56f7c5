"""A job's detail: a strip that names it and its tabs, and below it the tab that is chosen."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message

from jobtui.model import Job
from jobtui.tui.commands import Where, bindings
from jobtui.tui.lines import Ink, Line, Piece, cut, line_width
from jobtui.tui.text import width_of
from jobtui.tui.widgets.inked import OneLine
from jobtui.tui.widgets.lines_view import LinesView

# cells of a job's name below which nothing else is said beside it
_LEAST_NAME = 10


class Tab(enum.StrEnum):
    """The detail's tabs."""

    TASKS = "tasks"
    TIMELINE = "timeline"
    STORAGE = "storage"
    EVENTS = "events"

    def turned(self, by: int) -> Tab:
        """The tab so many to the right."""
        tabs = list(Tab)
        return tabs[(tabs.index(self) + by) % len(tabs)]


class Caption(msgspec.Struct, frozen=True):
    """What the strip says: where one is, the job, and the keys that turn the tabs."""

    job: str = ""
    ink: Ink = Ink.STRONG
    full: bool = False
    keys: str = ""


class TabStrip(OneLine):
    """`─ job 41 · compact nba ─ Tasks ─ Timeline ─ Storage ─ Events ───`; a click chooses a tab."""

    _caption = Caption()
    _tab = Tab.TASKS

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, tab: Tab) -> None:
            super().__init__()
            self.tab = tab

    def show(self, caption: Caption, tab: Tab) -> None:
        """Say this."""
        if (caption, tab) != (self._caption, self._tab):
            self._caption, self._tab = caption, tab
            self.refresh()

    def line(self, width: int) -> Line:
        """The strip; the job's name gives way to the tabs, and they to their first letters."""
        tabs = self._tabs()
        if line_width(tabs) > width - 8:
            tabs = ((f" {self._tab.value.capitalize()} ", Ink.TAB_ON),)
        crumbs = "jobs › " if self._caption.full else ""
        name: Line = ((f" {crumbs}", Ink.MUTED), (f"{self._caption.job} ", self._caption.ink))
        room = width - line_width(tabs) - 3
        keys = self._keys(room - line_width(name), room)
        line = (("─", Ink.RULE), *cut(name, room - line_width(keys)), ("─", Ink.RULE), *tabs)
        return (*line, ("─" * (width - line_width(line) - line_width(keys)), Ink.RULE), *keys)

    def _keys(self, spare: int, room: int) -> Line:
        """The keys that turn the tabs, in words where there is room; the job's name gives way to them alone."""
        keys = self._caption.keys
        if not keys or room - width_of(keys) - 3 < _LEAST_NAME:
            return ()
        words: Line = ((" tabs", Ink.MUTED),) if spare >= width_of(keys) + 8 else ()
        return ((f" {keys}", Ink.KEY), *words, (" ", Ink.PLAIN), ("─", Ink.RULE))

    def _tabs(self) -> Line:
        pieces: list[Piece] = []
        for tab in Tab:
            pieces += [
                (f" {tab.value.capitalize()} ", Ink.TAB_ON if tab is self._tab else Ink.TAB),
                ("─", Ink.RULE),
            ]
        return tuple(pieces)

    def on_click(self, event: events.Click) -> None:
        """Textual's hook."""
        event.stop()
        x = 0
        for text, ink in self.line(self.size.width):
            size = line_width(((text, ink),))
            if x <= event.x < x + size and ink in (Ink.TAB, Ink.TAB_ON):
                self.post_message(self.Chosen(Tab(text.strip().lower())))
            x += size


class DetailBody(LinesView, can_focus=True):
    """The chosen tab's lines."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Where.DETAIL)]

    class Turned(Message):
        """Another tab, so many to the right."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Zoomed(Message):
        """Over the whole screen, or back."""

    class Resized(Message):
        """There is another width to fill."""

    def action_turn(self, by: int) -> None:
        """Another tab."""
        self.post_message(self.Turned(by))

    def action_zoom(self) -> None:
        """Full, or back."""
        self.post_message(self.Zoomed())

    def on_resize(self) -> None:
        """Textual's hook."""
        self.post_message(self.Resized())


class Detail(Vertical):
    """The strip over the body."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.strip = TabStrip()
        self.body = DetailBody()

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        yield self.strip
        yield self.body

    def show(self, caption: Caption, tab: Tab, lines: Sequence[Line]) -> None:
        """Show a job's tab."""
        self.strip.show(caption, tab)
        self.body.show(lines)


def caption_of(job: Job | None, full: bool, keys: str = "") -> Caption:
    """The strip's words for a job."""
    if job is None:
        return Caption("no job", Ink.MUTED, full)
    lineage = f" (runs {job.recovered_from} again)" if job.recovered_from is not None else ""
    return Caption(f"job {job.id} · {job.label}{lineage}", Ink.STRONG, full, keys)
