"""A scrollbar that is painted when it looks different, not each time that what it belongs to scrolls."""

from __future__ import annotations

from textual.scrollbar import ScrollBar

# what a scrollbar shows of a cell
_PARTS = 8


class CoarseBar(ScrollBar):
    """Of a million rows, thousands are one eighth of a cell: a page further it looks the same."""

    def validate_position(self, position: float) -> float:
        """Textual's hook: the place as far as it can be seen; both ends exactly."""
        if position >= self.window_virtual_size - self.window_size:
            return super().validate_position(position)
        step = self.window_virtual_size / (_PARTS * max(1, self.size.height))
        return super().validate_position(position // step * step if step > 1 else position)
