"""The line under the bar: its error, and what it drops if the width is too small."""

from collections.abc import Iterator

import pytest

from jobtui.language.completion import JobOperation
from jobtui.tui.text.spans import plain
from jobtui.tui.widgets.diagnostics import Diagnostic, analyze, diagnostic_line

NEAR = "expected JOB, JOBS, SPACES, HOSTS or a status; did you mean JOB?"
FAR = "expected JOB, JOBS, SPACES, HOSTS or a status"


@pytest.mark.parametrize(
    ("message", "column", "width", "expected"),
    [
        (NEAR, 14, 100, " " * 14 + f"^^^ {NEAR}"),
        (NEAR, 14, 60, " " * 14 + "^^^ did you mean JOB?"),
        (NEAR, 50, 60, " " * 32 + "did you mean JOB? ^^^"),
        (FAR, 14, 60, f" {FAR}"),
        (FAR, 52, 60, f"{FAR:>51} ^^^"),
    ],
)
def test_most_helpful_words_of_a_line_are_kept(message: str, column: int, width: int, expected: str) -> None:
    line = diagnostic_line(Diagnostic(5, 8, message), "SHOW JBO 3", lambda position: column, width)
    assert plain(line) == expected


class NoNames:
    """A client without anything to name."""

    def spaces(self) -> tuple[str, ...]:
        return ()

    hosts = spaces
    schedules = spaces

    def jobs(self, kind: JobOperation, starting: str) -> Iterator[tuple[int, str]]:
        yield from ()


class TestLocalWords:
    @pytest.mark.parametrize(
        "text", ["?", " ? ", "help", "HELP;", "quit", "exit", "clear", "help recover", "? stop"]
    )
    def test_console_commands_are_no_error(self, text: str) -> None:
        assert analyze(text, len(text), NoNames()).diagnostic is None

    @pytest.mark.parametrize("word", ["?", "help", "quit", "exit", "clear"])
    def test_are_no_error_while_they_are_typed(self, word: str) -> None:
        for end in range(1, len(word) + 1):
            assert analyze(word[:end], end, NoNames()).diagnostic is None, word[:end]

    @pytest.mark.parametrize("text", ["hepl", "quitt", "?? x", "?x"])
    def test_near_misses_are_errors(self, text: str) -> None:
        wrong = analyze(text, len(text), NoNames()).diagnostic
        assert wrong is not None
        assert "did you mean ?" not in wrong.message
