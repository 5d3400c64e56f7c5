"""A command that keys run, and the scope of the keys; the table is in `commands`."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec


class KeyScope(enum.StrEnum):
    """A scope of keys.

    Several are active at the same time: a table's, its view's and the dashboard's.
    """

    DASHBOARD = "everywhere"
    TABLE = "tables"
    JOBS = "jobs"
    DETAIL = "detail"
    SPACES = "spaces"
    HOSTS = "hosts"
    ADVICE = "advice"
    SCHEDULES = "schedules"
    LOG = "log"
    OVERVIEW = "overview"
    BAR = "command bar"
    FILTER = "filter"


class KeyCommand(msgspec.Struct, frozen=True):
    """A command with its keys.

    Attributes:
        id: Its name in the config's keymap.
        keys: Its keys as Textual names them, separated by commas.
        action: The method `action_…` of the scope's widget.
        title: Its name in the footer and the palette.
        help: Its description in the help.
        where: Its scope.
        footer: Its position in the footer, 0 if it is not there.
        palette: Whether the palette has it.
        priority: Whether its keys take precedence over the focused widget's.
    """

    id: str
    keys: str
    action: str
    title: str
    help: str
    where: KeyScope
    footer: int = 0
    palette: bool = True
    priority: bool = False


def key_command(
    where: KeyScope,
    id: str,  # noqa: A002
    keys: str,
    title: str,
    help: str,  # noqa: A002
    footer: int = 0,
    *,
    action: str = "",
    palette: bool = True,
    priority: bool = False,
) -> KeyCommand:
    """Return a command; `action` is its id if none is given."""
    return KeyCommand(id, keys, action or id, title, help, where, footer, palette, priority)


_SORT_LABELS = {"because": "why", "reason": "details", "origin": "from", "l0": "L0 files"}
"""What a column is called, if that is not its key."""


def sort_commands(where: KeyScope, columns: Mapping[str, str], prefix: str = "") -> tuple[KeyCommand, ...]:
    """Return the commands that sort a table: by the next or by one column, or in reverse."""
    ways = (
        ("next", "greater_than_sign", "Sort by the column to the right", "sort_by(1)"),
        ("previous", "less_than_sign", "Sort by the column to the left", "sort_by(-1)"),
    )
    return (
        *(
            key_command(where, f"{prefix}sort_{way}", keys, f"sort by {way} column", text, action=action)
            for way, keys, text, action in ways
        ),
        key_command(
            where, f"{prefix}sort_reverse", "o", "reverse order", "Reverse the order", action="sort_reverse"
        ),
        *(
            key_command(
                where,
                f"{prefix}sort_{column}",
                key,
                f"sort by {_SORT_LABELS.get(column, column)}",
                f"Sort by {_SORT_LABELS.get(column, column)}; again reverses the order",
                action=f"sort_column('{column}')",
                palette=False,
            )
            for column, key in columns.items()
        ),
    )
