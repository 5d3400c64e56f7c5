"""The Chart tab: what the hosts of a job read, wrote and held, as curves with axes.

plotille draws the curves: it is pure Python without dependencies. It is imported with this module, when a chart
is first shown.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from math import isnan, nan

import msgspec
from plotille import Canvas

from jobtui.engine.samples import Gauge, JobSamples
from jobtui.formatting import format_bytes, format_count, format_duration, format_rate
from jobtui.model import Job
from jobtui.tui.text.spans import CURSOR, Line, Span, TextRole, cut, fit_host, line_width, sparkline, wrapped

_LABEL = 9  # cells of the labels at the left, `999 MiB/s`
_GAP = 2
_MIN_PANEL = 34  # cells of a panel next to another one
_MIN_ROWS, _MAX_ROWS = 3, 15
_GOOD_ROWS = 7  # with a label at half of the axis; below that, a panel is better narrow than low
_FRAME_ROWS = 3  # the title, the axis and its labels
_TICK_CELLS = 10  # of the axis for each label
_DAY = 86_400.0
_TIME_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
)
_HOST_WIDTH = 24
_NO_DOTS = "\N{BRAILLE PATTERN BLANK}"
_NICE_STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


Tick = tuple[float, str]
"""A position on the horizontal axis, and its label."""
Ticks = Callable[[float, int], Sequence[Tick]]
"""Returns the ticks of an axis up to its end: at most that many, and the end itself as the last one."""


class _Panel(msgspec.Struct, frozen=True):
    """One of the curves.

    Attributes:
        title: What it shows.
        role: Its role.
        text: Returns the text of a figure.
        gauge: Which figure of the samples it shows.
        from_zero: Whether its axis begins at 0.
        names_least: Whether the smallest figure matters instead of the largest.
        filled: Whether the area under the curve is filled.
    """

    title: str
    role: TextRole
    text: Callable[[float], str]
    gauge: Gauge = Gauge.READ
    from_zero: bool = True
    names_least: bool = False
    filled: bool = False


_PANELS = (
    _Panel("Read", TextRole.ACCENT, format_rate, filled=True),
    _Panel("Written", TextRole.RUNNING, format_rate, Gauge.WRITTEN, filled=True),
    _Panel("L0 files", TextRole.WARNING, lambda files: f"{files:.0f}", Gauge.L0_FILES),
    _Panel("Free disk", TextRole.FINISHED, format_bytes, Gauge.FREE, from_zero=False, names_least=True),
)
_SPACE_PANELS = (
    _Panel("Size after the job", TextRole.ACCENT, format_bytes, filled=True),
    _Panel("Reclaimed", TextRole.FINISHED, format_bytes, from_zero=False),
)
_SPACE_ROWS = 5
_MIN_RECORDED = 3.0
"""The seconds of work after which a job always has enough moments for a record."""

NOTHING_RECORDED = "There is no record of this job: it took less than two seconds, or its record was lost."
NO_RECORD = "There is no record of this job: none was made, or it was lost, as a crash may lose it."
NO_SAMPLES_OF_CLUSTER = "A cluster runs this job and does not report what its hosts read and write."
NOT_YET = "The chart begins with the first seconds of work."


def chart_lines(
    job: Job,
    samples: JobSamples | None,
    width: int,
    height: int,
    host: int | None = None,
    *,
    is_known: bool = True,
) -> list[Line]:
    """Return the chart of a job in lines of `width` cells, for a body of `height` lines.

    Args:
        job: The job.
        samples: Its samples, None if there are none.
        width: The cells of a line.
        height: The lines that are in sight.
        host: The position of the host to show, None for all together.
        is_known: Whether the samples have been fetched.
    """
    seconds = samples.seconds() if samples is not None else ()
    if samples is None or len(seconds) < 2:
        return wrapped(((f" {_reason_for_nothing(job, is_known)}", TextRole.MUTED),), width, hang=1)
    shown = host if host is not None and host < len(samples.hosts) else None
    lines: list[Line] = [_heading(samples, shown, width)]
    columns = _column_count(width, height)
    panel_width = (width - 1 - _GAP * (columns - 1)) // columns
    bands = -(-len(_PANELS) // columns)
    rows = max(_MIN_ROWS, min(_MAX_ROWS, (height - 1) // bands - _FRAME_ROWS))
    rows -= 1 - rows % 2  # so that the middle row is half of the axis
    ends = 0.0, max(seconds[-1], 1.0)
    for start in range(0, len(_PANELS), columns):
        band = [
            _panel_lines(
                panel,
                seconds,
                samples.series(panel.gauge, shown),
                panel_width,
                rows,
                ends,
                _times,
                as_mean=job.status.ended and panel.filled,  # the last second of a job says little
            )
            for panel in _PANELS[start : start + columns]
        ]
        lines.extend(cut(line, width) for line in _side_by_side(band))
    if len(samples.hosts) > 1:
        lines.append(())
        lines.extend(_host_rows(samples, shown, width))
    return lines


def space_chart_lines(
    jobs: Sequence[int], sizes: Sequence[int], reclaimed: Sequence[int], width: int
) -> list[Line]:
    """Return curves of a space's size and of the reclaimed bytes over these jobs."""
    columns = 2 if width >= 2 * _MIN_PANEL + _GAP + 1 else 1
    panel_width = (width - 1 - _GAP * (columns - 1)) // columns
    positions = [float(position) for position in range(len(jobs))]

    def named(_end: float, most: int) -> list[Tick]:
        step = -(-len(jobs) // most)
        return [(float(at), f"job {jobs[at]}") for at in (*range(0, len(jobs) - 1, step), len(jobs) - 1)]

    panels = [
        _panel_lines(
            panel, positions, list(map(float, figures)), panel_width, _SPACE_ROWS, (0.0, positions[-1]), named
        )
        for panel, figures in zip(_SPACE_PANELS, (sizes, reclaimed), strict=True)
    ]
    bands = [panels] if columns == 2 else [[panel] for panel in panels]
    return [cut(line, width) for band in bands for line in _side_by_side(band)]


def _reason_for_nothing(job: Job, is_known: bool) -> str:
    if job.origin is not None:
        return NO_SAMPLES_OF_CLUSTER
    if not is_known:
        return "…"
    if not job.status.ended:
        return NOT_YET
    return NO_RECORD if job.took is not None and job.took >= _MIN_RECORDED else NOTHING_RECORDED


def _column_count(width: int, height: int) -> int:
    """Return the number of panels side by side, as few as let all be seen at once."""
    most = max(1, min(len(_PANELS), (width + _GAP) // (_MIN_PANEL + _GAP)))
    for columns, rows in ((1, _GOOD_ROWS), (2, _MIN_ROWS + 1)):
        if columns < most and (height - 1) // (len(_PANELS) // columns) >= _FRAME_ROWS + rows:
            return columns
    return 2 if most == 3 else most


def _heading(samples: JobSamples, host: int | None, width: int) -> Line:
    count = len(samples.hosts)
    name = samples.hosts[host].host if host is not None else "all " + format_count(count, "host")
    if count < 2:
        return cut(((f" {samples.hosts[0].host if count else 'all hosts'}", TextRole.STRONG),), width)
    heading: Line = (
        (f" {name}", TextRole.STRONG),
        ("   ↑ ↓", TextRole.KEY),
        (" another host", TextRole.MUTED),
    )
    explained: Line = (*heading, ("   sums, and the least free disk", TextRole.MUTED))
    return explained if host is None and line_width(explained) <= width else cut(heading, width)


# ---- one panel


def _panel_lines(
    panel: _Panel,
    seconds: Sequence[float],
    figures: Sequence[float],
    width: int,
    rows: int,
    ends: tuple[float, float],
    ticks: Ticks,
    *,
    as_mean: bool = False,
) -> list[Line]:
    """Return a title, `rows` lines of curve with labels, and the axis below them.

    `ticks` returns the labels of that axis. `as_mean`: the title has the mean, not the last figure.
    """
    known = _known(figures)
    title: Line = ((f" {panel.title}", panel.role),)
    room = max(4, width - _LABEL - 2)
    if not known:
        blank: Line = ((" " * (_LABEL + 1) + "│", TextRole.RULE),)
        middle: Line = ((" " * (_LABEL + 1) + "│", TextRole.RULE), (" not measured", TextRole.MUTED))
        curve = [middle if row == rows // 2 else blank for row in range(rows)]
        return [title, *curve, *_axis(ends, room, ticks)]
    details = f"  {panel.text(sum(known) / len(known))} on average" if as_mean else f"  {panel.text(known[-1])}"
    extreme = min(known) if panel.names_least else max(known)
    bound = f", at {'least' if panel.names_least else 'most'} {panel.text(extreme)}"
    if line_width(title) + len(details + bound) <= width:
        details += bound  # a part of it would say nothing
    low, high = _limits(panel, min(known), max(known))
    drawn = _curve(seconds, figures, room, rows, (*ends, low, high), filled=panel.filled)
    labels = {0: high, rows - 1: low}
    if rows >= 7:
        labels[rows // 2] = high - (high - low) * (rows // 2) / (rows - 1)
    lines: list[Line] = [cut((*title, (details, TextRole.MUTED)), width)]
    for row, text in enumerate(drawn):
        label = panel.text(labels[row]) if row in labels else ""
        lines.append(
            (
                (f" {label:>{_LABEL}}", TextRole.MUTED),
                ("┤" if row in labels else "│", TextRole.RULE),
                (text, panel.role),
            )
        )
    return [*lines, *_axis(ends, room, ticks)]


def _limits(panel: _Panel, low: float, high: float) -> tuple[float, float]:
    """Return the figures at both ends of the axis."""
    if panel.from_zero:
        if panel.gauge is Gauge.L0_FILES:
            return 0.0, max(2.0, 2.0 * math.ceil(high / 2))  # even, so that half of it is a number of files
        return 0.0, _nice(max(high, 1.0))
    if low == high:  # a margin would be less than the labels show: both ends would have the same one
        return min(low, 0.0), high if high > 0 else 0.0 if low < 0 else 1.0
    margin = max((high - low) * 0.1, max(abs(low), abs(high)) * 0.01, 1.0)
    return (low - margin if low < 0 else max(0.0, low - margin)), high + margin


def _nice(figure: float) -> float:
    """Return a round number of bytes that is not less."""
    unit = 1024.0 ** int(math.log(max(figure, 1.0), 1024))
    scaled = figure / unit
    power = 10.0 ** math.floor(math.log10(scaled)) if scaled >= 1 else 1.0
    return unit * power * next(step for step in _NICE_STEPS if step * power >= scaled - 1e-9)


def _curve(
    seconds: Sequence[float],
    figures: Sequence[float],
    width: int,
    rows: int,
    limits: tuple[float, float, float, float],
    *,
    filled: bool,
) -> list[str]:
    """Return the curve in `rows` lines of braille; `filled`: with the area under it.

    Where nothing is known it is interrupted.
    """
    begin, end, low, high = limits
    right, top = 2 * width - 1, 4 * rows - 1
    canvas = Canvas(width, rows, xmin=0, ymin=0, xmax=right + 1, ymax=top + 1)  # its unit is a dot
    heights = [-1.0] * (right + 1)
    before: tuple[float, float] | None = None
    for at, figure in _columns(seconds, figures, 2 * width):
        if isnan(figure):
            before = None
            continue
        point = (at - begin) / (end - begin) * right, (figure - low) / (high - low) * top
        first = point if before is None else before
        canvas.line(*first, *point)
        for column in range(round(first[0]), round(point[0]) + 1):
            share = (column - first[0]) / (point[0] - first[0]) if point[0] > first[0] else 1.0
            heights[column] = first[1] + (point[1] - first[1]) * min(1.0, max(0.0, share))
        before = point
    if filled:
        _fill_below(canvas, heights)
    drawn: str = canvas.plot(linesep="\n")
    return drawn.replace(_NO_DOTS, " ").split("\n")


def _fill_below(canvas: Canvas, heights: Sequence[float]) -> None:
    """Fill the area under the heights of each column of dots, negative where there is none."""
    for column in range(0, len(heights), 2):
        left, right = heights[column], heights[column + 1]
        # whole characters at once: dot by dot, a chart of 300 columns took 50 ms
        whole = int(min(left, right) + 1) // 4
        for row in range(whole):
            canvas.fill_char(column, 4 * row)
        for offset, height in enumerate((left, right)):
            if height >= 4 * whole:
                canvas.line(column + offset, 4 * whole, column + offset, height)


def _columns(seconds: Sequence[float], figures: Sequence[float], most: int) -> list[tuple[float, float]]:
    """Return at most `most` points: neighbors in one column of dots become their mean."""
    if len(seconds) <= most:
        return list(zip(seconds, figures, strict=True))
    found: list[tuple[float, float]] = []
    for column in range(most):
        first, last = column * len(seconds) // most, (column + 1) * len(seconds) // most
        part = [figure for figure in figures[first:last] if not isnan(figure)]
        found.append((seconds[first], sum(part) / len(part) if part else nan))
    return found


def _axis(ends: tuple[float, float], room: int, ticks: Ticks) -> list[Line]:
    """Return the horizontal axis with a mark for each label, and the labels below it."""
    begin, end = ends
    *others, (_, final) = ticks(end, max(1, room // _TICK_CELLS))
    rule, text = "─" * room, ""
    for at, label in others:
        cell = round((at - begin) / (end - begin) * (room - 1))
        if len(text) <= cell and cell + len(label) + 2 <= room - len(final):
            text += " " * (cell - len(text)) + label + " "
            rule = rule[:cell] + "┬" + rule[cell + 1 :]
    axis: Line = ((" " * (_LABEL + 1) + "└" + rule, TextRole.RULE),)
    return [axis, ((" " * (_LABEL + 2) + text.ljust(room - len(final)) + final, TextRole.MUTED),)]


def _times(end: float, most: int) -> list[Tick]:
    """Return round times: tenths of a second for a short job, hours for a long one."""
    days = -(-end // (most * _DAY)) * _DAY
    step = next((step for step in _TIME_STEPS if end / step <= most and (step >= 1 or end < 10)), days)
    return [
        *((place * step, _clock(place * step, end)) for place in range(int(end / step) + 1)),
        (end, _clock(end, end)),
    ]


def _clock(seconds: float, end: float) -> str:
    """Return a time on an axis to `end`, in one form for all labels: `1.5 s`, or `0:05`."""
    if end < 10:
        return f"{seconds:.1f} s"
    return format_duration(seconds) if seconds >= 10 else f"0:{int(seconds):02}"


def _side_by_side(panels: Sequence[Sequence[Line]]) -> list[Line]:
    """Return the lines of panels side by side."""
    lines: list[Line] = []
    widths = [max(line_width(line) for line in panel) for panel in panels]
    for parts in zip(*panels, strict=True):
        spans: list[Span] = []
        for part, width in zip(parts, widths, strict=True):
            spans += [*part, (" " * (width - line_width(part) + _GAP), TextRole.PLAIN)]
        lines.append(tuple(spans[:-1]))
    return lines


# ---- a row for each host


def _host_rows(samples: JobSamples, shown: int | None, width: int) -> list[Line]:
    """Return a row for each host: what it read and wrote over time, and its last figures."""
    name_width = min(_HOST_WIDTH, max(len("Host"), *(len(host.host) for host in samples.hosts)))
    room = width - name_width - 38
    heads = f" {'Host':<{name_width}}  {'read + written'.ljust(max(0, room)) if room >= 8 else ''}"
    lines: list[Line] = [
        ((f"{heads}{'Mean':>12}{'L0':>6}{'Free':>12}", TextRole.MUTED),),
    ]
    moved = [_moved(samples, index) for index in range(len(samples.hosts))]
    known_rates = [_known(rates) for rates in moved]
    most = max((max(rates) for rates in known_rates if rates), default=0.0)
    for index, host in enumerate(samples.hosts):
        known = known_rates[index]
        mean = sum(known) / len(known) if known else None
        files = _last(samples.series(Gauge.L0_FILES, index))
        free = _last(samples.series(Gauge.FREE, index))
        held = f"{'–' if files is None else round(files):>6}{format_bytes(free, '–'):>12}"
        name: Span = (
            f"{CURSOR if index == shown else ' '}{fit_host(host.host, name_width)}  ",
            TextRole.STRONG if index == shown else TextRole.PLAIN,
        )
        bar: Span = (sparkline(moved[index], room, most) if room >= 8 else "", TextRole.ACCENT)
        lines.append((name, bar, (f"{format_rate(mean, '–'):>12}{held}", TextRole.PLAIN)))
    return [cut(line, width) for line in lines]


def _moved(samples: JobSamples, host: int) -> list[float]:
    read, written = samples.series(Gauge.READ, host), samples.series(Gauge.WRITTEN, host)
    return list(map(operator.add, read, written))


def _known(figures: Sequence[float]) -> Sequence[float]:
    """Return the figures that are known."""
    return [figure for figure in figures if not isnan(figure)] if isnan(sum(figures)) else figures


def _last(figures: Sequence[float]) -> float | None:
    return next((figure for figure in reversed(figures) if not isnan(figure)), None)
