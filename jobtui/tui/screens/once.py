"""A screen over the dashboard that is left once, and leaves nothing but itself."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

ClosedT = TypeVar("ClosedT")


class Once(ModalScreen[ClosedT]):
    """Textual takes away whatever is on top: a second key, or one for a question below, would end more."""

    _left = False

    def dismiss(self, result: ClosedT | None = None) -> AwaitComplete:
        """Textual's hook: only while it is in front, and only the first time."""
        if self._left or not self.is_active:
            return AwaitComplete()
        self._left = True
        return super().dismiss(result)
