"""What may come next at a cursor: from the grammar itself, with the names and jobs that there are."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from jobtui.language.grammar import Expectation, Expected, expected_at
from jobtui.language.identifiers import GOES_ON, is_name, quote_name, to_keyword
from jobtui.language.lexer import BAD, COMMA, COMMENT, SEMICOLON, STRING, is_unclosed, tokenize
from jobtui.language.syntax import Keyword, KeywordChoice, Placeholder, PlaceholderKind, StatementSyntax

MOST: Final = 50
"""How many candidates are offered at most."""

_MOST_JOBS_LOOKED_AT: Final = 1000
_MOST_USAGES: Final = 3
_SUBSTRING_FROM: Final = 2


class JobsFor(enum.StrEnum):
    """What a statement wants to do with a job, and so which jobs it can act on."""

    SHOW = "show"
    """Any job that is not archived."""
    STOP = "stop"
    """Queued and running jobs that are not being stopped yet."""
    BACKUP = "backup"
    """Ended jobs."""
    RECOVER = "recover"
    """Failed and stopped jobs that have not been recovered yet."""


class Names(Protocol):
    """What there is to name. Called on every key: answer from what is known, and never wait."""

    def spaces(self) -> Iterable[str]:
        """The spaces' names."""
        ...

    def hosts(self) -> Iterable[str]:
        """The storage hosts' names."""
        ...

    def jobs(self, kind: JobsFor, starting: str) -> Iterable[tuple[int, str]]:
        """Ids of jobs with a note (status and label), newest first, read only as far as they are taken.

        `starting` is how the wanted ids begin in decimal, "" for all. Others may come too and are passed
        over, but only the first thousand jobs are looked at: use `ids_starting` on a long history.
        """
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may stand at the cursor: what to write, what to say beside it, and what it is.

    `kind` is `keyword`, `space`, `host` or `job`.
    """

    text: str
    kind: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What may come next.

    A candidate replaces `span`. `ghost` is the rest of the best one, to be shown behind a cursor at the
    text's end, "" elsewhere. `usage` is how the statement goes: `RECOVER JOB <id>[, …]`.
    """

    candidates: tuple[Candidate, ...] = ()
    span: tuple[int, int] = (0, 0)
    ghost: str = ""
    usage: str = ""


def complete(text: str, cursor: int, names: Names) -> Completion:
    """What may come next where the cursor stands, before the character `cursor` of `text`.

    Its cost does not depend on how many jobs there are.
    """
    here = context_at(text, cursor)
    reached = here.expected()
    if reached is None:
        return Completion(span=(cursor, cursor))
    usage = _usage(here, reached.expected)
    if here.inside:
        return Completion(span=(cursor, cursor), usage=usage)
    found = dict.fromkeys(islice(_candidates(here, reached.expected, names), MOST))
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
    """The ids from `last` down to 1 whose decimal form begins with `starting`, found without a search."""
    if not starting:
        yield from range(last, 0, -1)
        return
    if not (starting.isascii() and starting.isdigit()) or starting[0] == "0":
        return
    for digits in range(len(str(last)) - len(starting), -1, -1):
        first = int(starting) * 10**digits
        yield from range(min(last, first + 10**digits - 1), first - 1, -1)


def _candidates(
    here: CursorContext, expected: tuple[tuple[StatementSyntax, Expected], ...], names: Names
) -> Iterator[Candidate]:
    for word in _keywords(expected):
        if word.startswith(here.typed.upper()) and here.typed.isascii():
            yield Candidate(word.lower() if _in_lower_case(here) else word, "keyword")
    for form, terminal in expected:
        if not isinstance(terminal, Placeholder):
            continue
        if terminal.kind is PlaceholderKind.SPACE:
            yield from _named(here.typed, names.spaces(), "space")
        elif terminal.kind is PlaceholderKind.HOST:
            yield from _named(here.typed, names.hosts(), "host")
        elif terminal.kind is PlaceholderKind.JOB:
            yield from _jobs(here, names, JobsFor(form.verb.lower()))


def _keywords(expected: tuple[tuple[StatementSyntax, Expected], ...]) -> Iterator[str]:
    """Single words before the words of a choice that an error would name together."""
    for _, terminal in expected:
        if isinstance(terminal, Keyword):
            yield terminal.text
    for _, terminal in expected:
        if isinstance(terminal, KeywordChoice):
            yield from terminal.words


def _named(typed: str, names: Iterable[str], kind: str) -> Iterator[Candidate]:
    """The names that begin with what was typed, then those that hold it."""
    wanted = typed.strip("`").casefold()
    within = []
    for name in names:
        folded = name.casefold()
        if folded.startswith(wanted):
            if is_name(name):
                yield Candidate(_usage_of(name, typed), kind)
        elif len(wanted) >= _SUBSTRING_FROM and wanted in folded and is_name(name):
            within.append(name)
    for name in within:
        yield Candidate(_usage_of(name, typed), kind)


def _usage_of(name: str, typed: str) -> str:
    return f"`{name}`" if typed.startswith("`") else quote_name(name)


def _jobs(here: CursorContext, names: Names, kind: JobsFor) -> Iterator[Candidate]:
    if here.typed and not (here.typed.isascii() and here.typed.isdigit()):
        return
    named = frozenset(here.words)
    for job, note in islice(names.jobs(kind, here.typed), _MOST_JOBS_LOOKED_AT):
        written = str(job)
        if written.startswith(here.typed) and written not in named:
            yield Candidate(written, "job", note)


def _in_lower_case(here: CursorContext) -> bool:
    """Whether keywords are typed in lower case: this word or, before its first letter, the last keyword."""
    sample = here.typed or next(filter(to_keyword, reversed(here.words)), "")
    return sample.islower()


def _begins(text: str, typed: str) -> bool:
    return text.upper().startswith(typed.upper())


def _usage(here: CursorContext, expected: tuple[tuple[StatementSyntax, Expected], ...]) -> str:
    """How the statements go that the words so far can begin; "" before the first word."""
    if not here.typed and not here.kinds:
        return ""
    forms = dict.fromkeys(form for form, terminal in expected if _may_become(here.typed, terminal))
    usages = [form.usage for form in islice(forms, _MOST_USAGES)]
    if len(forms) > _MOST_USAGES:
        usages.append("…")
    return " · ".join(usages)


def _may_become(typed: str, terminal: Expected) -> bool:
    if not typed:
        return True
    match terminal:
        case Keyword(word):
            return word.startswith(typed.upper())
        case KeywordChoice(_, words):
            return any(word.startswith(typed.upper()) for word in words)
        case Placeholder(_, PlaceholderKind.JOB | PlaceholderKind.COUNT):
            return typed[0].isdigit()
        case Placeholder(_, PlaceholderKind.DIRECTORY):
            return False
        case Placeholder():
            return not typed[0].isdigit()
        case _:
            return False


_REST_OF_WORD: Final = re.compile(f"{GOES_ON}*")
_REST_OF_QUOTED: Final = re.compile("[^`\\s;]*`?")


@dataclass(frozen=True, slots=True)
class CursorContext:
    """A cursor's place among the words of a statement.

    `kinds` and `words` are the whole words before it. `typed` is what of the word at the cursor stands
    before the cursor ("" between words), `span` the whole of that word. `inside` says that the cursor is
    in a string or a comment, where no word can be completed.
    """

    kinds: tuple[str, ...]
    words: tuple[str, ...]
    typed: str
    span: tuple[int, int]
    inside: bool = False

    def expected(self) -> Expectation | None:
        """What could stand at the cursor; None where the words before it are wrong already."""
        reached = expected_at(self.kinds)
        return reached if reached.word == len(self.kinds) else None


def context_at(text: str, cursor: int) -> CursorContext:
    """The place of the cursor that stands before the character `cursor` of `text`."""
    kinds: list[str] = []
    spans: list[tuple[int, int]] = []
    inside = False
    for kind, start, end in tokenize(text[:cursor]):
        inside = False
        if kind == SEMICOLON:
            kinds, spans = [], []
        elif kind == COMMENT:
            inside = end == cursor and not text.startswith("/*", start)
        else:
            inside = kind == BAD and end == cursor and text[start] != "`" and is_unclosed(text, start, end)
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
    )


def _continues(text: str, kind: str, start: int, end: int) -> bool:
    """Whether typing on after this piece would change it."""
    if kind == BAD:
        return text[start] == "`" or text[start:end].isalnum()
    return kind not in (COMMA, STRING)


def _closed(typed: str) -> bool:
    return len(typed) > 1 and typed.endswith("`")
