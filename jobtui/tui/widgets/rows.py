"""What a table shows, as it asks for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from jobtui.tui.lines import Line
from jobtui.tui.widgets.columns import Placed


class Rows(Protocol):
    """What a table shows. Asked only for rows on screen; must answer within microseconds."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def key_at(self, index: int) -> Hashable:
        """The key of the row at a place."""
        ...

    def place_of(self, key: Hashable) -> int | None:
        """Where the row is now; None if it is not here (any longer)."""
        ...

    def cells(self, index: int, shown: Sequence[Placed]) -> Sequence[Line]:
        """A line for each column shown."""
        ...

    def gutter(self, key: Hashable) -> Line:
        """What stands before the row, one cell wide: its mark."""
        ...

    def token(self, index: int) -> object:
        """What the row's look depends on: an equal token, the same look."""
        ...
