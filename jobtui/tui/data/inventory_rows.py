"""Table rows with names as keys, and their filter; the rows of the spaces and hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

from jobtui.engine.client import SpaceOverview
from jobtui.formatting import format_bytes, format_percent
from jobtui.model import Job, Status, Task
from jobtui.storage.base import Host
from jobtui.tui.text.spans import (
    GLYPH,
    PAUSED,
    STATUS_ROLE,
    Line,
    Span,
    TextRole,
    line_width,
    plain,
    separate_paused,
)
from jobtui.tui.widgets.table_layout import Column, PlacedColumn

SPACE_COLUMNS = (
    Column("name", "Name", 8, 40, sorts=True),
    Column("hosts", "Hosts", 6, 6, right=True, hide_order=2, sorts=True),
    Column("size", "Size", 9, 10, right=True, sorts=True),
    Column("memory", "In Memory", 10, 10, right=True, hide_order=3, sorts=True),
    Column("pending", "To Compact", 11, 11, right=True, hide_order=1, sorts=True),
    Column("jobs", "Jobs", 12, 40, hide_order=4, fills=True, sorts=True),
)
HOST_COLUMNS = (
    Column("name", "Host", 8, 120, sorts=True, host=True),
    Column("status", "Status", 10, 10, sorts=True),
    Column("spaces", "Spaces", 7, 7, right=True, hide_order=1, sorts=True),
    Column("size", "Size", 9, 10, right=True, hide_order=2, sorts=True),
    Column("free", "Free", 9, 10, right=True, sorts=True),
    Column("work", "Works On", 8, 60, hide_order=5, fills=True, usual_width=24),
)
# if a host reports an error: the error matters more than the whole name of the host
HOST_COLUMNS_WITH_DETAIL = (
    Column("name", "Host", 8, 40, sorts=True, host=True),
    *HOST_COLUMNS[1:-1],
    Column("work", "Works On", 8, 40, hide_order=5),
    Column("detail", "", 12, 80, hide_order=3, fills=True),
)
Counts = Mapping[Status, int]
VERDICT_ROLE = {"compact": TextRole.WARNING, "flush": TextRole.ACCENT}
"""The verdicts of the advice that recommend a job; only they are shown next to a space's name."""


Cells = Mapping[str, Line]
_TERM = r'(!?)(?:([a-z0-9]+):)?("[^"]*"?|[^\s"]+)'


def row_filter(text: str) -> Callable[[Cells], bool]:
    """Return a predicate for the rows that contain each word of a filter, in any case.

    `column:word` looks in one column, and `!` negates a term. Double quotes enclose a word with blanks.
    """
    terms = [
        (negated == "!", column.lower(), word.strip('"').casefold(), whole.removeprefix("!").casefold())
        for negated, column, word, whole in (
            (*match.groups(default=""), match[0])
            for match in re.finditer(_TERM, text, re.IGNORECASE)
            if match[0] != "!"
        )
    ]

    def passes(cells: Cells) -> bool:
        texts = {column: plain(line).casefold() for column, line in cells.items()}
        return all(_holds(texts, column, word, whole) is not negated for negated, column, word, whole in terms)

    return passes


def _holds(texts: Mapping[str, str], column: str, word: str, whole: str) -> bool:
    """Return whether a row contains a word, in one column if that exists."""
    if column in texts:
        return word in texts[column]
    wanted = whole.replace('"', "") if column else word
    return any(wanted in text for text in texts.values())


class NamedRows:
    """The rows of a table by their names; only those that pass the filter are shown.

    Attributes:
        filter: Returns whether a row is shown.
        total: The number of rows without the filter.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._cells: dict[str, Cells] = {}
        self._widest_counts = 0
        self.filter: Callable[[Cells], bool] = lambda cells: True
        self.total = 0

    def __len__(self) -> int:
        return len(self._keys)

    def show(self, rows: Sequence[tuple[str, Cells]]) -> None:
        """Replace the rows."""
        self.total = len(rows)
        self._cells = {key: cells for key, cells in rows if self.filter(cells)}
        self._keys = [*self._cells]
        self._widest_counts = max(
            (line_width(cells.get("jobs", ())) for cells in self._cells.values()), default=0
        )

    def key_at(self, index: int) -> str:
        """Return the name in a row."""
        return self._keys[index]

    def index_of(self, key: Hashable) -> int | None:
        """Return the row of a name, None if there is none."""
        return self._keys.index(key) if isinstance(key, str) and key in self._cells else None

    def cells(self, index: int, shown: Sequence[PlacedColumn]) -> list[Line]:
        """Return a row's cells, one for each shown column."""
        row = self._cells[self._keys[index]]
        return [
            _narrow_counts(row["jobs"])
            if placed.column.key == "jobs" and self._widest_counts > placed.width
            else row[placed.column.key]
            for placed in shown
        ]

    def token(self, index: int) -> object:
        """Return the values that a row is painted from; equal tokens mean equal rows."""
        return self._cells[self._keys[index]], self._widest_counts

    def gutter(self, key: Hashable) -> Line:
        """Return a blank: no row is marked."""
        return ((" ", TextRole.PLAIN),)


def space_rows(
    entries: Sequence[SpaceOverview],
    counts: Callable[[str], Counts],
    verdicts: Mapping[str, str],
    sort: str,
    descending: bool,
    chosen: str | None = None,
    paused: Collection[Job] = (),
) -> list[tuple[str, Mapping[str, Line]]]:
    """Return a row for each space, in order.

    `verdicts`: the advice for the spaces that were measured; `chosen`: the space of the command bar;
    `paused`: the paused jobs, which are counted on their own once their hosts are free.
    """
    values: Mapping[str, Callable[[SpaceOverview], object]] = {
        "name": lambda entry: entry.space.name,
        "hosts": lambda entry: len(entry.space.hosts),
        "size": lambda entry: -1 if entry.size is None else entry.size,
        "memory": lambda entry: -1 if entry.memory is None else entry.memory,
        "pending": lambda entry: -1 if entry.pending is None else entry.pending,
        "jobs": lambda entry: sum(counts(entry.space.name).values()),
    }
    ordered = sorted(entries, key=values[sort], reverse=descending)  # type: ignore[arg-type]
    return [
        (
            entry.space.name,
            _space(
                entry,
                job_counts(counts(entry.space.name), [job for job in paused if job.space == entry.space.name]),
                verdicts.get(entry.space.name, ""),
                is_chosen=entry.space.name == chosen,
            ),
        )
        for entry in ordered
    ]


def host_rows(
    hosts: Sequence[Host], sort: str, descending: bool, active: Iterable[Job] = ()
) -> list[tuple[str, Mapping[str, Line]]]:
    """Return a row for each host, in order; `active`: the jobs that the hosts may work on."""
    values: Mapping[str, Callable[[Host], object]] = {
        "name": lambda host: host.name,
        "status": lambda host: host.up,
        "spaces": lambda host: host.spaces,
        "size": lambda host: -1 if host.size is None else host.size,
        "free": lambda host: -1 if host.free is None else host.free,
    }
    ordered = sorted(hosts, key=values[sort], reverse=descending)  # type: ignore[arg-type]
    work: dict[str, list[Line]] = {}
    for job in active:
        for task in job.tasks:
            if task.status is Status.RUNNING:
                work.setdefault(task.host, []).append(_work(job, task))
    return [(host.name, _host(host, _first_of(work.get(host.name, ())))) for host in ordered]


def _work(job: Job, task: Task) -> Line:
    # a span that begins with a blank is omitted, not cut, if there is no room for it
    done = "" if task.progress is None else f"  {format_percent(task.progress).strip()}"
    return ((f"job {job.id}", TextRole.RUNNING), (f"  {job.label}", TextRole.PLAIN), (done, TextRole.MUTED))


def _space(entry: SpaceOverview, jobs: Line, verdict: str, *, is_chosen: bool) -> Mapping[str, Line]:
    name = [(entry.space.name, TextRole.STRONG)]
    if is_chosen:
        name.append(("  in use", TextRole.ACCENT))
    if verdict in VERDICT_ROLE:
        name.append((f"  {verdict}", VERDICT_ROLE[verdict]))
    if entry.space.adopted:
        name.append(("  adopted", TextRole.MUTED))
    return {
        "name": tuple(name),
        "hosts": ((str(len(entry.space.hosts)), TextRole.PLAIN),),
        "size": ((format_bytes(entry.size, unknown="–"), TextRole.PLAIN),),
        "memory": ((format_bytes(entry.memory, unknown="–"), TextRole.PLAIN),),
        "pending": ((format_bytes(entry.pending, unknown="–"), TextRole.PLAIN),),
        "jobs": jobs,
    }


def job_counts(counts: Counts, active: Iterable[Job] = ()) -> Line:
    """Return the numbers of the active, paused and ended jobs above 0: `▶ 1  ‖ 1  ◷ 2  ✖ 3`."""
    counts, paused = separate_paused(counts, active)
    parts = [
        (GLYPH[status], counts.get(status, 0), STATUS_ROLE[status])
        for status in (Status.RUNNING, Status.QUEUE, Status.FINISHED, Status.FAILED, Status.STOPPED)
    ]
    parts.insert(1, (PAUSED, paused, TextRole.WARNING))
    spans: list[Span] = []
    for glyph, count, role in parts:
        if count:
            # a span that begins with a blank is omitted, not cut, if there is no room for it
            spans.append((f"{'  ' if spans else ''}{glyph} {count:,}", role))
    return tuple(spans) or (("", TextRole.PLAIN),)


def _narrow_counts(counts: Line) -> Line:
    """Return the counts in fewer cells: `▶1 ◷2 ✖3`."""
    return tuple(
        (f"{' ' if number else ''}{text.replace(' ', '')}", role) for number, (text, role) in enumerate(counts)
    )


def _first_of(work: Sequence[Line]) -> Line:
    if not work:
        return (("", TextRole.PLAIN),)
    return work[0] if len(work) == 1 else (*work[0], (f"  and {len(work) - 1} more", TextRole.MUTED))


def _host(host: Host, work: Line) -> Mapping[str, Line]:
    state = ("✔ online", TextRole.FINISHED) if host.state == "online" else (f"✖ {host.state}", TextRole.FAILED)
    return {
        "name": ((host.name, TextRole.STRONG),),
        "status": (state,),
        "spaces": ((str(host.spaces), TextRole.PLAIN),),
        "size": ((format_bytes(host.size, unknown="–"), TextRole.PLAIN),),
        "free": ((format_bytes(host.free, unknown="–"), TextRole.PLAIN),),
        "work": work,
        # the path of an adopted database is its name: it would fill the column before the cause
        "detail": ((host.detail.removeprefix(f"{host.name}: "), TextRole.FAILED),),
    }
