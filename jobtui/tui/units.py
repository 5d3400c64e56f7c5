"""Numbers as a person reads them: bytes, rates, durations, moments, how many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobtui.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_ids,
    format_local_time,
    format_rate,
    to_local,
)


def size(count: int | float | None) -> str:
    """Bytes as everywhere (`1.2 GiB`); "–" where it is unknown."""
    return format_bytes(count, unknown="–")


def rate(bytes_a_second: float | None) -> str:
    """`88 MiB/s`, or "" where it is unknown."""
    return format_rate(bytes_a_second)


def duration(seconds: float | None) -> str:
    """Return a duration as everywhere, `0.4 s` or `0:42`; "" if it is unknown."""
    return format_duration(seconds)


def left(seconds: float) -> str:
    """How long something will still take: `12 s left`, `3 min left`."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s left"
    return f"{round(seconds / 60)} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


def moment(at: datetime | None) -> str:
    """A moment in local time, `12/17/19 17:21:30`; blank where there is none yet."""
    return format_local_time(at)


def clock(at: datetime) -> str:
    """The time of day with milliseconds, local: `17:21:30.250`."""
    local = to_local(at)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"


def percent(fraction: float) -> str:
    """` 68%`; 100 % only where nothing is left."""
    return "100%" if fraction >= 1 else f"{min(99, int(fraction * 100)):3}%"


def many(count: int, word: str, plural: str = "") -> str:
    """`1 job`, `1,200 jobs`."""
    return format_count(count, word, plural)


def ids(numbers: Sequence[int], most: int = 8) -> str:
    """Job ids for a sentence, as `format_ids` has them."""
    return format_ids(numbers, most)
