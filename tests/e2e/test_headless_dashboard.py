"""How the command opens the dashboard and restores the terminal, and the temporary profile of --demo."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import CommandLine
from tests.support.terminal import Terminal


def opened(jobtui: CommandLine, *words: str) -> Terminal:
    return Terminal(jobtui.words(*words), environment=jobtui.environment, cwd=jobtui.home)


def test_no_arguments_at_a_terminal_open_the_dashboard(jobtui: CommandLine) -> None:
    with opened(jobtui) as terminal:
        terminal.shows("local[")
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_given_back()
    assert (jobtui.profile.root / "history").is_dir()


def test_demo_has_spaces_and_leaves_no_files(jobtui: CommandLine) -> None:
    jobtui.environment["TMPDIR"] = str(jobtui.home)
    with opened(jobtui, "--demo") as terminal:
        terminal.shows("demo[", "test2")
        (directory,) = jobtui.home.glob("jobtui-demo-*")
        assert (directory / "storage").is_dir()
        terminal.press("q")
        assert terminal.ended() == 0
    assert list(jobtui.home.glob("jobtui-demo-*")) == []
    assert not jobtui.data.exists()


def test_terminal_without_cursor_movement_is_refused(jobtui: CommandLine) -> None:
    command = ["env", "TERM=dumb", *jobtui.words()]
    with Terminal(command, environment=jobtui.environment, cwd=jobtui.home) as terminal:
        assert terminal.ended() == 2
        assert "needs a terminal that can move its cursor" in terminal.text().replace("\n", "")


def test_unusable_profile_is_reported_on_screen_and_in_the_shell(jobtui: CommandLine) -> None:
    jobtui.profile.root.mkdir(parents=True)
    Path(jobtui.profile.root, "history").write_text("in the way")
    with opened(jobtui) as terminal:
        terminal.shows("This profile cannot be opened", "jobtui doctor")
        terminal.press("q")
        assert terminal.ended() == 1
        assert terminal.is_given_back()
        assert "jobtui: " in terminal.text()
