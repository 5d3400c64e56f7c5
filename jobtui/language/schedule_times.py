"""The times of a schedule: cron expressions, times of day and time zones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

import msgspec

from jobtui.suggest import did_you_mean


class TimesError(ValueError):
    """A text that is no time, cron expression or time zone; `near` is what was probably meant."""

    def __init__(self, message: str, near: str | None = None) -> None:
        super().__init__(message)
        self.near = near


END_YEAR: Final = 9900
"""The first year without times: Python's calendar ends with 9999, and a search looks ahead for 50 years."""


class CronField(msgspec.Struct, frozen=True):
    """One of the five fields of a cron expression.

    Attributes:
        names: The numbers of names that may stand for them, in lower case.
    """

    noun: str
    first: int
    last: int
    names: Mapping[str, int] = {}


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    CronField("the minute", 0, 59),
    CronField("the hour", 0, 23),
    CronField("the day of the month", 1, 31),
    CronField("the month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    CronField("the day of the week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
NICKNAMES: Final = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0"}
_ITEM: Final = r"(?:(\*)|([0-9]{1,4}|[a-z]{3})(?:-([0-9]{1,4}|[a-z]{3}))?)(?:/([0-9]{1,4}))?"
_TIME_OF_DAY: Final = r"([0-9]{1,2}):([0-9]{2})"
_MAX_LENGTH: Final = 200
# of January to December, in a leap year
_MAX_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check_times(text: str) -> None:
    """Refuse a text that is not a cron expression such as `30 2 * * *` or `@daily`.

    The fields are the minute, the hour, the day of the month, the month and the day of the week (0 and 7 are
    Sunday). Each is `*`, numbers, ranges or a list of these; months and days of the week have names, too
    (`mon-fri`). `/15` after `*` or a range takes every fifteenth.

    Raises:
        TimesError: If it is not one, or if its times never come.
    """
    plain = text.strip().lower()
    if plain.startswith("@"):
        if plain not in NICKNAMES:
            known = ", ".join(NICKNAMES)
            near = did_you_mean(plain, NICKNAMES)
            hint = f"; did you mean {near}?" if near else ""
            raise TimesError(f"{text.strip()[:20]} is not known: use {known}, or five fields{hint}", near)
        plain = NICKNAMES[plain]
    fields = plain.split()
    if len(fields) != len(_FIELDS) or len(plain) > _MAX_LENGTH:
        raise TimesError(
            "the times are five fields: minute, hour, day of the month, month and day of the week, as in "
            "30 2 * * * for 02:30 every day"
        )
    _, _, days, months, _ = map(_numbers, fields, _FIELDS)
    shortest, has_weekdays = min(days), not fields[4].startswith("*")
    if not has_weekdays and all(_MAX_DAYS_OF_MONTH[month - 1] < shortest for month in months):
        raise TimesError(f"these times never come: no such month has a day {shortest}")


def _numbers(text: str, field: CronField) -> frozenset[int]:
    """Return the numbers of one field."""
    found: set[int] = set()
    for item in text.split(","):
        parts = re.fullmatch(_ITEM, item)
        if parts is None or (parts[4] and not (parts[1] or parts[3])):
            raise TimesError(f"{item[:20] or 'an empty item'} is not right for {field.noun}: {_forms(field)}")
        first = field.first if parts[1] else _number(parts[2], field)
        last = field.last if parts[1] else _number(parts[3], field) if parts[3] else first
        step = int(parts[4] or 1)
        if step == 0:
            raise TimesError(f"{item} in {field.noun}: the step after / is at least 1")
        if first > last:
            raise TimesError(f"{item} in {field.noun}: a range goes from the smaller to the larger number")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, field: CronField) -> int:
    number = int(text) if text.isdigit() else field.names.get(text, -1)
    if not field.first <= number <= field.last:
        raise TimesError(f"{text} is not right for {field.noun}: {_forms(field)}")
    return number


def _forms(field: CronField) -> str:
    names = f", {next(iter(field.names))} to {list(field.names)[-1]}" if field.names else ""
    return f"use {field.first} to {field.last}{names}, * or a range, list or step of these"


def parse_time_of_day(text: str) -> time:
    """Return the time of `06:00`. Raises TimesError."""
    parts = re.fullmatch(_TIME_OF_DAY, text.strip())
    if parts is None or int(parts[1]) > 23 or int(parts[2]) > 59:
        raise TimesError("a time of day is written as 06:00, from 00:00 to 23:59")
    return time(int(parts[1]), int(parts[2]))


def parse_time_zone(name: str) -> tzinfo:
    """Return the time zone of `Europe/Berlin`.

    Raises TimesError if this machine does not know it.
    """
    import zoneinfo  # late: few statements name a time zone

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = did_you_mean(name, zoneinfo.available_timezones())
        hint = f"; did you mean {near}?" if near else ", as in Europe/Berlin or UTC"
        raise TimesError(f"'{name[:40]}' is not a time zone that this machine knows{hint}", near) from None


def next_time(at: str, moment: datetime, zone: tzinfo | None) -> datetime | None:
    """Return a cron expression's first time after `moment`, in UTC; None from `END_YEAR` on.

    The library sees local times without a zone: it would run `*/10 * * * *` twice in an hour that exists
    twice. `at` is what `check_times` accepts.
    """
    from cronsim import CronSim  # late: 2 ms of each command, and only a schedule needs it

    if moment.year >= END_YEAR:
        return None
    # a time that did not exist in the last day was moved forward, and may still be due
    times = CronSim(_expression(at), _naive(moment, zone) - _gap_before(moment, zone))
    best = None
    for found in times:
        # a time that did not exist was moved, possibly behind those that follow it in the list
        if best is not None and found >= _naive(best, zone):
            break
        instant = _instant(found, zone)
        if instant > moment and (best is None or instant < best):
            best = instant
            if _naive(best, zone) == found:
                break
    return best


def find_clock_problem(now: datetime) -> str:
    """Return why a schedule has no times from `now` on, "" if it has."""
    if now.year < END_YEAR:
        return ""
    return (
        f"The clock of this machine shows {now:%Y-%m-%d}, and schedules have no times from the year "
        f"{END_YEAR} on: set the clock"
    )


def _expression(at: str) -> str:
    return NICKNAMES.get(at.strip().lower(), at)


def _gap_before(moment: datetime, zone: tzinfo | None) -> timedelta:
    """Return by how much the zone's clock was set forward in the last day, 0 if it was not."""
    return max(timedelta(0), _offset(moment, zone) - _offset(moment - timedelta(days=1), zone))


def _naive(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _offset(moment: datetime, zone: tzinfo | None) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _instant(local: datetime, zone: tzinfo | None, fold: int = 0) -> datetime:
    """Return a local time in UTC.

    A time that does not exist is moved forward by the gap (PEP 495).
    """
    if zone is not None:
        return local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    # in a gap of the machine's own zone, astimezone() of CPython 3.11 moves the time back, against PEP 495
    first, second = sorted(local.replace(fold=each).astimezone(UTC) for each in (0, 1))
    exists = _naive(first, None) == local
    return first if exists == (fold == 0) else second


def describe_shift(at: str, moment: datetime, zone: tzinfo | None) -> str:
    """Return how daylight saving affects a time of a cron expression, "" if it does not."""
    local, skipped = _naive(moment, zone), _skipped_time(at, moment, zone)
    if skipped is not None:
        return f"daylight saving: {skipped:%H:%M} does not exist on this day, moved to {local:%H:%M}"
    if _instant(local, zone) < _instant(local, zone, fold=1):
        return f"daylight saving: {local:%H:%M} exists twice on this day, runs the first time only"
    return ""


def _skipped_time(at: str, moment: datetime, zone: tzinfo | None) -> datetime | None:
    """Return the local time that does not exist and was moved to `moment`, None if none was.

    A time that `at` also names itself runs as on any other day: `*/30 * * * *` runs at 03:00 anyway.
    """
    gap, local = _gap_before(moment, zone), _naive(moment, zone)
    skipped = local - gap
    is_moved = gap and _instant(skipped, zone) == moment and _matches(at, skipped)
    return skipped if is_moved and not _matches(at, local) else None


def _matches(at: str, local: datetime) -> bool:
    from cronsim import CronSim  # late, as above

    return next(CronSim(_expression(at), local - timedelta(minutes=1)), None) == local


def window_end(until: str | None, start: datetime, zone: tzinfo | None, at: str = "") -> datetime | None:
    """Return the first `until` after a run's start, None if there is no limit.

    If daylight saving moved the start from a time that does not exist, the window of that time is used.
    `at` is the cron expression of a start that was due, "" for a manual run.
    """
    if until is None:
        return None
    end, local = parse_time_of_day(until), _naive(start, zone)
    skipped = _skipped_time(at, start, zone) if at else None
    if skipped is not None:
        due = datetime.combine(skipped.date(), end)
        due += timedelta(days=due <= skipped)
        found = _instant(due, zone)
        return found if found > start else found + (local - skipped)
    ends = (
        _instant(due, zone, fold)
        for ahead in range(3)
        for fold in (0, 1)
        # one before the start is left out: a time that does not exist would be moved behind the start
        if (due := datetime.combine(local.date() + timedelta(days=ahead), end)) > local or fold
    )
    return next(found for found in ends if found > start)
