"""Text fitted into terminal cells: padded, cut and wrapped, and harmless whatever it holds."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from itertools import islice

from rich.cells import cell_len, set_cell_size

from jobtui.formatting import MOST_MARKS, single_cells
from jobtui.model import Status


def fit(text: str, width: int, right: bool = False) -> str:
    """The cleaned text in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    text = single_cells(text if len(text) <= 8 * width else text[: 8 * width] + "…")
    size = len(text) if text.isascii() else cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - size) + text if right else text + " " * (width - size)


def fit_host(name: str, width: int, right: bool = False) -> str:
    """As `fit`; but of a path that is too long the end is kept: what tells it from others stands there."""
    if "/" not in name or width_of(name) <= width:
        return fit(name, width, right)
    kept = single_cells(name[-8 * width :])
    while kept and cell_len(kept) > width - 1:
        kept = kept[1:]
    slash = kept.find("/")
    if 0 < slash <= len(kept) // 3:
        kept = kept[slash:]
    return fit(f"…{kept}", width, right)


def width_of(text: str) -> int:
    """How many cells the text takes once it is cleaned."""
    return len(text) if text.isascii() else cell_len(single_cells(text))


def wrap(text: str, width: int, most: int = 20) -> list[str]:
    """The cleaned text in lines of at most `width` cells, broken at blanks where there are any.

    At most `most` lines: what is left over is cut with an ellipsis. Line breaks in the text are kept.
    """
    width = max(width, 4)
    room = width * (most + 1)
    lines: list[str] = []
    for paragraph in text[: 8 * room].splitlines() or [""]:
        lines.extend(_wrap_line(single_cells(paragraph), width, most))
        if len(lines) > most:
            last = lines[most - 1]
            return [*lines[: most - 1], f"{last} …" if cell_len(last) + 2 <= width else fit(f"{last}……", width)]
    return lines


def _wrap_line(text: str, width: int, most: int) -> list[str]:
    return [text[start:end] for start, end in islice(breaks(text, width, width), most + 2)]


def breaks(text: str, first: int, rest: int) -> Iterator[tuple[int, int]]:
    """Where a cleaned text is broken into lines (from, to): `first` cells for the first, `rest` for the others.

    Broken at blanks where there are any; the blanks at a break belong to no line.
    """
    start, width = 0, first
    while True:
        # no more characters than cells fit, but for marks, which take none
        head = text[start : start + (1 + MOST_MARKS) * (width + 1)]
        if cell_len(head) <= width:
            break
        kept = set_cell_size(head, width).rstrip("\0")
        # a wide character that did not fit whole was replaced by a blank: it belongs to the rest
        taken = len(kept) if head.startswith(kept) else len(kept) - 1
        blank = head.rfind(" ", 1, taken + 1)
        cut = start + (blank if blank > 0 else max(taken, 1))
        yield start, start + len(text[start:cut].rstrip())
        start = cut
        while text[start : start + 1] == " ":
            start += 1
        width = rest
    yield start, len(text)


# ---- merged from jobtui.tui.lines: ----
# A line of a screen as data: pieces of text, each with the ink that it is written in.
#
# Panes are pure functions from a job to lines, tested without a terminal; a widget turns lines into strips.
# A piece's text is cleaned when it is painted, so a line may carry foreign text as it came.
#
class TextRole(enum.StrEnum):
    """What a piece of text means; `styles/inks.tcss` says how each looks. The values are component classes."""

    PLAIN = "ink--plain"
    MUTED = "ink--muted"
    STRONG = "ink--strong"
    TITLE = "ink--title"
    KEY = "ink--key"
    ACCENT = "ink--accent"
    QUEUE = "ink--queue"
    RUNNING = "ink--running"
    FINISHED = "ink--finished"
    FAILED = "ink--failed"
    STOPPED = "ink--stopped"
    WARNING = "ink--warning"
    MARK = "ink--mark"
    CURSOR = "ink--cursor"
    CURSOR_IDLE = "ink--cursor-idle"
    HEADER = "ink--header"
    BAR = "ink--bar"
    TAB = "ink--tab"
    TAB_ON = "ink--tab-on"
    RULE = "ink--rule"
    KEYWORD = "ink--keyword"
    NUMBER = "ink--number"
    STRING = "ink--string"
    COMMENT = "ink--comment"
    WRONG = "ink--wrong"


STATUS_INK = {
    Status.QUEUE: TextRole.QUEUE,
    Status.RUNNING: TextRole.RUNNING,
    Status.FINISHED: TextRole.FINISHED,
    Status.FAILED: TextRole.FAILED,
    Status.STOPPED: TextRole.STOPPED,
}

Span = tuple[str, TextRole]
Line = tuple[Span, ...]


def plain(line: Iterable[Span]) -> str:
    """The line's text alone, cleaned."""
    return "".join(single_cells(text) for text, _ in line)


def line_width(line: Iterable[Span]) -> int:
    """How many cells the line takes."""
    return sum(width_of(text) for text, _ in line)


def cut(line: Line, width: int) -> Line:
    """The line in at most `width` cells; the piece that does not fit ends in an ellipsis."""
    kept: list[Span] = []
    room = width
    for text, ink in line:
        size = width_of(text)
        if size > room:
            if room > 0:
                kept.append((fit(text, room), ink))
            break
        kept.append((text, ink))
        room -= size
    return tuple(kept)


def wrapped(line: Line, width: int, hang: int = 0) -> list[Line]:
    """The line in as many lines of `width` cells as it needs, broken at blanks; all but the first begin with
    `hang` blanks."""
    if line_width(line) <= width:
        return [line]
    pieces = [(single_cells(text), ink) for text, ink in line]
    hang = min(hang, width // 2)
    spans = breaks("".join(text for text, _ in pieces), max(1, width), max(1, width - hang))
    pad: Line = ((" " * hang, TextRole.PLAIN),) if hang else ()
    return [(*(pad if number else ()), *_part(pieces, *span)) for number, span in enumerate(spans)]


def _part(pieces: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    begin = 0
    for text, ink in pieces:
        if begin < end and begin + len(text) > start:
            yield text[max(0, start - begin) : end - begin], ink
        begin += len(text)
