"""Any text gets an answer from the parser and from everything that the command bar calls."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobtui.formatting import is_control
from jobtui.language import StatementError, parse, parse_with_spans, unparse
from jobtui.language.ast import (
    CreateSpace,
    Parsed,
    Stop,
)
from jobtui.language.completion import complete
from jobtui.language.diagnostics import error_at_cursor, highlight
from jobtui.language.identifiers import CONTEXTUAL, KEYWORDS
from tests.support.completion_names import SampleNames


def answered(text: str) -> None:
    """Parse the text and everything a command bar asks of it, and check what comes back."""
    outcome = read(text)
    if isinstance(outcome, StatementError):
        start, end = outcome.span
        assert 0 <= start <= end <= len(text)
        assert min(outcome.line, outcome.column) >= 1
        printed = str(outcome)
        assert printed.count("\n") == 1
        assert not any(is_control(c) for c in printed if c != "\n")
    else:
        assert [parse(text[slice(*one.span)]) for one in outcome] == [[one.statement] for one in outcome]
        statements = [one.statement for one in outcome]
        assert parse("; ".join(map(unparse, statements))) == statements


def read(text: str) -> list[Parsed] | StatementError:
    try:
        return parse_with_spans(text)
    except StatementError as error:
        return error


def answered_while_typing(text: str, cursor: int) -> None:
    error_at_cursor(text, cursor)
    complete(text, cursor, SampleNames())
    at = 0
    for start, end, _ in highlight(text):
        assert at <= start < end <= len(text)
        at = end


@settings(max_examples=300)
@given(st.text(), st.integers(0, 1000))
def test_any_text_is_answered(text: str, cursor: int) -> None:
    answered(text)
    answered_while_typing(text, cursor % (len(text) + 1))


@given(
    st.binary(),
    st.sampled_from(["utf-8", "latin-1", "cp1252", "ascii"]),
    st.sampled_from(["replace", "surrogateescape", "backslashreplace", "ignore"]),
)
def test_any_bytes_decoded_in_any_way_are_answered(raw: bytes, encoding: str, errors: str) -> None:
    answered(raw.decode(encoding, errors))


SPLINTERS = [
    *KEYWORDS,
    *CONTEXTUAL,
    *"`'\"\\;,.#/*-()[]{}$@:=<>&|~ \t\r\n\u00a0\ufeff\u200b\u202e\u3000；ſK図\x00\x1b\x7f\x85\ud800😀0189",
    "/*",
    "*/",
    "--",
    "//",
    "``",
    "0x",
    "9223372036854775808",
    "`a b`",
    "'d'",
    "nba",
    "ЅHOW",
    *("1.5", "50MiB", "1h30min", ">=", "!=", "WITH rolling = 1", "IF NEEDED", "size > 1 GiB", "(size > 1)"),
]


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        text = rng.choice(
            [
                text[:at] + rng.choice(SPLINTERS) + text[at:],
                text[:at] + rng.choice(SPLINTERS) + text[min(at + 1, to) :],
                text[:at] + text[min(at + 3, to) :],
                text[:to] + text[at:to] + text[to:],
                text[:at] + " " + rng.choice(SPLINTERS) + " " + text[at:],
                text.swapcase(),
            ]
        )
    return text


def seeds() -> list[str]:
    rows: list[str] = []
    for name in ("statements.jsonl", "statements2.jsonl"):
        rows.extend((Path(__file__).parent / name).read_text(encoding="utf-8").strip().split("\n"))
    short = [row["text"] for row in map(json.loads, rows) if "text" in row]
    return [text for text in short if text]


def test_mutations_of_the_corpus_are_answered(long: bool) -> None:
    rng = random.Random(20191217)
    texts = seeds()
    for _ in range(200_000 if long else 2_500):
        text = mutated(rng.choice(texts), rng)
        answered(text)
        if rng.random() < 0.2:
            answered_while_typing(text, rng.randint(0, len(text)))


HOSTILE = {
    "comments": "SHOW JOBS" + " # x" * 50_000,
    "comment lines": "# x\n" * 50_000 + "SHOW JOBS",
    "empty comments": "/**/" * 250_000,
    "semicolons": ";" * 100_000,
    "blanks": " " * 1_000_000,
    "blanks of all kinds": " \t\r\n\u00a0" * 200_000,
    "parentheses after IF": "ADMIN COMPACT IF " + "(" * 500_000,
    "NOT after IF": "ADMIN COMPACT IF " + "NOT " * 250_000,
    "a long condition": "ADMIN COMPACT IF size > 1" + " OR size > 1" * 80_000,
    "nested conditions": "ADMIN COMPACT IF " + "(size > 1 OR " * 80_000,
    "options": "ADMIN COMPACT WITH " + "family = 'a', " * 70_000 + "family = 'a'",
    "options and a stop": "ADMIN COMPACT WITH " + "family = 'a', " * 70_000,
    "durations": "ADMIN COMPACT WITH wait = " + "1 h " * 250_000,
    "measures": "ADMIN COMPACT WITH wait = " + "1h" * 500_000,
    "operators": "<>=!" * 250_000,
    "percents": "%" * 1_000_000,
    "schedules": 'CREATE SCHEDULE a AT "' + "1," * 500_000 + '" DO ADMIN COMPACT',
    "hexadecimal": "ADMIN COMPACT WITH from = 0x" + "00" * 500_000,
    "decimals": "SET RATE " + "9" * 500_000 + "." + "9" * 500_000,
    "brackets": "(" * 1_000_000,
    "both brackets": "[{(" * 300_000 + ")}]" * 300_000,
    "an unclosed comment": "/*" + "x" * 1_000_000,
    "many unclosed comments": "/* " * 330_000,
    "an unclosed string": '"' + '\\"' * 500_000,
    "back-quotes": "`" * 999_999,
    "quotes": "'" * 999_999,
    "mixed quotes": "\"'" * 500_000,
    "NULs": "\x00" * 1_000_000,
    "surrogates": "\ud800" * 1_000_000,
    "byte order marks": "\ufeff" * 1_000_000,
    "one word": "a" * 1_000_000,
    "one wide word": "图" * 1_000_000,
    "combining marks": "e" + "\u0301" * 1_000_000,
    "words": "SHOW JOB " + "a " * 300_000,
    "keywords": "SHOW " * 200_000,
    "digits": "SHOW JOB " + "9" * 1_000_000,
    "zeros": "SHOW JOB " + "0" * 1_000_000,
    "commas": "RECOVER JOB 1" + "," * 500_000,
    "commas and a stop": "RECOVER JOB 1" + "," * 500_000 + "x",
    "ids": "RECOVER JOB " + "1," * 200_000,
    "ids and a stop": "RECOVER JOB " + "1," * 200_000 + "(",
    "hosts": "CREATE SPACE a ON " + "h," * 200_000 + "h",
    "hosts and a stop": "CREATE SPACE a ON " + "h," * 200_000 + ",",
    "directories": "CREATE SPACE a AT " + "'d'," * 200_000 + "'d'",
    "dashes": "-" * 1_000_000,
    "lines": "\r\n" * 300_000 + "x",
    "statements": "SHOW JOB 40;" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_hostile_text_is_answered_without_recursion(name: str) -> None:
    outcome = read(HOSTILE[name])
    assert isinstance(outcome, list) or len(str(outcome)) < 2_000


@pytest.mark.parametrize("name", [name for name in HOSTILE if "stop" not in name and name != "statements"])
def test_hostile_text_can_be_typed_into(name: str) -> None:
    text = HOSTILE[name][:20_000]
    answered_while_typing(text, len(text))
    answered_while_typing(text, len(text) // 2)


def test_no_list_is_too_long() -> None:
    many = ",".join(map(str, range(100_000)))
    assert parse(f"STOP JOB {many}") == [Stop(tuple(range(100_000)))]
    hosts = tuple(f"h{n}" for n in range(10_000))
    assert parse(f"CREATE SPACE a ON {', '.join(hosts)}") == [CreateSpace("a", hosts=hosts)]
