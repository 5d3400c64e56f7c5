"""Sizes, durations and shares with their units, as bytes, seconds and fractions."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from jobtui.language.identifiers import MAX_NUMBER
from jobtui.suggest import did_you_mean


class Quantity(enum.Enum):
    """The kinds of quantities; the values are their names in errors."""

    SIZE = "a size"
    DURATION = "a duration"
    SHARE = "a share"


class QuantityError(ValueError):
    """A text that is not a quantity of the kind; the message has the reason and correction.

    Attributes:
        unit: The wrong unit, "" if the error is another one.
        near: The unit that was probably meant.
    """

    def __init__(self, message: str, unit: str = "", near: str | None = None) -> None:
        super().__init__(message)
        self.unit = unit
        self.near = near


_SIZES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_DURATIONS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
MAX_DURATION: Final = 36_500 * 86_400
"""100 years in seconds: the moment after a wait must be one that Python's calendar has."""
UNITS: Final[Mapping[Quantity, Mapping[str, int]]] = {
    Quantity.SIZE: _SIZES,
    Quantity.DURATION: _DURATIONS,
    Quantity.SHARE: {"%": 1},
}
"""The units of each quantity with the number of bytes or seconds in one."""
_EXAMPLES: Final = {Quantity.SIZE: "5 GiB", Quantity.DURATION: "5 min", Quantity.SHARE: "10%"}
_BLANKS: Final = "[ \t\u00a0]*+"
_TERM: Final = re.compile(rf"([0-9]{{1,40}})(?:\.([0-9]{{1,40}}))?(?![0-9.]){_BLANKS}([A-Za-z%]*+){_BLANKS}")

_OCTAL: Final = "0[0-7]+"
_MAX_DIGITS: Final = {8: 21, 10: 19, 16: 16}
_NOT_DECIMAL: Final = r"(?<![\w.])0[xX]([0-9a-fA-F]{1,16})(?![0-9a-fA-F])|(?<![\d.])0([0-7]{1,21})(?![\d.xX])"


class _Term(msgspec.Struct, frozen=True):
    """A decimal number (`digits` without the point, `places` after it) and its unit, or ""."""

    digits: int
    places: int
    unit: str

    def times(self, factor: int) -> int | float:
        """Return the number times `factor`, an int if it is whole."""
        scale: int = 10**self.places
        product = self.digits * factor
        # one division of whole numbers, because it is rounded once: 0.1 min is 6 s
        return product / scale if product % scale else product // scale

    def whole_times(self, factor: int) -> int:
        """Return the number times `factor`, rounded down: a float would round 2^63-0.5 up."""
        scale: int = 10**self.places
        return self.digits * factor // scale


def parse_whole_number(text: str) -> int:
    """Return a decimal, hexadecimal (0x) or octal (0, then octal digits only) number.

    Raises:
        QuantityError: If it is larger than 2^63-1.
    """
    base, digits = 10, text
    if text[0] == "0":
        if text[1:2] in ("x", "X"):
            base, digits = 16, text[2:]
        elif re.fullmatch(_OCTAL, text):
            base = 8
    significant = digits.lstrip("0")
    if len(significant) <= _MAX_DIGITS[base]:
        value = int(significant or "0", base)
        if value <= MAX_NUMBER:
            return value
    shown = text if len(text) <= 40 else "this number"
    raise QuantityError(f"{shown} is too large: the largest number is {MAX_NUMBER}")


def read_quantity(words: Iterable[str], quantities: Collection[Quantity]) -> int | float:
    """Return the value of a quantity: bytes as an int, seconds, or a fraction as a float.

    Numbers follow the rules of the language: `0x28` is hexadecimal, `010` is octal, `1.5` is decimal.

    Args:
        words: Its words, without the blanks and comments between them.
        quantities: The allowed kinds; if there are two, these are a size and a share.

    Raises:
        QuantityError: If it is none of them.
    """
    text = re.sub(_NOT_DECIMAL, _to_decimal, " ".join(words))
    if Quantity.DURATION in quantities:
        return parse_duration(text)
    if Quantity.SIZE in quantities and not (Quantity.SHARE in quantities and text.endswith("%")):
        return parse_size(text)
    return parse_share(text)


def _to_decimal(number: re.Match[str]) -> str:
    return str(int(number[1], 16) if number[1] else int(number[2], 8))


def parse_size(text: str) -> int:
    """Return the bytes of `5 GiB`, `50MiB`, `10 GB` or `1024`, rounded down.

    Raises:
        QuantityError: If it is not a size, or larger than 2^63-1 bytes.
    """
    term, *others = _terms(text, Quantity.SIZE)
    if others:
        raise QuantityError("a size has one number and one unit, as in 1.5 GiB")
    size = term.whole_times(_factor(term.unit or "B", Quantity.SIZE))
    if size > MAX_NUMBER:
        raise QuantityError(f"this is too large: the largest number is {MAX_NUMBER}")
    return size


def parse_duration(text: str) -> int | float:
    """Return the seconds of `90 s`, `5 min` or `1 h 30 min`; units go from long to short.

    Raises:
        QuantityError: If it is not a duration, or longer than 100 years; a number without a unit is not one.
    """
    seconds: int | float = 0
    longer = None
    for term in _terms(text, Quantity.DURATION):
        if not term.unit:
            raise QuantityError(f"a duration needs a unit: {_listed(Quantity.DURATION)}, as in 5 min")
        factor = _factor(term.unit, Quantity.DURATION)
        if longer is not None and factor >= longer:
            raise QuantityError("the units of a duration go from long to short, as in 1 h 30 min")
        seconds, longer = seconds + term.times(factor), factor
    if seconds > MAX_DURATION:
        raise QuantityError(
            f"this is too long: a duration has at most {write_duration(MAX_DURATION)} (100 years)"
        )
    return seconds


def parse_share(text: str) -> float:
    """Return the fraction of `12.5%`.

    Raises:
        QuantityError: If it is not a share between 0% and 100%.
    """
    term, *others = _terms(text, Quantity.SHARE)
    if term.unit != "%" or others:
        raise QuantityError("a share is written with %, as in 10%")
    scale: int = 100 * 10**term.places
    if term.digits > scale:
        raise QuantityError("a share is between 0% and 100%")
    return term.digits / scale


def write_size(size: int) -> str:
    """Return the exact text of a size, `1.5 GiB` or `1234 B`, as `parse_size` reads it."""
    units = sorted(((factor, unit) for unit, factor in _SIZES.items() if 1 < factor <= size), reverse=True)
    for factor, unit in units:
        hundredths, rest = divmod(size * 100, factor)
        if not rest:
            return f"{_decimal(Decimal(hundredths) / 100)} {unit}"
    return f"{size} B"


def write_duration(seconds: float) -> str:
    """Return the exact text of a duration, `1 h 30 min`, as `parse_duration` reads it."""
    if seconds != int(seconds):
        return f"{_decimal(Decimal(repr(seconds)))} s"
    left = int(seconds)
    parts = []
    for unit, factor in reversed(_DURATIONS.items()):
        count, left = divmod(left, factor)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def write_share(fraction: float) -> str:
    """Return the exact text of a share, `12.5%`, as `parse_share` reads it."""
    return f"{_decimal(Decimal(repr(float(fraction))).scaleb(2))}%"


def _decimal(number: Decimal) -> str:
    """Return the digits without an exponent and without zeros at the end: `1.5`."""
    written = f"{number:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _terms(text: str, quantity: Quantity) -> list[_Term]:
    """Return the numbers of `text` with their units, at least one."""
    terms = []
    at = len(text) - len(text.lstrip(" \t\u00a0"))
    while (found := _TERM.match(text, at)) is not None:
        whole, places, unit = found.groups(default="")
        terms.append(_Term(int(whole + places), len(places), unit))
        at = found.end()
    if at < len(text) or not terms:
        example = _EXAMPLES[quantity]
        raise QuantityError(f"this is not {quantity.value}: write a number and a unit, as in {example}")
    return terms


def _factor(unit: str, quantity: Quantity) -> int:
    """Return how many bytes or seconds are in one `unit`, in any case."""
    units = UNITS[quantity]
    for known, factor in units.items():
        if known.casefold() == unit.casefold():
            return factor
    other = any(unit.casefold() == known.casefold() for known in (*_SIZES, *_DURATIONS, "%"))
    near = None if other else did_you_mean(unit, units)
    hint = f"; did you mean {near}?" if near else ""
    message = f"{unit[:20]} is not a unit of {quantity.value}: use {_listed(quantity)}{hint}"
    raise QuantityError(message, unit, near)


def _listed(quantity: Quantity) -> str:
    *others, last = UNITS[quantity]
    return f"{', '.join(others)} or {last}" if others else last
