"""Progress without a terminal."""

from __future__ import annotations

import pytest

from jobtui.cli.progress import LINES_SECONDS, ByteLines, byte_bar


def test_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    show = ByteLines("load nba", 4 << 30, lambda: now[0])
    for seconds in (1.0, LINES_SECONDS, LINES_SECONDS + 1, 2 * LINES_SECONDS):
        now[0] = seconds
        show(int(seconds) << 20)
    assert capsys.readouterr().err == "load nba: 30 MiB of 4 GiB\nload nba: 60 MiB of 4 GiB\n"


def test_quiet_load_draws_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.cli.progress.LINES_SECONDS", 0.0)
    for quiet in (True, False):
        with byte_bar("load nba", None, quiet=quiet) as show:
            show(1 << 20)
        assert capsys.readouterr().err == ("" if quiet else "load nba: 1 MiB\n")
