"""The header: the profile, the chosen space, and the number of jobs of each status."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec
from textual.screen import Screen
from typing_extensions import override

from jobtui.formatting import format_count
from jobtui.model import Status
from jobtui.tui.text.spans import GLYPH, PAUSED, STATUS_ROLE, Line, Span, TextRole, cut, line_width, wrap
from jobtui.tui.widgets.base import LinesView, OneLine

_WORDS = {Status.RUNNING: "running", Status.QUEUE: "queued"}
"""The words that the counts keep in a terminal that has no room for all words."""

_MIN_NAME = 6
"""Cells that a shortened name needs at least to be worth reading."""


class HeaderState(msgspec.Struct, frozen=True):
    """The content of the header.

    Attributes:
        profile: The profile's name.
        hosts: The number of hosts, None if it is unknown.
        space: The chosen space.
        counts: The number of jobs of each status, without paused ones.
        flags: Texts that warn, such as "paused".
        view_title: The view's name, "" for the jobs.
        connection: The state of the connection to a cluster.
        hosts_down: How many of the hosts do not answer.
        profile_role: How the profile's name is shown.
        paused: The number of paused jobs, shown if there are any.
    """

    profile: str = ""
    hosts: int | None = None
    space: str | None = None
    counts: Mapping[Status, int] = msgspec.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    view_title: str = ""
    connection: Span | None = None
    hosts_down: int = 0
    profile_role: TextRole = TextRole.STRONG
    paused: int = 0


def header_line(state: HeaderState, width: int) -> Line:
    """Return the header in `width` cells; words are omitted before numbers and flags."""
    profile: Span = (f" {state.profile}", state.profile_role)
    name: list[Span] = [(" jobtui", TextRole.TITLE), (f" {profile[0]}", profile[1])]
    if state.profile_role is TextRole.PROFILE:  # a blank on both sides, in its color
        profile = (f" {state.profile} ", state.profile_role)
        name = [(" jobtui ", TextRole.TITLE), profile]
    if state.connection is not None:
        name += [(" ", TextRole.PLAIN), state.connection]
    if state.view_title:
        name.append((f" › {state.view_title}", TextRole.TITLE))
    hosts: list[Span] = []
    if state.hosts is not None:
        up, role = f"{state.hosts - state.hosts_down} of ", TextRole.FAILED
        hosts = [(f" · {format_count(state.hosts, 'host')}", TextRole.PLAIN)]
        if state.hosts_down:
            hosts = [(f" · {up}{format_count(state.hosts, 'host')} up", role)]
    space: list[Span] = [(" · space ", TextRole.PLAIN), (state.space, TextRole.ACCENT)] if state.space else []
    flags: list[Span] = [(f"  {flag}", TextRole.WARNING) for flag in state.flags]
    short = [profile, *name[2:]]
    for left in (
        [*name, *hosts, *space, *flags],
        [*name, *space, *flags],
        [*name, *flags],
        [*short, *flags],
    ):
        for form in _CountForm:
            right = _counts(state, form)
            gap = width - line_width(left) - line_width(right)
            if gap >= 2:
                return (*left, (" " * gap, TextRole.PLAIN), *right)
    counts = _counts(state, _CountForm.SHORT)
    room = width - line_width(counts) - 2
    shown: Line = tuple(flags)
    if room - line_width(shown) >= _MIN_NAME:
        shown = (*cut(tuple(short), room - line_width(shown)), *shown)
    shown = cut(shown, room) if room >= _MIN_NAME else ()
    space_left = " " * (width - line_width(shown) - line_width(counts))
    return cut((*shown, (space_left, TextRole.PLAIN), *counts), width)


class _CountForm(enum.Enum):
    """The forms in which the counts may be shown, the longest first."""

    LABELS = enum.auto()
    WORDS = enum.auto()
    WHOLE = enum.auto()
    SHORT = enum.auto()


def _counts(state: HeaderState, form: _CountForm) -> Line:
    pieces: list[Span] = []
    for status in (Status.RUNNING, Status.QUEUE, Status.FINISHED, Status.FAILED, Status.STOPPED):
        count = state.counts.get(status, 0)
        word = status.value if form is _CountForm.LABELS else ""
        role = STATUS_ROLE[status] if count else TextRole.MUTED
        pieces.append((_count_text(GLYPH[status], count, _WORDS.get(status, word), form), role))
        if status is Status.RUNNING and state.paused:
            pieces.append((_count_text(PAUSED, state.paused, "paused", form), TextRole.WARNING))
    return tuple(pieces)


def _count_text(glyph: str, count: int, word: str, form: _CountForm) -> str:
    match form:
        case _CountForm.LABELS | _CountForm.WORDS:
            return f"{glyph} {count:,}{' ' + word if word else ''}  "
        case _CountForm.WHOLE:
            return f"{glyph}{count:,} "
        case _CountForm.SHORT:
            return f"{glyph}{_short(count)} "


def _short(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f"{count // 1000}k" if count < 1_000_000 else f"{count / 1_000_000:.1f}M"


class Header(OneLine):
    """The first line of the dashboard."""

    _state = HeaderState()

    @property
    def state(self) -> HeaderState:
        """The content that is shown."""
        return self._state

    @state.setter
    def state(self, state: HeaderState) -> None:
        if state != self._state:
            self._state = state
            self.refresh()

    @override
    def line(self, width: int) -> Line:
        return header_line(self._state, width)


class AlarmLines(LinesView):
    """The lines below the header that report a problem, as long as there is one."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.kind = ""
        self._dismissed = ""

    def set_alarm(self, kind: str, text: str, screen: Screen[None], header: Header) -> None:
        """Show the alarm unless the user dismissed one of its kind; "" shows none."""
        if kind != self._dismissed:
            self._dismissed = ""  # that alarm is over: it is shown again when it returns
        self.kind = kind if kind != self._dismissed else ""
        shown = wrap(text, screen.size.width - 2, 3) if self.kind else []
        if shown and self.parent is None and header.parent is not None:
            screen.mount(self, after=header)
        screen.set_class(bool(shown), "-alarmed")
        self.styles.height = len(shown)
        self.show([((f" {line}", TextRole.FAILED),) for line in shown])

    def dismiss(self) -> None:
        """Hide the alarm until there is another."""
        self._dismissed = self.kind
