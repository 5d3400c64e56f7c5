"""Text into statements, and results into text: the room that knows how people write and read.

`parse` reads a text; `StatementError` says what is wrong with one. The neighbours are modules of
their own: `complete`, `highlight` and `problem` for a command bar, `tables` for results, `help` for
who asks. Nothing here runs a statement, and nothing here knows the engine, the history, a storage or
a screen.

Importing this package imports none of its modules: each comes when it is first used, and pyparsing
when the first statement is parsed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobtui.language.ast import unparse
    from jobtui.language.errors import StatementError, line_and_column
    from jobtui.language.identifiers import quote_name
    from jobtui.language.parser import parse, parse_with_spans

__all__ = ["StatementError", "line_and_column", "parse", "parse_with_spans", "quote_name", "unparse"]

_HOME = {
    "StatementError": "errors",
    "line_and_column": "errors",
    "parse": "parser",
    "parse_with_spans": "parser",
    "quote_name": "identifiers",
    "unparse": "ast",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
