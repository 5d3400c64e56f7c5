"""A line of a screen as data: pieces of text, each with the ink that it is written in.

Panes are pure functions from a job to lines, tested without a terminal; a widget turns lines into strips.
A piece's text is cleaned when it is painted, so a line may carry foreign text as it came.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

from jobtui.formatting import single_cells
from jobtui.model import Status
from jobtui.tui.text import breaks, fit, width_of


class Ink(enum.StrEnum):
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
    Status.QUEUE: Ink.QUEUE,
    Status.RUNNING: Ink.RUNNING,
    Status.FINISHED: Ink.FINISHED,
    Status.FAILED: Ink.FAILED,
    Status.STOPPED: Ink.STOPPED,
}

Piece = tuple[str, Ink]
Line = tuple[Piece, ...]


def plain(line: Iterable[Piece]) -> str:
    """The line's text alone, cleaned."""
    return "".join(single_cells(text) for text, _ in line)


def line_width(line: Iterable[Piece]) -> int:
    """How many cells the line takes."""
    return sum(width_of(text) for text, _ in line)


def cut(line: Line, width: int) -> Line:
    """The line in at most `width` cells; the piece that does not fit ends in an ellipsis."""
    kept: list[Piece] = []
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
    pad: Line = ((" " * hang, Ink.PLAIN),) if hang else ()
    return [(*(pad if number else ()), *_part(pieces, *span)) for number, span in enumerate(spans)]


def _part(pieces: Iterable[Piece], start: int, end: int) -> Iterator[Piece]:
    begin = 0
    for text, ink in pieces:
        if begin < end and begin + len(text) > start:
            yield text[max(0, start - begin) : end - begin], ink
        begin += len(text)
