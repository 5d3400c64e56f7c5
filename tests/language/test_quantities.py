from __future__ import annotations

import pytest

from jobtui.language.quantities import (
    Quantity,
    QuantityError,
    parse_duration,
    parse_share,
    parse_size,
    read_quantity,
    write_duration,
    write_share,
    write_size,
)


class TestSize:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("0", 0),
            ("1024", 1024),
            ("17 B", 17),
            ("5 GiB", 5 << 30),
            ("50MiB", 50 << 20),
            ("20mib", 20 << 20),
            ("10 GB", 10**10),
            ("3 kB", 3000),
            ("3 KB", 3000),
            ("1.5 GiB", 3 << 29),
            ("0.1 KiB", 102),
            ("8\u00a0TiB", 8 << 40),
            ("9223372036854775807", 2**63 - 1),
            ("9223372036854775807.5", 2**63 - 1),
            ("0.99999999999999999999", 0),
        ],
    )
    def test_units_and_decimals(self, text: str, count: int) -> None:
        assert parse_size(text) == count

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "not a size"),
            ("fast", "not a size"),
            ("-1 MiB", "not a size"),
            ("1. MiB", "not a size"),
            ("5 MiB 3 KiB", "one number and one unit"),
            ("5 min", "not a unit of a size: use B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"),
            ("5 GiBB", "did you mean GiB?"),
            ("10%", "not a unit of a size"),
            ("9223372036854775808", "too large"),
            ("8388608 TiB", "too large"),
            ("9" * 1000 + " MiB", "not a size"),
        ],
    )
    def test_refused_with_the_reason(self, text: str, reason: str) -> None:
        with pytest.raises(QuantityError, match=reason.replace("?", r"\?")):
            parse_size(text)


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0 s", 0),
            ("90 s", 90),
            ("5 min", 300),
            ("2h", 7200),
            ("7 D", 604_800),
            ("1 h 30 min", 5400),
            ("1h30min", 5400),
            ("0.5 s", 0.5),
            ("1.5 h", 5400),
            ("36500 d", 3_153_600_000),
        ],
    )
    def test_units_and_sums(self, text: str, seconds: float) -> None:
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("5", "needs a unit: s, min, h or d"),
            ("5 MiB", "not a unit of a duration"),
            ("30 min 1 h", "from long to short"),
            ("1 h 2 h", "from long to short"),
            ("1 h 5", "needs a unit"),
            ("5 m", "not a unit of a duration: use s, min, h or d"),
            ("36500 d 1 s", r"too long: a duration has at most 36500 d \(100 years\)"),
            ("99999999999999 d 99999999999999999999 h", "too long"),
        ],
    )
    def test_refused_with_the_reason(self, text: str, reason: str) -> None:
        with pytest.raises(QuantityError, match=reason):
            parse_duration(text)


class TestShare:
    @pytest.mark.parametrize(("text", "share"), [("0%", 0), ("10 %", 0.1), ("12.5%", 0.125), ("100%", 1)])
    def test_percent(self, text: str, share: float) -> None:
        assert parse_share(text) == share

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("10", "written with %"),
            ("101%", "between 0% and 100%"),
            ("-5%", "not a share"),
            ("5 GiB", "written with %"),
        ],
    )
    def test_refused_with_the_reason(self, text: str, reason: str) -> None:
        with pytest.raises(QuantityError, match=reason):
            parse_share(text)


class TestWriting:
    @pytest.mark.parametrize(
        ("size", "text"),
        [(0, "0 B"), (1234, "1234 B"), (3 << 29, "1.5 GiB"), (10**10, "10 GB"), (2**63 - 1, f"{2**63 - 1} B")],
    )
    def test_size(self, size: int, text: str) -> None:
        assert write_size(size) == text
        assert parse_size(text) == size

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "0 s"), (5400, "1 h 30 min"), (90_061, "1 d 1 h 1 min 1 s"), (0.1, "0.1 s")]
    )
    def test_duration(self, seconds: float, text: str) -> None:
        assert write_duration(seconds) == text
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize(("share", "text"), [(0.0, "0%"), (0.1, "10%"), (0.333, "33.3%"), (1.0, "100%")])
    def test_share(self, share: float, text: str) -> None:
        assert write_share(share) == text
        assert parse_share(text) == share


class TestInAStatement:
    @pytest.mark.parametrize(
        ("words", "quantities", "value"),
        [
            (["0x10"], [Quantity.SIZE], 16),
            (["010", "MiB"], [Quantity.SIZE], 8 << 20),
            (["010MiB"], [Quantity.SIZE], 8 << 20),
            (["08", "s"], [Quantity.DURATION], 8),
            (["0.50", "min"], [Quantity.DURATION], 30),
            (["10", "%"], [Quantity.SIZE, Quantity.SHARE], 0.1),
            (["10"], [Quantity.SIZE, Quantity.SHARE], 10),
        ],
    )
    def test_numbers_follow_the_rules_of_the_language(
        self, words: list[str], quantities: list[Quantity], value: float
    ) -> None:
        assert read_quantity(words, quantities) == value
