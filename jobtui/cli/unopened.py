"""A profile that can't be opened: a screen says why and what to do, and lets one try again."""

from __future__ import annotations

from collections.abc import Callable

from jobtui.cli.exits import CommandError
from jobtui.engine.client import Desk

_ADVICE = (
    "jobtui doctor looks at the profile and says what is wrong with it and what to do",
    "jobtui history verify looks into the stored jobs, and changes nothing",
    "--profile NAME or --data-dir DIR opens another one, and jobtui --demo a throw-away one",
)


def told_on_a_screen(opened: Callable[[], Desk], theme: str) -> Desk:
    """What `opened` comes to, as often as one tries again. Raises its CommandError once one leaves."""
    while True:
        try:
            return opened()
        except CommandError as error:
            from jobtui.tui.app import explain

            why = str(error).partition("; jobtui doctor")[0]
            if not explain("This profile can't be opened", why, _ADVICE, theme):
                raise
