"""Help on the statements: a table of all of them, or the long help on one."""

from __future__ import annotations

import re
import textwrap
from typing import Final

from jobtui.language.grammar import expected_at
from jobtui.language.identifiers import to_keyword
from jobtui.language.syntax import SYNTAX, StatementSyntax
from jobtui.suggest import did_you_mean

_WIDTH: Final = 80
_INDENT: Final = "  "
_KEYWORD: Final = re.compile("[A-Z]+")

_WORDS: Final = """\
Keywords may be typed in any case; a semicolon separates statements. Comments
are #, // and -- (before a blank) to the end of the line, and /* … */. A name
that is a keyword, begins with a digit or has characters other than letters,
digits and _ is written between back-quotes: `my-space`. Numbers may be decimal,
0x28 or octal (050)."""


def help_for(statement: str | None = None) -> str:
    """Return the help on the statements that begin with these words; None: on all.

    If no statement begins with them, the help says so and lists the statements that begin with the first of
    them or contain all of them, otherwise all statements.
    """
    words = (statement or "").split()
    if not words:
        return f"{_table(SYNTAX)}\n\n{_WORDS}"
    forms = _forms(words)
    if forms:
        return "\n\n".join(map(_at_length, forms))
    begun = next(filter(None, (_forms(words[:count]) for count in range(len(words) - 1, 0, -1))), ())
    holding = tuple(form for form in SYNTAX if _holds(form, words))
    near = None if begun or holding else did_you_mean(words[0], dict.fromkeys(form.verb for form in SYNTAX))
    meant = f" Did you mean {near}?" if near else ""
    return f"No statement begins with these words.{meant} There are:\n\n{_table(begun or holding or SYNTAX)}"


def begins_a_statement(words: str) -> bool:
    """Return whether a statement begins with these words, or there are none."""
    return not words.split() or bool(_forms(words.split()))


def _forms(words: list[str]) -> tuple[StatementSyntax, ...]:
    """Return the forms that can begin with these keywords."""
    known = [to_keyword(word) for word in words]
    reached = expected_at(word for word in known if word is not None)
    if None in known or reached.position < len(words):
        return ()
    return tuple(dict.fromkeys(form for form, _ in reached.expected))


def _holds(form: StatementSyntax, words: list[str]) -> bool:
    """Return whether the form has all of these keywords."""
    return set(map(str.upper, words)) <= set(_KEYWORD.findall(form.usage))


def _table(forms: tuple[StatementSyntax, ...]) -> str:
    width = max(len(form.usage) for form in forms)
    return "\n".join(f"{form.usage:<{width}}{_INDENT}{form.summary}" for form in forms)


def _at_length(form: StatementSyntax) -> str:
    parts = [form.usage, textwrap.indent(f"{form.summary[0].upper()}{form.summary[1:]}.", _INDENT)]
    for paragraph in form.details:
        parts.append(textwrap.fill(paragraph, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT))
    if form.examples:
        parts.append(textwrap.indent("\n".join(form.examples), _INDENT * 2))
    return "\n".join(parts)
