"""The texts of a job that can be copied."""

import pytest

from jobtui.model import Job, Status
from jobtui.tui.actions.menus import command_line, copy_choices, filter_statement, marked_choices
from jobtui.tui.data.search import Filter, parse_filter
from tests.support.clock import FakeClock


def texts(command: str, space: str, recovered_from: int | None = None) -> dict[str, str]:
    job = Job(
        id=13,
        command=command,
        space=space,
        submitted=FakeClock().now(),
        status=Status.FINISHED,
        recovered_from=recovered_from,
    )
    return {title: text for _, title, text in copy_choices(job)}


class TestStatement:
    @pytest.mark.parametrize(
        ("command", "space", "statement"),
        [
            ("compact", "nba", "ADMIN COMPACT nba"),
            ("flush", "nba", "ADMIN FLUSH nba"),
            ("flush", "two words", "ADMIN FLUSH `two words`"),
        ],
    )
    def test_statement_creates_an_equal_job(self, command: str, space: str, statement: str) -> None:
        assert texts(command, space)["statement"] == statement
        assert texts(command, space, recovered_from=3)["statement"] == statement

    def test_is_left_out_if_the_language_has_none(self) -> None:
        assert "statement" not in texts("rebuild index", "nba")


class TestCommand:
    def test_of_a_job_runs_its_statement_and_waits(self) -> None:
        assert (
            texts("compact", "nba")["shell command"] == "jobtui --profile local --wait -e 'ADMIN COMPACT nba'"
        )

    def test_is_quoted_for_a_shell(self) -> None:
        assert command_line("prod", "ADMIN FLUSH `it's`") == (
            """jobtui --profile prod --wait -e 'ADMIN FLUSH `it'"'"'s`'"""
        )

    def test_of_marked_jobs_names_them_all(self) -> None:
        found = {title: text for _, title, text in marked_choices("prod", [5, 3])}
        assert found["command that runs them again"] == "jobtui --profile prod --wait -e 'RECOVER JOB 3, 5'"
        assert found["command that stops them"] == "jobtui --profile prod --wait -e 'STOP JOB 3, 5'"

    @pytest.mark.parametrize(
        ("text", "statement"),
        [
            ("", "SHOW JOBS"),
            ("status:failed", "SHOW FAILED JOBS"),
            ("space:nba", "SHOW JOBS IN nba"),
            ('status:queue space:"two words"', "SHOW QUEUE JOBS IN `two words`"),
            ("status:ended", ""),
            ("took:>1h", ""),
        ],
    )
    def test_of_a_filter_lists_the_same_jobs_if_a_statement_can(self, text: str, statement: str) -> None:
        assert filter_statement(parse_filter(text, FakeClock().now())) == statement

    def test_of_a_filter_is_offered_with_the_jobs(self) -> None:
        job = Job(id=13, command="compact", space="nba", submitted=FakeClock().now())
        shown = Filter(spaces=frozenset({"nba"}))
        found = {title: text for _, title, text in copy_choices(job, "prod", shown)}
        assert found["command that lists the filter"].endswith("-e 'SHOW JOBS IN nba'")


def test_row_is_one_line_without_control_characters() -> None:
    reason = "IO error\nrm -rf x\r\x1b[2J\tend"
    job = Job(1, "compact", "a\nb", FakeClock().now(), Status.FAILED, reason=reason)
    (row,) = [text for _, title, text in copy_choices(job) if title == "row"]
    assert row.replace("\t", " ").isprintable()
    assert len(row.split("\t")) == 7
