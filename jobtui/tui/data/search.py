"""The search for jobs: the filter that a user types, the query that it becomes, and the worker that runs it.

A filter consists of words and terms: `status:failed`, `space:nba`, `host:…`, `cmd:compact`, `since:2h`. Blanks
separate terms, and all must hold. Values of one kind are alternatives, separated by commas or in several terms.
`status:unrecovered` are failed and stopped jobs that were not run again, `took:>10min`, `reclaimed:<1GiB` and
`id:40-60` compare numbers, and `reason:` looks for words in the reasons alone.
`!` negates a term, and the beginning of a name is enough. Double quotes enclose a value with blanks,
`space:"a b"`, and a word with a colon, `"error:full"`, which would otherwise be read as a kind.
"""

from __future__ import annotations

import math
import re
import threading
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

# jobs of a first page, and from how many on it is worth showing one
FIRST_PAGE = 256
_LONG = 20_000
# jobs that the screen reads at once: their records are looked at here, so that no slow disk holds it up
_IN_SIGHT = 64


def expand_names(filter: Filter, client: Client) -> Filter:  # noqa: A002
    """The filter with whole names of spaces, hosts and commands, where only the beginning of some was typed.

    A name that there is means itself alone; what no name begins with, in either case, stays as it is.
    """
    if filter.empty:
        return filter
    spaces = client.history.spaces() if filter.spaces or filter.not_spaces else ()
    hosts = client.host_names() if filter.hosts or filter.not_hosts else ()
    return replace(
        filter,
        spaces=_whole(filter.spaces, spaces),
        hosts=_whole(filter.hosts, hosts),
        commands=_whole(filter.commands, tuple(JobCommand)),
        not_spaces=_whole(filter.not_spaces, spaces),
        not_hosts=_whole(filter.not_hosts, hosts),
        not_commands=_whole(filter.not_commands, tuple(JobCommand)),
    )


def _whole(typed: frozenset[str], names: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for begun in typed:
        start = begun.casefold()
        longer = () if begun in names else [name for name in names if name.casefold().startswith(start)]
        found.update(longer or [begun])
    return frozenset(found)


def query_jobs(client: Client, filter: Filter, sort: str, descending: bool, archived: bool) -> QueryResult:  # noqa: A002
    """Ask the history. Without a filter and in order of id it answers at once, else within a second."""
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
            bounds=filter.bounds,
            ids=unrecovered if filter.unrecovered else None,
            not_ids=unrecovered if filter.unrecovered is False else frozenset(),
            archived=archived,
            sort=Sort(sort),
            descending=descending,
        )
    )


class SearchResult(msgspec.Struct, frozen=True):
    """A view, and whether every place of it can be read at once or only the first ones."""

    view: QueryResult
    whole: bool


def load_in_steps(view: QueryResult, first_at_once: bool) -> Iterator[SearchResult]:
    """The view once it can be read; with `first_at_once`, a long one first as soon as its first page is there.

    Takes as long as the search: not for the screen's thread.
    """
    count = len(view)
    if first_at_once and count > _LONG and not view.is_ready(0, count):
        view.ids(0, FIRST_PAGE)
        view.page(0, _IN_SIGHT)
        yield SearchResult(view, whole=False)
    view.prepare()
    yield SearchResult(view, whole=True)


def is_quick(filter: Filter, sort: str) -> bool:  # noqa: A002
    """Whether the history answers this so quickly that the screen may wait for it."""
    return filter.empty and sort == "id"


_ALIASES = {"command": "cmd", "s": "status"}
_KINDS = ("status", "space", "host", "cmd", "since", "until", "took", "id", "reason", "reclaimed")
_UNRECOVERED = "unrecovered"
_COMPARED = re.compile(r"(>=?|<=?|)(.+)")
_LEAST_NUMBER = -1e299  # above what the history notes where there is no number
_TERM = re.compile(r'(!?)(?:([A-Za-z]+):)?("[^"]*"?|[^\s"]+|(?<=:))')
_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")
_LONGEST_KIND = 12
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATES = ("%Y-%m-%d", "%m/%d/%y", "%Y-%m-%dT%H:%M", "%m/%d/%yT%H:%M", "%Y-%m-%dT%H:%M:%S", "%m/%d/%yT%H:%M:%S")


class Filter(msgspec.Struct, frozen=True):
    """What a filter's text says; fields beginning with `not_` are the turned-round terms.

    `unrecovered`: failed and stopped jobs that were not run again; False for all others. `problems` are terms
    that say nothing yet, in a person's words; they filter nothing.
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
    bounds: tuple[Bound, ...] = ()
    unrecovered: bool | None = None
    problems: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether every job passes."""
        return self == Filter(problems=self.problems)


def parse_filter(text: str, now: datetime) -> Filter:
    """Return the filter that a text means; never fails. `now` is the time that `since:2h` counts from."""
    reading = _Reading(now)
    for match in _TERM.finditer(text):
        turned, kind, value = match.group(1) == "!", (match.group(2) or "").lower(), match.group(3)
        reading.term(turned, _ALIASES.get(kind, kind), value.strip('"'), match.group(0))
    return reading.filter()


class _Reading:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._found: dict[str, list[str]] = {}
        self._statuses: dict[bool, set[Status]] = {False: set(), True: set()}
        self._times: dict[str, datetime] = {}
        self._bounds: list[Bound] = []
        self._unrecovered: bool | None = None
        self._problems: list[str] = []

    def term(self, turned: bool, kind: str, value: str, typed: str) -> None:
        """Take one term in."""
        if not value or typed == "!":
            return  # begun, and saying nothing yet
        if kind == "status":
            for word in value.split(","):
                self._status(turned, word)
        elif kind in ("since", "until"):
            self._time(turned, kind, value)
        elif kind in ("took", "reclaimed", "id"):
            self._bound(turned, kind, value)
        elif kind == "reason":
            self._found.setdefault("!reason" if turned else "reason", []).append(value)
        elif kind in ("space", "host", "cmd"):
            values = [part for part in value.split(",") if part]
            self._found.setdefault(("!" if turned else "") + kind, []).extend(values)
        elif kind and not value.isdecimal():
            self._problems.append(_unknown(kind))
        else:
            word = typed.removeprefix("!").strip('"') if kind else value
            self._found.setdefault("!word" if turned else "word", []).append(word)

    def _status(self, turned: bool, word: str) -> None:
        word = word.lower()
        if len(word) > 1 and _UNRECOVERED.startswith(word):
            self._unrecovered = not turned
            return
        found = [status for status in Status if word and status.value.startswith(word)]
        if word == "ended":
            found = [status for status in Status if status.ended]
        elif word == "live":
            found = [status for status in Status if not status.ended]
        if found:
            self._statuses[turned].update(found)
        elif word:
            near = did_you_mean(word, Status)
            hint = f"did you mean {near}?" if near else f"there is {', '.join(Status)}"
            self._problems.append(f"no status {word}: {hint}")

    def _bound(self, turned: bool, kind: str, value: str) -> None:
        read, example = _NUMBER_KINDS[kind]
        compared = _COMPARED.fullmatch(value)
        try:
            if compared is not None and not compared[1] and kind == "id":
                first, _, last = value.partition("-")
                low, high = read(first), read(last or first)
            else:
                assert compared is not None
                number = read(compared[2])
                # a plain number is a lower limit: long and large is what one looks for
                is_upper = compared[1].startswith("<")
                low, high = (_LEAST_NUMBER, number) if is_upper else (number, float("inf"))
                if kind != "reclaimed":
                    low = max(low, 0.0)
                if compared[1] == ">":
                    low = math.nextafter(low, math.inf)
                elif compared[1] == "<":
                    high = math.nextafter(high, -math.inf)
        except (ValueError, QuantityError):
            self._problems.append(f"{kind}: takes {example}")
        else:
            self._bounds.append(Bound(kind, low, high, turned))

    def _time(self, turned: bool, kind: str, value: str) -> None:
        at = _moment(value, self._now)
        if at is None:
            self._problems.append(f"{kind}: takes 30m, 2h, 3d, 2019-12-17")
        else:
            self._times[{"since": "until", "until": "since"}[kind] if turned else kind] = at

    def filter(self) -> Filter:
        """All terms together."""
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
            bounds=tuple(self._bounds),
            unrecovered=self._unrecovered,
            problems=tuple(self._problems),
        )


def _seconds(text: str) -> float:
    ago = _AGO.fullmatch(text.lower())
    return float(int(ago[1]) * _UNITS[ago[2]]) if ago is not None else float(parse_duration(text))


# how each kind of number is read, and examples
_NUMBER_KINDS: Mapping[str, tuple[Callable[[str], float], str]] = {
    "took": (_seconds, ">10min, <5s, 2h"),
    "reclaimed": (lambda text: float(parse_size(text)), ">1GiB, <0"),
    "id": (lambda text: float(int(text)), "42, 40-60, >100"),
}


def _unknown(kind: str) -> str:
    near = did_you_mean(kind, (*_KINDS, *_ALIASES))
    shown = kind if len(kind) <= _LONGEST_KIND else kind[: _LONGEST_KIND - 1] + "…"
    return f"no filter {shown}:" + (f"; did you mean {near}:?" if near else '; "…" finds it')


def _moment(value: str, now: datetime) -> datetime | None:
    ago = _AGO.fullmatch(value.lower())
    try:
        if ago is not None:
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        return _date(value)
    except OverflowError:
        return None


def _date(value: str) -> datetime | None:
    for form in _DATES:
        try:
            return datetime.strptime(value, form).astimezone()
        except ValueError:
            continue
    return None


T = TypeVar("T")


class WorkerReply(msgspec.Struct, Generic[T], frozen=True):
    """An answer to a question, or the error that it ended in."""

    question: int
    answer: T | None
    error: Exception | None = None


class LatestOnlyWorker(Generic[T]):
    """One daemon thread that answers one question at a time; a newer question ends an older one.

    The work for a question may give several answers, each better than the one before. `told` is called on that
    thread with each of them and must be thread-safe.
    """

    def __init__(self, told: Callable[[WorkerReply[T]], object]) -> None:
        self._told = told
        self._changed = threading.Condition()
        self._next: tuple[int, Callable[[], Iterator[T]]] | None = None
        self._asked = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def ask(self, work: Callable[[], Iterator[T]]) -> int:
        """Have `work` done on the thread; the answer is the question's number, rising."""
        with self._changed:
            self._asked += 1
            self._next = self._asked, work
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="jobtui-lookup", daemon=True)
                self._thread.start()
            self._changed.notify()
            return self._asked

    def close(self) -> None:
        """Answer nothing any more."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _live(self) -> None:
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
                self._told(WorkerReply(number, answer))
        except Exception as error:  # told to the one who asked, on the screen's thread
            self._told(WorkerReply(number, None, error))
