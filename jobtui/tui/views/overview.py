"""The overview (key `7`): a card for each space, the most urgent first, in its color."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget
from typing_extensions import override

from jobtui.background import run_in_thread
from jobtui.history import StoreError
from jobtui.model import Job
from jobtui.tui.commands import KeyCommand, KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.caches import SpaceActivity, StatementAnswered, StatementQuery, fetch_activity
from jobtui.tui.data.feed import Batch
from jobtui.tui.text.notices import describe_no_space
from jobtui.tui.text.space_card import CARD_LINES, SpaceCard, card_lines, title_width
from jobtui.tui.text.spans import (
    Line,
    Span,
    TextRole,
)
from jobtui.tui.views.advice import verdicts_of
from jobtui.tui.views.base import DashboardView
from jobtui.tui.widgets.base import LinesView

_CARD_WIDTH = 38
_REQUEST_EVERY = 2  # seconds


class CardGrid(LinesView, can_focus=True):
    """The cards, as many side by side as fit.

    `can_write` returns whether a space can be compacted.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.OVERVIEW)]

    def __init__(self, can_write: Callable[[], bool]) -> None:
        super().__init__()
        self._can_write = can_write

    class CardMoved(Message):
        """The user wants to move the cursor by `right` cards and `down` rows."""

        def __init__(self, right: int, down: int) -> None:
            super().__init__()
            self.right, self.down = right, down

    class CardActionChosen(Message):
        """The user wants to open or compact the card under the cursor, or to measure all."""

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the action that writes from a reader."""
        return self._can_write() if action == "compact_card" else True

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the card, or open it with a second click."""
        event.stop()
        self.post_message(self.CardClicked(event.x, event.y + self.scroll_offset.y))


class OverviewView(DashboardView):
    """The view of the cards.

    The advice is measured when the view is first shown, and on request.
    """

    scope = KeyScope.OVERVIEW
    title = "overview"
    ROW_COMMANDS = frozenset(("card_open", "card_compact"))
    MAIN_KEYS = ("card_compact",)

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self.body = CardGrid(lambda: context.client.writable)
        self.cards: list[SpaceCard] = []
        self._activity: dict[str, SpaceActivity] = {}
        self._current: str | None = None
        self._is_moved = False  # until then the cursor is on the most urgent card
        self._is_stale = True
        self._is_fetching = False
        self._query = StatementQuery(context.client, "SHOW ADVICE", self.post_message)
        self._ticks = 0

    @override
    def compose(self) -> ComposeResult:
        yield self.body

    def on_mount(self) -> None:
        """Fetch what the cards show."""
        self.context.overview_cache.request()
        if not self.context.verdicts:
            self._query.request()
        self._refresh()

    def on_resize(self) -> None:
        """Lay the cards out for the new width."""
        self._fill()

    @property
    @override
    def focus_target(self) -> Widget:
        return self.body

    @property
    @override
    def current(self) -> str | None:
        return self._current

    @override
    def space_in_view(self) -> str | None:
        return self._current

    @override
    def on_overview(self) -> None:
        overview = self.context.overview_cache.overview
        if overview is not None and {entry.space.name for entry in overview.spaces} != self._activity.keys():
            self._is_stale = True
        if self.display:
            self._refresh()

    @override
    def on_batch(self, batch: Batch) -> None:
        self._is_stale = self._is_stale or batch.statuses_changed

    @override
    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _REQUEST_EVERY == 0:
            self.context.overview_cache.request()
        self._refresh()

    # -- data ---------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Show what is known, and fetch the newest jobs if some may be new."""
        if self._is_stale and not self._is_fetching:
            self._is_stale, self._is_fetching = False, True
            self.run_worker(self._fetch(), group="activity")
        self._fill()

    async def _fetch(self) -> None:
        client = self.context.client
        overview = self.context.overview_cache.overview
        names = [entry.space.name for entry in overview.spaces] if overview is not None else []
        try:
            self._activity = await run_in_thread(lambda: fetch_activity(client, names))
        except StoreError as error:
            self._host.show_toast(str(error), "error")
            # what is known stays until a job changes: every overview would report the error again
            self._activity = {name: self._activity.get(name, SpaceActivity()) for name in names}
        finally:
            self._is_fetching = False
        self._fill()

    def on_statement_answered(self, message: StatementAnswered) -> None:
        """Show the advice; a reader cannot measure, and its cards show none."""
        message.stop()
        if message.result is not None and message.result.failure is None:
            self.context.replace_verdicts(verdicts_of(message.result))
        self._fill()

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        # without a space there is nothing to measure
        is_useless = command.id == "card_measure" and not self.cards
        return None if is_useless else super().footer_title(command)

    # -- cards --------------------------------------------------------------------------------------

    def _collect(self) -> list[SpaceCard]:
        overview = self.context.overview_cache.overview
        if overview is None:
            return []
        active: dict[str, list[Job]] = {}
        for job in self.context.client.active_jobs():
            active.setdefault(job.space, []).append(job)
        hosts = {host.name: host for host in overview.hosts if host.free is not None}
        cards = [
            SpaceCard(
                entry,
                self._activity.get(entry.space.name, SpaceActivity()),
                tuple(active.get(entry.space.name, ())),
                self.context.verdicts.get(entry.space.name, ""),
                min(
                    (hosts[name] for name in entry.space.hosts if name in hosts),
                    key=lambda host: host.free or 0,
                    default=None,
                ),
            )
            for entry in overview.spaces
        ]
        return sorted(cards, key=lambda card: card.urgency)

    @property
    def _columns(self) -> int:
        room, count = self.body.inner_width + 1, len(self.cards)
        # few cards share the whole width: they show more
        columns = max(1, min(room // (_CARD_WIDTH + 1), count))
        # and the whole screen, if a name would be cut otherwise
        widest = max(map(title_width, self.cards), default=0)
        fewer = max(1, min(columns, room // (widest + 1)))
        return fewer if count <= fewer * (self.body.size.height // CARD_LINES) else columns

    def _fill(self) -> None:
        if not self.body.size.width:
            return
        before = self._current
        self.cards = self._collect()
        names = [card.space.space.name for card in self.cards]
        if self._current not in names or not self._is_moved:
            self._current = names[0] if names else None
        columns, room = self._columns, self.body.inner_width
        width = (room - columns + 1) // columns
        lines: list[Line] = []
        for start in range(0, len(self.cards), columns):
            drawn = [self._drawn(card, width) for card in self.cards[start : start + columns]]
            lines += [_joined(parts) for parts in zip(*drawn, strict=True)]
        cache = self.context.overview_cache
        nothing = "Loading …" if cache.overview is None else describe_no_space(self.context)
        role = TextRole.FAILED if cache.problem else TextRole.MUTED
        self.body.show(lines or [((f" {cache.problem or nothing}", role),)])
        if before != self._current:
            self.post_message(self.StatusChanged())

    def _drawn(self, card: SpaceCard, width: int) -> list[Line]:
        selected = card.space.space.name == self._current
        order = self.context.settings.date_order
        return card_lines(card, width, self.context.now(), order, selected=selected)

    # -- keys and clicks ----------------------------------------------------------------------------

    def on_card_grid_card_moved(self, message: CardGrid.CardMoved) -> None:
        """Move the cursor, and keep it in sight."""
        message.stop()
        if self.cards:
            index = self._index() + message.right + message.down * self._columns
            self._go_to(max(0, min(index, len(self.cards) - 1)))

    def on_card_grid_card_action_chosen(self, message: CardGrid.CardActionChosen) -> None:
        """Do what a key asks for."""
        message.stop()
        if message.action == "measure":
            self._query.request()
        elif self._current is not None:
            self._host.run_inventory_action(
                "jobs" if message.action == "open" else message.action, self._current
            )

    def on_card_grid_card_clicked(self, message: CardGrid.CardClicked) -> None:
        """Move the cursor to a card, or open the one under it."""
        message.stop()
        width = (self.body.inner_width + 1) // self._columns
        index = message.y // CARD_LINES * self._columns + min(message.x // width, self._columns - 1)
        if index >= len(self.cards):
            return
        if index == self._index():
            self._host.run_inventory_action("jobs", self.cards[index].space.space.name)
        else:
            self._go_to(index)

    def _index(self) -> int:
        return next(
            (index for index, card in enumerate(self.cards) if card.space.space.name == self._current), 0
        )

    def _go_to(self, index: int) -> None:
        self._current, self._is_moved = self.cards[index].space.space.name, True
        self._fill()
        top, height = self.body.scroll_offset.y, self.body.size.height
        first = index // self._columns * CARD_LINES
        if first < top:
            self.body.scroll_to(y=first, animate=False)
        elif first + CARD_LINES > top + height:
            self.body.scroll_to(y=first + CARD_LINES - height, animate=False)
        self.post_message(self.StatusChanged())


def _joined(parts: Sequence[Line]) -> Line:
    spans: list[Span] = []
    for part in parts:
        spans += [*part, (" ", TextRole.PLAIN)]
    return tuple(spans[:-1])
