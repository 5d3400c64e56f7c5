"""How fast the language is: the seed's statements, a hundred thousand, hostile megabytes, completion.

Each function measures once and returns seconds; the caller takes the median of several.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from benchmarks.figures import Outcome, Run, at_most, figure
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


def seed_statement() -> float:
    """The median time to parse one of the seed's statements."""
    parse(SEED[0])
    return statistics.median(_timed(partial(parse, text)) for text in SEED * 50)


def seed_error() -> float:
    """The time to refuse `SHOW JBO 40` and say why."""

    def refuse() -> None:
        with suppress(StatementError):
            parse("SHOW JBO 40")

    refuse()
    return statistics.median(_timed(refuse) for _ in range(50))


def many_statements(count: int = 100_000) -> float:
    """The time to parse `count` valid statements in one text."""
    text = "\n;".join(f"{SEED[n % len(SEED)]}{'' if n % 3 else ' -- again'}" for n in range(count))
    return _timed(partial(parse, text))


def hostile_text(name: str) -> float:
    """The time to answer one of the HOSTILE texts."""

    def answer() -> None:
        with suppress(StatementError):
            parse(HOSTILE[name])

    return _timed(answer)


def completion(text: str = "RECOVER JOB 3", spaces: int = 1_000, jobs: int = 1_000_000) -> float:
    """The median time of what may come next behind `text`, with so many spaces and jobs."""
    world = _World(spaces, jobs)
    complete(text, len(text), world)
    return statistics.median(_timed(partial(complete, text, len(text), world)) for _ in range(50))


class _World:
    """So many spaces and jobs to name."""

    def __init__(self, spaces: int, jobs: int) -> None:
        self._spaces = [f"space_{n}" for n in range(spaces)]
        self._jobs = jobs

    def spaces(self) -> list[str]:
        return self._spaces

    def hosts(self) -> list[str]:
        return ["local0", "local1", "local2"]

    def jobs(self, kind: JobOperation, starting: str) -> Iterator[tuple[int, str]]:
        for job in ids_with_prefix(starting, self._jobs):
            yield job, f"failed  {kind} nba"


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@figure("parse of a statement of the seed", goal=at_most(0.3), unit="ms")
def parse_of_the_seed(run: Run) -> Outcome:
    return Outcome.of([seed_statement() * 1e3 for _ in range(3 if run.quick else 11)])


@figure("SHOW JBO 40, refused with a suggestion", unit="ms")
def refusal_of_a_typo(run: Run) -> Outcome:
    return Outcome.of([seed_error() * 1e3 for _ in range(3 if run.quick else 11)])


@figure("parse of 100,000 statements", goal=at_most(8), unit="s")
def parse_of_many(run: Run) -> Outcome:
    few, many = (5_000, 20_000) if run.quick else (25_000, 100_000)
    times = [(many_statements(few), many_statements(many)) for _ in range(1 if run.quick else 3)]
    growth = statistics.median(one / other for other, one in times) / (many / few)
    note = f"{many:,} of them; {growth:.2f} times the time a statement that {few:,} take"
    return Outcome.of([one for _, one in times], note)


@figure("answer to 1 MB of hostile text, the slowest kind", goal=at_most(1), unit="s")
def answer_to_hostility(run: Run) -> Outcome:
    times = {
        kind: statistics.median(hostile_text(kind) for _ in range(1 if run.quick else 3)) for kind in HOSTILE
    }
    slowest = max(times, key=lambda kind: times[kind])
    return Outcome.worst_of(list(times.values()), f"{slowest}; {len(times)} kinds")


@figure("completion at a cursor, 1,000 spaces and 1,000,000 jobs", goal=at_most(5), unit="ms")
def completions(run: Run) -> Outcome:
    times = [completion(text) * 1e3 for text in ("RECOVER JOB 3", "SHOW JOB ", "USE s", "SHOW ")]
    return Outcome.worst_of(times, "the slowest of four places; the median of 50 each")
