"""Access to the line cache of Textual's text area. Written for Textual 8.2.8."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widgets import TextArea  # for types only: importing it takes a tenth of the time of a start


def clear_line_cache(area: TextArea) -> None:
    """Discard the painted lines of a text area.

    Private: `TextArea._line_cache`. Reason: the area caches lines by their text, and so keeps showing the old
    colors of a line whose highlights changed. Gain: none in speed; without it highlights are wrong.
    """
    area._line_cache.clear()
