"""The completion of a statement at a cursor."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from jobtui.language.identifiers import (
    CONTINUES_WORD,
    is_host_name,
    is_name,
    quote_name,
    quote_text,
    to_keyword,
    to_reserved_keyword,
)
from jobtui.language.lexer import BAD, COMMA, COMMENT, MEASURE, NAME, SEMICOLON, STRING, is_unclosed, tokenize
from jobtui.language.parts import (
    JOB_OPTIONS,
    METRICS,
    OPERATORS,
    QUANTITIES,
    Keyword,
    KeywordChoice,
    Option,
    Placeholder,
    PlaceholderKind,
    UnitChoice,
    units_of,
)
from jobtui.language.syntax import StatementSyntax

if TYPE_CHECKING:
    from jobtui.language.grammar import Expectation, Expected

MAX_CANDIDATES: Final = 50
"""The largest number of candidates that are offered."""

_MAX_EXAMINED_JOBS: Final = 1000
_MAX_USAGES: Final = 3
_MIN_SUBSTRING: Final = 2
_REST_OF_WORD: Final = re.compile(f"{CONTINUES_WORD}*")
_MEASURE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]+)")
_REST_OF_QUOTED: Final = re.compile("[^`\\s;]*`?")


class JobOperation(enum.StrEnum):
    """An operation of a statement on jobs, which determines the jobs that it can act on."""

    SHOW = "show"
    """Any job that is not archived."""
    STOP = "stop"
    """Queued and running jobs that are not stopping."""
    BACKUP = "backup"
    """Ended jobs."""
    RESTORE = "restore"
    """Archived jobs."""
    RECOVER = "recover"
    """Failed and stopped jobs that were not recovered yet."""
    PAUSE = "pause"
    """Queued and running jobs that are not paused."""
    RESUME = "resume"
    """Paused jobs."""
    SET = "set"
    """Jobs whose rate can be set: queued and running ones."""


class NameProvider(Protocol):
    """The names that a statement can use.

    The methods are called on every key press and must never wait.
    """

    def spaces(self) -> Iterable[str]:
        """Return the names of the spaces."""
        ...

    def hosts(self) -> Iterable[str]:
        """Return the names of the storage hosts."""
        ...

    def schedules(self) -> Iterable[str]:
        """Return the names of the schedules."""
        ...

    def jobs(self, kind: JobOperation, starting: str) -> Iterable[tuple[int, str]]:
        """Yield ids of jobs with a note (status and label), newest first.

        The caller may stop at any time.

        Args:
            kind: The statement's operation on the jobs.
            starting: The first digits of the wanted ids, "" for all. Other ids are skipped, but only the first
                thousand jobs are examined: use `ids_with_prefix` for a long history.
        """
        ...


class Candidate(msgspec.Struct, frozen=True):
    """A text that may be inserted at the cursor.

    Attributes:
        kind: "keyword", "unit", "space", "host", "schedule" or "job".
        note: A remark to show next to it, such as the status of a job.
    """

    text: str
    kind: str
    note: str = ""


class Completion(msgspec.Struct, frozen=True):
    """The result of a completion.

    Attributes:
        candidates: The texts that may be inserted, the best first.
        span: The part of the text that a candidate replaces.
        ghost: The rest of the best candidate, to be shown after a cursor at the end of the text, otherwise "".
        usage: The form of the statement: `RECOVER JOB <id>[, …]`.
    """

    candidates: tuple[Candidate, ...] = ()
    span: tuple[int, int] = (0, 0)
    ghost: str = ""
    usage: str = ""


class CursorContext(msgspec.Struct, frozen=True):
    """A cursor's position among the tokens of a statement.

    Attributes:
        kinds: The kinds of the complete tokens before the cursor.
        words: Their texts.
        typed: The part before the cursor of the word at the cursor, "" between words.
        span: That whole word.
        inside: Whether the cursor is in a string or a comment; only a host's name is completed in a string.
        quote: The position of the quote that opens that string, None elsewhere.
    """

    kinds: tuple[str, ...]
    words: tuple[str, ...]
    typed: str
    span: tuple[int, int]
    inside: bool = False
    quote: int | None = None

    def expected(self) -> Expectation | None:
        """Return the expectation at the cursor, None if the tokens before it are wrong."""
        from jobtui.language.grammar import expected_at  # pyparsing takes 90 ms of CPU time to import

        reached = expected_at(self.kinds)
        return reached if reached.position == len(self.kinds) else None


def complete(text: str, cursor: int, names: NameProvider) -> Completion:
    """Return the completion at the cursor before the character `cursor` of `text`.

    The cost does not depend on the number of jobs.
    """
    here = context_at(text, cursor)
    reached = here.expected()
    if reached is None:
        return Completion(span=(cursor, cursor))
    usage = _value_usage(here, reached.expected) or _usage(here, reached.expected)
    if here.inside:
        expects_host = any(
            isinstance(part, Placeholder) and part.kind is PlaceholderKind.HOST for _, part in reached.expected
        )
        if here.quote is None or not expects_host:
            return Completion(span=(cursor, cursor), usage=usage)
        end = cursor + text.startswith(text[here.quote], cursor)
        here = msgspec.structs.replace(here, typed=text[here.quote : cursor], span=(here.quote, end))
    found = dict.fromkeys(islice(_candidates(here, reached.expected, names), MAX_CANDIDATES))
    ranked = sorted(found, key=lambda candidate: not _begins(candidate.text, here.typed))
    ranked.sort(key=lambda candidate: candidate.text.upper() != here.typed.upper())
    best = ranked[0].text if ranked else ""
    ghost = ""
    if cursor == len(text) and (here.typed or here.kinds) and _begins(best, here.typed):
        ghost = best[len(here.typed) :]
    if len(ranked) == 1 and best.upper() == here.typed.upper():
        ranked = []
    return Completion(tuple(ranked), here.span, ghost, usage)


def ids_with_prefix(starting: str, last: int) -> Iterator[int]:
    """Yield the ids from `last` down to 1 that begin with the digits `starting`."""
    if not starting:
        yield from range(last, 0, -1)
        return
    if not (starting.isascii() and starting.isdigit()) or starting[0] == "0":
        return
    for digits in range(len(str(last)) - len(starting), -1, -1):
        first = int(starting) * 10**digits
        yield from range(min(last, first + 10**digits - 1), first - 1, -1)


def context_at(text: str, cursor: int) -> CursorContext:
    """Return the context of the cursor before the character `cursor` of `text`."""
    kinds: list[str] = []
    spans: list[tuple[int, int]] = []
    inside, quote = False, None
    for kind, start, end in tokenize(text[:cursor]):
        inside, quote = False, None
        if kind == SEMICOLON:
            kinds, spans = [], []
        elif kind == COMMENT:
            inside = end == cursor and not text.startswith("/*", start)
        else:
            inside = kind == BAD and end == cursor and text[start] != "`" and is_unclosed(text, start, end)
            if inside and text[start] in "\"'":
                quote = start
            if not inside:
                kinds.append(kind)
                spans.append((start, end))

    start = cursor
    if spans and spans[-1][1] == cursor and not inside and _continues(text, kinds[-1], *spans[-1]):
        kinds.pop()
        start, _ = spans.pop()
    typed = text[start:cursor]
    rest = _REST_OF_QUOTED if typed.startswith("`") and not _closed(typed) else _REST_OF_WORD
    found = rest.match(text, cursor)
    assert found is not None
    return CursorContext(
        tuple(kinds),
        tuple(text[a:b] for a, b in spans),
        typed,
        (start, cursor if inside else found.end()),
        inside,
        quote,
    )


def _candidates(
    here: CursorContext, expected: tuple[tuple[StatementSyntax, Expected], ...], names: NameProvider
) -> Iterator[Candidate]:
    for form, terminal in expected:
        match terminal:
            case Keyword(word):
                yield from _keywords(here, form, (word,))
            case UnitChoice(units):
                shorter = _next_units(units, here.words)
                yield from (Candidate(unit, "unit") for unit in shorter if _begins(unit, here.typed))
            case Placeholder(_, PlaceholderKind.SPACE):
                yield from _named(here.typed, names.spaces(), "space")
            case Placeholder(_, PlaceholderKind.HOST):
                yield from _named(here.typed, names.hosts(), "host", may_be_quoted=True)
            case Placeholder(_, PlaceholderKind.SCHEDULE):
                yield from _named(here.typed, names.schedules(), "schedule")
            case Placeholder(_, PlaceholderKind.JOB):
                yield from _jobs(here, names, JobOperation(form.verb.lower()))
            case Placeholder(_, kind) if kind in QUANTITIES:
                yield from _measures(here.typed, kind)
            case _:
                pass
    # the words of a choice come last: after SHOW, JOBS comes before the statuses
    for form, terminal in expected:
        if isinstance(terminal, KeywordChoice):
            yield from _keywords(here, form, terminal.words)


def _keywords(here: CursorContext, form: StatementSyntax, words: Iterable[str]) -> Iterator[Candidate]:
    """Yield the keywords that begin with what was typed; no option that is given already."""
    given = _given_options(here, form)
    for word in words:
        if _begins(word, here.typed) and here.typed.isascii() and word not in given and word != "(":
            yield Candidate(word.lower() if _in_lower_case(here) else word, "keyword")


def _given_options(here: CursorContext, form: StatementSyntax) -> frozenset[str]:
    """Return the options that are given before the cursor and cannot be given again."""
    if here.kinds[-1:] != (COMMA,) or "WITH" not in here.kinds:
        return frozenset()
    last = len(here.kinds) - here.kinds[::-1].index("WITH")
    once = {option.name for option in _options_of(form, here) if not option.may_repeat}
    return frozenset(kind.lower() for kind in here.kinds[last:] if kind.lower() in once)


def _options_of(form: StatementSyntax, here: CursorContext) -> tuple[Option, ...]:
    """Return the options of a form, or of the job that it submits."""
    in_job = form.verb == "EXPLAIN" or "DO" in here.kinds
    return JOB_OPTIONS if in_job else form.options


def _next_units(units: Sequence[str], words: Sequence[str]) -> Sequence[str]:
    """Return the units that may follow a number; those of a duration become shorter."""
    before = words[-2].lstrip("0123456789.").lower() if len(words) > 1 else ""
    return units[: units.index(before)] if before in units else units


def _measures(typed: str, kind: PlaceholderKind) -> Iterator[Candidate]:
    """Yield `50MiB` for `50M`."""
    found = _MEASURE.fullmatch(typed)
    if found is not None:
        for unit in units_of(kind):
            if _begins(unit, found[2]):
                yield Candidate(found[1] + unit, "unit")


def _named(typed: str, names: Iterable[str], kind: str, *, may_be_quoted: bool = False) -> Iterator[Candidate]:
    """Yield the names that begin with what was typed, then those that contain it."""
    is_possible = is_host_name if may_be_quoted else is_name
    wanted = typed.strip("`\"'").casefold()
    within = []
    for name in filter(is_possible, names):
        folded = name.casefold()
        if folded.startswith(wanted):
            yield Candidate(_as_typed(name, typed), kind)
        elif len(wanted) >= _MIN_SUBSTRING and wanted in folded:
            within.append(name)
    for name in within:
        yield Candidate(_as_typed(name, typed), kind)


def _as_typed(name: str, typed: str) -> str:
    if typed[:1] in ("'", '"') or "." in name:
        return quote_text(name)
    return f"`{name.replace('`', '``')}`" if typed.startswith("`") else quote_name(name)


def _jobs(here: CursorContext, names: NameProvider, kind: JobOperation) -> Iterator[Candidate]:
    if here.typed and not (here.typed.isascii() and here.typed.isdigit()):
        return
    named = frozenset(here.words)
    for job, note in islice(names.jobs(kind, here.typed), _MAX_EXAMINED_JOBS):
        written = str(job)
        if written.startswith(here.typed) and written not in named:
            yield Candidate(written, "job", note)


def _in_lower_case(here: CursorContext) -> bool:
    """Return whether this word, or else the last keyword, was typed in lower case.

    A contextual keyword counts only if there is no other, because options and metrics are lower-case by habit.
    """
    before = here.words[::-1]
    sample = here.typed or next(filter(to_reserved_keyword, before), "") or next(filter(to_keyword, before), "")
    return sample.islower()


def _begins(text: str, typed: str) -> bool:
    return text.upper().startswith(typed.upper())


def _usage(here: CursorContext, expected: tuple[tuple[StatementSyntax, Expected], ...]) -> str:
    """Return the usages of the statements with this beginning, "" before the first word."""
    if not here.typed and not here.kinds:
        return ""
    forms = dict.fromkeys(form for form, terminal in expected if _may_become(here.typed, terminal))
    usages = [form.usage for form in islice(forms, _MAX_USAGES)]
    if len(forms) > _MAX_USAGES:
        usages.append("…")
    return " · ".join(usages)


def _value_usage(here: CursorContext, expected: tuple[tuple[StatementSyntax, Expected], ...]) -> str:
    """Return the meaning of an option or a metric while its value is typed, "" elsewhere."""
    if len(here.kinds) < 2 or not expected:
        return ""
    name, last = here.kinds[-2].lower(), here.kinds[-1]
    clause = next((kind for kind in reversed(here.kinds) if kind in ("WITH", "IF")), "")
    if clause == "WITH" and last == "=":
        options = _options_of(expected[0][0], here)
        return next((f"{one.usage}: {one.summary}" for one in options if one.name == name), "")
    if clause == "IF" and last in OPERATORS and name in METRICS:
        metric = METRICS[name]
        return f"{name} {last} {metric.label}: {metric.summary}"
    return ""


def _may_become(typed: str, terminal: Expected) -> bool:
    if not typed:
        return True
    match terminal:
        case Keyword(word):
            return _begins(word, typed)
        case KeywordChoice(_, words) | UnitChoice(words):
            return any(_begins(word, typed) for word in words)
        case Placeholder(_, PlaceholderKind.JOB | PlaceholderKind.COUNT):
            return typed[0].isdigit()
        case Placeholder():
            from jobtui.language.grammar import token_kinds  # as above

            kinds = token_kinds(terminal)
            return (NAME in kinds and not typed[0].isdigit()) or (MEASURE in kinds and typed[0].isdigit())
        case _:
            return False


def _continues(text: str, kind: str, start: int, end: int) -> bool:
    """Return whether typing after this token would change it."""
    if kind == BAD:
        return text[start] == "`" or text[start:end].isalnum()
    return kind not in (COMMA, STRING, "(", ")", "%")


def _closed(typed: str) -> bool:
    return len(typed) > 1 and typed.endswith("`")
