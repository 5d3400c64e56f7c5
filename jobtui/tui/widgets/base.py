"""The base classes of widgets that paint lines of spans.

The styles of roles are looked up in one place, the lowest screen, once for each theme.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget
from typing_extensions import override

from jobtui.formatting import single_cells
from jobtui.tui.text.spans import Line, Span, TextRole, cut, line_width
from jobtui.tui.textual_ext.render import use_borderless_cache


class StyleProvider(Protocol):
    """An app that knows the styles of roles."""

    def ink(self, ink: TextRole) -> Style:
        """Return the style of a role in the current theme; only what it sets itself."""
        ...


def resolve_style(widget: Widget, ink: TextRole) -> Style:
    """Return the style of a role, to be added to the style of the background."""
    return cast("StyleProvider", widget.app).ink(ink)


class StyledWidget(Widget):
    """A widget that paints spans in the styles of their roles."""

    ALLOW_SELECT = False

    def ink(self, ink: TextRole) -> Style:
        """Return the style of a role, to be added to the style of the background."""
        return resolve_style(self, ink)

    def segments(self, line: Iterable[Span], ground: Style) -> list[Segment]:
        """Return the spans over the style of the background; neighbors of one style are joined."""
        found: list[Segment] = []
        for text, ink in line:
            style = ground if ink is TextRole.PLAIN else ground + self.ink(ink)
            if found and found[-1].style is style:
                found[-1] = Segment(found[-1].text + single_cells(text), style)
            else:
                found.append(Segment(single_cells(text), style))
        return found

    def strip(self, line: Line, width: int, ground: Style) -> Strip:
        """Return the line in exactly `width` cells."""
        size = line_width(line)
        if size > width:
            line = cut(line, width)
            size = line_width(line)
        segments = self.segments(line, ground)
        if size < width:
            segments.append(Segment(" " * (width - size), ground))
        return Strip(segments, width)


class OneLine(StyledWidget):
    """A widget one line high."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        use_borderless_cache(self)

    def line(self, width: int) -> Line:
        """Return what to show in `width` cells."""
        raise NotImplementedError

    @override
    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        return self.strip(self.line(width), width, self.rich_style)

    @override
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1
