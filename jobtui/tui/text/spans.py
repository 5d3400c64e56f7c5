"""Lines of a screen as data: spans with roles, fitted texts, and job statuses.

Tabs are pure functions from a job to lines, tested without a terminal; a widget paints lines as strips. The
text of a span is made printable when it is painted, so a line may hold foreign text as it is. Statuses,
progress and the connection are glyphs and short texts; none needs colors to be understood.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isnan, nan

from rich.cells import cell_len, set_cell_size

from jobtui.engine.lifecycle import describe_deferral, is_held
from jobtui.formatting import (
    MAX_MARKS,
    format_percent,
    format_rate,
    format_remaining,
    single_cells,
)
from jobtui.model import ConnectionState, ConnectionStatus, Job, Status, Task


def fit(text: str, width: int, right: bool = False) -> str:
    """Return the printable text in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    text = single_cells(text if len(text) <= 8 * width else text[: 8 * width] + "…")
    size = len(text) if text.isascii() else cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - size) + text if right else text + " " * (width - size)


def fit_host(name: str, width: int, right: bool = False) -> str:
    """Return a host's name in exactly `width` cells; a path keeps its distinguishing end."""
    if width <= 0 or "/" not in name or width_of(name) <= width:
        return fit(name, width, right)
    kept = single_cells(name[-8 * width :])
    while kept and cell_len(kept) > width - 1:
        kept = kept[1:]
    slash = kept.find("/")
    if 0 < slash <= len(kept) // 3:
        kept = kept[slash:]
    return fit(f"…{kept}", width, right)


def width_of(text: str) -> int:
    """Return the cells that the text takes when it is painted."""
    return len(text) if text.isascii() else cell_len(single_cells(text))


def wrap(text: str, width: int, most: int = 20) -> list[str]:
    """Break the printable text into at most `most` lines of `width` cells, at blanks.

    The last line ends with an ellipsis if the text is longer. Line breaks in the text are kept.
    """
    width = max(width, 4)
    room = width * (most + 1)
    lines: list[str] = []
    for paragraph in text[: 8 * room].splitlines() or [""]:
        lines.extend(_wrap_line(single_cells(paragraph), width, most))
        if len(lines) > most:
            last = lines[most - 1]
            return [*lines[: most - 1], f"{last} …" if cell_len(last) + 2 <= width else fit(f"{last}……", width)]
    return lines


def _wrap_line(text: str, width: int, most: int) -> list[str]:
    return [text[start:end] for start, end in islice(breaks(text, width, width), most + 2)]


def breaks(text: str, first: int, rest: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each line of a text: `first` cells, then `rest` cells each.

    Lines end at blanks if there are any; the blanks between two lines belong to neither.
    """
    start, width = 0, first
    while True:
        # a cell holds one character at most, apart from combining marks, which take no cell
        head = text[start : start + (1 + MAX_MARKS) * (width + 1)]
        if cell_len(head) <= width:
            break
        kept = set_cell_size(head, width).rstrip("\0")
        # a wide character that did not fit whole was replaced by a blank: it belongs to the rest
        taken = len(kept) if head.startswith(kept) else len(kept) - 1
        blank = head.rfind(" ", 1, taken + 1)
        cut = start + (blank if blank > 0 else max(taken, 1))
        yield start, start + len(text[start:cut].rstrip())
        start = cut
        while text[start : start + 1] == " ":
            start += 1
        width = rest
    yield start, len(text)


class TextRole(enum.StrEnum):
    """The meaning of a span of text.

    The values are the CSS classes of `styles/text_roles.tcss`.
    """

    PLAIN = "role--plain"
    MUTED = "role--muted"
    STRONG = "role--strong"
    TITLE = "role--title"
    KEY = "role--key"
    ACCENT = "role--accent"
    QUEUE = "role--queue"
    RUNNING = "role--running"
    FINISHED = "role--finished"
    FAILED = "role--failed"
    STOPPED = "role--stopped"
    WARNING = "role--warning"
    MARK = "role--mark"
    CURSOR = "role--cursor"
    CURSOR_IDLE = "role--cursor-idle"
    HEADER = "role--header"
    BAR = "role--bar"
    TAB = "role--tab"
    TAB_ON = "role--tab-on"
    RULE = "role--rule"
    KEYWORD = "role--keyword"
    NUMBER = "role--number"
    STRING = "role--string"
    COMMENT = "role--comment"
    WRONG = "role--wrong"
    PROFILE = "role--profile"


STATUS_ROLE = {
    Status.QUEUE: TextRole.QUEUE,
    Status.RUNNING: TextRole.RUNNING,
    Status.FINISHED: TextRole.FINISHED,
    Status.FAILED: TextRole.FAILED,
    Status.STOPPED: TextRole.STOPPED,
}

Span = tuple[str, TextRole]
Line = tuple[Span, ...]


def plain(line: Iterable[Span]) -> str:
    """Return the printable text of the line."""
    return "".join(single_cells(text) for text, _ in line)


def line_width(line: Iterable[Span]) -> int:
    """Return the cells that the line takes."""
    return sum(width_of(text) for text, _ in line)


def cut(line: Line, width: int) -> Line:
    """Cut the line to at most `width` cells; a span that is cut ends with an ellipsis."""
    kept: list[Span] = []
    room = width
    for text, role in line:
        size = width_of(text)
        if size > room:
            if room > 0:
                kept.append((fit(text, room), role))
            break
        kept.append((text, role))
        room -= size
    return tuple(kept)


_NO_BREAK = "\N{NO-BREAK SPACE}"


def unbroken(text: str) -> str:
    """Return the text with no-break spaces, at which `wrapped` breaks no line."""
    return text.replace(" ", _NO_BREAK)


def wrapped(line: Line, width: int, hang: int = 0) -> list[Line]:
    """Break the line at blanks into `width` cells; all but the first line hang by `hang`."""
    if line_width(line) <= width:
        return [line]
    # part by part: `single_cells` returns a blank for a no-break space
    pieces = [(_NO_BREAK.join(map(single_cells, text.split(_NO_BREAK))), role) for text, role in line]
    hang = min(hang, width // 2)
    spans = breaks("".join(text for text, _ in pieces), max(1, width), max(1, width - hang))
    pad: Line = ((" " * hang, TextRole.PLAIN),) if hang else ()
    return [(*(pad if number else ()), *_part(pieces, *span)) for number, span in enumerate(spans)]


def _part(pieces: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    begin = 0
    for text, role in pieces:
        if begin < end and begin + len(text) > start:
            yield text[max(0, start - begin) : end - begin], role
        begin += len(text)


GLYPH = {
    Status.QUEUE: "◷",
    Status.RUNNING: "▶",
    Status.FINISHED: "✔",
    Status.FAILED: "✖",
    Status.STOPPED: "■",
}
STOPPING = "◼"
PAUSED = "‖"
AGAIN = "↻"
MARKED = "●"
WATCHED = "◉"
CURSOR, IDLE_CURSOR = "▸", "▹"
"""The signs of the row under the cursor, with and without the focus: seen without colors, and read aloud."""
_DONE, _REST = "▇", "░"


def status_span(job: Job) -> Span:
    """Return a job's status: `▶ running`, `◼ stopping 2/3` or `‖ paused 17/64`."""
    if job.paused and not job.status.ended:
        # a step that has begun is finished first, and its host is busy until then
        word = "pausing" if any(task.status is Status.RUNNING for task in job.tasks) else "paused"
        return f"{PAUSED} {word} {step_count(job)}".rstrip(), TextRole.WARNING
    if job.stopping and job.status is Status.RUNNING:
        return f"{STOPPING} stopping {job.ended_tasks}/{len(job.tasks)}", TextRole.WARNING
    return f"{GLYPH[job.status]} {job.status.value}", STATUS_ROLE[job.status]


def separate_paused(counts: Mapping[Status, int], active: Iterable[Job]) -> tuple[Mapping[Status, int], int]:
    """Return the counts without the paused jobs, and the number of these."""
    rest, paused = dict(counts), 0
    for job in filter(is_held, active):
        rest[job.status] = max(0, rest.get(job.status, 0) - 1)  # the jobs may be newer than the counts
        paused += 1
    return rest, paused


def step_count(job: Job) -> str:
    """Return the finished of all steps of a compaction, `17/64`; "" for one step a host."""
    steps = [task.steps for task in job.tasks if task.steps is not None]
    if all(step.total <= 1 for step in steps):
        return ""
    return f"{sum(step.done for step in steps)}/{sum(step.total for step in steps)}"


def continuation_of(job: Job) -> str:
    """Return where a recovery of unfinished hosts continues, `after step 6 of 10`, or ""."""
    rest = [task for task in job.tasks if task.status is not Status.FINISHED]
    steps = [task.steps for task in rest if task.steps is not None]
    done, total = sum(step.done for step in steps), sum(step.total for step in steps)
    if not done or job.status not in (Status.FAILED, Status.STOPPED):
        return ""
    return f"after step {done} of {total}"


def task_status_span(task: Task, job: Job) -> Span:
    """Return a task's status; `◼ stopping` or `‖ pausing` if it runs and its job is."""
    if task.status is Status.RUNNING and job.stopping:
        return f"{STOPPING} stopping", TextRole.WARNING
    if task.status is Status.RUNNING and job.paused:
        return f"{PAUSED} pausing", TextRole.WARNING
    if task.detached:
        return f"{GLYPH[task.status]} detached", TextRole.WARNING
    return f"{GLYPH[task.status]} {task.status.value}", STATUS_ROLE[task.status]


def progress_bar(fraction: float, width: int) -> str:
    """Return a bar of exactly `width` cells; it is full only at 1."""
    fraction = max(0.0, min(1.0, fraction))
    done = width if fraction >= 1 else min(max(0, width - 1), int(fraction * width + 0.5))
    return _DONE * done + _REST * (width - done)


# no full block: a row of high bars would touch the line above
_SPARKS = " ▁▂▃▄▅▆▇"
_MIN_CHANGE = 0.01


def size_sparkline(sizes: Sequence[float], width: int) -> str:
    """Return sizes as bars from the lowest to the highest, half as high if all are equal."""
    low, high = min(sizes, default=0.0), max(sizes, default=0.0)
    # from zero, the bars of a large space that hardly changes would be one block
    if high - low <= high * _MIN_CHANGE:
        return sparkline([0.5] * len(sizes), width, 1.0)
    return sparkline([size - low + (high - low) / len(_SPARKS) for size in sizes], width)


def sparkline(figures: Sequence[float], width: int, most: float | None = None) -> str:
    """Return the figures as bars in `width` cells; a blank where nothing is known.

    `most`: the figure of a full bar, None for the highest.
    """
    bars: list[float] = []
    count = len(figures)
    has_gaps = isnan(sum(figures))  # one call for all: a chart has fifty such lines
    for cell in range(width):
        first, last = cell * count // width, (cell + 1) * count // width
        part = figures[first : max(first + 1, last)]
        if has_gaps:
            part = [figure for figure in part if not isnan(figure)]
        bars.append(sum(part) / len(part) if part else nan)
    top = most if most is not None else max((bar for bar in bars if not isnan(bar)), default=0.0)
    scale = (len(_SPARKS) - 1) / top if top > 0 else 0.0
    return "".join(
        " " if isnan(bar) else _SPARKS[max(1, min(len(_SPARKS) - 1, round(bar * scale)))] for bar in bars
    )


# cells kept for a rate and for the time that is left, so that nothing jumps as they change
_RATE, _LEFT = 10, 11
_BARS = (20, 16, 12, 8, 6, 4)
# cells of a curve of rates, which needs that many to be readable; a bar of 12 is enough next to it
MIN_TREND, MAX_TREND = 8, 24
_MIN_RATES = 4
_BARS_BESIDE_TREND = (12, 8)


def running_line(
    fraction: float | None,
    rate: float | None,
    seconds_left: float | None,
    width: int,
    steps: str = "",
    trend: Sequence[float] = (),
) -> Line:
    """Return a running job's bar, percentage, steps, rate and time left, if they fit.

    First the curve of `trend`, the last rates, gives way, then the bar, then the percentage if there are steps,
    then the rate, then the time. If there is no room for the time, the percentage is back if it fits.
    """
    percent = (format_percent(fraction).strip() if fraction is not None else "…").rjust(4)
    speed = format_rate(rate).rjust(_RATE) if rate is not None else ""
    left = format_remaining(seconds_left).rjust(_LEFT) if seconds_left is not None else ""
    first = f" {steps}" if steps else percent
    for shown in (
        (percent, steps, speed, left),
        (first, "", speed, left),
        (first, "", "", left),
        (percent, steps),
        (first,),
    ):
        figures = [text for text in shown if text]
        cells = sum(2 + len(text) for text in figures) - 2
        if cells <= width:
            break
    bar = next((size for size in _BARS if cells + size + 1 <= width), 0)
    curve: Line = ()
    if len(trend) >= _MIN_RATES and cells + _BARS_BESIDE_TREND[-1] + MIN_TREND + 3 <= width:
        bar = next(size for size in _BARS_BESIDE_TREND if cells + size + MIN_TREND + 3 <= width)
        room = min(MAX_TREND, width - cells - bar - 3)
        curve = (("  " + sparkline(trend[-room:], min(room, len(trend))), TextRole.ACCENT),)
    drawn = " " * bar if fraction is None else progress_bar(fraction, bar)
    return (
        *(((f"{drawn} ", TextRole.RUNNING),) if bar else ()),
        (figures[0], TextRole.STRONG),
        *((f"  {text}", TextRole.ACCENT if text is speed else TextRole.MUTED) for text in figures[1:]),
        *curve,
    )


def with_cursor(line: Line) -> Line:
    """Return the line with the sign of the cursor in place of its first blank."""
    (text, role), *others = line or ((" ", TextRole.PLAIN),)
    if not text.startswith(" "):
        return line
    return ((CURSOR, TextRole.ACCENT), (text[1:], role), *others)


def cause_of(job: Job) -> str:
    """Return a job's reason without paths, which would fill the line before the cause.

    A host that is a path is left out, and so is the directory of the database after another host.
    """
    for task in job.tasks if job.reason else ():
        if job.reason.startswith(f"{task.host}: "):
            reason = job.reason[len(task.host) + 2 :]
            directory, _, cause = reason.partition(": ")
            if "/" in task.host:
                return reason
            return f"{task.host}: {cause}" if cause and directory.startswith("/") else job.reason
    return job.reason


IS_PAUSED = "which is paused"


def waiting_reasons(active: Collection[Job]) -> dict[int, str]:
    """Return what each queued job waits for, of all active jobs: `waits for job 2`.

    A job that nothing holds up has no entry: it starts at once, or when fewer jobs run.
    """
    reasons: dict[int, str] = {}
    ahead: dict[str, tuple[int, int]] = {}
    # a paused job that has begun keeps its space, while one in the queue lets the others pass
    held = {job.space: job.id for job in active if job.paused and job.status is Status.RUNNING}
    at_work = jobs_at_work(active)
    for job in sorted(active, key=lambda job: job.id):
        first, count = ahead.get(job.space, (job.id, 0))
        if job.status is Status.QUEUE:
            if job.paused:
                continue
            if count and job.space in held:
                reasons[job.id] = f"waits for job {held[job.space]}, {IS_PAUSED}"
            elif count:
                reasons[job.id] = f"waits for {_first_of(first, count)}"
            elif reason := _busy_hosts(job, at_work) or deferral_of(job):
                reasons[job.id] = reason
        ahead[job.space] = first, count + 1
    return reasons


def jobs_at_work(active: Iterable[Job]) -> dict[str, int]:
    """Return the job that works on each busy host, by the host."""
    return {task.host: job.id for job in active for task in job.tasks if task.status is Status.RUNNING}


def deferral_of(job: Job) -> str:
    """Return why none of the job's hosts works, `deferred: host h2 is down …`, or ""."""
    if job.paused or any(task.status is Status.RUNNING for task in job.tasks):
        return ""
    return next((describe_deferral(task.deferred) for task in job.tasks if task.deferred is not None), "")


def _busy_hosts(job: Job, at_work: Mapping[str, int]) -> str:
    others = [at_work[task.host] for task in job.tasks if task.host in at_work]
    if not others or len(others) < len(job.tasks):
        return ""  # a host is free
    count = len(set(others))
    # the job first: a narrow table cuts the end
    return f"waits for {_first_of(min(others), count)} on the same host{'s' if len(job.tasks) > 1 else ''}"


def _first_of(job_id: int, count: int) -> str:
    return f"job {job_id}" + (f" and {count - 1} more" if count > 1 else "")


def progress_line(fraction: float | None, status: Status, width: int = 10) -> Line:
    """Return a bar and its percentage (` 68%`) in `width` + 5 cells.

    The line is blank for what is queued, `…` while the `fraction` is not known (None), and `–` if it ended so.
    """
    role = STATUS_ROLE[status]
    if status is Status.QUEUE:
        return ((" " * (width + 5), TextRole.MUTED),)
    if fraction is None:
        if status.ended:
            return (("–".rjust(width + 5), TextRole.MUTED),)
        return ((" " * width, role), ("   … ", TextRole.MUTED))
    return (
        (progress_bar(fraction, width), role),
        (f" {format_percent(fraction)}", TextRole.PLAIN if not status.ended else TextRole.MUTED),
    )


_CONNECTION_ROLES = {
    ConnectionState.CONNECTING: TextRole.WARNING,
    ConnectionState.CONNECTED: TextRole.FINISHED,
    ConnectionState.LOST: TextRole.FAILED,
    ConnectionState.REFUSED: TextRole.FAILED,
    ConnectionState.CLOSED: TextRole.MUTED,
}
_CONNECTION_GLYPHS = {
    ConnectionState.CONNECTING: "◌",
    ConnectionState.CONNECTED: "●",
    ConnectionState.LOST: "✖",
    ConnectionState.REFUSED: "✖",
    ConnectionState.CLOSED: "○",
}


def connection_span(status: ConnectionStatus) -> Span:
    """Return the state of a connection: `● 10.0.0.5:9669`, `◌ connecting`, `✖ lost`.

    The address has the glyph of `connecting` while the cluster does not answer.
    """
    is_connected = status.state is ConnectionState.CONNECTED
    text = status.address if is_connected and status.address else status.state.value
    state = ConnectionState.CONNECTING if is_connected and status.detail else status.state
    return f"{_CONNECTION_GLYPHS[state]} {text}", _CONNECTION_ROLES[state]
