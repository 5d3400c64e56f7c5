"""The times of a schedule: what is one, and what an error says."""

from __future__ import annotations

from datetime import time

import pytest

from jobtui.language.schedule_times import TimesError, check_times, parse_time_of_day, parse_time_zone


@pytest.mark.parametrize(
    "text",
    [
        "30 2 * * *",
        "@daily",
        " @Weekly ",
        "*/15 0-6,22 1,15 jan-mar MON",
        "0 0 31 * *",
        "0 0 29 2 *",
        "0 0 30 2 sun",
    ],
)
def test_cron_expression(text: str) -> None:
    check_times(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "five fields"),
        ("30 2 * *", "five fields"),
        ("30 2 * * * *", "five fields"),
        ("60 2 * * *", "60 is not right for the minute: use 0 to 59"),
        ("0 24 * * *", "the hour"),
        ("0 0 0 * *", "the day of the month"),
        ("0 0 * 13 *", "the month: use 1 to 12, jan to dec"),
        ("0 0 * * 8", "the day of the week: use 0 to 7, sun to sat"),
        ("0 0 * * fry", "fry is not right"),
        ("5-1 0 * * *", "from the smaller to the larger"),
        ("*/0 0 * * *", "at least 1"),
        ("5/10 0 * * *", "5/10 is not right"),
        ("1,,2 0 * * *", "an empty item is not right"),
        ("-1 0 * * *", "-1 is not right"),
        ("٣ 0 * * *", "is not right"),
        ("0 0 31 4,6 *", "never come"),
        ("@reboot", "use @hourly, @daily, @weekly"),
        ("@dayly", "did you mean @daily"),
    ],
)
def test_no_cron_expression(text: str, reason: str) -> None:
    with pytest.raises(TimesError, match=reason):
        check_times(text)


def test_time_of_day() -> None:
    assert parse_time_of_day("06:00") == time(6)
    assert parse_time_of_day("23:59") == time(23, 59)
    for text in ("24:00", "6", "06:60", "06:00:00", "6 am", ""):
        with pytest.raises(TimesError, match="from 00:00 to 23:59"):
            parse_time_of_day(text)


def test_time_zone() -> None:
    assert str(parse_time_zone("Europe/Berlin")) == "Europe/Berlin"
    with pytest.raises(TimesError, match=r"did you mean Europe/Berlin\?"):
        parse_time_zone("Europe/Berlim")
    for name in ("Mars/Base", "", "Europe", "../etc/passwd", "/etc/passwd", "a\0b"):
        with pytest.raises(TimesError, match="not a time zone"):
            parse_time_zone(name)
