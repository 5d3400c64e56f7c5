"""The help: all statements a line each, or one at length."""

from __future__ import annotations

import re

import pytest

from jobtui.language.help import _OPTIONS, TERMS, has_help, help_for
from jobtui.language.parts import JOB_OPTIONS, METRICS
from jobtui.language.results import cell_width
from jobtui.language.syntax import SYNTAX


def test_help_names_each_statement_on_its_own_line() -> None:
    text = re.sub(r"\s+", " ", help_for(None)) + " "
    for form in SYNTAX:
        assert f"{form.usage} {form.summary} " in text


@pytest.mark.parametrize("topic", [None, "", *(form.verb for form in SYNTAX)])
def test_help_fits_a_terminal_of_eighty_columns(topic: str | None) -> None:
    assert all(cell_width(line) <= 80 for line in help_for(topic).split("\n"))


@pytest.mark.parametrize(
    ("topic", "usages"),
    [
        ("recover", ["RECOVER JOB <id>[, …] [WITH <option>[, …]]", "RECOVER JOB [WITH <option>[, …]]"]),
        ("SHOW JOBS", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("show failed jobs", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("admin compact", ["ADMIN COMPACT [<space>] [ON <host>[, …]] [IF NEEDED|<condition>]"]),
        ("pause", ["PAUSE JOB <id>[, …] [WITH <option>[, …]]", "PAUSE SCHEDULE <schedule>"]),
        ("Use", ["USE <space>"]),
    ],
)
def test_help_on_one_statement_is_long(topic: str, usages: list[str]) -> None:
    lines = help_for(topic).split("\n")
    assert [line for line in lines if line and not line.startswith(" ")] == usages


@pytest.mark.parametrize("topic", ["kill", "nba", "[/nope]", "\x1b[2J", "kıll show"])
def test_help_on_an_unknown_statement_lists_all(topic: str) -> None:
    text = help_for(topic)
    assert text.startswith("No statement begins with these words.")
    assert "RECOVER JOB <id>[, …]" in text
    assert "\x1b" not in text


def test_help_on_a_misspelt_statement_names_the_near_one() -> None:
    assert "Did you mean RECOVER?" in help_for("recovr")


@pytest.mark.parametrize(
    ("topic", "usages"),
    [
        ("recover job 4", ["RECOVER JOB <id>[, …] [WITH <option>[, …]]", "RECOVER JOB [WITH <option>[, …]]"]),
        ("USE nba", ["USE <space>"]),
        ("show jobs now", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("limit", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("exists drop", ["DROP SPACE [IF EXISTS] <space>", "DROP SCHEDULE [IF EXISTS] <schedule>"]),
    ],
)
def test_help_on_a_keyword_lists_its_statements_only(topic: str, usages: list[str]) -> None:
    text, *table = help_for(topic).split("\n")
    assert text == "No statement begins with these words. There are:"
    assert [line.split("  ")[0] for line in table if line] == usages


@pytest.mark.parametrize("topic", [*TERMS, *METRICS, *_OPTIONS, "Options", "L0", "tombstones"])
def test_every_term_is_explained(topic: str) -> None:
    text = help_for(topic)
    assert "No statement begins" not in text
    assert has_help(topic)
    assert all(cell_width(line) <= 80 for line in text.split("\n"))


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("compact", "merges the SST files"),
        ("memtable", "In a condition: the bytes in memory"),
        ("rolling", "Option rolling = <n>: At most this many hosts work at once. Default: all."),
        ("rate", "SET RATE OFF [FOR JOB <id>]"),
        ("deletions", "IF deletions > 10%"),
    ],
)
def test_term_is_explained_with_its_statements(topic: str, words: str) -> None:
    assert words in re.sub(r"\s+", " ", help_for(topic))


def test_help_on_a_misspelt_term_names_the_near_one() -> None:
    assert "Did you mean memtable?" in help_for("memtabel")
    assert not has_help("memtabel")


def test_statement_is_explained_with_its_options_and_metrics() -> None:
    text = re.sub(r"\s+", " ", help_for("admin compact"))
    assert all(
        f" {option.usage} {option.summary} (default: {option.default})" in text for option in JOB_OPTIONS
    )
    assert all(f" {metric.name} > {metric.label} {metric.summary}" in text for metric in METRICS.values())
