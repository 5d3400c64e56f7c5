"""What is painted when a part of the screen changed: that part, and not all lines of every widget."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual._compositor import ChopsUpdate, Compositor
from textual._styles_cache import RenderLineCallback, StylesCache
from textual.color import Color
from textual.css.styles import StylesBase
from textual.geometry import Region, Size
from textual.scrollbar import ScrollBar
from textual.strip import Strip


class PartialCompositor(Compositor):
    """Asks the widgets that lie where something changed, for the lines that lie there, and none behind them."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: frozenset[Region] = frozenset()

    def render_partial_update(self) -> ChopsUpdate | None:
        """Textual's hook."""
        self._changed = frozenset(self._dirty_regions)
        return super().render_partial_update()

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        if crop is None or crop == self.size.region:
            yield from super()._get_renders(crop)
            return
        rows = Region(0, crop.y, self.size.width, crop.height)
        uncovered = list(self._changed)
        for widget, (region, clip) in self.visible_widgets.items():  # those in front first
            shown = clip.intersection(rows)
            part = region.intersection(shown)
            if part and any(part.overlaps(changed) for changed in uncovered):
                yield region, shown, widget.render_lines(part.translate((-region.x, -region.y)))
                uncovered = [changed for changed in uncovered if not part.contains_region(changed)]
                if not uncovered:
                    return


# ---- merged from jobtui.tui.widgets.coarse_bar: ----
# A scrollbar that is painted when it looks different, not each time that what it belongs to scrolls.
# what a scrollbar shows of a cell
_PARTS = 8


class QuantizedScrollBar(ScrollBar):
    """Of a million rows, thousands are one eighth of a cell: a page further it looks the same."""

    def validate_position(self, position: float) -> float:
        """Textual's hook: the place as far as it can be seen; both ends exactly."""
        if position >= self.window_virtual_size - self.window_size:
            return super().validate_position(position)
        step = self.window_virtual_size / (_PARTS * max(1, self.size.height))
        return super().validate_position(position // step * step if step > 1 else position)


# ---- merged from jobtui.tui.widgets.plain_cache: ----
# The lines that a widget has painted, kept as Textual keeps them, for widgets that have no box around them.
#
# Textual looks up the border, padding, outline, tint and opacity of a line each time that it paints one: two
# thirds of the cost of a line that has none of them.
class BorderlessStylesCache(StylesCache):
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
