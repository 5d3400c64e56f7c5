"""The keys that move the cursor of a table, from the registry and the user's keymap."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobtui.tui.commands import BY_ID
from jobtui.tui.keymap import Keymap
from jobtui.tui.widgets.table import Table

_MOVES: Mapping[str, Callable[[Table], None]] = {
    "up": lambda table: table.action_move(-1),
    "down": lambda table: table.action_move(1),
    "page_up": lambda table: table.action_page(-1),
    "page_down": lambda table: table.action_page(1),
    "first": lambda table: table.action_first(),
    "last": lambda table: table.action_last(),
}


def moves(keymap: Keymap) -> dict[str, Callable[[Table], None]]:
    """Each key that moves, and how."""
    return {key: move for command_id, move in _MOVES.items() for key in keymap.keys(BY_ID[command_id])}
