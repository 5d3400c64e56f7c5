"""The first line: whose client this is, and how many jobs are in which status."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from jobtui.formatting import format_count
from jobtui.model import Status
from jobtui.tui.text.spans import GLYPH, STATUS_INK, Line, Span, TextRole, cut, line_width
from jobtui.tui.widgets.base import OneLine

_WORDS = {
    Status.RUNNING: "running",
    Status.QUEUE: "queued",
    Status.FINISHED: "",
    Status.FAILED: "",
    Status.STOPPED: "",
}

# cells that what is left of a long name needs to be worth reading
_LEAST = 6


class HeaderState(msgspec.Struct, frozen=True):
    """What the header says. `place`: where one is, "" for the jobs. `link`: the cluster's connection."""

    profile: str = ""
    hosts: int | None = None
    space: str | None = None
    counts: Mapping[Status, int] = msgspec.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    place: str = ""
    link: Span | None = None


def header_line(standing: HeaderState, width: int) -> Line:
    """The header in `width` cells; words give way before numbers, and names before what one must know."""
    name: list[Span] = [(" jobtui", TextRole.TITLE), (f"  {standing.profile}", TextRole.STRONG)]
    if standing.link is not None:
        name += [(" ", TextRole.PLAIN), standing.link]
    if standing.place:
        name.append((f" › {standing.place}", TextRole.TITLE))
    hosts: list[Span] = (
        [(f" · {format_count(standing.hosts, 'host')}", TextRole.PLAIN)] if standing.hosts is not None else []
    )
    space: list[Span] = (
        [(" · space ", TextRole.PLAIN), (standing.space, TextRole.ACCENT)] if standing.space else []
    )
    flags: list[Span] = [(f"  {flag}", TextRole.WARNING) for flag in standing.flags]
    short: list[Span] = [(f" {standing.profile}", TextRole.STRONG), *name[2:]]
    for left in (
        [*name, *hosts, *space, *flags],
        [*name, *space, *flags],
        [*name, *flags],
        [*short, *flags],
    ):
        for form in _Counts:
            right = _counts(standing.counts, form)
            gap = width - line_width(left) - line_width(right)
            if gap >= 2:
                return (*left, (" " * gap, TextRole.PLAIN), *right)
    counts = _counts(standing.counts, _Counts.SHORT)
    room = width - line_width(counts) - 2
    said: Line = tuple(flags)
    if room - line_width(said) >= _LEAST:
        said = (*cut(tuple(short), room - line_width(said)), *said)
    said = cut(said, room) if room >= _LEAST else ()
    return cut((*said, (" " * (width - line_width(said) - line_width(counts)), TextRole.PLAIN), *counts), width)


class _Counts(enum.Enum):
    """How the counts are written, the fullest form first: what is cut short needs a lack of room."""

    WORDS = enum.auto()
    WHOLE = enum.auto()
    SHORT = enum.auto()


def _counts(counts: Mapping[Status, int], form: _Counts) -> Line:
    pieces: list[Span] = []
    for status, word in _WORDS.items():
        count = counts.get(status, 0)
        ink = STATUS_INK[status] if count else TextRole.MUTED
        match form:
            case _Counts.WORDS:
                pieces.append((f"{GLYPH[status]} {count:,}{' ' + word if word else ''}  ", ink))
            case _Counts.WHOLE:
                pieces.append((f"{GLYPH[status]}{count:,} ", ink))
            case _Counts.SHORT:
                pieces.append((f"{GLYPH[status]}{_short(count)} ", ink))
    return tuple(pieces)


def _short(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f"{count // 1000}k" if count < 1_000_000 else f"{count / 1_000_000:.1f}M"


class Header(OneLine):
    """Shows a `Standing`."""

    _standing = HeaderState()

    @property
    def standing(self) -> HeaderState:
        """What is shown."""
        return self._standing

    @standing.setter
    def standing(self, standing: HeaderState) -> None:
        if standing != self._standing:
            self._standing = standing
            self.refresh()

    def line(self, width: int) -> Line:
        """The header."""
        return header_line(self._standing, width)
