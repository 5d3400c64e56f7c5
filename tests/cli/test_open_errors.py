"""A profile that cannot be opened: the error screen, and what follows it."""

import pytest

from jobtui.cli.commands.dashboard import retry_on_error_screen
from jobtui.cli.errors import CommandError, profile_error
from jobtui.tui import launch


class Opening:
    """Fails this many times, then opens."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self) -> object:
        if self.left:
            self.left -= 1
            raise profile_error(OSError("The history cannot be opened: Permission denied"))
        return "the client"


def test_error_screen_gives_reason_and_retries_repeatedly(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, str]] = []

    def show(why: str, advice: object, theme: str) -> bool:
        shown.append((why, theme))
        return True

    monkeypatch.setattr(launch, "show_open_error", show)
    assert retry_on_error_screen(Opening(2), "light") == "the client"
    assert shown == [("The history cannot be opened: Permission denied", "light")] * 2


def test_error_is_repeated_in_the_shell_after_quitting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "show_open_error", lambda *_: False)
    with pytest.raises(CommandError, match="jobtui doctor shows what to do"):
        retry_on_error_screen(Opening(1), "")
