"""The strip over the detail of a job: the job's name, and the tabs of the detail."""

from __future__ import annotations

import enum

import msgspec
from textual import events
from textual.message import Message
from typing_extensions import override

from jobtui.model import Job
from jobtui.tui.text.spans import Line, Span, TextRole, cut, line_width, width_of
from jobtui.tui.widgets.base import OneLine

# cells that a job's name keeps; the keys of the tabs need what is left
_MIN_NAME = 10
_MIN_NAME_WITH_KEYS = 24  # on the whole screen


class Tab(enum.StrEnum):
    """The tabs of the detail."""

    TASKS = "tasks"
    TIMELINE = "timeline"
    CHART = "chart"
    STORAGE = "storage"
    EVENTS = "events"

    def neighbor(self, by: int) -> Tab:
        """Return the tab `by` positions to the right, wrapping around at the end."""
        tabs = list(Tab)
        return tabs[(tabs.index(self) + by) % len(tabs)]


class Caption(msgspec.Struct, frozen=True):
    """The texts of the strip: the job, whether it fills the screen, the keys of the tabs."""

    job: str = ""
    role: TextRole = TextRole.STRONG
    full: bool = False
    keys: str = ""


class TabStrip(OneLine):
    """`─ job 41 · compact nba ─[Tasks]─ Timeline ─ Chart ─ … ───`; a click chooses a tab."""

    _caption = Caption()
    _tab = Tab.TASKS

    class Chosen(Message):
        """The user clicked a tab."""

        def __init__(self, tab: Tab) -> None:
            super().__init__()
            self.tab = tab

    def show(self, caption: Caption, tab: Tab) -> None:
        """Replace the texts and the chosen tab."""
        if (caption, tab) != (self._caption, self._tab):
            self._caption, self._tab = caption, tab
            self.refresh()

    @override
    def line(self, width: int) -> Line:
        # on the whole screen, where no row names the job, the rules between the tabs give way to its name;
        # the name gives way to the tabs; with too little room only the chosen tab is left
        rule: Span = ("─", TextRole.RULE)
        first: Line = (rule,)
        tabs: Line = (rule, *self._tabs(), rule)
        named = width_of(self._caption.job) + self._keys_width if self._caption.full else width_of(self._number)
        if line_width(tabs) + 1 + named + 2 > width:
            first, tabs = (), (rule, *self._close_tabs())
        if line_width(tabs) + width_of(self._number) + 2 > width:
            first, tabs = (rule,), (rule, _chosen(self._tab), rule)
        room = width - line_width(tabs) - len(first)
        name = self._title(room)
        keys = self._keys(room - line_width(name) - 1, room - 1)  # a cell of the rule stays before them
        line = (*first, *cut(name, room - line_width(keys)), *tabs)
        return (*line, ("─" * (width - line_width(line) - line_width(keys)), TextRole.RULE), *keys)

    def _title(self, room: int) -> Line:
        """Return the breadcrumb and the job's name, or what fits of them: at least its number."""
        text, role = self._caption.job, self._caption.role
        whole: Line = ((f" {text} ", role),)
        crumbs: Line = ((" jobs ›", TextRole.MUTED),) if self._caption.full else ()
        number: Line = ((f" {self._number} ", role),)
        if line_width(number) + _MIN_NAME > room:
            whole = number  # the first letters of a label alone could not be understood
        with_crumbs = (*crumbs, *whole)
        return with_crumbs if line_width(with_crumbs) + self._keys_width <= room else whole

    @property
    def _number(self) -> str:
        return self._caption.job.partition(" · ")[0]

    @property
    def _keys_width(self) -> int:
        return width_of(self._caption.keys) + 3 if self._caption.keys else 0

    def _keys(self, spare: int, room: int) -> Line:
        """Return the keys of the tabs, with a label if there is room; they may cut the name."""
        keys = self._caption.keys
        minimum = max(_MIN_NAME_WITH_KEYS if self._caption.full else _MIN_NAME, width_of(self._number) + 2)
        if not keys or (spare < self._keys_width and room - self._keys_width < minimum):
            return ()
        words: Line = ((" tabs", TextRole.MUTED),) if spare >= width_of(keys) + 8 else ()
        return ((f" {keys}", TextRole.KEY), *words, (" ", TextRole.PLAIN), ("─", TextRole.RULE))

    def _tabs(self) -> Line:
        pieces: list[Span] = []
        for tab in Tab:
            other: Span = (f" {tab.value.capitalize()} ", TextRole.TAB)
            pieces += [("─", TextRole.RULE), _chosen(tab) if tab is self._tab else other]
        return tuple(pieces[1:])

    def _close_tabs(self) -> Line:
        """Return the tabs with a blank between each two."""
        pieces: list[Span] = []
        for tab in Tab:
            other: Span = (tab.value.capitalize(), TextRole.TAB)
            pieces += [(" ", TextRole.PLAIN), _chosen(tab) if tab is self._tab else other]
        return tuple(pieces[1:])

    def on_click(self, event: events.Click) -> None:
        """Choose the tab that was clicked."""
        event.stop()
        x = 0
        for text, role in self.line(self.size.width):
            size = line_width(((text, role),))
            if x <= event.x < x + size and role in (TextRole.TAB, TextRole.TAB_ON):
                self.post_message(self.Chosen(Tab(text.strip(" []").lower())))
            x += size


def _chosen(tab: Tab) -> Span:
    # brackets: without colors, nothing else shows which tab is chosen
    return f"[{tab.value.capitalize()}]", TextRole.TAB_ON


def caption_of(job: Job | None, full: bool, keys: str = "") -> Caption:
    """Return the texts of the strip for a job."""
    if job is None:
        return Caption("no job", TextRole.MUTED, full)
    return Caption(f"job {job.id} · {job.label}", TextRole.STRONG, full, keys)
