"""The grammar under concurrency: the screen and the engine parse at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobtui.language import grammar, parse
from jobtui.language.ast import CreateSchedule, DropSpace, RunSchedule, ShowJobs, Submit, Use
from jobtui.language.identifiers import CONTEXTUAL, KEYWORDS
from jobtui.language.lexer import NAME, NUMBER
from jobtui.language.parts import (
    JOB_OPTIONS,
    METRICS,
    PAUSE_OPTIONS,
    RECOVER_OPTIONS,
    SCHEDULE_OPTIONS,
    Keyword,
    OptionalPart,
    Part,
)
from jobtui.language.syntax import SYNTAX
from jobtui.model import JobOptions

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
    grammar._cached_match.cache_clear()
    yield
    sys.setswitchinterval(interval)


def test_every_word_of_the_grammar_is_a_keyword() -> None:
    """Otherwise no token has its kind."""
    words = {part.token for form in SYNTAX for part in flat(form.parts) if isinstance(part, Keyword)}
    words.update(word for form in SYNTAX for part in form.values for word in getattr(part, "words", ()))
    for option in (*JOB_OPTIONS, *PAUSE_OPTIONS, *RECOVER_OPTIONS, *SCHEDULE_OPTIONS):
        words.add(option.name.upper())
        if isinstance(option.value, tuple):
            words.update(map(str.upper, option.value))
    words.update(map(str.upper, METRICS))
    words.update(("NEEDED", "AND", "OR", "NOT"))
    assert words == {*KEYWORDS, *CONTEXTUAL}


def flat(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        yield from flat(part.parts) if isinstance(part, OptionalPart) else (part,)


@pytest.mark.parametrize("word", CONTEXTUAL)
def test_contextual_keyword_is_accepted_as_a_name(word: str) -> None:
    name = word.lower()
    assert parse(f"USE {name}; SHOW JOBS IN {word}; DROP SPACE {name}") == [
        Use(name),
        ShowJobs(space=word),
        DropSpace(name),
    ]
    assert parse(f"ADMIN COMPACT {name} ON {name}, {word} IF NEEDED WITH rate = 1") == [
        Submit("compact", name, JobOptions(hosts=(name, word), condition="NEEDED", rate=1))
    ]
    assert parse(f"CREATE SCHEDULE {name} AT '@daily' DO ADMIN FLUSH {name}; RUN SCHEDULE {name}") == [
        CreateSchedule(name, "@daily", Submit("flush", name)),
        RunSchedule(name),
    ]


@pytest.mark.usefixtures("eager_switches")
def test_threads_parse_at_the_same_time() -> None:
    def answers(_: int) -> list[tuple[grammar.Match | None, int]]:
        return [(grammar._match(kinds), grammar.expected_at(kinds).position) for kinds in STATEMENTS]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(answers, range(16)))
    assert found == [answers(0)] * 16
    assert found[0][2][0] is not None
