"""Conditions after IF: a tree of records, its text, and its evaluation for given figures.

A condition is stored as its text in canonical form (`JobOptions.condition`) and parsed again when it is
evaluated:

    condition = parse_condition("deletions > 10% OR l0_files > 20")
    figures = {"deletions": 0.02, "l0_files": 1}   # at least those that the condition names
    if not evaluate(condition, figures):
        reason = f"not needed: {describe_figures(condition, figures)}"   # deletions 2%, L0 files 1
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from jobtui.formatting import format_bytes, format_duration
from jobtui.language.lexer import split_statements
from jobtui.language.parts import METRICS, QUANTITIES
from jobtui.language.quantities import (
    Quantity,
    QuantityError,
    parse_whole_number,
    read_quantity,
    write_duration,
    write_share,
    write_size,
)


class Needed(msgspec.Struct, frozen=True):
    """NEEDED: the verdict of SHOW ADVICE. Its figure is `needed`, True or False."""


class Comparison(msgspec.Struct, frozen=True):
    """A metric compared with a value.

    Attributes:
        value: A number, bytes, a fraction or seconds.
        quantity: The kind of the value, None for a plain number. `gain` and `free` are a size or a share.
    """

    metric: str
    operator: str
    value: int | float
    quantity: Quantity | None

    @property
    def figure(self) -> str:
        """The name of the figure that is compared: the metric, or `gain_share` and `free_share`."""
        both = len(QUANTITIES.get(METRICS[self.metric].value, ())) > 1
        return f"{self.metric}_share" if both and self.quantity is Quantity.SHARE else self.metric


class Not(msgspec.Struct, frozen=True):
    """NOT: the opposite of a condition."""

    condition: Condition


class And(msgspec.Struct, frozen=True):
    """AND: all of two or more conditions."""

    conditions: tuple[Condition, ...]


class Or(msgspec.Struct, frozen=True):
    """OR: any of two or more conditions."""

    conditions: tuple[Condition, ...]


Condition = Needed | Comparison | Not | And | Or

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}


_NOUNS: Final = {"l0_files": "L0 files", "pending": "to compact", "memtable": "in memory"}


class UnknownFigureError(ValueError):
    """A figure that a condition needs is unknown; `figure` is its name."""

    def __init__(self, figure: str) -> None:
        super().__init__(f"{figure} is not known here")
        self.figure = figure


def parse_condition(text: str) -> Condition:
    """Return the condition of `text`, the part after IF.

    Raises:
        ValueError: If it is not a condition.
    """
    from jobtui.language.grammar import is_condition  # pyparsing takes 90 ms of CPU time to import

    statements = list(split_statements(text))
    if len(statements) != 1 or statements[0][1] is not None or not is_condition(statements[0][0].kinds):
        raise ValueError(f"this is not a condition: {text[:80]!r}")
    tokens = statements[0][0]
    words = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    return read_condition(tokens.kinds, words)


def read_condition(kinds: Sequence[str], words: Sequence[str]) -> Condition:
    """Return the condition of these tokens, whose kinds the grammar has accepted.

    Raises:
        ConditionError: If a value is wrong.
    """
    return _Reader(kinds, words).read_or()


class ConditionError(ValueError):
    """A wrong value in a condition: the `cause`, and its tokens from `start` up to `stop`."""

    def __init__(self, cause: QuantityError, start: int, stop: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.start = start
        self.stop = stop


class _Reader:
    """A reader, by recursive descent, of a condition's tokens, which the grammar has checked."""

    def __init__(self, kinds: Sequence[str], words: Sequence[str]) -> None:
        self._kinds = kinds
        self._words = words
        self._at = 0

    def read_or(self) -> Condition:
        operands = [self._read_and()]
        while self._takes("OR"):
            operands.append(self._read_and())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _read_and(self) -> Condition:
        operands = [self._read_operand()]
        while self._takes("AND"):
            operands.append(self._read_operand())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _read_operand(self) -> Condition:
        if self._takes("NEEDED"):
            return Needed()
        if self._takes("NOT"):
            return Not(self._read_operand())
        if self._takes("("):
            condition = self.read_or()
            self._at += 1
            return condition
        return self._read_comparison()

    def _read_comparison(self) -> Comparison:
        metric = METRICS[self._kinds[self._at].lower()]
        compared = self._kinds[self._at + 1]
        start = self._at = self._at + 2
        while self._at < len(self._kinds) and self._kinds[self._at] not in ("AND", "OR", ")"):
            self._at += 1
        words = self._words[start : self._at]
        quantities = QUANTITIES.get(metric.value, ())
        try:
            if not quantities:
                return Comparison(metric.name, compared, parse_whole_number(words[0]), None)
            value = read_quantity(words, quantities)
        except QuantityError as error:
            raise ConditionError(error, start, self._at) from None
        share = len(quantities) > 1 and isinstance(value, float)
        return Comparison(metric.name, compared, value, Quantity.SHARE if share else quantities[0])

    def _takes(self, kind: str) -> bool:
        taken = self._at < len(self._kinds) and self._kinds[self._at] == kind
        self._at += taken
        return taken


def unparse_condition(condition: Condition) -> str:
    """Return the canonical text of a condition, as `parse_condition` reads it."""
    match condition:
        case Needed():
            return "NEEDED"
        case Comparison(metric, compared, value, quantity):
            return f"{metric} {compared} {_written(value, quantity)}"
        case Not(inner):
            return f"NOT {_operand(inner, And, Or)}"
        case And(conditions):
            return " AND ".join(_operand(one, And, Or) for one in conditions)
        case Or(conditions):
            return " OR ".join(_operand(one, Or) for one in conditions)


def _operand(condition: Condition, *in_parentheses: type[And | Or]) -> str:
    text = unparse_condition(condition)
    return f"({text})" if isinstance(condition, in_parentheses) else text


def _written(value: float, quantity: Quantity | None) -> str:
    match quantity:
        case Quantity.SIZE:
            return write_size(int(value))
        case Quantity.DURATION:
            return write_duration(value)
        case Quantity.SHARE:
            return write_share(value)
        case _:
            return str(value)


def evaluate(condition: Condition, figures: Mapping[str, int | float | None]) -> bool:
    """Return whether `condition` holds.

    Args:
        condition: The condition.
        figures: The figures by name, None for one that is not known. The `age` of a space
            that was never compacted is infinite.

    Raises:
        UnknownFigureError: If a figure that decides is not known.
    """
    match condition:
        case Needed():
            return bool(_figure("needed", figures))
        case Comparison(_, compared, value, _):
            return _COMPARE[compared](_figure(condition.figure, figures), value)
        case Not(inner):
            return not evaluate(inner, figures)
        case And(conditions):
            return all(evaluate(one, figures) for one in conditions)
        case Or(conditions):
            return any(evaluate(one, figures) for one in conditions)


def _figure(name: str, figures: Mapping[str, int | float | None]) -> int | float:
    figure = figures.get(name)
    if figure is None:
        raise UnknownFigureError(name)
    return figure


def describe_figures(condition: Condition, figures: Mapping[str, int | float | None]) -> str:
    """Return the figures of a condition: `deletions 2%, L0 files 1`; "" for NEEDED."""
    described = {}
    for one in _comparisons(condition):
        noun = _NOUNS.get(one.metric, one.metric)
        described[one.figure] = f"{noun} {_shown(figures.get(one.figure), one.quantity)}"
    return ", ".join(described.values())


def _shown(figure: float | None, quantity: Quantity | None) -> str:
    if figure is None:
        return "unknown"
    match quantity:
        case Quantity.SIZE:
            return format_bytes(int(figure))
        case Quantity.DURATION:
            return "unlimited (never compacted)" if figure == float("inf") else format_duration(figure)
        case Quantity.SHARE:
            return f"{figure * 100:.3g}%"
        case _:
            return str(figure)


def _comparisons(condition: Condition) -> Iterator[Comparison]:
    match condition:
        case Comparison():
            yield condition
        case Not(inner):
            yield from _comparisons(inner)
        case And(conditions) | Or(conditions):
            for one in conditions:
                yield from _comparisons(one)
        case Needed():
            pass
