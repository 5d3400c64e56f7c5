"""The Storage tab: the stats of the space on each host, before the job, after it, and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest

from jobtui.formatting import format_bytes, format_count
from jobtui.model import Job, Level, SpaceStats, Status, Task
from jobtui.tui.data.caches import StatsResult
from jobtui.tui.text.spans import Line, Span, TextRole, cut, fit, fit_host, line_width, width_of, wrapped

SIZES_UNKNOWN = "how large the space is on each host is not known"
_FIGURE = 20
_LABEL = 12
_MAX_LINGERING = timedelta(hours=6)


def storage_lines(job: Job, results: Mapping[str, StatsResult], width: int, look_key: str = "") -> list[Line]:
    """Return the sizes of all hosts under their totals, then each host's levels and entries.

    Args:
        job: The job.
        results: The current stats, by host.
        width: The cells of a line.
        look_key: The key that fetches the stats if another program owns the space, else "". The tab names it.
    """
    if job.origin is not None and not _is_known(job, results):
        problems = sorted({results[task.host].problem for task in job.tasks if task.host in results})
        why = [((f" {problem}", TextRole.MUTED),) for problem in problems if problem]
        return [((f" {SIZES_UNKNOWN}", TextRole.MUTED),), *why]
    lines: list[Line] = []
    if look_key:
        lines.extend(wrapped(request_hint(look_key), width, hang=1))
    if len(job.tasks) > 1:
        lines.extend(size_table(job.tasks, results, width))
    blocks: list[list[Line]] = []
    for task in job.tasks:
        result = results.get(task.host, StatsResult())
        columns = _stats_columns(task, result.stats, is_fetched=not look_key)
        blocks.append(host_block(task.host, columns, result.problem, width))
    lines.extend(_side_by_side(blocks, width))
    return lines or [((" no hosts yet", TextRole.MUTED),)]


def _stats_columns(
    task: Task, now: SpaceStats | None, *, is_fetched: bool
) -> list[tuple[str, SpaceStats | None]]:
    """Return the known stats of a host; `is_fetched`: the current ones are known soon."""
    columns = [("before", task.before), ("after", task.after), ("now", now)]
    known = [(name, stats) for name, stats in columns if stats is not None or (name == "now" and is_fetched)]
    return known or columns[:2]


def _side_by_side(blocks: Sequence[Sequence[Line]], width: int) -> list[Line]:
    """Return the blocks in as many columns as `width` has room for, from left to right."""
    size = max((line_width(line) for block in blocks for line in block), default=0) + _BLOCK_GAP
    count = max(1, (width + _BLOCK_GAP) // size)
    lines: list[Line] = []
    for first in range(0, len(blocks), count):
        for parts in zip_longest(*blocks[first : first + count], fillvalue=()):
            *others, last = parts
            padded = [(*part, (" " * (size - line_width(part)), TextRole.PLAIN)) for part in others]
            lines.append(tuple(span for part in (*padded, last) for span in part))
    return lines


def _is_known(job: Job, results: Mapping[str, StatsResult]) -> bool:
    return any(
        task.before is not None or results.get(task.host, StatsResult()).stats is not None for task in job.tasks
    )


_SIZE_COLUMNS = (
    *("Before", "After", "Change", "Now", "Memtable", "To Compact"),
    *("L0 Before", "L0 After", "Files", "Entries"),
)
_COUNTS = frozenset(("L0 Before", "L0 After", "Files", "Entries"))
_AFTER = tuple(_SIZE_COLUMNS.index(name) for name in ("After", "L0 After"))
_SIZE_WIDTH = 12
_BLOCK_GAP = 4


def size_table(tasks: Sequence[Task], results: Mapping[str, StatsResult], width: int) -> list[Line]:
    """Return a row of sizes for each host, the totals first.

    Columns of which nothing is known are omitted, and the last ones if not all fit.
    """
    host_width = min(24, max(13, *(width_of(task.host) for task in tasks)), max(13, width // 3))
    count = max(1, (width - host_width - 1) // _SIZE_WIDTH)
    figures = [_sizes_of(task, results.get(task.host, StatsResult()).stats) for task in tasks]
    known = [index for index, column in enumerate(zip(*figures, strict=True)) if _sum(column) is not None]
    shown = (known or range(len(_SIZE_COLUMNS)))[:count]
    totals = [_sum(column) for column in zip(*figures, strict=True)]
    if any(before is not None and after is None for before, after, *_ in figures):
        for column in _AFTER:
            totals[column] = None  # some hosts after the job cannot be compared with all hosts before it
    heads = "".join(_SIZE_COLUMNS[index].rjust(_SIZE_WIDTH) for index in shown)
    lines: list[Line] = [((f" {'Host':<{host_width}}{heads}", TextRole.MUTED),)]
    rows = [(f"all {len(tasks)} hosts", totals, TextRole.STRONG)]
    rows += [(task.host, sizes, TextRole.PLAIN) for task, sizes in zip(tasks, figures, strict=True)]
    for name, sizes, role in rows:
        cells = [(_SIZE_COLUMNS[index], sizes[index]) for index in shown]
        lines.append(_size_row(name, cells, host_width, role))
    return [*lines, ()]


def _sizes_of(task: Task, now: SpaceStats | None) -> list[int | None]:
    before = task.before.bytes if task.before is not None else None
    after = task.after.bytes if task.after is not None else None
    change = after - before if before is not None and after is not None else None
    sizes = (now.bytes, now.memtable, now.pending) if now is not None else (None,) * 3
    counts = (now.files, now.entries) if now is not None else (None,) * 2
    return [before, after, change, *sizes, _l0_files(task.before), _l0_files(task.after), *counts]


def _l0_files(stats: SpaceStats | None) -> int | None:
    return stats.levels[0].files if stats is not None and stats.levels else None


def _sum(column: Iterable[int | None]) -> int | None:
    known = [size for size in column if size is not None]
    return sum(known) if known else None


def _size_row(name: str, sizes: Sequence[tuple[str, int | None]], host_width: int, role: TextRole) -> Line:
    spans: list[Span] = [(f" {fit_host(name, host_width)}", role)]
    for label, size in sizes:
        text = _count(size) if label in _COUNTS else format_bytes(size, unknown="–")
        if label == "Change" and size is not None:
            spans.append((f"{'+' if size > 0 else ''}{text}".rjust(_SIZE_WIDTH), _change_role(size, role)))
        else:
            spans.append((text.rjust(_SIZE_WIDTH), role))
    return tuple(spans)


def _change_role(size: int, role: TextRole) -> TextRole:
    return TextRole.FINISHED if size < 0 else role


def request_hint(look_key: str) -> Line:
    """Return the line about the key that fetches the stats of another program's space."""
    return (
        (" Another program's database: opening it writes there. ", TextRole.WARNING),
        (look_key, TextRole.KEY),
        (" reads its files", TextRole.MUTED),
    )


def stats_table(seen: Sequence[tuple[str, StatsResult]], width: int) -> list[Line]:
    """Return stats in columns under their names, in as many bands as the width requires."""
    figure = _figure_width(result.stats for _, result in seen)
    room = max(1, (width - _LABEL - 2) // figure)
    lines: list[Line] = []
    for start in range(0, len(seen), room):
        band = seen[start : start + room]
        problems = [f"{name}: {result.problem}" for name, result in band if result.problem]
        lines.extend(host_block("", [(name, result.stats) for name, result in band], "", width, figure))
        lines[-1:] = [*(((f"   {problem}", TextRole.FAILED),) for problem in problems), ()]
    return lines


def host_block(
    host: str, columns: list[tuple[str, SpaceStats | None]], problem: str, width: int, figure: int = 0
) -> list[Line]:
    """Return a host's stats under `columns`; the last ones are omitted if not all fit.

    `figure` is the width of a column in cells, 0 for as many as its figures need.
    """
    figure = figure or _figure_width(stats for _, stats in columns)
    room = max(1, (width - _LABEL - 2) // figure)
    columns = columns[:room]
    # a long name may use the room that the first column leaves
    taken = min(figure - 1, width_of(columns[0][0]) + 1) if columns else 0
    label = max(_LABEL, min(width_of(host), _LABEL + figure - taken - 1))
    heads = [figure - (label - _LABEL), *[figure] * len(columns)]
    lines: list[Line] = [
        (
            (f" {fit_host(host, label)}", TextRole.STRONG),
            *(
                (" " + fit_host(name, size - 1, right=True), TextRole.MUTED)
                for (name, _), size in zip(columns, heads, strict=False)
            ),
        )
    ]
    if problem:
        lines.append(((f"   {problem}", TextRole.FAILED),))
    rows: list[tuple[str, list[str]]] = []
    depth = max((len(stats.levels) for _, stats in columns if stats is not None), default=0)
    for level in range(depth):
        files = [_level_of(stats, level) for _, stats in columns]
        if any(each.files for each in files if each is not None):
            rows.append((f"L{level}", [_files(each) for each in files]))
    rows.append(("in all", [_files(stats) for _, stats in columns]))
    rows.append(("memtable", [format_bytes(stats.memtable) if stats else "–" for _, stats in columns]))
    rows.append(("entries", [_count(stats.entries if stats else None) for _, stats in columns]))
    rows.append(
        ("to compact", [format_bytes(stats.pending, unknown="–") if stats else "–" for _, stats in columns])
    )
    count = max((len(stats.directories) for _, stats in columns if stats is not None), default=0)
    for number in range(count):
        sizes = [_directory(stats, number) for _, stats in columns]
        rows.append((f"data dir {number + 1}", [format_bytes(size, unknown="–") for size in sizes]))
    for what, counts in (
        ("compacting", [stats.compactions if stats else 0 for _, stats in columns]),
        ("flushing", [stats.flushes if stats else 0 for _, stats in columns]),
    ):
        if any(counts):
            rows.append((what, [str(number or "–") for number in counts]))
    lines.extend(_figures(label, cells, figure) for label, cells in rows)
    lines.append(())
    return [cut(line, width) for line in lines]


def describe_work(stats: SpaceStats | None) -> str:
    """Return what runs on the host: `1 compaction, 2 flushes`; "" for nothing or unknown."""
    if stats is None:
        return ""
    compactions = format_count(stats.compactions, "compaction") if stats.compactions else ""
    flushes = format_count(stats.flushes, "flush", "flushes") if stats.flushes else ""
    return ", ".join(filter(None, (compactions, flushes)))


def lingering_tasks(job: Job, now: datetime) -> list[Task]:
    """Return the ended tasks, or those of an ended job, whose hosts may still be at work.

    A cluster ends a job before its hosts finish. Hours after the end of a job, a host works on something else.
    """
    stop = job.stop
    if stop is not None and job.origin is not None:  # it is by the cluster's clock, which may be hours behind
        stop = max(stop, job.submitted + timedelta(seconds=job.took or 0.0))
    if not job.has_distinct_hosts or (stop is not None and now - stop > _MAX_LINGERING):
        return []
    return [
        task
        for task in job.tasks
        if task.detached
        or (job.origin is not None and task.status in (Status.FAILED, Status.STOPPED))
        or (job.status.ended and not task.status.ended)
    ]


def lingering_lines(job: Job, results: Mapping[str, StatsResult], width: int, now: datetime) -> list[Line]:
    """Return a line for each host still at work: `the host h2 is still compacting (…)`."""
    lines: list[Line] = []
    for task in lingering_tasks(job, now):
        stats = results.get(task.host, StatsResult()).stats
        if stats is not None and (work := describe_work(stats)):
            verb = "compacting" if stats.compactions else "flushing"
            text = f" the host {task.host} is still {verb} ({work})"
            lines += wrapped(((text, TextRole.WARNING),), width, hang=1)
    return lines


def _directory(stats: SpaceStats | None, number: int) -> int | None:
    return None if stats is None or number >= len(stats.directories) else stats.directories[number]


def _figure_width(seen: Iterable[SpaceStats | None]) -> int:
    """Return the width of a column of figures with its gap, uncut if the line has room."""
    return max(_FIGURE, *(len(_files(stats)) + 2 for stats in seen), 0)


def _figures(label: str, cells: list[str], figure: int) -> Line:
    return (
        (f"   {label:<{_LABEL - 2}}", TextRole.MUTED),
        *((fit(cell, figure, right=True), TextRole.PLAIN) for cell in cells),
    )


def _level_of(stats: SpaceStats | None, level: int) -> Level | None:
    if stats is None:
        return None
    return stats.levels[level] if level < len(stats.levels) else Level(0, 0)


def _files(held: Level | SpaceStats | None) -> str:
    return "–" if held is None else f"{format_count(held.files, 'file')} {format_bytes(held.bytes):>9}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
