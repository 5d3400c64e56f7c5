"""How fast the language is: the seed's statements, a hundred thousand, hostile megabytes, completion."""

from __future__ import annotations

import difflib
import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from benchmarks.figures import Outcome, Run, alternate, at_most, figure, timed
from jobtui.language import StatementError, parse
from jobtui.language.completion import JobOperation, complete, ids_with_prefix

SEED: Final = ("ADMIN FLUSH", "ADMIN COMPACT", "SHOW JOB 40", "SHOW JOBS", "BACKUP JOB 0 22", "RECOVER JOB 40")

HOSTILE: Final = {
    "comments": "SHOW JOBS" + " # x" * 250_000,
    "empty comments": "/**/" * 250_000,
    "semicolons": ";" * 1_000_000,
    "blanks": " " * 1_000_000,
    "brackets": "(" * 1_000_000,
    "unclosed comment": "/*" + "x" * 1_000_000,
    "list of ids": "RECOVER JOB " + "1," * 500_000 + "1",
    "words": "SHOW JOB " + "a " * 500_000,
}
"""A megabyte each."""

_TOKEN: Final = re.compile(r"\s+|\w+|.", re.DOTALL)
_KEYWORDS: Final = ("SHOW", "JOB", "JOBS", "ADMIN", "FLUSH", "COMPACT", "RECOVER", "BACKUP", "STOP", "SPACES")


def scan(text: str) -> None:
    """Find each word, blank and sign with one regular expression, as any parser has to; keep where it was."""
    [match.span() for match in _TOKEN.finditer(text)]


def answer(text: str) -> None:
    """Parse a text, or refuse it."""
    with suppress(StatementError):
        parse(text)


@figure(
    "parse of a statement of the seed ÷ a regular expression that finds its words",
    goal=at_most(10),
    absolute=at_most(0.0003),
)
def parse_of_the_seed(run: Run) -> Outcome:
    def each(act: Callable[[str], object]) -> float:
        return statistics.median(timed(partial(act, text)) for text in SEED * 50)

    each(parse)
    return Outcome.ratio(*alternate(3 if run.quick else 11, partial(each, parse), partial(each, scan)))


@figure("SHOW JBO 40, refused with a suggestion ÷ looking for the nearest of ten words", goal=at_most(8))
def refusal_of_a_typo(run: Run) -> Outcome:
    def each(act: Callable[[], object]) -> float:
        return statistics.median(timed(act) for _ in range(50))

    refuse = partial(each, partial(answer, "SHOW JBO 40"))
    nearest = partial(each, partial(difflib.get_close_matches, "JBO", _KEYWORDS))
    refuse()
    return Outcome.ratio(*alternate(3 if run.quick else 11, refuse, nearest))


@figure("parse of 100,000 statements ÷ a pass of a regular expression", goal=at_most(4), absolute=at_most(8))
def parse_of_many(run: Run) -> Outcome:
    few, many = (_statements(count) for count in ((5_000, 20_000) if run.quick else (25_000, 100_000)))
    ours, yardstick = alternate(
        3 if run.quick else 5, partial(_seconds, many), partial(timed, partial(scan, many))
    )
    growth = statistics.median(ours) / _seconds(few) / 4
    return Outcome.ratio(
        ours, yardstick, f"{growth:.2f} times the time a statement that a quarter of them take"
    )


def _statements(count: int) -> str:
    return "\n;".join(f"{SEED[n % len(SEED)]}{'' if n % 3 else ' -- again'}" for n in range(count))


def _seconds(text: str) -> float:
    return timed(partial(answer, text))


@figure(
    "answer to 1 MB of hostile text, the slowest kind ÷ a pass of a regular expression",
    goal=at_most(5),
    absolute=at_most(1),
)
def answer_to_hostility(run: Run) -> Outcome:
    """The yardstick's text is the same one."""
    slowest = max(HOSTILE, key=lambda kind: _seconds(HOSTILE[kind]))
    text = HOSTILE[slowest]
    ours, yardstick = alternate(
        2 if run.quick else 5, partial(_seconds, text), partial(timed, partial(scan, text))
    )
    return Outcome.ratio(ours, yardstick, f"{slowest}; {len(HOSTILE)} kinds")


@figure(
    "completion at a cursor, 1,000 spaces and 1,000,000 jobs ÷ a pass over 1,000 names",
    goal=at_most(2),
    absolute=at_most(0.005),
)
def completions(run: Run) -> Outcome:
    """The yardstick finds the names that begin with the word, and sorts them."""
    names = _Names(1_000, 1_000_000)
    places = ("RECOVER JOB 3", "SHOW JOB ", "USE s", "SHOW ")

    def slowest() -> float:
        return max(
            statistics.median(timed(partial(complete, text, len(text), names)) for _ in range(20))
            for text in places
        )

    def plain() -> float:
        spaces = names.spaces()
        return statistics.median(
            timed(lambda: sorted(name for name in spaces if name.casefold().startswith("s"))) for _ in range(20)
        )

    slowest()
    ours, yardstick = alternate(3 if run.quick else 11, slowest, plain)
    return Outcome.ratio(ours, yardstick, "the slowest of four places")


class _Names:
    """A given number of spaces and jobs to name."""

    def __init__(self, spaces: int, jobs: int) -> None:
        self._spaces = [f"space_{n}" for n in range(spaces)]
        self._jobs = jobs

    def spaces(self) -> list[str]:
        return self._spaces

    def hosts(self) -> list[str]:
        return ["local0", "local1", "local2"]

    def schedules(self) -> list[str]:
        return ["nightly"]

    def jobs(self, kind: JobOperation, starting: str) -> Iterator[tuple[int, str]]:
        for job in ids_with_prefix(starting, self._jobs):
            yield job, f"failed  {kind} nba"
