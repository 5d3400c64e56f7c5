"""What is said in passing: short, one or two at a time, and out of the way of what one answers or types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import msgspec

from jobtui.tui.text import wrap

Severity = Literal["information", "warning", "error"]
T = TypeVar("T")

_SECONDS: dict[Severity, float] = {"information": 3.0, "warning": 4.0, "error": 6.0}
_WIDEST = 66
# the sign at a toast's left, and a blank at either side
_AROUND = 4
# lines of a screen for each line of a toast
_LINES_A_LINE = 8


class Toast(msgspec.Struct, frozen=True):
    """What a toast says, how grave that is, and for how many seconds it stays."""

    text: str
    severity: Severity
    seconds: float


def toast(text: str, severity: str, width: int, height: int) -> Toast:
    """As much of the text as a screen of this size can spare; the Events tab and the results have all of it."""
    level: Severity = severity if severity in ("information", "error") else "warning"  # type: ignore[assignment]
    lines = wrap(text, min(_WIDEST, width - _AROUND), max(1, height // _LINES_A_LINE - 1))
    return Toast("\n".join(lines), level, _SECONDS[level])


def most(height: int) -> int:
    """How many toasts there may be at once."""
    return 1 if height < 24 else 2


def surplus(shown: Sequence[T], height: int) -> Sequence[T]:
    """Those of the toasts shown, oldest first, that must go for another one."""
    return shown[: max(0, len(shown) + 1 - most(height))]
