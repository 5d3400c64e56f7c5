"""The texts of a job that can be copied."""

import pytest

from jobtui.model import Job, Status
from jobtui.tui.actions.menus import copy_choices
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
    def test_makes_such_a_job_again(self, command: str, space: str, statement: str) -> None:
        assert texts(command, space)["statement"] == statement
        assert texts(command, space, recovered_from=3)["statement"] == statement

    def test_is_left_out_if_the_language_has_none(self) -> None:
        assert "statement" not in texts("rebuild index", "nba")
