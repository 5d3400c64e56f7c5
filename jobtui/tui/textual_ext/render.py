"""Painting that costs less than Textual's. Written for Textual 8.2.8.

`test_textual_ext.py` checks the signatures of what is replaced here. The gains of the compositor and of the
scrollbar were measured with 100,000 rows, each taken out by itself, in one run each (`python -m benchmarks
--quick --only "page up"`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.cells import get_character_cell_size
from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor
from textual._styles_cache import RenderLineCallback, StylesCache
from textual.color import Color
from textual.css.styles import StylesBase
from textual.geometry import Region, Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.widget import Widget
from typing_extensions import override

# Textual draws a scrollbar in eighths of a cell.
_PARTS_OF_A_CELL = 8


class CroppedUpdate(ChopsUpdate):
    """An update that writes only the changed cells of a line.

    Private: the class. Reason: Textual writes a changed line from the left edge of its widget. Gain: a frame of
    the progress of 50 hosts takes a quarter of the bytes.
    """

    @override
    def render_segments(self, console: Console) -> str:
        sequences: list[str] = []
        for y, begin, until in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= until or end <= begin:
                    continue
                first, last = max(x, begin), min(end, until)
                text = strip.text
                if not text.isascii() and any(get_character_cell_size(each) != 1 for each in text):
                    first, last = x, end  # a character of two cells may stand across a border
                if (first, last) != (x, end):
                    strip = strip.crop(first - x, last - x)
                sequences += [Control.move_to(first, y).segment.text, strip.render(console)]
        return "".join(sequences)


class PartialCompositor(Compositor):
    """A compositor that renders only the uncovered widgets in a changed region.

    Private: the class, `_dirty_regions`, `_get_renders`. Reason: after any change Textual renders all lines of
    every visible widget. Gain: a page up or down costs 1.7 times the key of an empty app instead of 2.15
    times.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed: frozenset[Region] = frozenset()

    @override
    def render_partial_update(self) -> ChopsUpdate | None:
        self._changed = frozenset(self._dirty_regions)
        update = super().render_partial_update()
        return None if update is None else CroppedUpdate(update.chops, update.spans, update.chop_ends)

    @override
    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        if crop is None or crop == self.size.region:
            yield from super()._get_renders(crop)
            return
        rows = Region(0, crop.y, self.size.width, crop.height)
        uncovered = list(self._changed)
        # the widgets in front come first
        for widget, (region, clip) in self.visible_widgets.items():
            visible = clip.intersection(rows)
            part = region.intersection(visible)
            if part and any(part.overlaps(changed) for changed in uncovered):
                yield region, visible, widget.render_lines(part.translate((-region.x, -region.y)))
                uncovered = [changed for changed in uncovered if not part.contains_region(changed)]
                if not uncovered:
                    return


def use_partial_compositor(screen: Screen[Any]) -> None:
    """Let a `PartialCompositor` paint a screen; call it right after the screen's creation.

    Private: `Screen._compositor`.
    """
    screen._compositor = PartialCompositor()


class BorderlessStylesCache(StylesCache):
    """A cache of painted lines for widgets without border, padding, outline, tint, opacity.

    Private: the class and `render_line`. Reason: Textual looks up all of these for each line that it paints.
    Gain: two thirds of the cost of a line that has none of them.
    """

    @override
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
        strip = render_content_line(y)
        if strip.cell_length == size.width:
            return strip
        inner, _ = self.get_inner_outer(base_background, background)
        return strip.adjust_cell_length(size.width, inner.rich_style)


def use_borderless_cache(widget: Widget) -> None:
    """Let a new widget keep its lines in a `BorderlessStylesCache`.

    Private: `Widget._styles_cache`.
    """
    widget._styles_cache = BorderlessStylesCache()


class QuantizedScrollBar(ScrollBar):
    """A scrollbar whose position changes only in visible steps.

    With a million rows, an eighth of a cell stands for thousands of rows: after a page the bar looks the same,
    and an equal position is not painted again. Gain: a page up or down costs 1.7 times the key of an empty app
    instead of 2.31 times.
    """

    @override
    def validate_position(self, position: float) -> float:
        # both ends are exact
        if position >= self.window_virtual_size - self.window_size:
            return super().validate_position(position)
        step = self.window_virtual_size / (_PARTS_OF_A_CELL * max(1, self.size.height))
        return super().validate_position(position // step * step if step > 1 else position)


class QuantizedScrollView(ScrollView):
    """A scroll view with a `QuantizedScrollBar` at its right.

    Private: `Widget._vertical_scrollbar`, `App._start_widget`. Reason: Textual has no hook for the bar's class.
    """

    @property
    @override
    def vertical_scrollbar(self) -> ScrollBar:
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = QuantizedScrollBar(
                vertical=True, name="vertical", thickness=self.scrollbar_size_vertical
            )
            self._vertical_scrollbar.display = False
            self.app._start_widget(self, self._vertical_scrollbar)
        return self._vertical_scrollbar
