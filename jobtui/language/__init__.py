"""The statement language: text to statements, and results to text.

`parse` reads a text; `StatementError` says what is wrong with one. Other modules are imported by name:
`completion` and `diagnostics` serve a command bar, `results` writes results as tables, JSON or CSV, and `help`
explains the statements. Nothing here runs a statement or knows the engine, the history, a storage backend or a
screen.

Importing the package imports none of its modules, because commands such as `jobtui --version` need none. Each
is imported on first use, and pyparsing when the first statement is parsed.
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
