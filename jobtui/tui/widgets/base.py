"""The base classes of widgets that paint lines of spans, and a view of lines that scroll.

The styles of roles are looked up in one place, the lowest screen, once for each theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Protocol, cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget
from typing_extensions import override

from jobtui.formatting import single_cells
from jobtui.tui.text.spans import Line, Span, TextRole, cut, line_width, plain, with_cursor
from jobtui.tui.textual_ext.render import use_borderless_cache


class StyleProvider(Protocol):
    """An app that knows the styles of roles."""

    def role_style(self, role: TextRole) -> Style:
        """Return the style of a role in the current theme: only what the role sets."""
        ...


def resolve_style(widget: Widget, role: TextRole) -> Style:
    """Return the style of a role, to be added to the style of the background."""
    return cast("StyleProvider", widget.app).role_style(role)


class StyledWidget(Widget):
    """A widget that paints spans in the styles of their roles."""

    ALLOW_SELECT = False

    def role_style(self, role: TextRole) -> Style:
        """Return the style of a role, to be added to the style of the background."""
        return resolve_style(self, role)

    def segments(self, line: Iterable[Span], background: Style) -> list[Segment]:
        """Return the spans over the style of the background; neighbors of one style are joined."""
        found: list[Segment] = []
        for text, role in line:
            style = background if role is TextRole.PLAIN else background + self.role_style(role)
            if found and found[-1].style is style:
                found[-1] = Segment(found[-1].text + single_cells(text), style)
            else:
                found.append(Segment(single_cells(text), style))
        return found

    def strip(self, line: Line, width: int, background: Style) -> Strip:
        """Return the line in exactly `width` cells."""
        size = line_width(line)
        if size > width:
            line = cut(line, width)
            size = line_width(line)
        segments = self.segments(line, background)
        if size < width:
            segments.append(Segment(" " * (width - size), background))
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


def changed_cells(old: Line, new: Line, width: int) -> tuple[int, int]:
    """Return the range of cells in which two lines of a view of this width differ."""
    first = line_width(span for span, _ in takewhile(_are_equal, zip(new, old, strict=False)))
    if first >= width - 1 or line_width(old) != line_width(new):
        # an ellipsis may come or go, after a character of two cells
        return max(0, min(first, width - 2)), width
    after = takewhile(_are_equal, zip(reversed(new), reversed(old), strict=False))
    return first, line_width(new) - line_width(span for span, _ in after)


def _are_equal(pair: tuple[Span, Span]) -> bool:
    return pair[0] == pair[1]


class LinesView(ScrollView, StyledWidget, can_focus=False):
    """A view of lines that paints only those on screen."""

    ALLOW_SELECT = True

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Line] = ()
        self._widest = 0
        self._highlighted = range(0)

    @property
    def lines(self) -> Sequence[Line]:
        """The lines."""
        return self._lines

    @property
    def inner_width(self) -> int:
        """The cells of a line, without the scrollbar."""
        return max(1, self.scrollable_content_region.width)

    @property
    def widest(self) -> int:
        """The cells of the widest line if lines may be wider than the widget; otherwise 0."""
        return self._widest

    @property
    def highlighted(self) -> range:
        """The lines that are highlighted, as those of a cursor."""
        return self._highlighted

    @highlighted.setter
    def highlighted(self, lines: range) -> None:
        if lines != self._highlighted:
            before, self._highlighted = self._highlighted, lines
            for y in (*before, *lines):
                self.refresh_line(y)

    def show(self, lines: Sequence[Line], wide: bool = False) -> None:
        """Replace the lines. `wide`: they may be wider than the widget, and then scroll sideways."""
        before, self._lines = self._lines, lines
        self._widest = max((line_width(line) for line in lines), default=0) if wide else 0
        size = Size(self._widest, len(lines))
        if size != self.virtual_size:
            self.virtual_size = size
        if len(before) != len(lines):
            self.refresh()
            return
        top = self.scroll_offset.y
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                first, end = (0, self.size.width) if self._widest else changed_cells(old, new, self.size.width)
                self.refresh(Region(first, y - top, max(1, end - first), 1))

    @override
    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        left, top = self.scroll_offset
        index = top + y
        background = self.rich_style
        if index >= len(self._lines):
            return Strip.blank(width, background)
        line = self._lines[index]
        if index in self.highlighted:
            background += self.role_style(TextRole.CURSOR)
            if index == self.highlighted.start:
                line = with_cursor(line)
            if background.reverse:  # reversed, each role would have another background
                line = tuple((text, TextRole.PLAIN) for text, _ in line)
        strip = Strip(self.segments(line, background)) if self._widest else self.strip(line, width, background)
        selection = self.text_selection
        if selection is not None:
            strip = self._selected(strip, selection, index)
        if self._widest > width:
            strip = self._edged(strip, left, width, background)
        return strip.crop_extend(left, left + width, background).apply_offsets(left, index)

    def _edged(self, strip: Strip, left: int, width: int, background: Style) -> Strip:
        """Return the strip with a sign at each edge beyond which it continues."""
        length, end = strip.cell_length, left + width
        sign = background + self.role_style(TextRole.KEY)
        if left and length > left:
            strip = Strip.join([strip.crop(0, left), Strip([Segment("‹", sign)], 1), strip.crop(left + 1)])
        if length > end:
            strip = Strip.join([strip.crop(0, end - 1), Strip([Segment("›", sign)], 1), strip.crop(end)])
        return strip

    def _selected(self, strip: Strip, selection: Selection, y: int) -> Strip:
        span = selection.get_span(y)
        if span is None:
            return strip
        start, end = span
        if end == -1:
            end = strip.cell_length
        start, end = max(0, start), min(end, strip.cell_length)
        if start >= end:
            return strip
        over: Style = self.screen.get_component_rich_style("screen--selection")
        parts = [strip.crop(0, start), strip.crop(start, end).apply_style(over), strip.crop(end)]
        return Strip.join(parts)

    @override
    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        # without the blanks that only pad a line
        text = "\n".join(plain(line).rstrip() for line in self._lines)
        return selection.extract(text), "\n"

    @override
    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()
