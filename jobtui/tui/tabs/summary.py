"""The head of a job's detail: times, sizes, requester, failure and the next action."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from jobtui.engine.job_log import (
    describe_pause,
    describe_requester,
    describe_stop,
    last_stop,
    paused_seconds,
    working_seconds,
)
from jobtui.engine.lifecycle import is_held
from jobtui.engine.progress import OF_PROFILE, OF_STATEMENT
from jobtui.errors import ErrorCode
from jobtui.formatting import (
    DateOrder,
    format_bytes,
    format_count,
    format_duration,
    format_ids,
    format_percent,
    format_rate,
    format_recent_time,
    format_remaining,
)
from jobtui.language.ast import write_options
from jobtui.model import Job, JobCommand, Status, Task
from jobtui.tui.tabs.tasks import is_progress_unknown
from jobtui.tui.text.spans import (
    STATUS_ROLE,
    Line,
    Span,
    TextRole,
    continuation_of,
    line_width,
    status_span,
    waiting_reasons,
    width_of,
    wrap,
    wrapped,
)

_MAX_REASON_LINES = 6
_NAMED_HOSTS = 4
# in fewer cells it would take a line from the tasks, which show their own
_WIDTH_WITH_PROGRESS = 100


def summary_lines(
    job: Job,
    width: int,
    now: datetime,
    *,
    rate: float | None = None,
    active: Sequence[Job] = (),
    recovered_as: Sequence[int] = (),
    keys: tuple[str, str, str] | None = ("s", "r", "P"),
    with_reason: bool = False,
    order: DateOrder = DateOrder.MONTH_FIRST,
    usual: float | None = None,
    left: float | None = None,
) -> list[Line]:
    """Return the head in `width` cells.

    Args:
        job: The job.
        width: The cells of a line.
        now: The time until which a running job's time is counted.
        rate: Bytes a second of a running job.
        active: The active jobs: a queued job may wait for one of them.
        recovered_as: The jobs that ran it again.
        keys: The keys that stop a job, run it again and resume it; None if the user may do none of these.
        with_reason: Whether to show the job's reason even if a task's line shows it as well.
        order: The order of day, month and year.
        usual: The seconds that such a job usually takes, None if that is not known.
        left: The seconds that a running job still needs, None if that is not known.
    """
    facts: list[Span] = [status_span(job)]
    facts += [(text, TextRole.PLAIN) for text in _times(job, now, order, usual)]
    if width >= _WIDTH_WITH_PROGRESS:
        facts += [(text, TextRole.PLAIN) for text in _progress(job, left, now)]
    facts += [(text, TextRole.PLAIN) for text in (*_sizes(job, rate), *_next_step(job))]
    action = None if keys is None else next_action(job, recovered_as, keys)
    if action:
        facts.append((f"{action[0]} {action[1]}", TextRole.ACCENT))
    lines = _packed(facts, width)
    if origin := _requester(job):
        lines += _packed(origin, width)
    for request, request_role in (
        (describe_pause(job), TextRole.WARNING),
        (describe_stop(job), TextRole.MUTED),
    ):
        lines += [((f" {text}", request_role),) for text in wrap(request, width - 2, _MAX_REASON_LINES) if text]
    role = STATUS_ROLE[job.status] if job.status is Status.FAILED else TextRole.WARNING
    is_below = any(task.reason and task.reason in job.reason for task in job.tasks)
    if with_reason or not is_below:
        lines += [((f" {text}", role),) for text in wrap(job.reason, width - 2, _MAX_REASON_LINES) if text]
    lineage = _lineage(job, recovered_as)
    if lineage:
        lines.append(((f" {lineage}", TextRole.ACCENT),))
    if waits := waiting_reasons(active).get(job.id, "") if job.status is Status.QUEUE else "":
        lines.append(((f" {waits}", TextRole.MUTED),))
    return lines


def next_action(job: Job, recovered_as: Sequence[int], keys: tuple[str, str, str]) -> tuple[str, str] | None:
    """Return the key of the most likely next action, with the action; None if there is none."""
    stop, recover, hold = keys
    match job.status:
        case Status.QUEUE | Status.RUNNING if job.paused:
            return hold, "resumes it"
        case Status.QUEUE:
            return stop, "takes it out of the queue"
        case Status.RUNNING:
            return None if job.stopping else (stop, "stops it")
        case Status.FAILED | Status.STOPPED if not recovered_as:
            if after := continuation_of(job):
                return recover, f"continues it {after}"
            rest = [task.host for task in job.tasks if task.status is not Status.FINISHED]
            # a repetition reads the same bytes
            is_corrupt = any(task.code == ErrorCode.CORRUPT for task in job.tasks)
            first = ", once a backup is restored" if is_corrupt else ""
            if rest and len(rest) < len(job.tasks) and job.origin is None:
                what = rest[0] if len(rest) == 1 else f"the {len(rest)} hosts that did not finish"
                return recover, f"runs it again, on {what}{first}"
            return recover, f"runs it again{first}"
        case _:
            return None


def hosts_done_line(job: Job, rate: float | None) -> Line:
    """Return the hosts done of a job whose hosts report no progress, and a known rate."""
    count = len(job.tasks)
    done = f"{job.ended_tasks} of {count} hosts done" if count > 1 else "progress not known"
    speed: Line = ((f"  {format_rate(rate)}", TextRole.ACCENT),) if rate is not None else ()
    return ((done, TextRole.MUTED), *speed)


def format_stop_details(job: Job, width: int) -> str:
    """Return the reason of a stop, how far the job came, and who stopped it if there is room."""
    event = last_stop(job)
    why = "" if event is None else event.reason
    text = "; ".join(filter(None, (why, _stopped_at(job))))
    if event is None or not event.requested_by:
        return text
    whole = f"{text}, by {describe_requester(event.requested_by)}"
    return whole if width_of(whole) <= width else text


def _stopped_at(job: Job) -> str:
    """Return how far a job came that was stopped without a reason."""
    if job.start is None:
        return "not begun"
    finished = sum(task.status is Status.FINISHED for task in job.tasks)
    hosts = f"{finished} of {format_count(len(job.tasks), 'host')} done"
    if not job.progress:
        return hosts
    reached = f"at {format_percent(job.progress).strip()}"
    return f"{reached}, {hosts}" if finished else reached


def task_counts(job: Job) -> Line:
    """Return the tasks of each status in a line: `49 of 50 hosts finished, 1 failed: h37`."""
    by_status = {status: [task for task in job.tasks if task.status is status] for status in Status}
    finished = len(by_status[Status.FINISHED])
    spans: list[Span] = [(f" {finished} of {format_count(len(job.tasks), 'host')} finished", TextRole.PLAIN)]
    for status in (Status.FAILED, Status.RUNNING, Status.STOPPED, Status.QUEUE):
        some = by_status[status]
        if some:
            word = {Status.RUNNING: "at work", Status.QUEUE: "to come"}.get(status, status.value)
            named = f": {_named(some)}" if status in (Status.FAILED, Status.STOPPED) else ""
            spans.append((f", {len(some)} {word}{named}", STATUS_ROLE[status]))
    return tuple(spans)


def _named(tasks: Sequence[Task]) -> str:
    names = ", ".join(task.host for task in tasks[:_NAMED_HOSTS])
    more = len(tasks) - _NAMED_HOSTS
    return f"{names} and {more} more" if more > 0 else names


def _times(job: Job, now: datetime, order: DateOrder, usual: float | None) -> list[str]:
    waited = ((job.start or job.stop or now) - job.submitted).total_seconds()
    texts = [f"submitted {format_recent_time(job.submitted, now, order)}"]
    if waited >= 1 and job.origin is None:  # a cluster's clock may differ from ours
        texts.append(f"waited {format_duration(waited)}")
    if job.start is not None:
        ran = elapsed(job, now)
        if ran is not None:
            compared = "" if usual is None else f", usually {format_duration(usual)}"
            words = "ran" if job.status.ended or is_held(job) else "runs for"
            texts.append(f"{words} {format_duration(ran)}{compared}")
    elif usual is not None and not job.status.ended:
        texts.append(f"usually takes {format_duration(usual)}")
    paused = paused_seconds(job, now)
    if paused >= 1:
        texts.append(f"paused for {format_duration(paused)}")
    return texts


def _progress(job: Job, left: float | None, now: datetime) -> list[str]:
    if job.status is not Status.RUNNING or job.progress is None or is_progress_unknown(job, now):
        return []
    done = format_percent(job.progress).strip()
    return [done if left is None else f"{done}, {format_remaining(left)}"]


def elapsed(job: Job, now: datetime) -> float | None:
    """Return the seconds in which the job worked until now, None if unknown."""
    if job.status.ended or job.start is None:
        return job.took
    if job.origin is None:
        return working_seconds(job, now)
    # the start is the cluster's time: its clock is behind if that is before the request, else perhaps ahead
    return max(0.0, (now - max(job.start, job.submitted)).total_seconds())


def _sizes(job: Job, rate: float | None) -> list[str]:
    texts: list[str] = []
    known = [task for task in job.tasks if task.before is not None and task.after is not None]
    before = sum(task.before.bytes for task in known if task.before is not None)
    after = sum(task.after.bytes for task in known if task.after is not None)
    if not job.status.ended:
        known = []  # the sizes of some hosts alone would be misleading
    if known:
        texts.append(f"{format_bytes(before)} → {format_bytes(after)}")
    reclaimed = job.reclaimed_by_compaction
    if reclaimed is not None and known:
        share = f" ({100 * reclaimed / before:.0f}%)" if before and reclaimed > 0 else ""
        word = "reclaimed" if reclaimed >= 0 else "grown"
        texts.append(f"{format_bytes(abs(reclaimed))} {word}{share}")
    if rate is not None:
        texts.append(format_rate(rate))
    elif job.status is Status.FINISHED and job.took and before and job.command != JobCommand.FLUSH:
        texts.append(f"{format_rate(before / job.took)} on average")
    return texts


def _next_step(job: Job) -> list[str]:
    """Return the free disk that the next step needs; of several hosts, the largest need."""
    needed = [
        task.room_needed
        for task in job.tasks
        if task.status is Status.RUNNING
        and task.room_needed is not None
        and task.steps is not None
        and task.steps.done < task.steps.total > 1
    ]
    return [f"next step needs {'up to ' * (len(needed) > 1)}{format_bytes(max(needed))}"] if needed else []


def _requester(job: Job) -> list[Span]:
    spans: list[Span] = []
    if job.requester:
        spans.append((f"requested by {describe_requester(job.requester)}", TextRole.MUTED))
    given = write_options(job.options)
    given.pop("because", None)
    if given:
        options = (f"{name} = {value}" for name, values in given.items() for value in values)
        spans.append((f"with {', '.join(options)}", TextRole.MUTED))
    if job.options.condition:
        spans.append((f"if {job.options.condition}", TextRole.MUTED))
    if limit := _write_limit(job):
        spans.append((limit, TextRole.MUTED))
    if job.options.because:
        spans.append((f"because: {job.options.because}", TextRole.PLAIN))
    return spans


def _write_limit(job: Job) -> str:
    """Return `write limit 3 MiB/s per host`, and who set it; "" if it need not be shown."""
    if job.write_limit is None or job.limited_by == OF_STATEMENT:
        return ""
    by = describe_requester(job.limited_by)
    if not job.write_limit:
        return f"write limit lifted by {by}" if by else "no write limit"
    limit = f"write limit {format_rate(job.write_limit)} per host"
    if job.limited_by == OF_PROFILE:
        return f"{limit} (compact_rate)"
    return f"{limit}, set by {by}" if by else limit


def _lineage(job: Job, recovered_as: Sequence[int]) -> str:
    texts = []
    if job.recovered_from is not None:
        texts.append(f"runs job {job.recovered_from} again")
    if recovered_as:
        word = "job" if len(recovered_as) == 1 else "jobs"
        texts.append(f"was run again as {word} {format_ids(list(recovered_as))}")
    return ", ".join(texts)


def _packed(spans: Iterable[Span], width: int) -> list[Line]:
    """Return the spans in lines, separated by dots; a line is never broken within a span."""
    lines: list[Line] = []
    for span in spans:
        longer: Line = (*lines[-1], (" · ", TextRole.MUTED), span) if lines else ()
        if longer and line_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(((" " if not lines else "   ", TextRole.PLAIN), span))
    return [part for line in lines for part in wrapped(line, width, hang=3)]
