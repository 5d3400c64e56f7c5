"""Values as text, the same in every output, and untrusted text made printable.

The name of a space, the error of a host or a mistyped statement can hold anything, and nothing in it may move a
cursor, reverse a line or end one.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_SIZE_CELLS: Final = 8  # the longest size that is not negative: `27.9 MiB`
_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# spreadsheets in Japanese and Chinese read the full-width forms as their ASCII counterparts
_FORMULA_BEGINNINGS: Final = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)
_NUMBER: Final = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_BLANKS: Final = frozenset("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{FIGURE SPACE}")
# No script in use needs more combining marks on a character; thousands of them would cover the lines above.
MAX_MARKS: Final = 4
_MAX_CACHED_LENGTH: Final = 80  # glyphs, labels and names are shown again and again


def format_bytes(count: int | float | None, unknown: str = "") -> str:
    """Return a size in up to three significant digits: `0 B`, `612 MiB`, `1.2 GiB`.

    Args:
        count: The bytes, None if they are not known.
        unknown: The text for None.
    """
    if count is None:
        return unknown
    sign, value = ("-", -count) if count < 0 else ("", count)
    step = 0
    while value >= 999.5 and step < len(_UNITS) - 1:
        value /= 1024
        step += 1
    digits = 0 if step == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    text = f"{value:.{digits}f}"
    return f"{sign}{text.rstrip('0').rstrip('.') if '.' in text else text} {_UNITS[step]}"


def format_change(before: int, after: int, width: int) -> str:
    """Return two sizes as `27.9 MiB → 44.4 MiB`, right-aligned in columns of eight cells.

    If `width` is too small for that, they are shortened to `27.9 → 44.4 MiB`, if they have the same unit.
    """
    first, last = format_bytes(before), format_bytes(after)
    if width >= 2 * _SIZE_CELLS + 3:
        return f"{first:>{_SIZE_CELLS}} → {last:>{_SIZE_CELLS}}"
    number, _, unit = first.partition(" ")
    return f"{number if last.endswith(f' {unit}') else first} → {last}"


def format_rate(bytes_per_second: float | None, unknown: str = "") -> str:
    """Return a rate as `88 MiB/s`, or `unknown` for None."""
    return unknown if bytes_per_second is None else f"{format_bytes(bytes_per_second)}/s"


def format_duration(seconds: float | None, unknown: str = "") -> str:
    """Return a duration as `0.4 s`, from ten seconds on as `0:42`, `1:02:03`, `2d 03:04:05`.

    It is rounded down, like a clock, so that every screen and output shows the same for a job.

    Args:
        seconds: The duration, None if it is not known.
        unknown: The text for None.
    """
    if seconds is None:
        return unknown
    milliseconds = max(0, round(seconds * 1000))
    if milliseconds < 10_000:
        return f"{milliseconds // 100 / 10:.1f} s"
    minutes, rest = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_remaining(seconds: float) -> str:
    """Return roughly how long something will still take: `12 s left`, `2.0 h left`."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s left"
    return f"{round(seconds / 60)} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


def format_percent(fraction: float) -> str:
    """Return a fraction as ` 68%`, rounded down: `100%` only if nothing is left."""
    return "100%" if fraction >= 1 else f"{min(99, int(fraction * 100)):3}%"


def format_local_time(moment: datetime | None) -> str:
    """Return a moment in local time, `12/17/19 17:21:30`, or "" for None."""
    return "" if moment is None else to_local(moment).strftime("%m/%d/%y %H:%M:%S")


class DateOrder(enum.StrEnum):
    """The orders of day, month and year in which a user may want dates."""

    MONTH_FIRST = "mdy"
    DAY_FIRST = "dmy"
    YEAR_FIRST = "ymd"


_DATE_FORMATS: Final = {
    DateOrder.MONTH_FIRST: "%m/%d/%y",
    DateOrder.DAY_FIRST: "%d.%m.%y",
    DateOrder.YEAR_FIRST: "%Y-%m-%d",
}


def format_recent_time(
    moment: datetime | None, now: datetime, order: DateOrder = DateOrder.MONTH_FIRST, width: int = 17
) -> str:
    """Return a moment of today as `17:21:30`, any other with its date: `12/17/19 17:21`.

    Args:
        moment: The moment, None for "".
        now: The moment that defines today.
        order: The order of day, month and year.
        width: The available cells; if they are too few for date and time, the date alone is returned.
    """
    if moment is None:
        return ""
    local = to_local(moment)
    if local.date() == to_local(now).date():
        return f"{local:%H:%M:%S}"
    date = format_date(moment, order)
    return f"{date} {local:%H:%M}" if len(date) + 6 <= width else date


def format_date(moment: datetime, order: DateOrder = DateOrder.MONTH_FIRST) -> str:
    """Return the local date of a moment: `12/17/19`."""
    return to_local(moment).strftime(_DATE_FORMATS[order])


def format_time_of_day(moment: datetime) -> str:
    """Return the local time of day with milliseconds: `17:21:30.250`."""
    local = to_local(moment)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"


def to_local(moment: datetime) -> datetime:
    """Return a moment in local time, unchanged if that is before the year 1 or after 9999.

    A wrong clock records such moments, and a history with one must still be shown.
    """
    try:
        return moment.astimezone()
    except (OverflowError, ValueError):
        return moment


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 job`, `1,200 jobs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_ids(ids: Sequence[int], limit: int = 8) -> str:
    """Return ids for a sentence: `3, 5, 8`, runs as `3–9`, many as `1, 3, … (1,200 in all)`.

    Args:
        ids: The ids, in rising order for runs to be found.
        limit: The largest number of ids and runs that are named.
    """
    parts: list[str] = []
    index = 0
    while index < len(ids) and len(parts) < limit:
        end = index
        while end + 1 < len(ids) and ids[end + 1] == ids[end] + 1:
            end += 1
        if end - index < 2:
            end = index
        parts.append(str(ids[index]) if end == index else f"{ids[index]}–{ids[end]}")
        index = end + 1
    rest = f", … ({len(ids):,} in all)" if index < len(ids) else ""
    return ", ".join(parts) + rest


def printable(text: str) -> str:
    """Return `text` with control, format and line-breaking characters as escapes.

    Format characters are those of zero width and of direction.
    The result holds no lone surrogate, so that it can be written to any UTF-8 stream.
    """
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """Return `text` as `printable` does, with its line feeds kept."""
    return "\n".join(map(printable, text.split("\n")))


def printable_line(text: str, limit: int = 400) -> str:
    """Return `text` as one printable line of at most `limit` characters."""
    line = printable(" ".join(text[: 4 * limit].split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def single_cells(text: str) -> str:
    """Return `text` with every unprintable character replaced by one other character.

    For screens, on which an escape would move everything behind it: controls become their pictures (␛), other
    unprintable characters U+FFFD; combining marks are limited to four in a row.
    """
    if text.isascii():
        return text if text.isprintable() else "".join(map(_replacement_for, text))
    return _cached_single_cells(text) if len(text) <= _MAX_CACHED_LENGTH else _single_cells(text)


def guard_formula(text: str) -> str:
    """Return a text for a CSV cell that no spreadsheet takes for a formula.

    A text that a spreadsheet would take for a formula gets an apostrophe before it. Numbers stay numbers.
    """
    if text.startswith(_FORMULA_BEGINNINGS) and re.fullmatch(_NUMBER, text, re.ASCII) is None:
        return f"'{text}"
    return text


def is_control(character: str) -> bool:
    """Return whether a terminal or a text layout may act on `character` instead of showing it."""
    return not character.isprintable() and unicodedata.category(character) in _CONTROL_CATEGORIES


def _escaped(character: str) -> str:
    if not is_control(character):
        return character
    number = ord(character)
    if number < 0x100:
        return _ESCAPES.get(character, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@lru_cache(maxsize=4096)
def _replacement_for(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x20:
        return chr(0x2400 + number)
    if number == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return " " if character in _BLANKS else _REPLACEMENT


@lru_cache(maxsize=4096)
def _cached_single_cells(text: str) -> str:
    return _single_cells(text)


def _single_cells(text: str) -> str:
    shown: list[str] = []
    marks = 0
    for character in text:
        if unicodedata.category(character)[0] == "M":
            marks += 1
            # a variation selector changes a glyph's width in some terminals and not in others
            if marks <= MAX_MARKS and not 0xFE00 <= ord(character) <= 0xFE0F:
                shown.append(character)
            continue
        marks = 0
        shown.append(_replacement_for(character))
    return "".join(shown)
