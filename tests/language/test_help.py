"""The help: all statements a line each, or one at length."""

from __future__ import annotations

import pytest

from jobtui.language.help import help_for
from jobtui.language.syntax import SYNTAX
from jobtui.language.tables import cell_width


def test_the_help_names_every_statement_on_a_line_of_its_own() -> None:
    lines = help_for(None).split("\n")
    for form in SYNTAX:
        assert any(line.startswith(form.usage + " ") and line.endswith(form.summary) for line in lines)


@pytest.mark.parametrize("topic", [None, "", *(form.verb for form in SYNTAX)])
def test_the_help_fits_a_terminal_of_eighty_columns(topic: str | None) -> None:
    assert all(cell_width(line) <= 80 for line in help_for(topic).split("\n"))


@pytest.mark.parametrize(
    ("topic", "usages"),
    [
        ("recover", ["RECOVER JOB <id>[, …]", "RECOVER JOB"]),
        ("SHOW JOBS", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("show failed jobs", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("admin compact", ["ADMIN FLUSH|COMPACT [<space>]"]),
        ("Use", ["USE <space>"]),
    ],
)
def test_help_on_one_statement_is_long(topic: str, usages: list[str]) -> None:
    lines = help_for(topic).split("\n")
    assert [line for line in lines if line and not line.startswith(" ")] == usages


@pytest.mark.parametrize("topic", ["kill", "nba", "[/nope]", "\x1b[2J", "kıll show"])
def test_help_on_an_unknown_statement_lists_all(topic: str) -> None:
    told = help_for(topic)
    assert told.startswith("No statement begins with these words.")
    assert "RECOVER JOB <id>[, …]" in told
    assert "\x1b" not in told


def test_help_on_a_misspelt_statement_names_the_near_one() -> None:
    assert "Did you mean RECOVER?" in help_for("recovr")


@pytest.mark.parametrize(
    ("topic", "usages"),
    [
        ("recover job 4", ["RECOVER JOB <id>[, …]", "RECOVER JOB"]),
        ("USE nba", ["USE <space>"]),
        ("show jobs now", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("flush", ["ADMIN FLUSH|COMPACT [<space>]", "SUBMIT JOB FLUSH|COMPACT [<space>]"]),
        ("limit", ["SHOW [<status>] JOBS [IN <space>] [LIMIT <n>]"]),
        ("exists drop", ["DROP SPACE [IF EXISTS] <space>"]),
    ],
)
def test_help_on_words_within_statements_lists_these_alone(topic: str, usages: list[str]) -> None:
    told, *table = help_for(topic).split("\n")
    assert told == "No statement begins with these words. There are:"
    assert [line.split("  ")[0] for line in table if line] == usages
