"""The corpus: accepted and refused texts, with what each accepted one parses to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobtui.language import StatementError, parse
from jobtui.language.ast import (
    Backup,
    CreateSpace,
    DropSpace,
    Recover,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)

KINDS = {
    "submit": Submit,
    "show_jobs": ShowJobs,
    "show_job": ShowJob,
    "stop": Stop,
    "backup": Backup,
    "recover": Recover,
    "use": Use,
    "show_spaces": ShowSpaces,
    "show_hosts": ShowHosts,
    "create_space": CreateSpace,
    "drop_space": DropSpace,
}


def corpus() -> list[dict[str, Any]]:
    lines = (Path(__file__).parent / "statements.jsonl").read_text(encoding="utf-8").strip().split("\n")
    return [json.loads(line) for line in lines]


def text_of(row: dict[str, Any]) -> str:
    if "text" in row:
        return str(row["text"])
    return "".join(part * times for part, times in row["parts"])


def statement_of(described: dict[str, Any]) -> Statement:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items() if k != "kind"}
    return KINDS[described["kind"]](**fields)


def named(row: dict[str, Any]) -> str:
    return ascii(text_of(row))[:60]


@pytest.mark.parametrize("row", [row for row in corpus() if row["ok"]], ids=named)
def test_an_accepted_text_parses_to_what_the_corpus_says(row: dict[str, Any]) -> None:
    assert parse(text_of(row)) == [statement_of(described) for described in row["statements"]]


@pytest.mark.parametrize("row", [row for row in corpus() if not row["ok"]], ids=named)
def test_a_refused_text_is_refused_with_a_place_in_it(row: dict[str, Any]) -> None:
    text = text_of(row)
    with pytest.raises(StatementError) as refusal:
        parse(text)
    start, end = refusal.value.span
    assert 0 <= start <= end <= len(text)
    assert refusal.value.message
    assert f"syntax error at {refusal.value.line}:{refusal.value.column}: " in str(refusal.value)
