"""What is painted when a part of the screen changed: that part, and not all lines of every widget."""

from __future__ import annotations

from collections.abc import Iterable

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip


class FrugalCompositor(Compositor):
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
