"""The card of a space in the overview: its texts, and whether the space needs attention."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from jobtui.engine.advice import Verdict
from jobtui.engine.client import SpaceOverview
from jobtui.formatting import (
    DateOrder,
    format_bytes,
    format_count,
    format_percent,
    format_recent_time,
)
from jobtui.model import Job, Status
from jobtui.storage.base import Host
from jobtui.tui.data.caches import MIN_MEASURED, SpaceActivity, size_after
from jobtui.tui.data.inventory_rows import VERDICT_ROLE
from jobtui.tui.text.spans import (
    CURSOR,
    STATUS_ROLE,
    Line,
    Span,
    TextRole,
    cause_of,
    cut,
    fit,
    fit_host,
    line_width,
    size_sparkline,
    status_span,
    width_of,
    wrap,
)

LOW_FREE_BYTES = 2 << 30
LOW_FREE_SHARE = 0.1
"""A host is low on disk with less free than this many bytes, or than this share of what it holds."""

CARD_LINES = 8
_MIN_NAME = 8  # cells that a name keeps before the label


class Attention(enum.IntEnum):
    """The reasons to look at a space, the most urgent first."""

    FAILED = 0
    LOW_DISK = 1
    COMPACT = 2
    RUNNING = 3
    FLUSH = 4
    NOTHING = 5


_ROLES = {
    Attention.FAILED: TextRole.FAILED,
    Attention.LOW_DISK: TextRole.WARNING,
    Attention.COMPACT: TextRole.WARNING,
    Attention.RUNNING: TextRole.RUNNING,
    Attention.FLUSH: TextRole.ACCENT,
    Attention.NOTHING: TextRole.RULE,
}
_LABELS = {
    Attention.FAILED: "✖ last job failed",
    Attention.LOW_DISK: "▼ low disk",
    Attention.COMPACT: "▲ compact",
    Attention.RUNNING: "▶ running",
    Attention.FLUSH: "▲ flush",
    Attention.NOTHING: "",
}


class SpaceCard(msgspec.Struct, frozen=True):
    """The content of the card of a space.

    Attributes:
        space: The space with its sizes.
        activity: Its newest jobs.
        active: Its queued and running jobs.
        verdict: The advice for it, "" if it was not measured.
        scarcest: The host of it with the least free disk, None if that is not known.
    """

    space: SpaceOverview
    activity: SpaceActivity = SpaceActivity()
    active: tuple[Job, ...] = ()
    verdict: str = ""
    scarcest: Host | None = None

    @property
    def attention(self) -> Attention:
        """The most urgent reason to look at the space."""
        last = self.activity.last_ended
        if last is not None and last.status is Status.FAILED:
            return Attention.FAILED
        if self.scarcest is not None and is_low(self.scarcest):
            return Attention.LOW_DISK
        if any(job.status is Status.RUNNING for job in self.active):
            return Attention.RUNNING  # the advice is not known before it has ended
        if self.verdict == Verdict.COMPACT:
            return Attention.COMPACT
        return Attention.FLUSH if self.verdict == Verdict.FLUSH else Attention.NOTHING

    @property
    def urgency(self) -> tuple[Attention, str]:
        """The key that cards are sorted by, the most urgent first."""
        return self.attention, self.space.space.name


def is_low(host: Host) -> bool:
    """Return whether a host is low on disk."""
    return host.free is not None and host.free < max(LOW_FREE_BYTES, LOW_FREE_SHARE * (host.size or 0))


def card_lines(card: SpaceCard, width: int, now: datetime, order: DateOrder, *, selected: bool) -> list[Line]:
    """Return the card of a space in `width` cells; the one under the cursor has a heavy frame."""
    role = _ROLES[card.attention]
    frame = _HEAVY_FRAME if selected else _FRAME
    room = width - 4
    rows = [_size_line(card, room), _disk_line(card, room), _last_line(card, now, order)]
    rows += [*_state_lines(card, room), _history_line(card, room), ()]
    return [
        _title(card, width, frame, selected=selected),
        *(_inside(row, width, frame.side, role) for row in rows[: CARD_LINES - 2]),
        ((frame.bottom_left + frame.edge * (width - 2) + frame.bottom_right, role),),
    ]


class _CardFrame(msgspec.Struct, frozen=True):
    """The characters of a card's frame."""

    top_left: str
    top_right: str
    bottom_left: str
    bottom_right: str
    edge: str
    side: str


_FRAME = _CardFrame("╭", "╮", "╰", "╯", "─", "│")
_HEAVY_FRAME = _CardFrame("┏", "┓", "┗", "┛", "━", "┃")


def title_width(card: SpaceCard) -> int:
    """Return the width of a card that has its whole name and label, also under the cursor."""
    label = _LABELS[card.attention]
    return width_of(card.space.space.name) + 8 + (len(label) + 3 if label else 0)


def _title(card: SpaceCard, width: int, frame: _CardFrame, *, selected: bool) -> Line:
    role, label = _ROLES[card.attention], _LABELS[card.attention]
    if width - len(label) < _MIN_NAME + 9:
        label = ""
    name = (f"{CURSOR} " if selected else "") + card.space.space.name
    room = width - 6 - (len(label) + 3 if label else 0)
    shown = fit(name, min(room, line_width(((name, TextRole.PLAIN),))))
    end = frame.edge + frame.top_right
    right: Line = ((f" {label} ", role), (end, role)) if label else ((end, role),)
    left: Line = (
        (f"{frame.top_left}{frame.edge} ", role),
        (f"{shown} ", TextRole.TITLE if selected else TextRole.STRONG),
    )
    return (*left, (frame.edge * (width - line_width(left) - line_width(right)), role), *right)


def _inside(row: Line, width: int, side: str, role: TextRole) -> Line:
    shown = cut(row, width - 4)
    return ((f"{side} ", role), *shown, (" " * (width - 4 - line_width(shown)) + f" {side}", role))


def _size_line(card: SpaceCard, room: int) -> Line:
    entry = card.space
    size = format_bytes(entry.size, unknown="size unknown")
    pending = f", {format_bytes(entry.pending)} to compact" if entry.pending else ""
    more = f"{pending}, {format_count(len(entry.space.hosts), 'host')}"
    # a number of hosts that is cut off could not be understood
    more = more if width_of(size + more) <= room else pending
    return (size, TextRole.PLAIN), (more, TextRole.MUTED)


def _disk_line(card: SpaceCard, width: int) -> Line:
    host = card.scarcest
    if host is None:
        return (("free disk unknown", TextRole.MUTED),)
    role = TextRole.WARNING if is_low(host) else TextRole.MUTED
    free = f"{format_bytes(host.free)} free on "
    return ((free + fit_host(host.name, width - len(free)).rstrip(), role),)


def _last_line(card: SpaceCard, now: datetime, order: DateOrder) -> Line:
    job = card.activity.last_ended
    if job is None:
        return (("no job has ended", TextRole.MUTED),)
    when = format_recent_time(job.stop or job.submitted, now, order)
    text, role = status_span(job)
    return ((f"{job.command} ", TextRole.PLAIN), (text, role), (f" {when}", TextRole.MUTED))


def _state_lines(card: SpaceCard, width: int) -> list[Line]:
    """Return why the last job failed, the active jobs and the advice, in at most three lines."""
    active, advice = _active_line(card), _advice_line(card)
    last = card.activity.last_ended
    if last is None or last.status is not Status.FAILED or not last.reason:
        return [active, advice]
    cause, below = cause_of(last), [active, advice]
    if width_of(cause) > width:
        # a long reason gets the lines that would only report that nothing is active or advised
        below = [active] * bool(card.active) + [advice] * (card.verdict in VERDICT_ROLE)
        one: Line = tuple(span for line in below for span in (*line, ("  ", TextRole.PLAIN)))[:-1]
        below = [one] if len(below) > 1 and line_width(one) <= width else below
    return [*(((text, TextRole.FAILED),) for text in wrap(cause, width, 3 - len(below))), *below]


def _active_line(card: SpaceCard) -> Line:
    running = [job for job in card.active if job.status is Status.RUNNING]
    queued = len(card.active) - len(running)
    if not card.active:
        return (("no active job", TextRole.MUTED),)
    spans: list[Span] = []
    for job in running[:1]:
        progress = "" if job.progress is None else f" {format_percent(job.progress).strip()}"
        if job.origin is not None:  # a cluster reports no percentage
            progress = f" {job.ended_tasks}/{len(job.tasks)} hosts" if len(job.tasks) > 1 else ""
        text, role = status_span(job)
        if not job.paused and not job.stopping:
            text = f"▶ {job.command}"
        spans.append((f"{text}{progress}", role))
    if queued:
        spans.append((f"{'  ' if spans else ''}◷ {queued:,} queued", STATUS_ROLE[Status.QUEUE]))
    return tuple(spans)


def _advice_line(card: SpaceCard) -> Line:
    if not card.verdict:
        return (("advice: not measured", TextRole.MUTED),)
    if card.verdict == Verdict.UNKNOWN:
        return (("no advice: a host has no figures", TextRole.MUTED),)
    return (("advice: ", TextRole.MUTED), (card.verdict, VERDICT_ROLE.get(card.verdict, TextRole.MUTED)))


def _history_line(card: SpaceCard, width: int) -> Line:
    """Return a curve of the sizes after the last jobs, and the bytes that the jobs reclaimed."""
    sizes = [float(size) for job in card.activity.measured if (size := size_after(job)) is not None]
    if len(sizes) < MIN_MEASURED:
        return (("", TextRole.PLAIN),)
    freed = card.activity.reclaimed
    text = f"  {format_bytes(freed)} reclaimed" if freed is not None and freed > 0 else ""
    cells = min(width - len(text) - 5, len(sizes))
    return (
        ("size ", TextRole.MUTED),
        (size_sparkline(sizes[-cells:], cells), TextRole.ACCENT),
        (text, TextRole.MUTED),
    )
