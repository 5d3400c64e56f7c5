"""The lines that a widget has painted, kept as Textual keeps them, for widgets that have no box around them.

Textual looks a line's border, padding, outline, tint and opacity up each time that it paints one: two thirds of
the cost of a line that has none of them.
"""

from __future__ import annotations

from typing import Any

from textual._styles_cache import RenderLineCallback, StylesCache
from textual.color import Color
from textual.css.styles import StylesBase
from textual.geometry import Size
from textual.strip import Strip


class PlainCache(StylesCache):
    """Takes the lines as the widget's `render_line` paints them, on the widget's background."""

    def render_line(
        self,
        styles: StylesBase,
        y: int,
        size: Size,
        content_size: Size,
        padding: object,
        base_background: Color,
        background: Color,
        render_content_line: RenderLineCallback,
        *box: Any,
    ) -> Strip:
        """Textual's hook: the line alone, as wide as the widget."""
        strip = render_content_line(y)
        if strip.cell_length == size.width:
            return strip
        inner, _ = self.get_inner_outer(base_background, background)
        return strip.adjust_cell_length(size.width, inner.rich_style)
