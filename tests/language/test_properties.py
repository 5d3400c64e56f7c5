"""What holds of every text and every statement."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobtui.language import StatementError, parse, quote_name, unparse
from jobtui.language.ast import (
    Backup,
    CreateSchedule,
    CreateSpace,
    DropSchedule,
    DropSpace,
    Explain,
    Pause,
    PauseSchedule,
    Recover,
    Restore,
    Resume,
    ResumeSchedule,
    RunSchedule,
    SetRate,
    ShowAdvice,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSchedules,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)
from jobtui.language.completion import complete, context_at
from jobtui.language.conditions import (
    And,
    Comparison,
    Condition,
    Needed,
    Not,
    Or,
    parse_condition,
    unparse_condition,
)
from jobtui.language.grammar import Expected, Punctuation, expected_at, match, token_kinds
from jobtui.language.identifiers import CONTEXTUAL, KEYWORDS, MAX_NUMBER, is_name
from jobtui.language.lexer import COMMA, DECIMAL, MEASURE, NAME, NUMBER, STRING, SYMBOLS
from jobtui.language.parts import (
    METRICS,
    OPERATORS,
    QUANTITIES,
    Keyword,
    KeywordChoice,
    Metric,
    Placeholder,
    PlaceholderKind,
    UnitChoice,
)
from jobtui.language.quantities import Quantity
from jobtui.model import NO_OPTIONS, FailurePolicy, HostOrder, JobOptions
from tests.support.completion_names import SampleNames

# Statements ⇄ text

printing = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="`.")
names = st.one_of(
    st.sampled_from([*KEYWORDS, *CONTEXTUAL, *map(str.lower, CONTEXTUAL)]),
    st.sampled_from(
        ["nba", "图谱", "été", "हिन्दी", "😀", "2nba", "a b", "a;b", "--", "_", "my-space", "\u202e", "/*"]
    ),
    st.text(printing, min_size=1, max_size=20),
)
numbers = st.one_of(st.integers(0, 50), st.integers(0, MAX_NUMBER))
ids = st.lists(numbers, min_size=1, max_size=5, unique=True).map(tuple)
directories = st.text(
    st.one_of(st.sampled_from("\\\"'\n\t;#"), st.characters(exclude_categories=("Cs", "Cc"))),
    min_size=1,
    max_size=20,
)


hosts = names | st.sampled_from(["10.0.0.1:9779", "h.lan", '/a "b"/c.d', "a\\b.c", "'.", "."])


def some(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, min_size=1, max_size=4, unique=True).map(tuple)  # parsing drops repeated ones


sizes = st.integers(1, MAX_NUMBER) | st.builds(
    lambda n, unit: n * unit, st.integers(1, 3000), st.sampled_from([1000, 1024, 10**9, 1 << 30])
)
seconds = st.integers(0, 10**7) | st.floats(0, 1e6).filter(lambda number: number == 0 or number > 1e-20)
shares = st.floats(0, 1).filter(lambda number: number == 0 or number > 1e-20)
texts = st.just("") | directories
keys = st.none() | st.binary(min_size=1, max_size=8) | directories.map(str.encode)


def comparisons_of(metric: Metric) -> st.SearchStrategy[Condition]:
    quantities = QUANTITIES.get(metric.value, ())
    values = [st.tuples(VALUES[quantity], st.just(quantity)) for quantity in quantities] or [
        st.tuples(numbers, st.none())
    ]
    return st.builds(
        lambda operator, value: Comparison(metric.name, operator, *value),
        st.sampled_from(OPERATORS),
        st.one_of(values),
    )


VALUES: dict[Quantity, st.SearchStrategy[float]] = {
    Quantity.SIZE: st.just(0) | sizes,
    Quantity.SHARE: shares,
    Quantity.DURATION: seconds,
}
comparisons = st.sampled_from(list(METRICS.values())).flatmap(comparisons_of)
some_comparisons = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
conditions = st.just(Needed()) | some_comparisons
options = st.builds(
    JobOptions,
    hosts=st.just(()) | some(hosts),
    condition=st.just("") | some_comparisons.map(unparse_condition),
    rolling=st.none() | st.integers(1, 50),
    wait=seconds,
    order=st.sampled_from(HostOrder),
    on_failure=st.sampled_from(FailurePolicy),
    retry=numbers,
    retry_wait=seconds,
    rate=st.none() | sizes,
    families=st.just(()) | some(directories),
    from_key=keys,
    to_key=keys,
    room=st.none() | sizes,
    because=texts,
) | st.builds(JobOptions, room_share=shares.filter(bool))
submits = st.builds(
    Submit, st.sampled_from(["flush", "compact"]), st.none() | names, st.just(NO_OPTIONS) | options
)
crons = st.sampled_from(["30 2 * * *", "@daily", "*/5 0-6 1,15 jan-mar mon"])

statements: st.SearchStrategy[Statement] = st.one_of(
    submits,
    st.builds(Submit, st.just("compact"), st.none() | names, st.just(JobOptions(condition="NEEDED"))),
    st.builds(Explain, submits),
    st.builds(ShowAdvice, st.none() | names),
    st.builds(Pause, ids, texts, st.booleans()),
    st.builds(Resume, ids, texts),
    st.builds(SetRate, st.none() | sizes, st.none() | numbers),
    st.builds(
        CreateSchedule,
        names,
        crons,
        submits,
        st.booleans(),
        st.none() | st.just("06:00"),
        st.none() | st.sampled_from(["UTC", "Europe/Berlin"]),
    ),
    st.just(ShowSchedules()),
    st.builds(PauseSchedule, names),
    st.builds(ResumeSchedule, names),
    st.builds(RunSchedule, names),
    st.builds(DropSchedule, names, st.booleans()),
    st.builds(
        ShowJobs,
        st.sampled_from([None, "queue", "running", "finished", "failed", "stopped"]),
        st.none() | names,
        st.none() | numbers,
    ),
    st.builds(ShowJobs, st.none(), st.none() | names, st.none() | numbers, st.just(True)),
    st.builds(ShowJob, numbers),
    st.builds(Stop, ids, texts),
    st.builds(Backup, numbers, numbers),
    st.builds(Restore, numbers, st.none() | numbers),
    st.builds(Recover, st.just(()) | ids, texts, st.booleans(), st.booleans()),
    st.builds(Use, names),
    st.just(ShowSpaces()),
    st.just(ShowHosts()),
    st.builds(CreateSpace, names, st.booleans(), st.none() | numbers),
    st.builds(CreateSpace, names, st.booleans(), hosts=some(hosts)),
    st.builds(CreateSpace, names, st.booleans(), directories=some(directories)),
    st.builds(DropSpace, names, st.booleans()),
)


@given(st.lists(statements, max_size=4))
def test_statement_written_out_is_read_as_the_same_statement(given_statements: list[Statement]) -> None:
    text = "; ".join(map(unparse, given_statements))
    assert parse(text) == given_statements
    assert [unparse(statement) for statement in parse(text)] == [unparse(one) for one in given_statements]


@given(conditions)
def test_condition_written_out_is_read_as_the_same_condition(condition: Condition) -> None:
    text = unparse_condition(condition)
    assert parse_condition(text) == condition
    assert parse(f"ADMIN COMPACT nba IF {text}") == [Submit("compact", "nba", JobOptions(condition=text))]


@given(names)
def test_quoted_name_is_read_as_that_name(name: str) -> None:
    assert parse(f"USE {quote_name(name)}") == [Use(name)]


@given(st.text())
def test_name_is_quoted_or_no_text_can_hold_it(name: str) -> None:
    if is_name(name):
        assert parse(f"USE {quote_name(name)}") == [Use(name)]
    else:
        with pytest.raises(ValueError, match="no statement"):
            quote_name(name)
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
    assert quote_name(name) == written


# The grammar and its two readings

TOKENS = [*KEYWORDS, *CONTEXTUAL, *sorted(SYMBOLS), NAME, NUMBER, DECIMAL, MEASURE, STRING, COMMA]
kinds_of_words = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=8)


def walks() -> st.SearchStrategy[list[str]]:
    """Kinds of words along a path that the grammar offers, step by step, perhaps with a wrong step."""

    @st.composite
    def walk(draw: st.DrawFn) -> list[str]:
        kinds: list[str] = []
        for _ in range(draw(st.integers(0, 9))):
            reached = expected_at(kinds)
            steps = [kind for _, terminal in reached.expected for kind in kinds_of(terminal)]
            if reached.position < len(kinds) or not steps:
                break
            kinds.append(draw(st.sampled_from(steps)))
        return [*kinds, *draw(st.sampled_from([[], [], [], [NAME], [COMMA], [NUMBER], ["IN"]]))]

    return walk()


def kinds_of(terminal: Expected) -> list[str]:
    return sorted(token_kinds(terminal))


@given(walks() | kinds_of_words)
def test_grammar_accepts_what_it_expects(kinds: list[str]) -> None:
    reached = expected_at(kinds)
    ends = any(terminal is Punctuation.END for _, terminal in reached.expected)
    assert (bool(kinds) and match(kinds) is not None) == (reached.position == len(kinds) and ends)


@given(walks())
def test_expected_words_are_accepted(kinds: list[str]) -> None:
    reached = expected_at(kinds)
    right = kinds[: reached.position]
    offered = {kind for _, terminal in reached.expected for kind in kinds_of(terminal)}
    commas = [] if right[-1:] == [COMMA] else [COMMA]  # they may repeat, which needs no mention
    # so may the numbers of a duration
    another = {NUMBER, DECIMAL, MEASURE} if right[-1:] in ([MEASURE], [NAME]) else set()
    for kind in {*TOKENS} - {COMMA} - another | {*commas}:
        assert (expected_at([*right, kind]).position > len(right)) == (kind in offered)


# Completion and the parser


SAMPLES = {
    PlaceholderKind.SPACE: "nba",
    PlaceholderKind.NEW_SPACE: "nba",
    PlaceholderKind.HOST: "h",
    PlaceholderKind.JOB: "1",
    PlaceholderKind.COUNT: "1",
    PlaceholderKind.DIRECTORY: "'d'",
    PlaceholderKind.SCHEDULE: "nightly",
    PlaceholderKind.NEW_SCHEDULE: "nightly",
    PlaceholderKind.SIZE: "1",
    PlaceholderKind.DURATION: "1s",
    PlaceholderKind.SHARE: "1%",
    PlaceholderKind.SIZE_OR_SHARE: "1",
    PlaceholderKind.TEXT: "'d'",
    PlaceholderKind.FAMILY: "'d'",
    PlaceholderKind.KEY: "'d'",
    PlaceholderKind.TIMES: "'@daily'",
    PlaceholderKind.TIME_OF_DAY: "'06:00'",
    PlaceholderKind.TIME_ZONE: "'UTC'",
}


def finished(text: str) -> str:
    """The text with words that the grammar expects put behind it until its last statement is whole."""
    for _ in range(30):
        reached = context_at(text + " ", len(text) + 1).expected()
        assert reached is not None, text
        terminals = [terminal for _, terminal in reached.expected]
        if Punctuation.END in terminals:
            return text
        terminal = next(terminal for terminal in terminals if not isinstance(terminal, Punctuation))
        match terminal:
            case Keyword(word):
                text += f" {word}"
            case KeywordChoice(_, words):
                text += f" {words[0]}"
            case Placeholder():
                text += f" {SAMPLES[terminal.kind]}"
            case UnitChoice(words):
                text += f" {words[0]}"
    raise AssertionError(f"no end in sight: {text}")


def in_small_letters(text: str) -> str:
    """Return the text with small letters outside of strings."""
    return re.sub(r"""("(?:[^"\\]|\\.)*"?)|([^"]+)""", lambda part: part[1] or part[2].lower(), text)


@settings(max_examples=80)
@given(st.lists(statements, max_size=1), statements, st.integers(0, 60), st.booleans(), st.data())
def test_every_candidate_leads_to_a_valid_statement(
    before: list[Statement], statement: Statement, cut: int, small: bool, data: st.DataObject
) -> None:
    text = "; ".join(map(unparse, [*before, statement]))
    text = text[: max(0, len(text) - cut)]
    text = in_small_letters(text) if small else text
    answer = complete(text, len(text), SampleNames())
    for candidate in answer.candidates:
        start, end = answer.span
        taken = text[:start] + candidate.text + text[end:]
        # whether there is more than 100% of something is no matter of the grammar
        if (context_at(text, start).words or candidate.kind == "keyword") and candidate.text != "%":
            assert parse(finished(taken))
    if answer.ghost:
        assert parse(finished(text + answer.ghost))


@given(statements, st.integers(0, 200))
def test_typed_keyword_is_offered_at_its_place(statement: Statement, at: int) -> None:
    words = unparse(statement).split(" ")
    at %= len(words)
    if words[at].isascii() and words[at].isupper() and words[at] in KEYWORDS and "`" not in unparse(statement):
        text = " ".join(words[:at]) + (" " if at else "")
        if context_at(text, len(text)).expected() is None or '"' in text:
            return
        offered = [candidate.text.upper() for candidate in complete(text, len(text), SampleNames()).candidates]
        assert words[at] in offered
