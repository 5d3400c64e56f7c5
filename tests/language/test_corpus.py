"""The corpus: accepted and refused texts, with what each accepted one parses to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobtui.language import StatementError, ast, parse
from jobtui.language.ast import CreateSchedule, Explain, Statement, Submit
from jobtui.language.conditions import And, Comparison, Condition, Needed, Not, Or, parse_condition
from jobtui.model import NO_OPTIONS, JobOptions

KINDS = {
    "submit": Submit,
    "explain": Explain,
    "show_jobs": ast.ShowJobs,
    "show_job": ast.ShowJob,
    "show_advice": ast.ShowAdvice,
    "stop": ast.Stop,
    "pause": ast.Pause,
    "resume": ast.Resume,
    "set_rate": ast.SetRate,
    "backup": ast.Backup,
    "restore": ast.Restore,
    "recover": ast.Recover,
    "use": ast.Use,
    "show_spaces": ast.ShowSpaces,
    "show_hosts": ast.ShowHosts,
    "create_space": ast.CreateSpace,
    "drop_space": ast.DropSpace,
    "create_schedule": CreateSchedule,
    "show_schedules": ast.ShowSchedules,
    "pause_schedule": ast.PauseSchedule,
    "resume_schedule": ast.ResumeSchedule,
    "run_schedule": ast.RunSchedule,
    "drop_schedule": ast.DropSchedule,
}
OPTION_FIELDS = {"family": "families", "from": "from_key", "to": "to_key"}


def corpus() -> list[dict[str, Any]]:
    lines: list[str] = []
    for name in ("statements.jsonl", "statements2.jsonl"):
        lines.extend((Path(__file__).parent / name).read_text(encoding="utf-8").strip().split("\n"))
    return [json.loads(line) for line in lines]


def text_of(row: dict[str, Any]) -> str:
    if "text" in row:
        return str(row["text"])
    return "".join(part * times for part, times in row["parts"])


def described(statement: Statement, like: dict[str, Any]) -> dict[str, Any]:
    """Return what the corpus says of a statement; of a space only the keys that are in `like`."""
    kind = next(kind for kind, record in KINDS.items() if type(statement) is record)
    fields: dict[str, Any] = {name: getattr(statement, name) for name in statement.__struct_fields__}
    if isinstance(statement, Submit):
        fields |= described_options(fields.pop("options"))
    elif isinstance(statement, Explain | CreateSchedule):
        fields["statement"] = described(statement.statement, like.get("statement", {}))
    options = {
        name: fields.pop(name)
        for name in ("because", "failed_only", "whole", "now", "timezone")
        if name in fields
    }
    fields["options"] = fields.get("options", {}) | {name: value for name, value in options.items() if value}
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    given = {name: value for name, value in found.items() if value not in (None, False, [], {}) or name in like}
    return {"kind": kind} | (given if len(like) > 1 else {})


def described_options(options: JobOptions) -> dict[str, Any]:
    """Return the hosts, the condition and the options of a job as the corpus has them."""
    named = {OPTION_FIELDS.get(name, name): name for name in OPTION_FIELDS}
    given = {}
    for field in options.__struct_fields__:
        value = getattr(options, field)
        if field not in ("hosts", "condition") and value != getattr(NO_OPTIONS, field):
            given[named.get(field, field).removesuffix("_share")] = as_json(value)
    found: dict[str, Any] = {"hosts": options.hosts, "options": given}
    if options.condition:
        found["condition"] = described_condition(parse_condition(options.condition))
    return found


def as_json(value: object) -> object:
    """Return a value of an option as the corpus has it: a key as text if it was ASCII letters."""
    if isinstance(value, bytes):
        return value.decode() if value.isalpha() else f"0x{value.hex()}"
    return list(value) if isinstance(value, tuple) else value


def described_condition(condition: Condition) -> object:
    match condition:
        case Needed():
            return "needed"
        case Comparison(metric, operator, value, _):
            return [metric, operator, value]
        case Not(inner):
            return ["not", described_condition(inner)]
        case And(conditions):
            return ["and", *map(described_condition, conditions)]
        case Or(conditions):
            return ["or", *map(described_condition, conditions)]


def named(row: dict[str, Any]) -> str:
    return ascii(text_of(row))[:60]


@pytest.mark.parametrize("row", [row for row in corpus() if row["ok"]], ids=named)
def test_accepted_text_parses_as_the_corpus_states(row: dict[str, Any]) -> None:
    found = parse(text_of(row))
    assert len(found) == len(row["statements"])
    for statement, wanted in zip(found, row["statements"], strict=True):
        assert described(statement, wanted) == wanted


@pytest.mark.parametrize("row", [row for row in corpus() if not row["ok"]], ids=named)
def test_refused_text_is_refused_with_a_place_in_it(row: dict[str, Any]) -> None:
    text = text_of(row)
    with pytest.raises(StatementError) as refusal:
        parse(text)
    start, end = refusal.value.span
    assert 0 <= start <= end <= len(text)
    assert refusal.value.message
    assert f"syntax error at {refusal.value.line}:{refusal.value.column}: " in str(refusal.value)
