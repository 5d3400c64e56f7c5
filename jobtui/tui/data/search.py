"""The search for jobs: the typed filter, its query, and the worker that runs it.

A filter consists of words and terms: `status:failed`, `space:nba`, `host:…`, `cmd:compact`, `since:2h`. Blanks
separate terms, and all must hold. Values of one kind are alternatives, separated by commas or in several terms.
`status:unrecovered` are failed and stopped jobs that were not run again, `took:>10min`, `reclaimed:<1GiB` and
`id:40-60` compare numbers, and `reason:`, `by:` and `why:` look for words in the reasons, in the requester
and in the reason of the request (`because`).
`!` negates a term, and the beginning of a name is enough. Double quotes enclose a value with blanks,
`space:"a b"`, and a word with a colon, `"error:full"`, which would otherwise be read as a kind.
"""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from jobtui.engine.client import Client
from jobtui.history import Bound, Query, QueryResult, Sort
from jobtui.language.quantities import QuantityError, parse_duration, parse_size
from jobtui.model import JobCommand, Status
from jobtui.suggest import did_you_mean

FIRST_PAGE = 256
"""Jobs of a first page."""
_MANY = 20_000
"""From this many jobs on, the first page is shown before the rest is ready."""
_ON_SCREEN = 64
"""The most jobs that a screen shows. The worker reads their records, so that a slow disk does not block it."""


def expand_names(filter: Filter, client: Client) -> Filter:  # noqa: A002
    """Return the filter with beginnings of names replaced by all names that begin so.

    An existing name stands for itself alone. A text that no name begins with stays as it is.
    """
    if filter.is_empty:
        return filter
    spaces = client.history.spaces() if filter.spaces or filter.not_spaces else ()
    hosts = client.host_names() if filter.hosts or filter.not_hosts else ()
    return replace(
        filter,
        spaces=_full_names(filter.spaces, spaces),
        hosts=_full_names(filter.hosts, hosts),
        commands=_full_names(filter.commands, tuple(JobCommand)),
        not_spaces=_full_names(filter.not_spaces, spaces),
        not_hosts=_full_names(filter.not_hosts, hosts),
        not_commands=_full_names(filter.not_commands, tuple(JobCommand)),
    )


def _full_names(typed: frozenset[str], names: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for text in typed:
        start = text.casefold()
        longer = () if text in names else [name for name in names if name.casefold().startswith(start)]
        found.update(longer or [text])
    return frozenset(found)


def query_jobs(client: Client, filter: Filter, sort: str, descending: bool, archived: bool) -> QueryResult:  # noqa: A002
    """Query the history: at once if unfiltered in the order of ids, else within a second."""
    filter = expand_names(filter, client)  # noqa: A001
    # the archive holds no job that waits for a recovery
    unrecovered = frozenset[int]()
    if filter.unrecovered is not None and not archived:
        unrecovered = frozenset(client.history.unrecovered())
    return client.history.query(
        Query(
            statuses=filter.statuses,
            spaces=filter.spaces,
            hosts=filter.hosts,
            commands=filter.commands,
            words=filter.words,
            not_statuses=filter.not_statuses,
            not_spaces=filter.not_spaces,
            not_hosts=filter.not_hosts,
            not_commands=filter.not_commands,
            not_words=filter.not_words,
            since=filter.since,
            until=filter.until,
            reasons=filter.reasons,
            not_reasons=filter.not_reasons,
            requesters=filter.requesters,
            not_requesters=filter.not_requesters,
            becauses=filter.becauses,
            not_becauses=filter.not_becauses,
            bounds=filter.bounds,
            ids=unrecovered if filter.unrecovered else None,
            not_ids=unrecovered if filter.unrecovered is False else frozenset(),
            archived=archived,
            sort=Sort(sort),
            descending=descending,
        )
    )


class Neighbor(msgspec.Struct, frozen=True):
    """The job of a query that comes next to a job of another.

    Attributes:
        job_id: The job, None if the query finds no other.
        is_wrapped: Whether it is at the other end, because there is none in the direction.
        is_none_found: Whether the query finds no job at all.
    """

    job_id: int | None
    is_wrapped: bool = False
    is_none_found: bool = False


def neighbor_in(found: QueryResult, view: QueryResult, job_id: int, by: int) -> Neighbor:
    """Return the job of `found` next to a job of `view`, wrapping around at the end.

    Both are in the same order, and `view` has all jobs of `found`. Not for the screen's thread.

    Args:
        found: The jobs to choose from.
        view: The jobs that are shown.
        job_id: One of the jobs that are shown.
        by: 1 for the job after it, -1 for the one before it.
    """
    target = next_in(found, view, job_id, by)
    if target is not None or not found:
        return Neighbor(target, is_none_found=not found)
    (end,) = found.ids(0, 1) if by > 0 else found.ids(len(found) - 1, len(found))
    return Neighbor(None if end == job_id else end, is_wrapped=True)


def next_in(found: QueryResult, view: QueryResult, job_id: int, by: int) -> int | None:
    """Return the job of `found` after a job of `view`, or before it if `by` is negative.

    Both are in the same order, and `view` has all jobs of `found`. Not for the screen's thread.
    """
    here = view.index_of(job_id)
    if here is None:
        return None

    def place(index: int) -> int:
        (other,) = found.ids(index, index + 1)
        return view.index_of(other) or 0

    after = bisect_right(range(len(found)), here, key=place)
    if by > 0:
        index = after
    else:
        index = after - 1
        if index >= 0 and place(index) == here:
            index -= 1
    ids = found.ids(index, index + 1) if 0 <= index < len(found) else []
    return ids[0] if ids else None


class SearchResult(msgspec.Struct, frozen=True):
    """A query's result, and whether all of it or only its first page can be read at once."""

    view: QueryResult
    whole: bool


def load_in_steps(view: QueryResult, first_at_once: bool) -> Iterator[SearchResult]:
    """Yield the result when all of it can be read, or also at its first page.

    This takes as long as the search, so it is not for the screen's thread.
    """
    count = len(view)
    if first_at_once and count > _MANY and not view.is_ready(0, count):
        view.ids(0, FIRST_PAGE)
        view.page(0, _ON_SCREEN)
        yield SearchResult(view, whole=False)
    view.prepare()
    yield SearchResult(view, whole=True)


def is_quick_query(filter: Filter, sort: str) -> bool:  # noqa: A002
    """Return whether the history answers so quickly that the screen's thread may wait for it."""
    return filter.is_empty and sort == "id"


_ALIASES = {"command": "cmd", "s": "status"}
_KINDS = ("status", "space", "host", "cmd", "since", "until", "took", "id", "reason", "reclaimed", "by", "why")
_UNRECOVERED = "unrecovered"
_COMPARED = r"(>=?|<=?|)(.+)"
_MIN_NUMBER = -1e299  # above the history's value for a missing number
_TERM = r'(!?)(?:([A-Za-z]+):)?("[^"]*"?|[^\s"]+|(?<=:))'
_AGO = r"(\d{1,6})\s*(s|m|min|h|d|w)"
_MAX_KIND = 12
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATES = ("%Y-%m-%d", "%m/%d/%y", "%Y-%m-%dT%H:%M", "%m/%d/%yT%H:%M", "%Y-%m-%dT%H:%M:%S", "%m/%d/%yT%H:%M:%S")


class Filter(msgspec.Struct, frozen=True):
    """A filter as parsed from text. The fields that begin with `not_` hold the negated terms.

    `unrecovered` selects the failed and stopped jobs that were not recovered, False all others. `problems`
    describes the terms that are incomplete or wrong; these filter nothing.
    """

    statuses: frozenset[Status] = frozenset()
    spaces: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    not_statuses: frozenset[Status] = frozenset()
    not_spaces: frozenset[str] = frozenset()
    not_hosts: frozenset[str] = frozenset()
    not_commands: frozenset[str] = frozenset()
    not_words: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    reasons: tuple[str, ...] = ()
    not_reasons: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()
    not_requesters: tuple[str, ...] = ()
    becauses: tuple[str, ...] = ()
    not_becauses: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    unrecovered: bool | None = None
    problems: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether every job passes."""
        return self == Filter(problems=self.problems)


def parse_filter(text: str, now: datetime) -> Filter:
    """Return the filter that a text means; never fails.

    `now` is the time that `since:2h` counts from.
    """
    parser = _FilterParser(now)
    for match in re.finditer(_TERM, text):
        negated, kind, value = match.group(1) == "!", (match.group(2) or "").lower(), match.group(3)
        parser.add(negated, _ALIASES.get(kind, kind), value.strip('"'), match.group(0))
    return parser.filter()


class _FilterParser:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._found: dict[str, list[str]] = {}
        self._statuses: dict[bool, set[Status]] = {False: set(), True: set()}
        self._times: dict[str, datetime] = {}
        self._bounds: list[Bound] = []
        self._unrecovered: bool | None = None
        self._problems: list[str] = []

    def add(self, negated: bool, kind: str, value: str, typed: str) -> None:
        """Add a term, whose whole text is `typed`."""
        if not value or typed == "!":
            return  # incomplete
        if kind == "status":
            for word in value.split(","):
                self._add_status(negated, word)
        elif kind in ("since", "until"):
            self._add_time(negated, kind, value)
        elif kind in ("took", "reclaimed", "id"):
            self._add_bound(negated, kind, value)
        elif kind in ("reason", "by", "why"):
            self._found.setdefault(("!" if negated else "") + kind, []).append(value)
        elif kind in ("space", "host", "cmd"):
            values = [part for part in value.split(",") if part]
            self._found.setdefault(("!" if negated else "") + kind, []).extend(values)
        elif kind and not value.isdecimal():
            self._problems.append(_unknown(kind))
        else:
            word = typed.removeprefix("!").strip('"') if kind else value
            self._found.setdefault("!word" if negated else "word", []).append(word)

    def _add_status(self, negated: bool, word: str) -> None:
        word = word.lower()
        if len(word) > 1 and _UNRECOVERED.startswith(word):
            self._unrecovered = not negated
            return
        found = [status for status in Status if word and status.value.startswith(word)]
        if word == "ended":
            found = [status for status in Status if status.ended]
        elif word == "live":
            found = [status for status in Status if not status.ended]
        if found:
            self._statuses[negated].update(found)
        elif word:
            near = did_you_mean(word, Status)
            hint = f"did you mean {near}?" if near else f"there is {', '.join(Status)}"
            self._problems.append(f"no status {word}: {hint}")

    def _add_bound(self, negated: bool, kind: str, value: str) -> None:
        read, example = _NUMBER_KINDS[kind]
        comparison = re.fullmatch(_COMPARED, value)
        try:
            if comparison is not None and not comparison[1] and kind == "id":
                first, _, last = value.partition("-")
                low, high = read(first), read(last or first)
            else:
                assert comparison is not None
                number = read(comparison[2])
                # a plain number is a lower limit: users look for long jobs and large amounts
                is_upper = comparison[1].startswith("<")
                low, high = (_MIN_NUMBER, number) if is_upper else (number, float("inf"))
                if kind != "reclaimed":
                    low = max(low, 0.0)
                if comparison[1] == ">":
                    low = math.nextafter(low, math.inf)
                elif comparison[1] == "<":
                    high = math.nextafter(high, -math.inf)
        except (ValueError, QuantityError):
            self._problems.append(f"{kind}: takes {example}")
        else:
            self._bounds.append(Bound(kind, low, high, negated))

    def _add_time(self, negated: bool, kind: str, value: str) -> None:
        at = _parse_time(value, self._now)
        if at is None:
            self._problems.append(f"{kind}: takes 30m, 2h, 3d, 2019-12-17")
        else:
            self._times[{"since": "until", "until": "since"}[kind] if negated else kind] = at

    def filter(self) -> Filter:
        """Return the filter of all terms."""
        found = self._found
        return Filter(
            statuses=frozenset(self._statuses[False]),
            spaces=frozenset(found.get("space", ())),
            hosts=frozenset(found.get("host", ())),
            commands=frozenset(found.get("cmd", ())),
            words=tuple(found.get("word", ())),
            not_statuses=frozenset(self._statuses[True]),
            not_spaces=frozenset(found.get("!space", ())),
            not_hosts=frozenset(found.get("!host", ())),
            not_commands=frozenset(found.get("!cmd", ())),
            not_words=tuple(found.get("!word", ())),
            since=self._times.get("since"),
            until=self._times.get("until"),
            reasons=tuple(found.get("reason", ())),
            not_reasons=tuple(found.get("!reason", ())),
            requesters=tuple(found.get("by", ())),
            not_requesters=tuple(found.get("!by", ())),
            becauses=tuple(found.get("why", ())),
            not_becauses=tuple(found.get("!why", ())),
            bounds=tuple(self._bounds),
            unrecovered=self._unrecovered,
            problems=tuple(self._problems),
        )


def _seconds(text: str) -> float:
    ago = re.fullmatch(_AGO, text.lower())
    return float(int(ago[1]) * _UNITS[ago[2]]) if ago is not None else float(parse_duration(text))


# for each kind of number: its parser, and examples for an error message
_NUMBER_KINDS: Mapping[str, tuple[Callable[[str], float], str]] = {
    "took": (_seconds, ">10min, <5s, 2h"),
    "reclaimed": (lambda text: float(parse_size(text)), ">1GiB, <0"),
    "id": (lambda text: float(int(text)), "42, 40-60, >100"),
}


_STATUS_WORDS = (*Status, "ended", "live", "unrecovered")


def complete_filter(text: str, names: Mapping[str, Collection[str]]) -> str | None:
    """Return the text with its last term completed, None if there is nothing to complete.

    `names` are the spaces and hosts, by the kind of a term.
    """
    start = max(text.rfind(" "), text.rfind(",")) + 1
    word = text[text.rfind(" ") + 1 :].removeprefix("!")
    kind, colon, _ = word.partition(":")
    if not colon:
        typed = word.lower()
        found = next((name for name in _KINDS if typed and name.startswith(typed) and name != typed), None)
        return text + found[len(typed) :] + ":" if found else None
    kind = _ALIASES.get(kind.lower(), kind.lower())
    if "," not in word:
        start = text.rfind(":") + 1
    typed = text[start:]
    values = {"status": _STATUS_WORDS, "cmd": tuple(JobCommand), "since": ("today",), **names}.get(kind, ())
    for value in values:
        if typed and value.lower().startswith(typed.lower()) and len(value) > len(typed) and " " not in value:
            return text + value[len(typed) :]
    return None


def _unknown(kind: str) -> str:
    near = did_you_mean(kind, (*_KINDS, *_ALIASES))
    shown = kind if len(kind) <= _MAX_KIND else kind[: _MAX_KIND - 1] + "…"
    return f"no filter {shown}:" + (f"; did you mean {near}:?" if near else '; "…" finds it')


def _parse_time(value: str, now: datetime) -> datetime | None:
    ago = re.fullmatch(_AGO, value.lower())
    try:
        if ago is not None:
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        if value.lower() == "today":
            return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return _parse_date(value)
    except OverflowError:
        return None


def _parse_date(value: str) -> datetime | None:
    for form in _DATES:
        try:
            return datetime.strptime(value, form).astimezone()
        except ValueError:
            continue
    return None


T = TypeVar("T")


class WorkerReply(msgspec.Struct, Generic[T], frozen=True):
    """An answer to a request, or the error that it ended in."""

    request: int
    answer: T | None
    error: Exception | None = None


class LatestOnlyWorker(Generic[T]):
    """A daemon thread that works on the newest request; it cancels an older one.

    The work for a request may yield several answers, each better than the one before.
    """

    def __init__(self, on_reply: Callable[[WorkerReply[T]], object]) -> None:
        """Create the worker.

        `on_reply` is called on its thread with each answer and must be thread-safe.
        """
        self._on_reply = on_reply
        self._changed = threading.Condition()
        self._next: tuple[int, Callable[[], Iterator[T]]] | None = None
        self._last = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], Iterator[T]]) -> int:
        """Run `work` on the thread; return the number of the request, which rises."""
        with self._changed:
            self._last += 1
            self._next = self._last, work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="jobtui-search", daemon=True)
                self._thread.start()
            self._changed.notify()
            return self._last

    def close(self) -> None:
        """End the thread; no further answer is reported."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._next is not None)
                if self._ended or self._next is None:
                    return
                (number, work), self._next = self._next, None
            self._answer(number, work)

    def _answer(self, number: int, work: Callable[[], Iterator[T]]) -> None:
        try:
            for answer in work():
                if self._ended or self._next is not None:
                    return
                self._on_reply(WorkerReply(number, answer))
        except Exception as error:  # the screen's thread handles it
            if not self._ended:
                self._on_reply(WorkerReply(number, None, error))
