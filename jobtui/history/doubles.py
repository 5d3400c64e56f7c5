"""Which of many numbers lie beyond a bound, or on it, told by their bytes: a tenth of the cost of comparing.

Doubles of the same sign are ordered as their bytes are, from the first; negative ones the other way round.
Answers are masks: a byte for each number, 1 where it is so.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

_SIZE: Final = 8
_LOOKED_AT: Final = 3
"""Bytes that are looked at to tell what is beyond a bound: they tell most numbers apart."""
_NEGATIVE: Final = 0x80
"""Of a double's first byte: its sign."""


class Bound:
    """A number that others are held against; `above` says which side is meant."""

    def __init__(self, value: float, *, above: bool) -> None:
        self._value = value
        self._digits = struct.pack(">d", value)
        negative = self._digits[0] >= _NEGATIVE
        self._beyond = [
            _table(digit, above is not negative, signed=not negative and not place)
            for place, digit in enumerate(self._digits)
        ]
        self._same = [bytes(each == digit for each in range(256)) for digit in self._digits]

    def may_be_beyond(self, numbers: array[float]) -> bytes:
        """1 where a number is the bound, or on that side of it, and also where it is all but the bound."""
        if self._value == 0:  # there are two zeros
            return bytes([1]) * len(numbers)
        data = numbers.tobytes()
        beyond, level = 0, _ones(len(numbers))
        for place in range(_LOOKED_AT):
            digits = _digits(data, place)
            beyond |= level & _number(digits.translate(self._beyond[place]))
            level &= _number(digits.translate(self._same[place]))
        return (beyond | level).to_bytes(len(numbers), "little")

    def is_met_by(self, numbers: array[float]) -> bytes:
        """1 where a number is the bound itself."""
        data, level = numbers.tobytes(), _ones(len(numbers))
        for place in range(_SIZE):
            level &= _number(_digits(data, place).translate(self._same[place]))
        return level.to_bytes(len(numbers), "little")


def reach(numbers: array[float], value: float) -> bool:
    """Whether one of the numbers may be as large as a positive value; False where all are far below it."""
    lower = bytes([*range(struct.pack(">d", value)[0]), *range(_NEGATIVE, 256)])
    return bool(_digits(numbers.tobytes(), 0).translate(None, lower))


def _table(limit: int, larger: bool, *, signed: bool) -> bytes:
    """Which bytes tell that a number lies beyond: with a larger byte, which for negative ones means below."""

    def passes(digit: int) -> bool:
        if signed and digit >= _NEGATIVE:
            return not larger
        return digit > limit if larger else digit < limit

    return bytes(map(passes, range(256)))


def _digits(data: bytes, place: int) -> bytes:
    """The bytes of all doubles at a place, 0 being the one that weighs most."""
    return data[_SIZE - 1 - place if sys.byteorder == "little" else place :: _SIZE]


def _number(mask: bytes) -> int:
    return int.from_bytes(mask, "little")


def _ones(count: int) -> int:
    return _number(bytes([1]) * count)
