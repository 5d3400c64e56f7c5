"""What holds of every text and every statement."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobtui.language import StatementError, parse, quoted, unparse
from jobtui.language.complete import JobsFor, complete, ids_starting
from jobtui.language.cursor import place
from jobtui.language.forms import Choice, Kind, Slot, Word
from jobtui.language.grammar import KIND, Mark, Terminal, match, reach
from jobtui.language.highlight import highlight
from jobtui.language.lexer import COMMA, LETTER, NAME, NUMBER, STRING
from jobtui.language.printable import is_obeyed
from jobtui.language.problem import problem
from jobtui.language.quote import typeable
from jobtui.language.statements import (
    Backup,
    CreateSpace,
    DropSpace,
    Recover,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)
from jobtui.language.words import KEYWORDS, LARGEST_NUMBER

# Statements ⇄ text

printing = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="`.")
names = st.one_of(
    st.sampled_from(KEYWORDS),
    st.sampled_from(
        ["nba", "图谱", "été", "हिन्दी", "😀", "2nba", "a b", "a;b", "--", "_", "my-space", "\u202e", "/*"]
    ),
    st.text(printing, min_size=1, max_size=20),
)
numbers = st.one_of(st.integers(0, 50), st.integers(0, LARGEST_NUMBER))
ids = st.lists(numbers, min_size=1, max_size=5, unique=True).map(tuple)
directories = st.text(
    st.one_of(st.sampled_from("\\\"'\n\t;#"), st.characters(exclude_categories=("Cs", "Cc"))),
    min_size=1,
    max_size=20,
)


def some(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, min_size=1, max_size=4).map(tuple)


statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(Submit, st.sampled_from(["flush", "compact"]), st.none() | names),
    st.builds(
        ShowJobs,
        st.sampled_from([None, "queue", "running", "finished", "failed", "stopped"]),
        st.none() | names,
        st.none() | numbers,
    ),
    st.builds(ShowJobs, st.none(), st.none() | names, st.none() | numbers, st.just(True)),
    st.builds(ShowJob, numbers),
    st.builds(Stop, ids),
    st.builds(Backup, numbers, numbers),
    st.builds(Recover, st.just(()) | ids),
    st.builds(Use, names),
    st.just(ShowSpaces()),
    st.just(ShowHosts()),
    st.builds(CreateSpace, names, st.booleans(), st.none() | numbers),
    st.builds(CreateSpace, names, st.booleans(), hosts=some(names)),
    st.builds(CreateSpace, names, directories=some(directories)),
    st.builds(DropSpace, names, st.booleans()),
)


@given(st.lists(statements, max_size=4))
def test_a_statement_written_out_is_read_as_the_same_statement(given_statements: list[Statement]) -> None:
    text = "; ".join(map(unparse, given_statements))
    assert parse(text) == given_statements
    assert [unparse(statement) for statement in parse(text)] == [unparse(one) for one in given_statements]


@given(names)
def test_a_quoted_name_is_read_as_that_name(name: str) -> None:
    assert parse(f"USE {quoted(name)}") == [Use(name)]


@given(st.text())
def test_a_name_is_quoted_or_no_text_can_hold_it(name: str) -> None:
    if typeable(name):
        assert parse(f"USE {quoted(name)}") == [Use(name)]
    else:
        with pytest.raises(ValueError, match="no statement"):
            quoted(name)
        with pytest.raises(StatementError):
            parse(f"USE `{name}`")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("nba", "nba"),
        ("图谱", "图谱"),
        ("flush", "`flush`"),
        ("2", "`2`"),
        ("_a", "`_a`"),
        ("a-b", "`a-b`"),
        ("a" * 4096, "a" * 4096),
    ],
    ids=lambda value: str(value)[:10],
)
def test_back_quotes_stand_only_where_they_must(name: str, written: str) -> None:
    assert quoted(name) == written


# The grammar and its two readings

kinds_of_words = st.lists(st.sampled_from([*LETTER.values(), NAME, NUMBER, STRING, COMMA]), max_size=8).map(
    "".join
)


def walks() -> st.SearchStrategy[str]:
    """Kinds of words along a path that the grammar offers, step by step, perhaps with a wrong step."""

    @st.composite
    def walk(draw: st.DrawFn) -> str:
        kinds = ""
        for _ in range(draw(st.integers(0, 9))):
            reached = reach(kinds)
            steps = [kind for _, terminal in reached.expected for kind in kinds_of(terminal)]
            if reached.word < len(kinds) or not steps:
                break
            kinds += draw(st.sampled_from(steps))
        return kinds + draw(st.sampled_from(["", "", "", NAME, COMMA, NUMBER, LETTER["IN"]]))

    return walk()


def kinds_of(terminal: Terminal) -> list[str]:
    match terminal:
        case Word(word):
            return [LETTER[word]]
        case Choice(_, words):
            return [LETTER[word] for word in words]
        case Slot():
            return [KIND[terminal.kind]]
        case Mark.COMMA:
            return [COMMA]
        case _:
            return []


@given(walks() | kinds_of_words)
def test_what_the_grammar_reads_is_what_it_expects(kinds: str) -> None:
    reached = reach(kinds)
    ends = any(terminal is Mark.END for _, terminal in reached.expected)
    assert (match(kinds) is not None) == (reached.word == len(kinds) and ends)


@given(walks())
def test_what_is_expected_is_accepted_there(kinds: str) -> None:
    reached = reach(kinds)
    right = kinds[: reached.word]
    offered = {kind for _, terminal in reached.expected for kind in kinds_of(terminal)}
    commas = [] if right.endswith(COMMA) else [COMMA]  # they may repeat, which nobody needs to be told
    for kind in [*LETTER.values(), NAME, NUMBER, STRING, *commas]:
        assert (reach(right + kind).word > len(right)) == (kind in offered)


# Completion and the parser


class World:
    def spaces(self) -> list[str]:
        return ["nba", "my-space", "图谱", "flush", "no.name"]

    def hosts(self) -> list[str]:
        return ["local0", "192.168.8.5", "2"]

    def jobs(self, kind: JobsFor, starting: str) -> list[tuple[int, str]]:
        return [(job, "failed") for job in ids_starting(starting, 30)]


SAMPLES = {
    Kind.SPACE: "nba",
    Kind.NEW_SPACE: "nba",
    Kind.HOST: "h",
    Kind.JOB: "1",
    Kind.COUNT: "1",
    Kind.DIRECTORY: "'d'",
}


def finished(text: str) -> str:
    """The text with words that the grammar expects put behind it until its last statement is whole."""
    for _ in range(10):
        reached = place(text + " ", len(text) + 1).reach()
        assert reached is not None, text
        terminals = [terminal for _, terminal in reached.expected]
        if Mark.END in terminals:
            return text
        terminal = terminals[0]
        match terminal:
            case Word(word):
                text += f" {word}"
            case Choice(_, words):
                text += f" {words[0]}"
            case Slot():
                text += f" {SAMPLES[terminal.kind]}"
    raise AssertionError(f"no end in sight: {text}")


@settings(max_examples=150)
@given(st.lists(statements, max_size=2), statements, st.integers(0, 60), st.booleans(), st.data())
def test_whatever_is_offered_leads_on_to_a_statement_that_parses(
    before: list[Statement], statement: Statement, cut: int, small: bool, data: st.DataObject
) -> None:
    text = "; ".join(map(unparse, [*before, statement]))
    text = text[: max(0, len(text) - cut)]
    text = text.lower() if small else text
    answer = complete(text, len(text), World())
    for candidate in answer.candidates:
        start, end = answer.span
        taken = text[:start] + candidate.text + text[end:]
        if place(text, start).words or candidate.kind == "keyword":
            assert parse(finished(taken))
    if answer.ghost:
        assert parse(finished(text + answer.ghost))


@given(statements, st.integers(0, 200))
def test_a_whole_word_before_a_blank_is_offered_where_it_was_typed(statement: Statement, at: int) -> None:
    words = unparse(statement).split(" ")
    at %= len(words)
    if words[at].isascii() and words[at].isupper() and words[at] in KEYWORDS and "`" not in unparse(statement):
        text = " ".join(words[:at]) + (" " if at else "")
        if place(text, len(text)).reach() is None or '"' in text:
            return
        offered = [candidate.text.upper() for candidate in complete(text, len(text), World()).candidates]
        assert words[at] in offered


# Any text at all


def answered(text: str) -> None:
    """Parse the text and everything a command bar asks of it, and check what comes back."""
    outcome = read(text)
    if isinstance(outcome, StatementError):
        start, end = outcome.span
        assert 0 <= start <= end <= len(text)
        assert min(outcome.line, outcome.column) >= 1
        printed = str(outcome)
        assert printed.count("\n") == 1
        assert not any(is_obeyed(c) for c in printed if c != "\n")
    else:
        assert [parse(text[slice(*one.span)]) for one in outcome] == [[one] for one in outcome]
        assert parse("; ".join(map(unparse, outcome))) == outcome


def read(text: str) -> list[Statement] | StatementError:
    try:
        return parse(text)
    except StatementError as error:
        return error


def answered_while_typing(text: str, cursor: int) -> None:
    problem(text, cursor)
    complete(text, cursor, World())
    at = 0
    for start, end, _ in highlight(text):
        assert at <= start < end <= len(text)
        at = end


@settings(max_examples=300)
@given(st.text(), st.integers(0, 1000))
def test_any_text_is_answered(text: str, cursor: int) -> None:
    answered(text)
    answered_while_typing(text, cursor % (len(text) + 1))


@given(
    st.binary(),
    st.sampled_from(["utf-8", "latin-1", "cp1252", "ascii"]),
    st.sampled_from(["replace", "surrogateescape", "backslashreplace", "ignore"]),
)
def test_any_bytes_decoded_in_any_way_are_answered(raw: bytes, encoding: str, errors: str) -> None:
    answered(raw.decode(encoding, errors))


SPLINTERS = [
    *KEYWORDS,
    *"`'\"\\;,.#/*-()[]{}$@:=<>&|~ \t\r\n\u00a0\ufeff\u200b\u202e\u3000；ſK図\x00\x1b\x7f\x85\ud800😀0189",
    "/*",
    "*/",
    "--",
    "//",
    "``",
    "0x",
    "9223372036854775808",
    "`a b`",
    "'d'",
    "nba",
    "ЅHOW",
]


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        text = chance.choice(
            [
                text[:at] + chance.choice(SPLINTERS) + text[at:],
                text[:at] + chance.choice(SPLINTERS) + text[min(at + 1, to) :],
                text[:at] + text[min(at + 3, to) :],
                text[:to] + text[at:to] + text[to:],
                text[:at] + " " + chance.choice(SPLINTERS) + " " + text[at:],
                text.swapcase(),
            ]
        )
    return text


def seeds() -> list[str]:
    corpus = (Path(__file__).parent / "statements.jsonl").read_text(encoding="utf-8").strip().split("\n")
    short = [row["text"] for row in map(json.loads, corpus) if "text" in row]
    return [text for text in short if text]


def test_mutations_of_the_corpus_are_answered(long: bool) -> None:
    chance = random.Random(20191217)
    texts = seeds()
    for _ in range(200_000 if long else 5_000):
        text = mutated(chance.choice(texts), chance)
        answered(text)
        if chance.random() < 0.2:
            answered_while_typing(text, chance.randint(0, len(text)))


HOSTILE = {
    "comments": "SHOW JOBS" + " # x" * 50_000,
    "comment lines": "# x\n" * 50_000 + "SHOW JOBS",
    "empty comments": "/**/" * 250_000,
    "semicolons": ";" * 100_000,
    "blanks": " " * 1_000_000,
    "blanks of all kinds": " \t\r\n\u00a0" * 200_000,
    "brackets": "(" * 1_000_000,
    "both brackets": "[{(" * 300_000 + ")}]" * 300_000,
    "an unclosed comment": "/*" + "x" * 1_000_000,
    "many unclosed comments": "/* " * 330_000,
    "an unclosed string": '"' + '\\"' * 500_000,
    "back-quotes": "`" * 999_999,
    "quotes": "'" * 999_999,
    "mixed quotes": "\"'" * 500_000,
    "NULs": "\x00" * 1_000_000,
    "surrogates": "\ud800" * 1_000_000,
    "byte order marks": "\ufeff" * 1_000_000,
    "one word": "a" * 1_000_000,
    "one wide word": "图" * 1_000_000,
    "combining marks": "e" + "\u0301" * 1_000_000,
    "words": "SHOW JOB " + "a " * 300_000,
    "keywords": "SHOW " * 200_000,
    "digits": "SHOW JOB " + "9" * 1_000_000,
    "zeros": "SHOW JOB " + "0" * 1_000_000,
    "commas": "RECOVER JOB 1" + "," * 500_000,
    "commas and a stop": "RECOVER JOB 1" + "," * 500_000 + "x",
    "ids": "RECOVER JOB " + "1," * 200_000,
    "ids and a stop": "RECOVER JOB " + "1," * 200_000 + "(",
    "hosts": "CREATE SPACE a ON " + "h," * 200_000 + "h",
    "hosts and a stop": "CREATE SPACE a ON " + "h," * 200_000 + ",",
    "directories": "CREATE SPACE a AT " + "'d'," * 200_000 + "'d'",
    "dashes": "-" * 1_000_000,
    "lines": "\r\n" * 300_000 + "x",
    "statements": "SHOW JOB 40;" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_a_hostile_text_is_answered_without_recursion(name: str) -> None:
    outcome = read(HOSTILE[name])
    assert isinstance(outcome, list) or len(str(outcome)) < 2_000


@pytest.mark.parametrize("name", [name for name in HOSTILE if "stop" not in name and name != "statements"])
def test_a_hostile_text_can_be_typed_into(name: str) -> None:
    text = HOSTILE[name][:20_000]
    answered_while_typing(text, len(text))
    answered_while_typing(text, len(text) // 2)


def test_no_list_is_too_long() -> None:
    many = ",".join(map(str, range(100_000)))
    assert parse(f"STOP JOB {many}") == [Stop(tuple(range(100_000)))]
    hosts = tuple(f"h{n}" for n in range(10_000))
    assert parse(f"CREATE SPACE a ON {', '.join(hosts)}") == [CreateSpace("a", hosts=hosts)]
