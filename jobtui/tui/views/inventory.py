"""The views of spaces (key `2`) and hosts (key `3`), with live stats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message
from typing_extensions import override

from jobtui.engine.client import Overview, SpaceOverview
from jobtui.formatting import format_bytes, format_count
from jobtui.tui.commands import LOOK_COMMANDS, KeyCommand, KeyScope, bindings, commands
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.caches import MIN_MEASURED, ActivityCache, StatsCache, size_after
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.inventory_rows import (
    HOST_COLUMNS,
    HOST_COLUMNS_WITH_DETAIL,
    SPACE_COLUMNS,
    Cells,
    host_rows,
    space_rows,
)
from jobtui.tui.tabs.storage import request_hint, stats_table
from jobtui.tui.text.notices import describe_no_space
from jobtui.tui.text.spans import Line, TextRole, cut, size_sparkline, wrapped
from jobtui.tui.views.base import TableView
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Sorting

# seconds: fetching the stats of every host is expensive
_REFRESH_EVERY = 2


class InventoryView(TableView):
    """The base of both views: a table of spaces or hosts, and the stats of the current one."""

    SORTING = Sorting("name", False)
    ROW_COMMANDS = frozenset(
        ("space_flush", "space_compact", "space_use", "space_drop", "host_flush", "host_compact", "open")
    )
    # "new" is third: it is what is left without a space
    MAIN_KEYS = ("space_look", "host_look", "space_compact", "host_compact", "space_new")
    WRITING_ACTIONS = frozenset(("flush", "compact", "new", "drop"))

    class StatsFetched(Message):
        """A host has answered with its stats; posted from the engine's thread."""

        def can_replace(self, message: Message) -> bool:
            """Replace an earlier one that is still queued."""
            return isinstance(message, InventoryView.StatsFetched)

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self._stats_cache = StatsCache(context.client, lambda: self.post_message(self.StatsFetched()))
        look = next(command for command in commands(self.scope) if command.id in LOOK_COMMANDS)
        self._look_key = context.keymap.shown(look)
        self._ticks = 0

    def on_mount(self) -> None:
        """Request an overview, and show what is known."""
        self.context.overview_cache.request()
        self.fill()

    # -- changes ------------------------------------------------------------------------------------

    @property
    @override
    def can_look(self) -> bool:
        return any(self.context.overview_cache.adopted(space) for space, _ in self.stats_targets())

    @override
    def on_overview(self) -> None:
        self.fill()

    @override
    def on_batch(self, batch: Batch) -> None:
        # jobs change what the hosts hold
        if batch.statuses_changed and self.display:
            self.context.overview_cache.request()

    @override
    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _REFRESH_EVERY == 0:
            self.context.overview_cache.request()
            self.select_row()

    @override
    def fill(self) -> None:
        overview = self.context.overview_cache.overview
        problem = self.context.overview_cache.problem
        rows = self.rows_of(overview, self.table.sorting) if overview is not None else ()
        nothing = "Loading …" if overview is None else describe_no_space(self.context)
        self.show_rows(rows, problem or nothing, TextRole.FAILED if problem else TextRole.MUTED)
        self.select_row()

    @override
    def select_row(self) -> None:
        self._fetch_stats()
        self.show_detail()

    def rows_of(self, overview: Overview, sorting: Sorting) -> Sequence[tuple[str, Cells]]:
        """Return all rows, in their order."""
        raise NotImplementedError

    def stats_targets(self) -> list[tuple[str, str]]:
        """Return the pairs of space and host whose stats belong to the row under the cursor."""
        raise NotImplementedError

    def heading(self) -> str:
        """Return the title of the stats."""
        raise NotImplementedError

    def _fetch_stats(self, include_adopted: bool = False) -> None:
        for space, host in self.stats_targets():
            if include_adopted or self.context.overview_cache.adopted(space) is False:
                self._stats_cache.request(space, host)

    @override
    def show_detail(self) -> None:
        self.title_line.show(self.heading())
        lines: list[Line] = []
        width = self.body.inner_width
        seen = [(self.block_name(*target), self._stats_cache.get(*target)) for target in self.stats_targets()]
        if self.can_look:
            lines += [*wrapped(request_hint(self._look_key), width, hang=1), ()]
        lines += [*self.lines_above(width), *stats_table(seen, width), *self.lines_below(width)]
        self.body.show(lines)

    def lines_above(self, width: int) -> list[Line]:
        """Return lines about the row under the cursor, to be shown above its stats."""
        return []

    def lines_below(self, width: int) -> list[Line]:
        """Return lines about the row under the cursor, to be shown below its stats."""
        return []

    def block_name(self, space: str, host: str) -> str:
        """Return the name of a block of stats, which are those of a space on a host."""
        raise NotImplementedError

    def _run_action(self, action: str) -> None:
        name = self.current
        if name is not None:
            self._host.run_inventory_action(action, name)

    # -- messages and keys --------------------------------------------------------------------------

    def on_inventory_view_stats_fetched(self, message: StatsFetched) -> None:
        """Show the stats that a host has answered with."""
        message.stop()
        self.show_detail()

    def on_table_opened(self, message: Table.Opened) -> None:
        """Show the jobs of the space or host."""
        message.stop()
        self._run_action("jobs")

    def action_flush(self) -> None:
        """Flush the space under the cursor, or a space of the host."""
        self._run_action("flush")

    def action_compact(self) -> None:
        """Compact the space under the cursor, or a space of the host."""
        self._run_action("compact")

    @override
    def why_unavailable(self, command: KeyCommand) -> str:
        return "spaces are created and dropped on the cluster itself"

    def action_look(self) -> None:
        """Fetch the stats of adopted spaces as well."""
        self._fetch_stats(include_adopted=True)
        self.show_detail()

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("new", "drop") and self.context.client.connection is not None:
            return False
        return super().check_action(action, parameters)


class SpacesView(InventoryView):
    """The view of the spaces."""

    scope = KeyScope.SPACES
    title = "spaces"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.SPACES)]
    COLUMNS = SPACE_COLUMNS

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self._activity = ActivityCache(context.client, lambda: self.post_message(self.StatsFetched()))

    @override
    def on_overview(self) -> None:
        super().on_overview()
        self._request_activity()

    @override
    def tick(self) -> None:
        super().tick()
        # not when the cursor moves: it may pass by many spaces
        self._request_activity()

    def _request_activity(self) -> None:
        if self.current is not None:
            self._activity.request(self.current)

    @override
    def lines_above(self, width: int) -> list[Line]:
        # how the size of the space changed over its last jobs, and what they reclaimed in all
        activity = self._activity.get(self.current or "")
        sizes = [size_after(job) or 0 for job in activity.measured]
        if len(sizes) < MIN_MEASURED:
            return []
        count = format_count(len(sizes), "job")
        cells = min(len(sizes), max(4, width - 60))
        freed = activity.reclaimed or 0
        what = f"{format_bytes(freed)} reclaimed" if freed >= 0 else f"{format_bytes(-freed)} grown"
        line: Line = (
            (f" last {count}: size ", TextRole.MUTED),
            (size_sparkline([float(size) for size in sizes[-cells:]], cells), TextRole.ACCENT),
            (f" {format_bytes(sizes[-1])}, {what}", TextRole.PLAIN),
        )
        return [cut(line, width), ()]

    @override
    def lines_below(self, width: int) -> list[Line]:
        jobs = self._activity.get(self.current or "").measured
        if len(jobs) < MIN_MEASURED:
            return []
        # late: a start does without the library that draws the curves
        from jobtui.tui.tabs.chart import space_chart_lines

        sizes = [size_after(job) or 0 for job in jobs]
        freed = [job.reclaimed_by_compaction or 0 for job in jobs]
        return [(), *space_chart_lines([job.id for job in jobs], sizes, freed, width)]

    @override
    def rows_of(self, overview: Overview, sorting: Sorting) -> Sequence[tuple[str, Cells]]:
        counts = self.context.client.history.counts
        verdicts = self.context.verdicts
        chosen = self.context.space
        paused = [job for job in self.context.client.active_jobs() if job.paused]
        return space_rows(overview.spaces, counts, verdicts, sorting.key, sorting.descending, chosen, paused)

    def _current_entry(self) -> SpaceOverview | None:
        overview = self.context.overview_cache.overview
        if overview is None:
            return None
        return next((entry for entry in overview.spaces if entry.space.name == self.current), None)

    @override
    def stats_targets(self) -> list[tuple[str, str]]:
        entry = self._current_entry()
        return [] if entry is None else [(entry.space.name, host) for host in entry.space.hosts]

    @override
    def heading(self) -> str:
        return f"space {self.current}" if self.current is not None else "no space"

    @override
    def block_name(self, space: str, host: str) -> str:
        return host

    @override
    def space_in_view(self) -> str | None:
        return self.current

    def action_use(self) -> None:
        """Choose the space for the command bar."""
        self._run_action("use")

    def action_new(self) -> None:
        """Start a CREATE SPACE statement in the command bar."""
        self._host.run_inventory_action("new", "")

    def action_drop(self) -> None:
        """Drop the space under the cursor."""
        self._run_action("drop")


class HostsView(InventoryView):
    """The view of the storage hosts."""

    scope = KeyScope.HOSTS
    title = "hosts"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.HOSTS)]
    COLUMNS = HOST_COLUMNS

    @override
    def rows_of(self, overview: Overview, sorting: Sorting) -> Sequence[tuple[str, Cells]]:
        has_problems = any(host.detail for host in overview.hosts)
        columns = HOST_COLUMNS_WITH_DETAIL if has_problems else HOST_COLUMNS
        if self.table.columns != columns:
            self.table.columns = columns
        active = self.context.client.active_jobs()
        return host_rows(overview.hosts, sorting.key, sorting.descending, active)

    @override
    def stats_targets(self) -> list[tuple[str, str]]:
        host = self.current
        return [] if host is None else [(space, host) for space in self.spaces_of(host)]

    @override
    def heading(self) -> str:
        return f"host {self.current}" if self.current is not None else "no host"

    @override
    def block_name(self, space: str, host: str) -> str:
        return space

    @override
    def lines_above(self, width: int) -> list[Line]:
        # why the host does not answer, or reports no figures
        overview = self.context.overview_cache.overview
        host = next((host for host in overview.hosts if host.name == self.current), None) if overview else None
        if host is None or not host.detail:
            return []
        text = host.detail.removeprefix(f"{host.name}: ")
        return [*wrapped(((f" {text}", TextRole.FAILED),), width, hang=1), ()]

    def spaces_of(self, host: str) -> list[str]:
        """Return the spaces of a host."""
        overview = self.context.overview_cache.overview
        entries = overview.spaces if overview is not None else ()
        return [entry.space.name for entry in entries if host in entry.space.hosts]
