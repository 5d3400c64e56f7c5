"""The overview (key `7`): a card for each space, the most urgent first, in the color of its urgency."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from typing_extensions import override

from jobtui.background import run_in_thread
from jobtui.engine.client import ExecuteResult, SpaceOverview
from jobtui.formatting import (
    DateOrder,
    format_bytes,
    format_count,
    format_percent,
    format_recent_time,
)
from jobtui.history import StoreError
from jobtui.model import Job, Status
from jobtui.storage.base import Host
from jobtui.tui.commands import KeyCommand, KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.space_activity import LEAST_MEASURED, SpaceActivity, fetch_activity, size_after
from jobtui.tui.text.spans import (
    STATUS_ROLE,
    Line,
    Span,
    TextRole,
    cut,
    fit,
    line_width,
    sparkline,
    status_span,
)
from jobtui.tui.views.advice import verdicts_of
from jobtui.tui.views.base import DashboardView
from jobtui.tui.widgets.base import LinesView

LOW_FREE_BYTES = 2 << 30
LOW_FREE_SHARE = 0.1
"""A host is low on disk with less free than this many bytes, or than this share of what it holds."""

_CARD_WIDTH, _CARD_LINES = 38, 8
_LEAST_NAME = 8  # cells that a name keeps before the label
_SPARKLINE = 16
_REQUEST_EVERY = 2  # seconds


class Attention(enum.IntEnum):
    """What needs attention in a space, the most urgent first."""

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
    """What the card of a space shows.

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
        """The most urgent of what needs attention."""
        last = self.activity.last_ended
        if last is not None and last.status is Status.FAILED:
            return Attention.FAILED
        if self.scarcest is not None and is_low(self.scarcest):
            return Attention.LOW_DISK
        if any(job.status is Status.RUNNING for job in self.active):
            return Attention.RUNNING  # the advice is not known before it has ended
        if self.verdict == "compact":
            return Attention.COMPACT
        return Attention.FLUSH if self.verdict == "flush" else Attention.NOTHING

    @property
    def urgency(self) -> tuple[Attention, str]:
        """The order of cards."""
        return self.attention, self.space.space.name


def is_low(host: Host) -> bool:
    """Return whether a host is low on disk."""
    return host.free is not None and host.free < max(LOW_FREE_BYTES, LOW_FREE_SHARE * (host.size or 0))


def card_lines(card: SpaceCard, width: int, now: datetime, order: DateOrder, *, selected: bool) -> list[Line]:
    """Return the card of a space in `width` cells; the one under the cursor has a heavy frame."""
    role = _ROLES[card.attention]
    frame = _HEAVY_FRAME if selected else _FRAME
    rows = [_size_line(card), _disk_line(card), _last_line(card, now, order), _active_line(card)]
    rows += [_advice_line(card), _history_line(card, width - 4)]
    return [
        _title(card, width, frame, selected=selected),
        *(_inside(row, width, frame.side, role) for row in rows),
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


def _title(card: SpaceCard, width: int, frame: _CardFrame, *, selected: bool) -> Line:
    role, label = _ROLES[card.attention], _LABELS[card.attention]
    if width - len(label) < _LEAST_NAME + 9:
        label = ""
    name = ("▸ " if selected else "") + card.space.space.name
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


def _size_line(card: SpaceCard) -> Line:
    look = card.space
    spans: list[Span] = [
        (format_bytes(look.size, unknown="size unknown"), TextRole.PLAIN),
        (f" on {format_count(len(look.space.hosts), 'host')}", TextRole.MUTED),
    ]
    if look.pending:
        spans.append((f", {format_bytes(look.pending)} to compact", TextRole.MUTED))
    return tuple(spans)


def _disk_line(card: SpaceCard) -> Line:
    host = card.scarcest
    if host is None:
        return (("free disk unknown", TextRole.MUTED),)
    role = TextRole.WARNING if is_low(host) else TextRole.MUTED
    return ((f"{format_bytes(host.free)} free on {host.name}", role),)


def _last_line(card: SpaceCard, now: datetime, order: DateOrder) -> Line:
    job = card.activity.last_ended
    if job is None:
        return (("no job has ended", TextRole.MUTED),)
    when = format_recent_time(job.stop or job.submitted, now, order)
    reason = f": {job.reason}" if job.status is Status.FAILED and job.reason else ""
    text, role = status_span(job)
    return ((f"{job.command} ", TextRole.PLAIN), (text, role), (f" {when}{reason}", TextRole.MUTED))


def _active_line(card: SpaceCard) -> Line:
    running = [job for job in card.active if job.status is Status.RUNNING]
    queued = len(card.active) - len(running)
    if not card.active:
        return (("no active job", TextRole.MUTED),)
    spans: list[Span] = []
    for job in running[:1]:
        progress = "" if job.progress is None else f" {format_percent(job.progress).strip()}"
        text = status_span(job)[0] if job.paused or job.stopping else f"▶ {job.command}"
        spans.append((f"{text}{progress}", STATUS_ROLE[Status.RUNNING]))
    if queued:
        spans.append((f"{'  ' if spans else ''}◷ {queued:,} queued", STATUS_ROLE[Status.QUEUE]))
    return tuple(spans)


def _advice_line(card: SpaceCard) -> Line:
    if not card.verdict:
        return (("advice: not measured", TextRole.MUTED),)
    role = {"compact": TextRole.WARNING, "flush": TextRole.ACCENT}.get(card.verdict, TextRole.MUTED)
    return (("advice: ", TextRole.MUTED), (card.verdict, role))


def _history_line(card: SpaceCard, width: int) -> Line:
    sizes = [float(size) for job in card.activity.measured if (size := size_after(job)) is not None]
    if len(sizes) < LEAST_MEASURED:
        return (("", TextRole.PLAIN),)
    freed = card.activity.reclaimed
    text = f"  {format_bytes(freed)} reclaimed" if freed is not None and freed > 0 else ""
    cells = min(_SPARKLINE, width - len(text) - 5, len(sizes))
    return (
        ("size ", TextRole.MUTED),
        (sparkline(sizes[-cells:], cells), TextRole.ACCENT),
        (text, TextRole.MUTED),
    )


class CardGrid(LinesView, can_focus=True):
    """The cards, as many beside each other as fit."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.OVERVIEW)]

    class CardMoved(Message):
        """The user wants another card: so many to the right, and so many rows down."""

        def __init__(self, right: int, down: int) -> None:
            super().__init__()
            self.right, self.down = right, down

    class CardActionChosen(Message):
        """The user wants to do something with the card under the cursor: open, compact, or measure all."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    class CardClicked(Message):
        """The user clicked a line at a cell."""

        def __init__(self, x: int, y: int) -> None:
            super().__init__()
            self.x, self.y = x, y

    def action_move_card(self, right: int, down: int) -> None:
        """Move the cursor."""
        self.post_message(self.CardMoved(right, down))

    def action_open_card(self) -> None:
        """Open the space."""
        self.post_message(self.CardActionChosen("open"))

    def action_compact_card(self) -> None:
        """Compact the space."""
        self.post_message(self.CardActionChosen("compact"))

    def action_measure(self) -> None:
        """Measure the advice of all spaces again."""
        self.post_message(self.CardActionChosen("measure"))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the card, or open it with a second click."""
        event.stop()
        self.post_message(self.CardClicked(event.x, event.y + self.scroll_offset.y))


class OverviewView(DashboardView):
    """The view of the cards. The advice is measured when the view is first shown, and on request."""

    scope = KeyScope.OVERVIEW
    title = "overview"

    class Measured(Message):
        """The answer to SHOW ADVICE; posted from the engine's thread."""

        def __init__(self, verdicts: Mapping[str, str]) -> None:
            super().__init__()
            self.verdicts = verdicts

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shared = context
        self._host = host
        self.body = CardGrid()
        self.cards: list[SpaceCard] = []
        self._activity: dict[str, SpaceActivity] = {}
        self._current: str | None = None
        self._is_stale = True
        self._is_fetching = False
        self._is_measuring = False
        self._ticks = 0

    @override
    def compose(self) -> ComposeResult:
        yield self.body

    def on_mount(self) -> None:
        """Fetch what the cards show."""
        self._shared.overview_cache.request()
        if not self._shared.verdicts:
            self._measure()
        self._refresh()

    def on_resize(self) -> None:
        """Lay the cards out for the new width."""
        self._fill()

    @property
    @override
    def focus_target(self) -> Widget:
        return self.body

    @override
    def space_in_view(self) -> str | None:
        return self._current

    @override
    def on_overview(self) -> None:
        self._is_stale = True
        if self.display:
            self._refresh()

    @override
    def on_batch(self, batch: Batch) -> None:
        for job in batch.ended:
            self._shared.verdicts.pop(job.space, None)
        self._is_stale = self._is_stale or batch.statuses

    @override
    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _REQUEST_EVERY == 0:
            self._shared.overview_cache.request()
        self._refresh()

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        needs_card = command.id in ("card_open", "card_compact")
        return None if needs_card and self._current is None else command.title

    # -- data ---------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Show what is known, and fetch the newest jobs if some may be new."""
        if self._is_stale and not self._is_fetching:
            self._is_stale, self._is_fetching = False, True
            self.run_worker(self._fetch(), group="activity")
        self._fill()

    async def _fetch(self) -> None:
        client = self._shared.client
        overview = self._shared.overview_cache.overview
        names = [look.space.name for look in overview.spaces] if overview is not None else []
        try:
            self._activity = await run_in_thread(lambda: fetch_activity(client, names))
        except StoreError as error:
            self.post_message(self.Notify(str(error), "error"))
        finally:
            self._is_fetching = False
        self._fill()

    def _measure(self) -> None:
        if not self._is_measuring:
            self._is_measuring = True
            asked = self._shared.client.execute("SHOW ADVICE", self._shared.session)
            asked.add_done_callback(self._receive)

    def _receive(self, done: Future[ExecuteResult]) -> None:
        # a reader cannot measure: its cards show no advice
        answer = None if done.cancelled() or done.exception() is not None else done.result()
        self.post_message(self.Measured({} if answer is None else verdicts_of(answer)))

    def on_overview_view_measured(self, message: Measured) -> None:
        """Show the advice."""
        message.stop()
        self._is_measuring = False
        self._shared.verdicts.update(message.verdicts)
        self._fill()

    # -- cards --------------------------------------------------------------------------------------

    def _collect(self) -> list[SpaceCard]:
        overview = self._shared.overview_cache.overview
        if overview is None:
            return []
        active: dict[str, list[Job]] = {}
        for job in self._shared.client.active_jobs():
            active.setdefault(job.space, []).append(job)
        hosts = {host.name: host for host in overview.hosts if host.free is not None}
        cards = [
            SpaceCard(
                look,
                self._activity.get(look.space.name, SpaceActivity()),
                tuple(active.get(look.space.name, ())),
                self._shared.verdicts.get(look.space.name, ""),
                min(
                    (hosts[name] for name in look.space.hosts if name in hosts),
                    key=lambda host: host.free or 0,
                    default=None,
                ),
            )
            for look in overview.spaces
        ]
        return sorted(cards, key=lambda card: card.urgency)

    @property
    def _columns(self) -> int:
        return max(1, (self.body.inner_width + 1) // (_CARD_WIDTH + 1))

    def _fill(self) -> None:
        if not self.body.size.width:
            return
        before = self._current
        self.cards = self._collect()
        names = [card.space.space.name for card in self.cards]
        if self._current not in names:
            self._current = names[0] if names else None
        columns, room = self._columns, self.body.inner_width
        width = (room - columns + 1) // columns
        lines: list[Line] = []
        for start in range(0, len(self.cards), columns):
            drawn = [self._drawn(card, width) for card in self.cards[start : start + columns]]
            lines += [_joined(parts) for parts in zip(*drawn, strict=True)]
        cache = self._shared.overview_cache
        nothing = "There is no space yet: CREATE SPACE makes one" if cache.overview is not None else "Loading …"
        role = TextRole.FAILED if cache.trouble else TextRole.MUTED
        self.body.show(lines or [((f" {cache.trouble or nothing}", role),)])
        if before != self._current:
            self.post_message(self.StatusChanged())

    def _drawn(self, card: SpaceCard, width: int) -> list[Line]:
        selected = card.space.space.name == self._current
        order = self._shared.settings.date_order
        return card_lines(card, width, self._shared.now(), order, selected=selected)

    # -- keys and clicks ----------------------------------------------------------------------------

    def on_card_grid_card_moved(self, message: CardGrid.CardMoved) -> None:
        """Move the cursor, and keep it in sight."""
        message.stop()
        if self.cards:
            place = self._place() + message.right + message.down * self._columns
            self._go_to(max(0, min(place, len(self.cards) - 1)))

    def on_card_grid_card_action_chosen(self, message: CardGrid.CardActionChosen) -> None:
        """Do what a key asks for."""
        message.stop()
        if message.action == "measure":
            self._measure()
        elif self._current is not None:
            self._host.run_inventory_action(
                "jobs" if message.action == "open" else message.action, self._current
            )

    def on_card_grid_card_clicked(self, message: CardGrid.CardClicked) -> None:
        """Move the cursor to a card, or open the one under it."""
        message.stop()
        width = (self.body.inner_width + 1) // self._columns
        place = message.y // _CARD_LINES * self._columns + min(message.x // width, self._columns - 1)
        if place >= len(self.cards):
            return
        if place == self._place():
            self._host.run_inventory_action("jobs", self.cards[place].space.space.name)
        else:
            self._go_to(place)

    def _place(self) -> int:
        return next(
            (place for place, card in enumerate(self.cards) if card.space.space.name == self._current), 0
        )

    def _go_to(self, place: int) -> None:
        self._current = self.cards[place].space.space.name
        self._fill()
        top, height = self.body.scroll_offset.y, self.body.size.height
        first = place // self._columns * _CARD_LINES
        if first < top:
            self.body.scroll_to(y=first, animate=False)
        elif first + _CARD_LINES > top + height:
            self.body.scroll_to(y=first + _CARD_LINES - height, animate=False)
        self.post_message(self.StatusChanged())


def _joined(parts: Sequence[Line]) -> Line:
    spans: list[Span] = []
    for part in parts:
        spans += [*part, (" ", TextRole.PLAIN)]
    return tuple(spans[:-1])
