import asyncio
import base64
from pathlib import Path

import pytest

from jobtui.config.settings import TuiSettings
from jobtui.tui import terminal
from tests.support.dashboards import dashboard_bench


def test_clipboard_is_set_by_osc_52() -> None:
    sequence = terminal.clipboard_sequence("été [/nope]", {})
    assert sequence.startswith("\x1b]52;c;")
    assert base64.b64decode(sequence[7:-1]).decode() == "été [/nope]"


def test_tmux_passes_the_sequence_to_both_terminals() -> None:
    sequence = terminal.clipboard_sequence("x", {"TMUX": "/tmp/tmux"})
    assert sequence.startswith("\x1b]52;c;")
    assert "\x1bPtmux;\x1b\x1b]52;c;" in sequence
    assert sequence.endswith("\x1b\\")
    assert terminal.clipboard_sequence("x", {"STY": "1"}).startswith("\x1bP\x1b]52")


def test_notice_has_no_terminator_inside() -> None:
    sequence = terminal.notice_sequence("job \x07\x1b]52;c;eA==\x07 ended", {})
    assert sequence.count("\x1b") == 1
    assert sequence.count("\x07") == 1


def test_clipboard_program_is_not_used_over_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert terminal.native_command({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, "linux") is None
    assert terminal.native_command({"DISPLAY": ":0"}, "linux") == ("xclip", "-selection", "clipboard")
    assert terminal.native_command({"WAYLAND_DISPLAY": "w"}, "linux") == ("wl-copy",)
    assert terminal.native_command({}, "darwin") == ("pbcopy",)
    assert terminal.native_command({}, "linux") is None


def test_failing_clipboard_program_is_ignored() -> None:
    assert terminal.copy_natively("x", ("cat",))
    assert not terminal.copy_natively("x", ("false",))
    assert not terminal.copy_natively("x", ("/no/such/program",))


def test_y_copies_the_id_the_row_the_reason_or_a_statement(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            messages: list[str] = []
            shown.app.write_to_terminal = messages.append  # type: ignore[method-assign]  # replaced for this test
            shown.bench.execute("ADMIN COMPACT nba")
            shown.bench.storage.operation("nba", "local0").fail(detail="no luck")
            await shown.shows("✖ failed")
            for key, expected in (("i", "1"), ("e", "local0: no luck"), ("c", "RECOVER JOB 1")):
                await shown.press("y")
                await shown.shows("Copy")
                await shown.press(key)
                await shown.shows(f"copied: {expected}")
                copied = next(text for text in reversed(messages) if "]52;" in text)
                assert base64.b64decode(copied.split(";")[2].rstrip("\x07\x1b\\")).decode() == expected
                shown.app.clear_notifications()

    asyncio.run(run())


def test_end_of_a_watched_job_alerts_as_configured(tmp_path: Path) -> None:
    async def run(bell: bool, notice: bool) -> None:
        settings = TuiSettings(bell=bell, terminal_notice=notice)
        async with dashboard_bench(
            tmp_path / f"{bell}{notice}", {"nba": ["local0"]}, settings=settings
        ) as shown:
            messages: list[str] = []
            rung: list[int] = []
            shown.app.write_to_terminal = messages.append  # type: ignore[method-assign]  # replaced for this test
            shown.app.bell = lambda: rung.append(1)  # type: ignore[method-assign]  # replaced for this test
            await shown.execute("ADMIN COMPACT nba")
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.shows("✔ job 1 compact nba finished")
            assert bool(rung) == bell
            assert any("\x1b]9;" in text for text in messages) == notice

    asyncio.run(run(True, False))
    asyncio.run(run(False, True))


def test_text_too_long_for_the_clipboard_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            messages: list[str] = []
            shown.app.write_to_terminal = messages.append  # type: ignore[method-assign]  # replaced for this test
            shown.app.copy_to_clipboard("é" * 50_000)
            await shown.shows("Too long for the terminal's clipboard")
            assert not any("\x1b]52;" in text for text in messages)

    asyncio.run(run())
