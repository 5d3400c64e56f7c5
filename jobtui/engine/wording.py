"""Bytes and moments as a person reads them, the same in a result, on the screen and on stderr."""

from __future__ import annotations

from datetime import datetime

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def bytes_in_words(count: int | float | None) -> str:
    """Bytes in three significant digits, no trailing zeros: `0 B`, `612 MiB`, `1.2 GiB`; "" where unknown."""
    if count is None:
        return ""
    sign, value = ("-", -count) if count < 0 else ("", count)
    step = 0
    while value >= 1000 and step < len(_STEPS) - 1:
        value /= 1024
        step += 1
    digits = 0 if step == 0 or value >= 100 else 1 if value >= 9.95 else 2
    text = f"{value:.{digits}f}"
    return f"{sign}{text.rstrip('0').rstrip('.') if '.' in text else text} {_STEPS[step]}"


def local_time(moment: datetime | None) -> str:
    """A moment as the tables show it: local, `12/17/19 17:21:30`; "" for none (LANGUAGE, "Statements")."""
    return "" if moment is None else moment.astimezone().strftime("%m/%d/%y %H:%M:%S")
