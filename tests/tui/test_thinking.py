"""The line under the bar: what it says of an error, and what gives way where it does not fit."""

import pytest

from jobtui.tui.lines import plain
from jobtui.tui.thinking import Thought, Wrong, remark

NEAR = "expected JOB, JOBS, SPACES, HOSTS or a status; did you mean JOB?"
FAR = "expected JOB, JOBS, SPACES, HOSTS or a status"


@pytest.mark.parametrize(
    ("message", "column", "width", "said"),
    [
        (NEAR, 14, 100, " " * 14 + f"^^^ {NEAR}"),
        (NEAR, 14, 60, " " * 14 + "^^^ did you mean JOB?"),
        (NEAR, 50, 60, " " * 32 + "did you mean JOB? ^^^"),
        (FAR, 14, 60, f" {FAR}"),
        (FAR, 52, 60, f"{FAR:>51} ^^^"),
    ],
)
def test_of_a_line_the_words_that_help_most_are_kept(message: str, column: int, width: int, said: str) -> None:
    line = remark(Thought(wrong=Wrong(5, 8, message)), "SHOW JBO 3", lambda place: column, width)
    assert plain(line) == said
