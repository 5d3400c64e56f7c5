"""Conditions: the tree, the text in canonical form, and what holds for which figures."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import pytest

from jobtui.language import StatementError, parse
from jobtui.language.conditions import (
    And,
    Comparison,
    Needed,
    Not,
    Or,
    UnknownFigureError,
    describe_figures,
    evaluate,
    parse_condition,
    unparse_condition,
)
from jobtui.language.quantities import Quantity

DELETIONS = Comparison("deletions", ">", 0.1, Quantity.SHARE)
FILES = Comparison("l0_files", ">=", 20, None)
SIZE = Comparison("size", "<", 1 << 30, Quantity.SIZE)
FIGURES: Mapping[str, int | float | None] = {
    "deletions": 0.02,
    "l0_files": 30,
    "pending": None,
    "gain": 5 << 30,
    "gain_share": 0.5,
    "size": 10 << 30,
    "memtable": 0,
    "free": 1 << 40,
    "free_share": 0.25,
    "age": inf,
    "needed": False,
}


class TestTree:
    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("needed", Needed()),
            ("Deletions > 10 %", DELETIONS),
            ("L0_FILES>=0x14", FILES),
            ("age > 1 h 30 min", Comparison("age", ">", 5400, Quantity.DURATION)),
            ("gain > 10%", Comparison("gain", ">", 0.1, Quantity.SHARE)),
            ("gain != 10kb", Comparison("gain", "!=", 10_000, Quantity.SIZE)),
            ("((deletions > 10%))", DELETIONS),
            ("NOT NOT deletions > 10%", Not(Not(DELETIONS))),
            ("deletions > 10% and l0_files >= 20 and size < 1 GiB", And((DELETIONS, FILES, SIZE))),
            ("deletions > 10% OR l0_files >= 20 AND size < 1 GiB", Or((DELETIONS, And((FILES, SIZE))))),
            ("(deletions > 10% OR l0_files >= 20) AND size < 1 GiB", And((Or((DELETIONS, FILES)), SIZE))),
            ("NOT deletions > 10% AND l0_files >= 20", And((Not(DELETIONS), FILES))),
            ("NOT (deletions > 10% AND l0_files >= 20)", Not(And((DELETIONS, FILES)))),
            ("deletions /* c */ > # c\n 10 /* c */ %", DELETIONS),
        ],
    )
    def test_not_binds_tightest_and_or_least(self, text: str, tree: object) -> None:
        assert parse_condition(text) == tree

    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("needed", "NEEDED"),
            ("(SIZE<1024 mib)", "size < 1 GiB"),
            ("not (deletions>12.50%)", "NOT deletions > 12.5%"),
            (
                "(age > 90 s or free < 1500 mb) and size > 0",
                "(age > 1 min 30 s OR free < 1.5 GB) AND size > 0 B",
            ),
        ],
    )
    def test_canonical_text(self, text: str, canonical: str) -> None:
        assert unparse_condition(parse_condition(text)) == canonical
        assert parse_condition(canonical) == parse_condition(text)

    @pytest.mark.parametrize("text", ["", "size", "size > 1 GiB WITH rolling = 1", "needed or", "$"])
    def test_no_condition(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a condition"):
            parse_condition(text)


class TestLimits:
    def test_nesting(self) -> None:
        nested = "(" * 32 + "size > 1" + ")" * 32
        assert parse_condition(nested) == Comparison("size", ">", 1, Quantity.SIZE)
        for deeper in (f"({nested})", "NOT " * 40 + "size > 1", "(" * 60 + "size > 1" + ")" * 60):
            with pytest.raises(StatementError, match="nested too deeply: at most 32"):
                parse(f"ADMIN COMPACT nba IF {deeper}")

    def test_number_of_comparisons(self) -> None:
        assert parse("ADMIN COMPACT nba IF size > 1" + " OR size > 1" * 999)
        with pytest.raises(StatementError, match="at most 1,000 options and comparisons"):
            parse("ADMIN COMPACT nba IF size > 1" + " OR size > 1" * 1000)


class TestEvaluation:
    @pytest.mark.parametrize(
        ("text", "holds"),
        [
            ("NEEDED", False),
            ("deletions > 10%", False),
            ("deletions <= 2%", True),
            ("l0_files = 30", True),
            ("l0_files != 30", False),
            ("l0_files < 30", False),
            ("l0_files >= 30", True),
            ("gain >= 5 GiB AND gain > 40%", True),
            ("free > 30%", False),
            ("free > 30 GiB", True),
            ("age > 365 d", True),
            ("NOT memtable > 0", True),
            ("deletions > 10% OR size > 1 GiB", True),
            ("deletions > 10% AND pending > 1 GiB", False),  # the second does not matter
            ("size > 1 GiB OR pending > 1 GiB", True),
        ],
    )
    def test_figures_decide(self, text: str, holds: bool) -> None:
        assert evaluate(parse_condition(text), FIGURES) is holds

    @pytest.mark.parametrize(
        "text", ["pending > 1 GiB", "NOT pending > 1 GiB", "size < 1 GiB OR pending > 1 GiB"]
    )
    def test_unknown_figure_is_no_answer(self, text: str) -> None:
        with pytest.raises(UnknownFigureError) as raised:
            evaluate(parse_condition(text), FIGURES)
        assert raised.value.figure == "pending"

    @pytest.mark.parametrize(
        ("text", "described"),
        [
            ("NEEDED", ""),
            ("deletions > 10% OR l0_files > 40", "deletions 2%, L0 files 30"),
            ("pending > 1 GiB AND gain > 90%", "to compact unknown, gain 50%"),
            (
                "size < 1 GiB AND memtable > 1 MiB AND age < 3 d",
                "size 10 GiB, in memory 0 B, age unlimited (never compacted)",
            ),
        ],
    )
    def test_figures_are_described(self, text: str, described: str) -> None:
        assert describe_figures(parse_condition(text), FIGURES) == described
