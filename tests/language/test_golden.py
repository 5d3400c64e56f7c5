"""The language's user-visible text, word for word: errors with their hints, help, and usage while typing.

Behavior is tested elsewhere; here a change of wording is visible in review. After an intended change,
`python -m tests.language.test_golden` writes the files of `golden/` again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobtui.language import StatementError, parse
from jobtui.language.completion import complete
from jobtui.language.help import help_for
from jobtui.language.syntax import SYNTAX
from tests.support.completion_names import SampleNames

GOLDEN = Path(__file__).parent / "golden"
ERRORS = GOLDEN / "errors.jsonl"
HELP = GOLDEN / "help.txt"
USAGES = GOLDEN / "usages.txt"


def golden_errors() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ERRORS.read_text(encoding="utf-8").splitlines()]


def error_of(text: str) -> dict[str, Any]:
    with pytest.raises(StatementError) as raised:
        parse(text)
    return {"text": text, "error": str(raised.value).split("\n"), "near": raised.value.near}


def all_help() -> str:
    topics = ["", *dict.fromkeys(form.verb for form in SYNTAX), "kill", "recovr", "limit", "show jobs now"]
    return "\n\n".join(f"=== help {topic}\n{help_for(topic)}" for topic in topics) + "\n"


def all_usages() -> str:
    """The usage that is shown after each prefix of each example, once for each."""
    prefixes: dict[str, None] = {}
    for form in SYNTAX:
        for example in form.examples:
            words = example.split(" ")
            for count in range(1, len(words) + 1):
                prefixes[" ".join(words[:count]) + " "] = None
    return "\n".join(f"{text}| {complete(text, len(text), SampleNames()).usage}" for text in prefixes) + "\n"


@pytest.mark.parametrize("row", golden_errors(), ids=lambda row: ascii(row["text"])[:60])
def test_errors_are_as_reviewed(row: dict[str, Any]) -> None:
    assert error_of(row["text"]) == row


def test_help_is_as_reviewed() -> None:
    assert all_help() == HELP.read_text(encoding="utf-8")


def test_usages_are_as_reviewed() -> None:
    assert all_usages() == USAGES.read_text(encoding="utf-8")


def write_golden_files() -> None:
    errors = [error_of(row["text"]) for row in golden_errors()]
    ERRORS.write_text("".join(json.dumps(error) + "\n" for error in errors), encoding="utf-8")
    HELP.write_text(all_help(), encoding="utf-8")
    USAGES.write_text(all_usages(), encoding="utf-8")


if __name__ == "__main__":
    write_golden_files()
