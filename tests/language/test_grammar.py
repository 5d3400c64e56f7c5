"""The grammar under concurrency: the screen and the engine parse at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobtui.language import grammar
from jobtui.language.identifiers import KEYWORDS
from jobtui.language.lexer import NAME, NUMBER

STATEMENTS = [
    ["SHOW", "JOB", NUMBER],
    ["SHOW", "FAILED", "JOBS", "IN", NAME, "LIMIT", NUMBER],
    ["CREATE", "SPACE", "IF", "NOT", "EXISTS", NAME, "ON", NUMBER, "HOSTS"],
    ["RECOVER", "JOB", NUMBER, ",", NUMBER],
    ["DROP", "SPACE", NAME],
    *([keyword, NAME] for keyword in KEYWORDS),
]


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads that are switched as often as possible, and expressions that are made by them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    grammar._statement.cache_clear()
    grammar._remembered_match.cache_clear()
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_switches")
def test_threads_parse_at_the_same_time() -> None:
    def answers(_: int) -> list[tuple[grammar.Match | None, int]]:
        return [(grammar._match(kinds), grammar.expected_at(kinds).position) for kinds in STATEMENTS]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(answers, range(16)))
    assert found == [answers(0)] * 16
    assert found[0][2][0] is not None
