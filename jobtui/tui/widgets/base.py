"""Inks as styles: what lets a widget paint lines of pieces.

The inks are looked up in one place, the lowest screen, once a theme.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from jobtui.formatting import single_cells
from jobtui.tui.text.spans import Line, Span, TextRole, cut, line_width
from jobtui.tui.textual_ext.render import use_borderless_cache


class StyleProvider(Protocol):
    """The app, as far as it knows the inks."""

    def ink(self, ink: TextRole) -> Style:
        """How the ink looks in the theme of the moment; only what it sets itself."""
        ...


def resolve_style(widget: Widget, ink: TextRole) -> Style:
    """How the ink looks now, to be laid over a ground."""
    return cast("StyleProvider", widget.app).ink(ink)


class StyledWidget(Widget):
    """A widget that paints with inks."""

    ALLOW_SELECT = False

    def ink(self, ink: TextRole) -> Style:
        """How the ink looks now, to be laid over a ground."""
        return resolve_style(self, ink)

    def segments(self, line: Iterable[Span], ground: Style) -> list[Segment]:
        """The line's pieces over a ground, neighbours of one ink joined."""
        found: list[Segment] = []
        for text, ink in line:
            style = ground if ink is TextRole.PLAIN else ground + self.ink(ink)
            if found and found[-1].style is style:
                found[-1] = Segment(found[-1].text + single_cells(text), style)
            else:
                found.append(Segment(single_cells(text), style))
        return found

    def strip(self, line: Line, width: int, ground: Style) -> Strip:
        """The line as exactly `width` cells."""
        size = line_width(line)
        if size > width:
            line = cut(line, width)
            size = line_width(line)
        segments = self.segments(line, ground)
        if size < width:
            segments.append(Segment(" " * (width - size), ground))
        return Strip(segments, width)


class OneLine(StyledWidget):
    """A widget one line high that paints what `line` says."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        use_borderless_cache(self)

    def line(self, width: int) -> Line:
        """What to show in `width` cells."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Textual's line API."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        return self.strip(self.line(width), width, self.rich_style)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Always one."""
        return 1
