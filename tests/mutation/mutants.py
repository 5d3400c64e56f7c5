"""Small changes of a module, one at a time, each to be noticed by some test."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class Mutant(msgspec.Struct, frozen=True):
    """A changed module: its file, the line, what was changed there, and the whole new source."""

    file: str
    line: int
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.change}"


def mutants(root: Path, file: str) -> Iterator[Mutant]:
    """Yield the mutants of the module, in the order of its nodes."""
    tree = ast.parse((root / file).read_text(encoding="utf-8"))
    for number, node in enumerate(ast.walk(tree)):
        for change, apply in _changes(node):
            changed = copy.deepcopy(tree)
            apply(_nth(changed, number))
            ast.fix_missing_locations(changed)
            yield Mutant(file, getattr(node, "lineno", 0), change, ast.unparse(changed))


def _nth(tree: ast.AST, number: int) -> ast.AST:
    for at, node in enumerate(ast.walk(tree)):
        if at == number:
            return node
    raise IndexError(number)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    """Yield what can be changed at a node: in words, and how it is done to a copy of the node."""
    match node:
        case ast.If(test=test) if not _is_about_types(test):
            yield f"never: if {ast.unparse(test)}", _set(test=ast.Constant(False))
            yield f"always: if {ast.unparse(test)}", _set(test=ast.Constant(True))
        case ast.Compare(ops=[op]) if type(op) in _OPPOSITE:
            opposite = _OPPOSITE[type(op)]()
            yield f"the opposite of {ast.unparse(node)}", _set(ops=[opposite])
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"and/or exchanged: {ast.unparse(node)}", _set(op=other)
        case ast.Expr(value=ast.Call() | ast.Await() as call):
            yield f"left out: {ast.unparse(call)}", _set(value=ast.Constant(None))
        case ast.Raise(exc=ast.expr() as error):
            yield f"left out: raise {ast.unparse(error)}", _become_pass
        case ast.Assign(targets=[ast.Attribute() as target], value=value):
            yield f"left out: {ast.unparse(node)}", _set(value=copy.deepcopy(target))
            del value
        case ast.With(items=[item]) if "lock" in ast.unparse(item).lower():
            yield f"left out: with {ast.unparse(item)}", _without_context
        case _:
            return


def _is_about_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _set(**fields: object) -> Callable[[ast.AST], None]:
    def apply(node: ast.AST) -> None:
        for name, value in fields.items():
            setattr(node, name, value)

    return apply


def _become_pass(node: ast.AST) -> None:
    node.__class__ = ast.Pass  # type: ignore[assignment]  # a node becomes another one


def _without_context(node: ast.AST) -> None:
    assert isinstance(node, ast.With)
    node.items = [ast.withitem(ast.parse("__import__('contextlib').nullcontext()", mode="eval").body)]
