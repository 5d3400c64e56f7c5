"""Help on all statements as a table, or the long help on one or on a term."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from jobtui.language.grammar import expected_at
from jobtui.language.identifiers import to_keyword
from jobtui.language.parts import (
    JOB_OPTIONS,
    METRICS,
    PAUSE_OPTIONS,
    RECOVER_OPTIONS,
    SCHEDULE_OPTIONS,
    Metric,
    Option,
)
from jobtui.language.syntax import SYNTAX, StatementSyntax
from jobtui.suggest import did_you_mean

_WIDTH: Final = 80
_INDENT: Final = "  "
_WORD: Final = re.compile("[A-Za-z][A-Za-z0-9_]*")

LEXICAL_RULES: Final = """\
Keywords may be typed in any case; a semicolon separates statements. Comments
are #, // and -- (before a blank) to the end of the line, and /* … */. A name
that is a keyword, begins with a digit or has characters other than letters,
digits and _ is written between back-quotes: `my-space`. Numbers may be decimal,
0x28 or octal (050). Sizes are 5 GiB or 10 GB, durations 90 s or 1 h 30 min,
shares 10%."""

TERMS: Final = {
    "advice": "What SHOW ADVICE says of a space on a host: compact, flush or fine, with the figures behind it.",
    "because": "Why a job was requested, paused or stopped, in the words of the user.",
    "compact": "COMPACT merges the SST files of a space on each host. It drops overwritten and deleted "
    "entries, and so reclaims their disk space and makes reading faster. It reads and writes "
    "the files again, which takes time and disk bandwidth.",
    "condition": "Comparisons after IF, with AND, OR, NOT and parentheses; AND binds tighter than OR. It is "
    "evaluated on each host when its turn comes. If it is false, the host ends at once, with the "
    "figures as the reason.",
    "deletions": "Deleting a key writes a deletion entry. The entry and what it deletes take disk space, and "
    "slow reading down, until a compaction drops both.",
    "duration": "A length of time: 90 s, 5 min, 2 h, 7 d or 1 h 30 min. It needs its unit.",
    "flush": "FLUSH writes the memtables of a space to disk, as SST files. The write-ahead log that "
    "protected them is then no longer needed.",
    "host": "A place that stores parts of spaces: a directory of this machine, or a storage server of a "
    "cluster. A host does one operation at a time. In ON, a name with a . is written in quotes: "
    'ON "10.0.0.1".',
    "job": "One FLUSH or COMPACT of one space, with an id. Its status is queue, running, finished, "
    "failed or stopped.",
    "l0_files": "New files start in level 0, where each can hold any key, so that reading looks at all of "
    "them. Too many make RocksDB slow down writing.",
    "level": "RocksDB arranges SST files in levels. New files start in level 0 (L0); a compaction merges "
    "them into deeper levels.",
    "memtable": "RocksDB's buffer in memory for recent writes. A flush writes it to disk.",
    "needed": "IF NEEDED compacts a host only if the verdict of SHOW ADVICE is compact.",
    "option": "A setting after WITH: name = value, with commas between options. Each is given once, only "
    "family may repeat, and one that is named twice counts once. An option that the storage cannot honor is an "
    "error; it is never ignored.",
    "pending": "RocksDB compacts by itself in the background; this is the work that it still sees.",
    "rate": "The limit of the bytes that a job writes per second on a host. Reading is not limited.",
    "schedule": "A job that is submitted again and again, at times given like those of cron. Schedules run in "
    "the process that runs the profile's jobs.",
    "share": "A part of the whole, from 0% to 100%: 10% or 12.5%.",
    "size": "5 GiB, 50MiB or 10 GB: kB, MB, GB and TB are powers of 1,000; KiB, MiB, GiB and TiB of "
    "1,024. A number without a unit is bytes.",
    "space": "A named set of key-value pairs, spread over one or more hosts. On embedded storage it is a "
    "RocksDB database on each host.",
    "step": "A part of a compaction, about 80 MiB. A job can be paused and continued between two steps, "
    "and needs free disk for one step only.",
    "task": "The part of a job that one host does. A job ends when its last task has ended.",
    "verdict": "The answer of SHOW ADVICE for a space on a host: compact, flush or fine.",
}
"""The meanings of the terms of statements, apart from options and metrics."""

_SYNONYMS: Final = {
    "conditions": "condition",
    "deletion": "deletions",
    "durations": "duration",
    "hosts": "host",
    "jobs": "job",
    "l0": "l0_files",
    "levels": "level",
    "memtables": "memtable",
    "options": "option",
    "rates": "rate",
    "schedules": "schedule",
    "shares": "share",
    "sizes": "size",
    "spaces": "space",
    "steps": "step",
    "tasks": "task",
    "tombstone": "deletions",
    "tombstones": "deletions",
    "unit": "size",
    "units": "size",
}
_OPTIONS: Final = {
    option.name: option for option in (*JOB_OPTIONS, *PAUSE_OPTIONS, *RECOVER_OPTIONS, *SCHEDULE_OPTIONS)
}


def help_for(statement: str | None = None) -> str:
    """Return the help on a term or the statements with these words; None: on all statements.

    If no statement begins with these words and they are not a term, that is stated. Below it are the statements
    that begin with some of the words or contain all of them, or else all statements.
    """
    words = (statement or "").split()
    if not words:
        return f"{_table(SYNTAX)}\n\n{LEXICAL_RULES}"
    forms = _forms(words)
    if forms:
        return "\n\n".join(map(_long_help, forms))
    holding = tuple(form for form in SYNTAX if _holds(form, words))
    term = _term(words)
    if term:
        return _on_term(term) + (f"\n\nIt is a part of:\n\n{_table(holding)}" if holding else "")
    begun = next(filter(None, (_forms(words[:count]) for count in range(len(words) - 1, 0, -1))), ())
    near = None if begun or holding else did_you_mean(words[0], _known_words())
    meant = f" Did you mean {near}?" if near else ""
    return f"No statement begins with these words.{meant} There are:\n\n{_table(begun or holding or SYNTAX)}"


def has_help(words: str) -> bool:
    """Return whether a statement begins with these words, they are a term, or there are none."""
    split = words.split()
    return not split or bool(_forms(split) or _term(split))


def _known_words() -> Iterator[str]:
    yield from dict.fromkeys(form.verb for form in SYNTAX)
    yield from (*TERMS, *METRICS, *_OPTIONS)


def _term(words: list[str]) -> str:
    """Return the term that the only word is, "" if it is not a term."""
    if len(words) != 1:
        return ""
    term = words[0].lower()
    term = _SYNONYMS.get(term, term)
    return term if term in TERMS or term in METRICS or term in _OPTIONS else ""


def _on_term(term: str) -> str:
    """Return what a term means: in general, as a metric, and as an option."""
    parts = [term]
    if term in TERMS:
        parts.append(_filled(TERMS[term]))
    if term in METRICS:
        metric = METRICS[term]
        parts.append(_filled(f"In a condition: {metric.summary}, as in IF {metric.example}."))
    if term in _OPTIONS:
        option = _OPTIONS[term]
        summary = f"{option.summary[0].upper()}{option.summary[1:]}."
        given = f"Option {option.usage}: {summary} Default: {option.default}. {option.details}"
        parts.append(_filled(given.strip()))
    return "\n".join(parts)


def _forms(words: list[str]) -> tuple[StatementSyntax, ...]:
    """Return the forms that can begin with these keywords."""
    known = [to_keyword(word) for word in words]
    reached = expected_at(word for word in known if word is not None)
    if None in known or reached.position < len(words):
        return ()
    return tuple(dict.fromkeys(form for form, _ in reached.expected))


def _holds(form: StatementSyntax, words: list[str]) -> bool:
    """Return whether the form has all of these words, or their singular."""
    held = {word.lower() for word in _WORD.findall(form.usage)}
    held.update(option.name for option in form.options)
    if form.options:
        held.add("option")
    if form.has_condition:
        held.update(("condition", *METRICS))
    return all(word.lower() in held or _SYNONYMS.get(word.lower(), "") in held for word in words)


def _table(forms: Iterable[StatementSyntax]) -> str:
    """Return a line for each form; the summary of a long one is on a line below it."""
    forms = tuple(forms)
    room = _WIDTH - len(_INDENT) - max(len(form.summary) for form in forms)
    width = max((len(form.usage) for form in forms if len(form.usage) <= room), default=0)
    lines = []
    for form in forms:
        if len(form.usage) <= width:
            lines.append(f"{form.usage:<{width}}{_INDENT}{form.summary}")
        else:
            lines.extend((_wrapped_usage(form), f"{'':<{width or len(_INDENT) * 2}}{_INDENT}{form.summary}"))
    return "\n".join(lines)


def _wrapped_usage(form: StatementSyntax) -> str:
    """Return the usage in lines of the help's width, broken between its parts."""
    lines = [""]
    for part in form.usage_parts:
        longer = f"{lines[-1]} {part}".strip() if lines[-1].strip() else lines[-1] + part
        if len(longer) > _WIDTH:
            lines.append(_INDENT * 2 + part)
        else:
            lines[-1] = lines[-1] + (" " if lines[-1].strip() else "") + part
    return "\n".join(lines)


def _long_help(form: StatementSyntax) -> str:
    parts = [_wrapped_usage(form), textwrap.indent(f"{form.summary[0].upper()}{form.summary[1:]}.", _INDENT)]
    parts.extend(map(_filled, form.details))
    if form.options:
        parts.append(f"{_INDENT}Options after WITH:")
        parts.extend(_two_columns((option.usage, _option_summary(option)) for option in form.options))
    if form.has_condition:
        parts.append(f"{_INDENT}Metrics of a condition:")
        parts.extend(_two_columns((_metric_usage(metric), metric.summary) for metric in METRICS.values()))
    if form.examples:
        parts.append(f"{_INDENT}Examples:")
        parts.extend(_filled(example, _INDENT * 2, _INDENT * 3) for example in form.examples)
    return "\n".join(parts)


def _option_summary(option: Option) -> str:
    return f"{option.summary} (default: {option.default})"


def _metric_usage(metric: Metric) -> str:
    return f"{metric.name} > {metric.label}"


def _two_columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines with a term and its explanation, which is wrapped in its column."""
    found = list(rows)
    width = max(len(term) for term, _ in found)
    indent = " " * (len(_INDENT) * 3 + width)
    lines = []
    for term, explanation in found:
        start = f"{_INDENT * 2}{term:<{width}}{_INDENT}"
        lines.append(textwrap.fill(explanation, _WIDTH, initial_indent=start, subsequent_indent=indent))
    return lines


def _filled(paragraph: str, first: str = _INDENT, others: str = _INDENT) -> str:
    return textwrap.fill(
        paragraph, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False
    )
