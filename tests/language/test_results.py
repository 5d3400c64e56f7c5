"""Results as text: the box to the character, JSON, JSON lines and CSV."""

from __future__ import annotations

import csv as csv_reader
import io
import json
from collections.abc import Iterator, Sequence
from typing import NoReturn, overload

import msgspec
import pytest
from typing_extensions import override

from jobtui.formatting import is_control
from jobtui.language.results import (
    Result,
    Row,
    RowListing,
    cell_width,
    format_csv,
    format_json,
    format_jsonl,
    format_table,
    table_lines,
)


class Broken(msgspec.Struct, frozen=True):
    statement: str = "SHOW JOB 99"
    message: str = "Job 99 does not exist"
    line: int = 2
    column: int = 1


def result(columns: Sequence[str], *rows: Sequence[str], statement: str = "SHOW JOBS") -> Result:
    return Result(
        statement, tuple(columns), tuple(Row(tuple(row), dict(zip(columns, row, strict=True))) for row in rows)
    )


JOB_COLUMNS = ("Job Id(TaskId)", "Command(Dest)", "Status", "Start Time", "Stop Time")
JOBS_COLUMNS = ("Job Id", "Command", "Status", "Start Time", "Stop Time")

SEED = [
    (
        result(["New Job Id"], ["40"]),
        """\
==============
| New Job Id |
==============
| 40         |
--------------""",
    ),
    (
        result(
            JOB_COLUMNS,
            ["40", "flush nba", "finished", "12/17/19 17:21:30", "12/17/19 17:21:30"],
            ["40-0", "192.168.8.5", "finished", "12/17/19 17:21:30", "12/17/19 17:21:30"],
        ),
        """\
=====================================================================================
| Job Id(TaskId) | Command(Dest) | Status   | Start Time        | Stop Time         |
=====================================================================================
| 40             | flush nba     | finished | 12/17/19 17:21:30 | 12/17/19 17:21:30 |
-------------------------------------------------------------------------------------
| 40-0           | 192.168.8.5   | finished | 12/17/19 17:21:30 | 12/17/19 17:21:30 |
-------------------------------------------------------------------------------------""",
    ),
    (
        result(
            JOBS_COLUMNS,
            ["22", "flush test2", "failed", "12/06/19 14:46:22", "12/06/19 14:46:22"],
            ["23", "compact test2", "stopped", "12/06/19 15:07:09", "12/06/19 15:07:33"],
            ["24", "compact test2", "stopped", "12/06/19 15:07:11", "12/06/19 15:07:20"],
            ["25", "compact test2", "stopped", "12/06/19 15:07:13", "12/06/19 15:07:24"],
        ),
        """\
=============================================================================
| Job Id | Command       | Status   | Start Time        | Stop Time         |
=============================================================================
| 22     | flush test2   | failed   | 12/06/19 14:46:22 | 12/06/19 14:46:22 |
-----------------------------------------------------------------------------
| 23     | compact test2 | stopped  | 12/06/19 15:07:09 | 12/06/19 15:07:33 |
-----------------------------------------------------------------------------
| 24     | compact test2 | stopped  | 12/06/19 15:07:11 | 12/06/19 15:07:20 |
-----------------------------------------------------------------------------
| 25     | compact test2 | stopped  | 12/06/19 15:07:13 | 12/06/19 15:07:24 |
-----------------------------------------------------------------------------""",
    ),
    (
        result(["BACKUP Result"], ["backup 1 jobs 2 tasks"]),
        """\
=========================
| BACKUP Result         |
=========================
| backup 1 jobs 2 tasks |
-------------------------""",
    ),
    (
        result(["New Job Id"], ["41"]),
        """\
==============
| New Job Id |
==============
| 41         |
--------------""",
    ),
]


@pytest.mark.parametrize(
    ("given", "printed"), SEED, ids=["admin", "show job", "show jobs", "backup", "recover"]
)
def test_boxes_match_the_original_page(given: Result, printed: str) -> None:
    assert format_table(given) == printed


def test_result_without_rows_is_its_header_and_two_rules() -> None:
    assert format_table(result(["Job Id", "Status"])) == (
        "=====================\n| Job Id | Status   |\n====================="
    )


def test_result_without_columns_prints_nothing() -> None:
    assert format_table(Result("USE nba")) == ""
    assert list(table_lines(Result("USE nba"))) == []
    assert format_csv(Result("USE nba")) == ""
    assert format_jsonl([Result("USE nba")]) == ""


FOREIGN = [
    "图谱",
    "😀 a",
    "हिन्दी",
    "e\u0301",
    "\x1b[31mred\x1b[0m",
    "two\nlines\r\n",
    "\u202egnp.exe",
    "[/nope]",
    "\ud800",
    "a\tb",
    "x" * 10_000,
    "\u200b\u200d\ufeff",
    "\x9b2J",
    "\u2028",
]


@pytest.mark.parametrize("text", FOREIGN, ids=lambda text: ascii(text)[:20])
def test_columns_stay_aligned_with_any_text(text: str) -> None:
    printed = format_table(result(["Name", text, "Status"], ["nba", text, "ok"], [text, "", ""]))
    lines = printed.split("\n")
    assert len(lines) == 7
    assert len({cell_width(line) for line in lines}) == 1
    assert not any(is_control(character) for line in lines for character in line)
    printed.encode("utf-8")


def test_terminal_controls_are_shown_as_escapes() -> None:
    assert r"| a\nb\x1b\u202e |" in format_table(result(["Name"], ["a\nb\x1b\u202e"]))


FULL = Result(
    "SHOW JOB 40",
    ("Job Id(TaskId)", "Status", "Stop Time"),
    (
        Row(
            ("40", "failed", ""),
            {
                "Job Id(TaskId)": 40,
                "Status": "failed",
                "Stop Time": None,
                "reason": "a\nb \x1b[31m图谱",
                "took": 1.5,
            },
        ),
        Row(
            ("40-0", "failed", ""),
            {
                "Job Id(TaskId)": "40-0",
                "Status": "failed",
                "Stop Time": None,
                "levels": [1, 2],
                "detached": True,
            },
        ),
    ),
)


def test_columns_stay_aligned_if_characters_are_escaped() -> None:
    given = Result("SHOW SPACES", ("Name",), (Row(("图谱",), {}), Row(("nba",), {})))
    lines = format_table(given, "ascii").splitlines()
    assert lines[3] == r"| \u56fe\u8c31 |"
    assert len({len(line) for line in lines}) == 1
    assert format_table(given, "gb18030") == format_table(given)


def test_json_is_an_array_with_an_object_a_statement() -> None:
    decoded = json.loads(format_json([Result("USE nba", notice="the space is empty"), FULL], Broken()))
    assert decoded == [
        {"statement": "USE nba", "columns": [], "rows": [], "notice": "the space is empty"},
        {
            "statement": "SHOW JOB 40",
            "columns": ["Job Id(TaskId)", "Status", "Stop Time"],
            "rows": [dict(row.values) for row in FULL.rows],
        },
        {
            "statement": "SHOW JOB 99",
            "error": {"message": "Job 99 does not exist", "line": 2, "column": 1},
        },
    ]


def test_json_has_a_row_on_each_line() -> None:
    rows = (Row(("1",), {"Id": 1}), Row(("2",), {"Id": 2}))
    two = [Result("A", ("Id",), rows), Result("B", ("Id",), rows[:1]), Result("C")]
    assert format_json(two).splitlines() == [
        "[",
        '{"statement": "A", "columns": ["Id"], "rows": [',
        '{"Id": 1},',
        '{"Id": 2}',
        "]},",
        '{"statement": "B", "columns": ["Id"], "rows": [',
        '{"Id": 1}',
        "]},",
        '{"statement": "C", "columns": [], "rows": [',
        "]}",
        "]",
    ]


def test_json_of_no_statement_is_an_empty_array() -> None:
    assert json.loads(format_json([])) == []
    assert json.loads(format_json([], Broken())) == [
        {"statement": "SHOW JOB 99", "error": {"message": "Job 99 does not exist", "line": 2, "column": 1}}
    ]


def test_json_has_the_total_if_it_holds_the_newest_rows() -> None:
    assert json.loads(format_json([Result("SHOW JOBS", ("Job Id",), (), total=7)]))[0]["total"] == 7


def test_json_lines_have_the_number_of_their_statement() -> None:
    lines = format_jsonl([Result("USE nba"), FULL, result(["Name"], ["nba"])]).split("\n")
    decoded = [json.loads(line) for line in lines]
    assert [row["statement"] for row in decoded] == [2, 2, 3]
    assert decoded[0]["Job Id(TaskId)"] == 40
    assert decoded[0]["reason"] == "a\nb \x1b[31m图谱"
    assert decoded[2] == {"statement": 3, "Name": "nba"}


def test_csv_holds_the_columns_and_further_fields() -> None:
    rows = list(csv_reader.reader(io.StringIO(format_csv(FULL))))
    assert rows == [
        ["Job Id(TaskId)", "Status", "Stop Time", "reason", "took", "levels", "detached"],
        ["40", "failed", "", r"a\nb \x1b[31m图谱", "1.5", "", ""],
        ["40-0", "failed", "", "", "", "[1, 2]", "true"],
    ]


def test_csv_guards_formulas_and_keeps_numbers() -> None:
    given = result(["Name", "Free", "Change"], ["=HYPERLINK(1)", -5, "-5"])
    assert format_csv(given).split("\n")[-1] == "'=HYPERLINK(1),-5,-5"
    assert format_csv(given, raw=True).split("\n")[-1] == "=HYPERLINK(1),-5,-5"


def test_csv_of_no_rows_is_its_header() -> None:
    assert format_csv(result(["Job Id", "Command"])) == "Job Id,Command"


@pytest.mark.parametrize("text", FOREIGN, ids=lambda text: ascii(text)[:20])
def test_untrusted_text_is_escaped_and_read_back(text: str) -> None:
    given = result(["Name", "Status"], [text, text])
    for printed in (format_json([given]), format_jsonl([given]), format_csv(given)):
        assert not any(is_control(character) for line in printed.split("\n") for character in line)
        printed.encode("utf-8")
    assert json.loads(format_json([given]))[0]["rows"] == [{"Name": text, "Status": text}]
    assert json.loads(format_jsonl([given]))["Name"] == text


class Pages(Sequence[Row]):
    """Rows that are made when they are asked for, as those of a long history are; slices alone are cheap."""

    def __init__(self, many: int) -> None:
        self.many = many

    def __len__(self) -> int:
        return self.many

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        assert isinstance(at, slice)
        return [Row((str(n),), {"Job Id": n}) for n in range(*at.indices(self.many))]


class CellsOnly(RowListing):
    """Rows whose cells alone can be read."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: object) -> NoReturn:
        raise AssertionError("a table needs no values")

    @override
    def cells(self) -> Iterator[tuple[str, ...]]:
        return iter([("1",), ("2",)])


def test_table_of_a_listing_reads_cells_without_values() -> None:
    lines = format_table(Result("SHOW JOBS", ("Id",), CellsOnly())).split("\n")
    assert lines[3::2] == ["| 1  |", "| 2  |"]


def test_rows_of_the_history_are_read_in_pages() -> None:
    given = Result("SHOW JOBS", ("Job Id",), Pages(2500))
    assert len(format_table(given).split("\n")) == 3 + 2 * 2500
    assert len(json.loads(format_json([given]))[0]["rows"]) == 2500
    assert len(format_jsonl([given]).split("\n")) == 2500
    assert format_csv(given).split("\n")[-1] == "2499"
