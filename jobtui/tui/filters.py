"""The filter's little language: words, `status:failed`, `space:nba`, `host:…`, `cmd:compact`, `since:2h`.

Terms are parted by blanks and all must hold; values of one kind, parted by commas or in several terms, are
alternatives; `!` before a term turns it round; the beginning of a name will do. A value with blanks stands in
double quotes: `space:"a b"`. So does a word with a colon, `"error:full"`, that would else be taken for a kind
nobody knows.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import msgspec

from jobtui.model import Status
from jobtui.suggest import did_you_mean

_ALIASES = {"command": "cmd", "s": "status"}
_KINDS = ("status", "space", "host", "cmd", "since", "until")
_TERM = re.compile(r'(!?)(?:([A-Za-z]+):)?("[^"]*"?|[^\s"]+|(?<=:))')
_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")
_LONGEST_KIND = 12
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATES = ("%Y-%m-%d", "%m/%d/%y", "%Y-%m-%dT%H:%M", "%m/%d/%yT%H:%M", "%Y-%m-%dT%H:%M:%S", "%m/%d/%yT%H:%M:%S")


class Filter(msgspec.Struct, frozen=True):
    """What a filter's text says; fields beginning with `not_` are the turned-round terms.

    `problems` are terms that say nothing yet, in a person's words; they filter nothing.
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
    problems: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether every job passes."""
        return self == Filter(problems=self.problems)


def read(text: str, now: datetime) -> Filter:
    """Read a filter; never fails. `now` is what `since:2h` counts from."""
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
            problems=tuple(self._problems),
        )


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
