"""The message and position of an error, and that printing it is harmless."""

from __future__ import annotations

import pytest

from jobtui.formatting import is_control
from jobtui.language import StatementError, line_and_column, parse
from jobtui.language.results import cell_width


def refusal(text: str) -> StatementError:
    with pytest.raises(StatementError) as raised:
        parse(text)
    return raised.value


def test_near_miss_is_shown_in_full() -> None:
    error = refusal("SHOW JBO 40")
    assert str(error) == (
        "SHOW JBO 40\n"
        "     ^^^ syntax error at 1:6: expected JOB, JOBS, SPACES, HOSTS, ADVICE, SCHEDULES or a status; "
        "did you mean JOB?"
    )
    assert (
        error.message == "expected JOB, JOBS, SPACES, HOSTS, ADVICE, SCHEDULES or a status; did you mean JOB?"
    )
    assert error.span == (5, 8)
    assert (error.line, error.column) == (1, 6)
    assert error.expected == ("JOB", "JOBS", "SPACES", "HOSTS", "ADVICE", "SCHEDULES", "a status")
    assert error.near == "JOB"
    assert error.text == "SHOW JBO 40"


VERBS = (
    *("ADMIN", "SUBMIT", "EXPLAIN", "SHOW", "STOP", "PAUSE", "RESUME", "SET"),
    *("BACKUP", "RESTORE", "RECOVER", "USE", "CREATE", "DROP", "RUN"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KILL JOB 22", VERBS),
        ("(", VERBS),
        ("ADMIN STATS", ("FLUSH", "COMPACT")),
        ("ADMIN FLUSH 3", ("a space's name", "ON", "IF", "WITH", ";", "the end")),
        ("SHOW JOBS WHERE status", ("IN", "LIMIT", ";", "the end")),
        ("SHOW JOBS IN nba IN nba", ("LIMIT", ";", "the end")),
        ("SHOW JOBS LIMIT many", ("a number",)),
        ("BACKUP JOBS", ("JOB",)),
        ("BACKUP JOB 1", ("<id>",)),
        ("STOP JOB", ("<id>",)),
        ("STOP JOB 1 2", ("a comma", "WITH", ";", "the end")),
        ("STOP JOB 1, x", ("<id>", "WITH", ";", "the end")),
        ("RECOVER JOB x", ("<id>", "WITH", ";", "the end")),
        ("SUBMIT JOB COMPACT 3", ("a space's name", "ON", "IF", "WITH", ";", "the end")),
        ("CREATE SPACE 3", ("IF", "a name for the space")),
        ("CREATE SPACE nba ON ,", ("a host's name", "a number")),
        ("CREATE SPACE nba ON h1,", ("a host's name",)),
        ("CREATE SPACE nba AT dir", ("a directory in quotes",)),
        ("CREATE SPACE IF NOT EXISTS nba AT dir", ("a directory in quotes",)),
        ("CREATE SPACE IF NOT EXISTS nba 'd'", ("ON", "AT", ";", "the end")),
        ("SHOW JOB 40 50", (";", "the end")),
        ("SHOW", ("JOB", "JOBS", "SPACES", "HOSTS", "ADVICE", "SCHEDULES", "a status")),
    ],
)
def test_expected_alternatives_can_be_typed(text: str, expected: tuple[str, ...]) -> None:
    error = refusal(text)
    assert sorted(error.expected) == sorted(expected)
    assert error.message.startswith("expected ")
    assert all(word in error.message for word in expected)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("SHOW JBO 40", "JOB"),
        ("SHO JOBS", "SHOW"),
        ("SHWO JOBS", "SHOW"),
        ("show runing jobs", "RUNNING"),
        ("RECOVR JOB 4", "RECOVER"),
        ("REC JOB 4", "RECOVER"),
        ("BACKUP JOBS 0 22", "JOB"),
        ("SHOW SPACE", "SPACES"),
        ("SHOWJOBS", "SHOW JOBS"),
        ("SHOW_JOBS", "SHOW JOBS"),
        ("SHOW JOB40", "JOB 40"),
        ("COMPACT nba", "ADMIN COMPACT nba"),
        ("flush", "ADMIN flush"),
        ("JOBS", "SHOW JOBS"),
        ("FAILED JOBS", "SHOW FAILED JOBS"),
        ("SHOW JOBS 40", "SHOW JOB 40"),
        ("SHOW JOBS nba", "SHOW JOBS IN nba"),
        ("SHOW JOBS FAILED", "SHOW FAILED JOBS"),
        ("STOP 22", "STOP JOB 22"),
        ("SUBMIT COMPACT", "SUBMIT JOB COMPACT"),
        ("DROP nba", None),
        ("USE flush", "`flush`"),
        ("USE 2nba", "`2nba`"),
        ("USE my-space", "`my-space`"),
        ("USE 'nba'", "nba"),
        ("USE 'n ba'", "`n ba`"),
        ("CREATE SPACE a AT dir", '"dir"'),
        ("SHOW JOB `40`", "40"),
        ("SHOW JOB ٤٠", "40"),
        ("ЅHOW JOBS", "SHOW"),
        ("SHÓW JOBS", "SHOW"),
        ("ＳＨＯＷ JOBS", "SHOW"),
        ("SHOW JOBS；", ";"),
        ("KILL JOB 22", None),
        ("SHOW JOB", "SHOW JOBS"),
        ("JOB", None),
        ("USE", None),
        ("SHOW JOB 99999999999999999999", None),
    ],
)
def test_near_miss_is_named(text: str, near: str | None) -> None:
    error = refusal(text)
    assert error.near == near
    assert near is None or near in error.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("SHOW JOBS WHERE status = 'RUNNING'", "SHOW FAILED JOBS IN nba"),
        ("SHOW JOBS LIMIT 5 IN nba", "IN comes before LIMIT"),
        ("SHOW JOB 1, 2", "one job is shown at a time, with all its tasks, as in SHOW JOB 40"),
        ("SHOW JOB 40-0", "one job is shown at a time, with all its tasks, as in SHOW JOB 40"),
        ("CREATE SPACE nba IF NOT EXISTS", "IF NOT EXISTS comes before the name"),
        ("DROP SPACE nba IF EXISTS", "IF EXISTS comes before the name"),
        ("BACKUP JOB 0 TO 22", "BACKUP JOB 0 22"),
        ("BACKUP JOB 0-22", "BACKUP JOB 0 22"),
        ("RECOVER JOB 1-3", "1, 2, 3"),
        ("RECOVER JOB -1", "no sign"),
        ("STOP JOB --1", "before a blank"),
        ("SHOW JOB 1.0", "whole"),
        ("SHOW JOB 0xg", "not a whole number"),
        ("SHOW JOBS && SHOW JOBS", "separated by ;"),
        ("USE nba SHOW JOBS", "separated by ;"),
        ("ADMIN FLUSH\nSHOW JOBS", "separated by ;"),
        ("ЅHOW JOBS", "U+0405 CYRILLIC CAPITAL LETTER DZE"),
        ("SHOW\u200bJOBS", "U+200B ZERO WIDTH SPACE"),
        ("SHOW\u3000JOBS", "U+3000 IDEOGRAPHIC SPACE"),
        ("SHOW JOBS\u037e", "U+037E GREEK QUESTION MARK"),
        ("CREATE SPACE a AT ''", "nothing between the quotes"),
        ("CREATE SPACE a AT 'C:\\dir'", "a \\ in a string is followed by"),
        ("USE “nba”", "U+201C LEFT DOUBLE QUOTATION MARK is not a quote here; write a name bare"),
        ("USE `a\tb`", "U+0009 TAB"),
    ],
)
def test_known_mistake_gets_a_hint(text: str, hint: str) -> None:
    assert hint in refusal(text).message


@pytest.mark.parametrize(
    "text", ["SHOW SPACES IN nba", "SHOW HOSTS WHERE a", "SHOW JOB 40 IN nba", "SHOW JOB 40 FAILED"]
)
def test_parts_of_show_jobs_are_not_suggested_elsewhere(text: str) -> None:
    assert refusal(text).message == "expected ; or the end"


def test_straight_quote_is_not_proposed_if_as_wrong() -> None:
    assert refusal("USE ‘nba’").near is None


def test_first_error_is_reported() -> None:
    assert refusal("SHOW JBO \x00").span == (5, 8)
    assert refusal("SHOW JOB 9999999999999999999; \x00").span == (9, 28)
    assert refusal("USE a; USE `b").span == (11, 12)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("x", 1, 1),
        ("SHOW JOBS;\nx", 2, 1),
        ("SHOW JOBS;\r\n x", 2, 2),
        ("SHOW JOBS;\r x", 2, 2),
        ("\n\r\n\rx", 4, 1),
        ("/* a\nb */ x", 2, 6),
        ("图谱", 1, 1),
        ("USE 图谱 图谱", 1, 8),
        ("\ufeffUSE", 1, 4),
        ("\ufeff\nx", 2, 1),
    ],
)
def test_place_is_counted_in_lines_and_characters_from_one(text: str, line: int, column: int) -> None:
    error = refusal(text)
    assert (error.line, error.column) == (line, column)
    assert line_and_column(text, error.span[0]) == (line, column)


def test_caret_is_after_the_last_word_if_one_is_missing() -> None:
    assert str(refusal("SHOW JOB  \n\n -- c\n")).startswith("SHOW JOB  \n        ^ syntax error at 1:9: ")
    assert str(refusal("USE ; SHOW JOBS")).startswith("USE ; SHOW JOBS\n   ^ syntax error at 1:4: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("USE 图谱; SHOW JBO", "JBO"),
        ("USE `图谱`图", "图"),
        ("SHOW 图谱 40", "图谱"),
        ("USE `😀` 😀😀", "😀😀"),
        ("-- a\nUSE हिन्दी JBO", "JBO"),
        ("USE a; USE b c\nUSE d", "c"),
        ("SHOW\u200bJOBS", r"\u200b"),
        ("SHOW JOBS\x1b[31m", r"\x1b"),
        ("USE `\u202e` ; \tSHOW JBO", "JBO"),
    ],
)
def test_carets_are_under_the_words_by_terminal_cells(text: str, words: str) -> None:
    line, carets, *_ = str(refusal(text)).split("\n")
    before = line[: line.rindex(words)]
    assert carets.startswith(" " * cell_width(before) + "^" * cell_width(words) + " syntax error")


def test_byte_order_mark_is_no_part_of_the_line_that_is_shown() -> None:
    assert str(refusal("\ufeffSHOW JBO")).startswith("SHOW JBO\n     ^^^ syntax error at 1:6: ")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("filler", ["USE nba; ", "USE 图谱; ", "USE `\u202e`; "])
def test_long_line_is_cut_around_the_caret(filler: str, width: int) -> None:
    line, carets = refusal(filler * 500 + "SHOW JBO 40; " + filler * 500).block(width).split("\n")
    assert cell_width(line) < width
    assert line.startswith("…")
    assert line.endswith("…")
    at = carets.index("^^^")
    assert cell_width(line[: line.index("JBO")]) == at


def test_long_offender_is_cut_and_still_shown() -> None:
    line, carets, *_ = str(refusal("USE " + "a" * 5000)).split("\n")
    assert line.startswith("USE aaaa")
    assert line.endswith("a…")
    assert carets.startswith("    ^^^^")
    assert cell_width(line) < 80
    assert carets.index(" syntax error") <= cell_width(line)


HOSTILE = [
    "SHOW \x1b]0;owned\x07JOBS",
    "USE `\u202eabn\u202c` x",
    "SHOW JOBS \x9b31m",
    "-- \r\x1b[2J\nSHOW",
    "USE \ud800\udc00",
    "\x00" * 100,
    "SHOW JOBS '\u2028\u2029",
    "[/nope] [bold]",
    "ＳＨ\u200fＯＷ",
    "USE `" + "\u200d" * 300 + "` x",
    "e" + "\u0301" * 500,
    "USE ' \u200b nba'",
    'USE "\u202eabn"',
    "CREATE SPACE a AT `\u202e`",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_untrusted_text_is_printed_escaped(text: str) -> None:
    error = refusal(text)
    printed = str(error)
    assert printed.count("\n") == 1
    assert not any(map(is_control, error.message))
    assert not any(is_control(character) for character in printed if character != "\n")
    printed.encode("utf-8")


def test_error_message_is_complete_on_its_own() -> None:
    error = refusal("SHOW JBO")
    assert isinstance(error, Exception)
    assert error.args == (error.message,)


@pytest.mark.parametrize(
    "hosts", ["192.168.8.5", "192.168.8.5:9779", "local0, 192.168.8.5", "host.example.com", "h1, h2.lan"]
)
def test_dotted_host_is_to_be_quoted(hosts: str) -> None:
    for statement in ("CREATE SPACE nba", "ADMIN COMPACT nba", "EXPLAIN ADMIN FLUSH nba"):
        error = refusal(f"{statement} ON {hosts}")
        near = f'"{hosts.split(", ")[-1]}"'
        assert error.message.endswith(f"a host's name with a '.' is written in quotes; did you mean {near}?")
        assert error.near == near


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ('""', "there is nothing between the quotes"),
        (r'"a\nb"', "a host's name cannot hold a control character"),
        (f'"{"a" * 4097}"', "a name has at most 4,096 characters, but this one has 4,097"),
    ],
)
def test_wrong_host_in_quotes(host: str, message: str) -> None:
    assert refusal(f"ADMIN COMPACT nba ON {host}").message.endswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE SPACE nba ON 2.5 HOSTS", "numbers are whole"),
        ("CREATE SPACE nba ON 3 HOSTS.x", "expected ; or the end"),
        ("CREATE SPACE nba ON local-0", "written between back-quotes: `local-0`"),
        ("CREATE SPACE nba ON h1 - h2", "expected a comma, ; or the end"),
        ("STOP JOB 1-3", "ids are listed one by one, as in 1, 2, 3"),
    ],
)
def test_hint_is_about_the_wrong_word(text: str, message: str) -> None:
    assert refusal(text).message.endswith(message)
