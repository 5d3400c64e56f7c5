"""LANGUAGE.md's section on words, rule by rule."""

from __future__ import annotations

import pytest

from jobtui.language import StatementError, parse, parse_with_spans
from jobtui.language.ast import CreateSpace, Recover, ShowJob, ShowJobs, Stop, Submit, Use
from jobtui.language.identifiers import KEYWORDS


def refusal(text: str) -> StatementError:
    with pytest.raises(StatementError) as raised:
        parse(text)
    return raised.value


@pytest.mark.parametrize("text", ["show jobs", "SHOW JOBS", "ShOw jObS"])
def test_keywords_are_read_in_any_case(text: str) -> None:
    assert parse(text) == [ShowJobs()]


@pytest.mark.parametrize("text", ["SHOW JOB\u017f", "BAC\u212aUP JOB 0 1", "\u017fHOW JOBS"])
def test_keywords_are_ascii_only(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("blank", [" ", "\t", "\r", "\n", "\r\n", "\u00a0", " \u00a0\t"])
def test_each_blank_separates(blank: str) -> None:
    assert parse(f"{blank}SHOW{blank}JOB{blank}40{blank}") == [ShowJob(40)]


CONTROLS = [chr(n) for n in (*range(0x20), *range(0x7F, 0xA0)) if chr(n) not in "\t\r\n"]


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize(
    "text",
    ["SHOW{}JOBS", "SHOW JOBS -- {}", "SHOW JOBS /* {} */", "USE `a{}b`", "CREATE SPACE a AT 'd{}'", "{}"],
)
def test_control_character_is_refused_everywhere_and_named(text: str, control: str) -> None:
    at = text.index("{}")
    error = refusal(text.format(control))
    assert error.span == (at, at + 1)
    assert f"U+{ord(control):04X}" in error.message


UNSEEN = ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u3000", "\u2003", "\u2028"]


@pytest.mark.parametrize("character", UNSEEN, ids=ascii)
def test_invisible_characters_are_only_for_quotes_and_comments(character: str) -> None:
    for text in (
        f"SHOW{character}JOBS",
        f"SHOW JOBS{character}",
        f"USE a{character}b",
        f"SHOW JOBS {character}",
    ):
        error = refusal(text)
        assert text[slice(*error.span)] == character
        assert f"U+{ord(character):04X}" in error.message
    assert parse(f"USE `a{character}b` -- {character}\n/*{character}*/") == [Use(f"a{character}b")]
    assert parse(f'CREATE SPACE a AT "{character}"') == [CreateSpace("a", directories=(character,))]


def test_byte_order_mark_is_skipped_at_the_start_alone() -> None:
    assert parse("\ufeffSHOW JOBS") == [ShowJobs()]
    assert parse("\ufeff") == []
    assert refusal("\ufeff\ufeffSHOW JOBS").span == (1, 2)
    assert refusal("SHOW JOBS;\ufeffSHOW JOBS").span == (10, 11)


def test_byte_order_mark_is_no_column() -> None:
    assert (refusal("\ufeffSHO JOBS").line, refusal("\ufeffSHO JOBS").column) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "SHOW JOBS # ; DROP SPACE nba",
        "SHOW JOBS // x",
        "SHOW JOBS -- x",
        "SHOW JOBS --",
        "SHOW JOBS --\n",
        "SHOW JOBS --\u00a0x",
        "SHOW JOBS --\tx",
        "SHOW/**/JOBS",
        "SHOW/*;*/JOBS",
        "/* /* */ SHOW JOBS",
        "/***/SHOW JOBS/****/",
        "#\rSHOW JOBS",
        "# x\r\nSHOW JOBS",
        "SHOW#\nJOBS",
        "SHOW -- one\n -- two\n JOBS",
        "/* \" */ SHOW JOBS /* ' */",
    ],
)
def test_comment_separates_as_a_blank_does(text: str) -> None:
    assert parse(text) == [ShowJobs()]


@pytest.mark.parametrize("text", ["RECOVER JOB --1", "STOP JOB --22", "SHOW JOBS --x", "--/**/"])
def test_two_dashes_begin_a_comment_only_before_a_blank(text: str) -> None:
    assert text[slice(*refusal(text).span)] == "--"


@pytest.mark.parametrize("text", ["SHOW JOBS /* open", "/*", "/*/", "SHOW JOBS /* /* */ */"])
def test_comments_are_closed_and_not_nested(text: str) -> None:
    refusal(text)


def test_unclosed_comment_is_reported_at_its_beginning() -> None:
    error = refusal("SHOW JOBS; /* x\n" + "y" * 1000)
    assert error.span == (11, 13)
    assert "never closed" in error.message


@pytest.mark.parametrize("text", ["", ";", ";;;", " ; ; ", "\n", "/**/", "-- x", ";/**/;#"])
def test_text_without_a_statement_is_an_empty_list(text: str) -> None:
    assert parse(text) == []


def test_semicolons_may_lead_trail_and_repeat() -> None:
    assert parse(";;SHOW JOBS;;;SHOW JOB 1; ;") == [ShowJobs(), ShowJob(1)]


def test_one_bad_statement_refuses_the_whole_text() -> None:
    assert refusal("SHOW JOBS; SHOW JBO; SHOW JOBS").span == (16, 19)


def test_statement_has_its_position() -> None:
    text = "  SHOW  JOBS ; -- c\n STOP JOB 1, 2, ;"
    assert [text[slice(*one.span)] for one in parse_with_spans(text)] == ["SHOW  JOBS", "STOP JOB 1, 2,"]


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0", 0),
        ("00", 0),
        ("40", 40),
        ("010", 8),
        ("0777", 511),
        ("08", 8),
        ("018", 18),
        ("09", 9),
        ("00000000000000000000000000000040", 32),
        ("000000000000000000000000000000048", 48),
        ("0x28", 40),
        ("0X28", 40),
        ("0xfF", 255),
        ("0x0", 0),
        ("0x00000000000000000000000000001", 1),
        ("9223372036854775807", 2**63 - 1),
        ("0x7fffffffffffffff", 2**63 - 1),
        ("0777777777777777777777", 2**63 - 1),
    ],
)
def test_number_is_read_as_nebulagraph_reads_it(written: str, number: int) -> None:
    assert parse(f"SHOW JOB {written}") == [ShowJob(number)]


@pytest.mark.parametrize(
    "written",
    [
        "9223372036854775808",
        "0x8000000000000000",
        "01000000000000000000000",
        "9" * 5000,
        "0x" + "f" * 5000,
        "0" + "7" * 5000,
    ],
    ids=lambda written: written[:24],
)
def test_too_large_number_is_reported_as_such(written: str) -> None:
    error = refusal(f"SHOW JOB {written}")
    assert "too large" in error.message
    assert str(2**63 - 1) in error.message
    assert error.span == (9, 9 + len(written))


@pytest.mark.parametrize(
    "written", ["+1", "-1", "1.0", ".5", "1e3", "0xg", "0x", "1_000", "²", "١", "１", "`1`", "'1'", "1a"]
)
def test_anything_else_is_no_number(written: str) -> None:
    refusal(f"SHOW JOB {written}")


BARE = [
    "a",
    "Z9",
    "a_",
    "nba_2",
    "nBa",
    "图谱",
    "été",
    "हिन्दी",
    "😀",
    "a😀",
    "ñ1_",
    "مخطط",
    "Ωmega",
    "default",
    "id",
    "a" * 4096,
]


@pytest.mark.parametrize("name", BARE, ids=lambda name: ascii(name)[:20])
def test_name_has_letters_digits_and_underscores(name: str) -> None:
    assert parse(f"USE {name}") == [Use(name)]
    assert parse(f"USE `{name}`") == [Use(name)]


BACKQUOTED = [
    "2nba",
    "a b",
    "#x",
    "a;b",
    "-- x",
    "/*",
    "'\"",
    "\u200b",
    "\u202e",
    " ",
    "ｓ",
    "a-b",
    "flush",
    "_",
    "\\",
    "💥" * 4096,
]


@pytest.mark.parametrize("name", BACKQUOTED, ids=lambda name: ascii(name)[:20])
def test_back_quotes_allow_nearly_any_name(name: str) -> None:
    assert parse(f"USE `{name}`; ADMIN FLUSH `{name}`") == [Use(name), Submit("flush", name)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("``", "empty"),
        ("`a.b`", "'.'"),
        ("a.b", "'.'"),
        ("`a\tb`", "U+0009"),
        ("`a\nb`", "U+000A"),
        ("`a\ud800`", "U+D800"),
        ("a\udc80", "U+DC80"),
        ("a" * 4097, "4,097"),
        ("`" + "图" * 4097 + "`", "4,096"),
        ("_a", "`_a`"),
        ("2nba", "`2nba`"),
        ("my-space", "`my-space`"),
        ("'nba'", "nba"),
        ("`nba", "never closed"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_invalid_name_is_refused_with_the_reason(written: str, expected: str) -> None:
    assert expected in refusal(f"USE {written}").message


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_keyword_is_a_name_only_between_back_quotes(keyword: str) -> None:
    for written in (keyword, keyword.lower()):
        error = refusal(f"USE {written}")
        assert error.near == f"`{written}`"
        assert error.span == (4, 4 + len(written))
        assert parse(f"USE `{written}`") == [Use(written)]


@pytest.mark.parametrize(
    ("written", "jobs"),
    [
        ("1", (1,)),
        ("1,2", (1, 2)),
        ("1 , 2 ,3", (1, 2, 3)),
        ("1,", (1,)),
        ("1,,2,,,", (1, 2)),
        ("3, 3, 4, 3", (3, 4)),
        ("010, 8", (8,)),
    ],
)
def test_commas_between_ids_may_repeat_and_trail(written: str, jobs: tuple[int, ...]) -> None:
    assert parse(f"STOP JOB {written}") == [Stop(jobs)]
    assert parse(f"RECOVER JOB {written}") == [Recover(jobs)]


@pytest.mark.parametrize("written", [",1", ",", "1 2", "1;2", "a", "1, a", "1,,a", "-1"])
def test_commas_do_not_lead_and_ids_do_not_touch(written: str) -> None:
    refusal(f"RECOVER JOB {written}")


@pytest.mark.parametrize(
    ("written", "directory"),
    [
        ('"/srv/db"', "/srv/db"),
        ("'/srv/db'", "/srv/db"),
        ("'it\"s'", 'it"s'),
        (r"'it\'s'", "it's"),
        (r'"a\"b"', 'a"b'),
        (r'"a\\b"', r"a\b"),
        (r'"a\nb\tc"', "a\nb\tc"),
        (r'"\\n"', r"\n"),
        ('"图谱 ; -- # /*"', "图谱 ; -- # /*"),
        ('"two\nlines"', "two\nlines"),
    ],
)
def test_directory_is_a_string_with_escapes(written: str, directory: str) -> None:
    assert parse(f"CREATE SPACE a AT {written}") == [CreateSpace("a", directories=(directory,))]


@pytest.mark.parametrize(
    "written", ["'a", '"a', "'a\\'", r"'\d'", "''", '""', "a", "`a`", "'a',", "'a' 'b'", "'\ud800'", "'\\"]
)
def test_invalid_directory_is_refused(written: str) -> None:
    refusal(f"CREATE SPACE a AT {written}")
