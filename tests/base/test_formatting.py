from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobtui.formatting import (
    format_bytes,
    format_count,
    format_duration,
    format_ids,
    format_local_time,
    format_percent,
    format_rate,
    format_remaining,
    guard_formula,
    is_control,
    printable,
    printable_line,
    printable_lines,
    single_cells,
)


class TestFormatBytes:
    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (3 << 19, "1.5 MiB"),
            (612 << 20, "612 MiB"),
            (1_288_490_189, "1.2 GiB"),
            (1023 << 20, "1 GiB"),
            (5 << 40, "5 TiB"),
            (1 << 70, "1024 EiB"),
            (-1536, "-1.5 KiB"),
            (9.999 * 1024, "10 KiB"),
        ],
    )
    def test_three_digits_and_no_trailing_zeros(self, count: float, text: str) -> None:
        assert format_bytes(count) == text

    def test_never_more_than_three_digits(self) -> None:
        for exponent in range(600):
            number, _ = format_bytes(1.07**exponent).split()
            assert len(number.replace(".", "").lstrip("0")) <= 3

    def test_unknown_size_is_the_callers_text(self) -> None:
        assert (format_bytes(None), format_bytes(None, unknown="–")) == ("", "–")
        assert (format_rate(None), format_rate(88 << 20)) == ("", "88 MiB/s")


class TestCounts:
    def test_noun_is_plural_but_for_one(self) -> None:
        assert [format_count(n, "job") for n in (0, 1, 1200)] == ["0 jobs", "1 job", "1,200 jobs"]
        assert format_count(2, "directory", "directories") == "2 directories"

    @pytest.mark.parametrize(
        ("ids", "text"),
        [
            ([], ""),
            ([3], "3"),
            ([3, 4], "3, 4"),
            ([3, 4, 5, 9], "3–5, 9"),
            (range(0, 400, 2), "0, 2, 4, … (200 in all)"),
            (range(1, 2_000_000), "1–1999999"),
            ([5, 4, 3], "5, 4, 3"),
        ],
    )
    def test_ids_are_named_in_runs_up_to_a_limit(self, ids: list[int], text: str) -> None:
        assert format_ids(ids, 3) == text


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain [b]text[/b] 图谱", "plain [b]text[/b] 图谱"),
            ("a\x1b[2Jb", r"a\x1b[2Jb"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\u202eabc\u200b", r"\u202eabc\u200b"),
            ("\ud800", r"\ud800"),
            ("\U000e0001", r"\U000e0001"),
            ("\u2028", r"\u2028"),
        ],
    )
    def test_controls_become_visible_escapes(self, text: str, shown: str) -> None:
        assert printable(text) == shown

    def test_no_control_character_remains(self) -> None:
        every = "".join(map(chr, range(0x110000)))
        assert not any(map(is_control, printable(every)))

    def test_lines_are_kept_on_request(self) -> None:
        assert printable_lines("a\x07\nb\r\n") == "a\\x07\nb\\r\n"

    def test_one_line_is_bounded_and_escaped(self) -> None:
        assert printable_line("a\x1b[2Jb\r\n  c\u202ed\x00e") == r"a\x1b[2Jb c\u202ed\x00e"
        assert len(printable_line("x" * 10_000)) == 400
        assert len(printable_line("\x1b" * 10_000, limit=50)) == 50


class TestSingleCells:
    def test_each_control_is_replaced_by_one_character(self) -> None:
        assert single_cells("a\x1bb\x00\x7f\u202e") == "a␛b␀␡\ufffd"

    def test_marks_are_limited(self) -> None:
        assert len(single_cells("e" + "\u0301" * 10_000)) == 5


class TestGuardFormula:
    @pytest.mark.parametrize(
        "text",
        ["=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-", "+cmd", "-1-2", "=1"],
    )
    def test_formula_becomes_text(self, text: str) -> None:
        assert guard_formula(text) == f"'{text}"

    @pytest.mark.parametrize(
        "text", ["", "nba", "a=1", "-5", "+1.5", "-1e-3", "-.5", "2019-12-17", "'=1", " =1"]
    )
    def test_number_and_plain_text_stay(self, text: str) -> None:
        assert guard_formula(text) == text


class TestFormatDuration:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (None, ""),
            (0, "0.0 s"),
            (-3, "0.0 s"),
            (0.3, "0.3 s"),
            (0.449, "0.4 s"),
            (1.96, "1.9 s"),
            (9.97, "9.9 s"),
            (10, "0:10"),
            (42.9, "0:42"),
            (59.999, "0:59"),
            (61, "1:01"),
            (3723, "1:02:03"),
            (183_845, "2d 03:04:05"),
        ],
    )
    def test_rounded_down_at_every_length(self, seconds: float | None, text: str) -> None:
        assert format_duration(seconds) == text


class TestFormatRemaining:
    def test_rounds_to_one_unit(self) -> None:
        assert [format_remaining(seconds) for seconds in (0.2, 12.4, 200, 7200)] == [
            "1 s left",
            "12 s left",
            "3 min left",
            "2.0 h left",
        ]


class TestFormatPercent:
    def test_hundred_only_when_nothing_is_left(self) -> None:
        assert format_percent(0.999) == " 99%"
        assert format_percent(1.0) == "100%"
        assert format_percent(0.0) == "  0%"


class TestFormatLocalTime:
    def test_local_time_or_nothing(self) -> None:
        at = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)
        assert format_local_time(at) == f"{at.astimezone():%m/%d/%y %H:%M:%S}"
        assert format_local_time(None) == ""
