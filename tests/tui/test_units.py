from datetime import UTC, datetime

import pytest

from jobtui.tui import units


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (612 << 20, "612 MiB"),
        (1288490188, "1.2 GiB"),
        (1 << 60, "1 EiB"),
        (-(5 << 20), "-5 MiB"),
    ],
)
def test_sizes_read_as_a_person_says_them(count: int | None, text: str) -> None:
    assert units.size(count) == text


def test_what_is_left_is_told_roughly() -> None:
    assert units.left(0.2) == "1 s left"
    assert units.left(12.4) == "12 s left"
    assert units.left(200) == "3 min left"
    assert units.left(7200) == "2.0 h left"


def test_a_hundred_percent_is_only_said_of_what_is_done() -> None:
    assert units.percent(0.999) == " 99%"
    assert units.percent(1.0) == "100%"
    assert units.percent(0.0) == "  0%"


def test_moments_are_local_and_blank_where_there_is_none() -> None:
    at = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
    assert units.moment(at) == f"{at.astimezone():%m/%d/%y %H:%M:%S}"
    assert units.moment(None) == ""


def test_ids_are_told_in_runs_and_not_all_of_very_many() -> None:
    assert units.ids([3]) == "3"
    assert units.ids([3, 4]) == "3, 4"
    assert units.ids([3, 4, 5, 9]) == "3–5, 9"
    assert units.ids(list(range(0, 400, 2)), 3) == "0, 2, 4, … (200 in all)"
