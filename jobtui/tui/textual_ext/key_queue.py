"""Keys done with in the order in which they were pressed, however many come in one go.

Textual puts a key into the queue of the widget that has the focus and looks for its binding once it has come
back from there: of many keys that a slow line or a script delivers at once, letters typed later are then in
the text before an earlier ctrl+u is obeyed, and a later move is made before an earlier mark. Here a key is done
with before the next one is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from textual import events

from jobtui.tui.commands import BY_ID
from jobtui.tui.widgets.table import Table

if TYPE_CHECKING:
    from jobtui.tui.screens.dashboard import Dashboard

_ALT = "alt+"
# what can be done without seeing anything
_BLIND = ("quit", "interrupt", "suspend", "redraw")


@runtime_checkable
class Typing(Protocol):
    """A widget that text is typed in."""

    async def handle_key(self, event: events.Key) -> bool:
        """Do what the key means in the text; False for a key that means something as a binding only."""
        ...

    def insert_paste(self, text: str) -> None:
        """Take in what was pasted."""
        ...


def normalize_early_key(event: events.Key | events.Paste) -> events.Key | events.Paste:
    """A key as it was meant that was typed while the terminal still made of an enter what a shell wants."""
    return events.Key("enter", "\r") if isinstance(event, events.Key) and event.key == "ctrl+j" else event


async def handle_key(dashboard: Dashboard, event: events.Key | events.Paste) -> bool:
    """Do what a key or a paste asks for; False where nobody here knows what."""
    app = dashboard.desktop
    if dashboard.has_class("-too-small") and not _is_blind(dashboard, event):
        return True  # nothing is acted on that cannot be seen
    if dashboard.focused is None:
        # typing ended and the message of it is still on its way, or the terminal has just become large enough
        dashboard.find_focus()
    focused = dashboard.focused
    if isinstance(event, events.Paste):
        if isinstance(focused, Typing):
            focused.insert_paste(event.text)
            return True
        return False
    if isinstance(focused, Typing):
        if await focused.handle_key(event):
            return True
    elif isinstance(focused, Table) and (move := focused.moves.get(event.key)) is not None:
        move(focused)
        return True
    if event.key == "escape":
        dashboard.clear_selection()
    if await app._check_bindings(event.key, priority=True) or await app._check_bindings(event.key):
        return True
    letter = event.key.removeprefix(_ALT)
    if len(letter) == 1 and letter != event.key:
        # esc and a letter so soon after it that the terminal made one key of them
        await handle_key(dashboard, events.Key("escape", "\x1b"))
        return await handle_key(dashboard, events.Key(letter, letter))
    return False


def _is_blind(dashboard: Dashboard, event: events.Key | events.Paste) -> bool:
    """Return whether a key makes sense where the terminal is too small to show anything."""
    if isinstance(event, events.Paste) or (dashboard.typing and event.is_printable):
        return False
    keymap = dashboard.context.keymap
    return any(event.key in keymap.keys(BY_ID[command]) for command in _BLIND)
