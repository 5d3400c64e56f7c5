"""The options of a job that each storage honors; none is ever ignored."""

from __future__ import annotations

import pytest

from jobtui.engine.control import HONORED, JobRunner, require_options
from jobtui.errors import StatementRefused
from jobtui.language import parse
from jobtui.language.ast import Submit
from jobtui.language.parts import JOB_OPTIONS


def submit(text: str) -> Submit:
    (statement,) = parse(text)
    assert isinstance(statement, Submit)
    return statement


ALL = {
    "ON": "ON h1",
    "IF": "IF size > 1 GiB",
    "rolling": "WITH rolling = 1",
    "wait": "WITH wait = 5 min",
    "order": "WITH order = largest",
    "on_failure": "WITH on_failure = stop",
    "retry": "WITH retry = 3",
    "retry_wait": "WITH retry_wait = 5 s",
    "rate": "WITH rate = 5 MiB",
    "family": "WITH family = 'a'",
    "from": "WITH from = 'a'",
    "to": "WITH to = 0x00ff",
    "room": "WITH room = 10%",
    "because": "WITH because = 'x'",
}


@pytest.mark.parametrize("command", ["compact", "flush"])
@pytest.mark.parametrize("runner", JobRunner)
def test_every_option_is_honored_or_refused_by_name(runner: JobRunner, command: str) -> None:
    assert set(ALL) == {"ON", "IF", *(option.name for option in JOB_OPTIONS)}
    for name, clause in ALL.items():
        statement = submit(f"ADMIN {command} nba {clause}")
        if name in HONORED[runner, command]:
            require_options(statement, runner)
        else:
            with pytest.raises(
                StatementRefused, match=f"^{name} is not (possible for {command.upper()}|available)"
            ):
                require_options(statement, runner)


def test_without_options_every_runner_takes_a_job() -> None:
    for runner, command in HONORED:
        require_options(submit(f"ADMIN {command} nba"), runner)


@pytest.mark.parametrize(("first", "last"), [("'b'", "'a'"), ("'a'", "'a'"), ("0xff", "'z'")])
def test_empty_range_of_keys_is_refused(first: str, last: str) -> None:
    with pytest.raises(StatementRefused, match="range of keys is empty"):
        require_options(submit(f"ADMIN COMPACT nba WITH from = {first}, to = {last}"), JobRunner.EMBEDDED)
    require_options(submit("ADMIN COMPACT nba WITH from = 'a', to = 'b'"), JobRunner.EMBEDDED)
