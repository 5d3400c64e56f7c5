"""What the command bar shows of a text while it is typed: its colors, and its error in time."""

from __future__ import annotations

import pytest

from jobtui.language.diagnostics import error_at_cursor, highlight


def colored(text: str) -> list[tuple[str, str]]:
    return [(text[start:end], color) for start, end, color in highlight(text)]


def test_each_word_has_the_color_of_its_kind() -> None:
    assert colored("show JOBS IN `a b` LIMIT 5; -- c\nUSE 图谱; CREATE SPACE x AT \"d\", 'e' /* f */") == [
        ("show", "keyword"),
        ("JOBS", "keyword"),
        ("IN", "keyword"),
        ("`a b`", "name"),
        ("LIMIT", "keyword"),
        ("5", "number"),
        ("-- c", "comment"),
        ("USE", "keyword"),
        ("图谱", "name"),
        ("CREATE", "keyword"),
        ("SPACE", "keyword"),
        ("x", "name"),
        ("AT", "keyword"),
        ('"d"', "string"),
        ("'e'", "string"),
        ("/* f */", "comment"),
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("SHOW [[[JOBS", "[[["),
        ("SHOW \x00\x01 JOBS", "\x00\x01"),
        ("SHOW 1_g", "1_g"),
        ("USE a\u200bb", "a\u200bb"),
        ("USE ``", "``"),
    ],
)
def test_text_of_no_statement_is_an_error(text: str, wrong: str) -> None:
    assert [words for words, color in colored(text) if color == "error"] == [wrong]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("USE `open", ("`open", "name")),
        ("CREATE SPACE a AT 'open", ("'open", "string")),
        ("SHOW JOBS /* open", ("/* open", "comment")),
    ],
)
def test_unclosed_text_has_its_color_already(text: str, last: tuple[str, str]) -> None:
    assert colored(text)[-1] == last


def test_colors_continue_after_an_error() -> None:
    assert colored("[ SHOW \x1b JOBS")[1::2] == [("SHOW", "keyword"), ("JOBS", "keyword")]


def test_contextual_keyword_is_colored_by_its_role() -> None:
    assert colored("USE rate; SET rate 1.5 GiB FOR JOB 4") == [
        ("USE", "keyword"),
        ("rate", "name"),
        ("SET", "keyword"),
        ("rate", "keyword"),
        ("1.5", "number"),
        ("GiB", "number"),
        ("FOR", "keyword"),
        ("JOB", "keyword"),
        ("4", "number"),
    ]
    assert colored("admin compact for IF free >= 10% WITH order = listed, wait = 1h") == [
        ("admin", "keyword"),
        ("compact", "keyword"),
        ("for", "name"),
        ("IF", "keyword"),
        ("free", "keyword"),
        ("10", "number"),
        ("WITH", "keyword"),
        ("order", "keyword"),
        ("listed", "keyword"),
        ("wait", "keyword"),
        ("1h", "number"),
    ]


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "\x00" * 100_000, "`" * 99_999, "/*\x00" * 30_000, "", "\ufeff"]
)
def test_colors_are_in_order_and_never_overlap(text: str) -> None:
    at = 0
    for start, end, _ in highlight(text):
        assert at <= start < end <= len(text)
        at = end


def wrong_at(text: str) -> str | None:
    """The words that are shown as wrong with the cursor at the `|`, None where none are."""
    before, _, after = text.partition("|")
    error = error_at_cursor(before + after, len(before))
    return None if error is None else (before + after)[slice(*error.span)]


QUIET = [
    "|",
    "S|",
    "SHOW|",
    "SHOW |",
    "SHOW J|",
    "SHOW J| LIMIT 5",
    "SHOW JOB| LIMIT 5",
    "SHOW JOB |",
    "SHOW JOB 4|",
    "SHOW JOB 40|",
    "SHOW JOB 0x|",
    "SHOW J|S",
    "USE flush|",
    "USE `fl|",
    "USE `|`",
    "CREATE SPACE a AT '|",
    "CREATE SPACE a AT '/srv|",
    "SHOW JOBS -|",
    "SHOW JOBS --|",
    "SHOW JOBS /|",
    "SHOW JOBS /* a|",
    "SHOW |; SHOW JOBS",
    "SHOW | ; SHOW JOBS",
    "USE nba; S|",
    "STOP JOB 1,|",
    "recover j|",
    "SHOW\n|",
]


@pytest.mark.parametrize("text", QUIET)
def test_unfinished_word_is_no_error(text: str) -> None:
    assert wrong_at(text) is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("SX|", "SX"),
        ("SHOW JBO|", "JBO"),
        ("SHOW J |", "J"),
        ("SHOW JBO 4|", "JBO"),
        ("|SHOW JBO 4", "JBO"),
        ("USE flush |", "flush"),
        ("SHOW; |", ""),
        ("SHOW ; SHOW JOBS|", ""),
        ("USE `a; SHOW JOBS|", None),
        ("SHOW JOB 0xg|", "0xg"),
        ("SHOW JOB 99999999999999999999|", "99999999999999999999"),
        ("SHOW JOBS --x|", "--"),
        ("SHOW JOBS (|", "("),
        ("SHOW JOBS junk|", "junk"),
        ("USE a.|", "."),
        ("USE 2|", "2"),
        ("SHOW\u200bJ|", "\u200b"),
    ],
)
def test_text_that_cannot_become_valid_is_marked(text: str, wrong: str | None) -> None:
    assert wrong_at(text) == wrong


STATEMENTS = [
    "SHOW FAILED JOBS IN `a b` LIMIT 5; -- done\n",
    "ADMIN COMPACT nba",
    "RECOVER JOB 1, 22, 0x16; STOP JOB 4",
    "BACKUP JOB 0 22",
    "CREATE SPACE IF NOT EXISTS nba ON local0, local1",
    "CREATE SPACE chain AT '/srv/a', \"/srv/b\\n\"",
    "DROP SPACE IF EXISTS 图谱 /* it is gone */ ;",
    "USE `my-space`; SUBMIT JOB FLUSH",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_typing_a_right_statement_shows_no_error(statement: str) -> None:
    for cursor in range(len(statement) + 1):
        error = error_at_cursor(statement[:cursor], cursor)
        assert error is None, f"{statement[:cursor]!r}: {error}"
