"""On which line of a TOML text a key stands. TOML's parser keeps no places, so the parser itself is asked."""

from __future__ import annotations

import tomllib


def line_of(place: tuple[str, ...], text: str) -> int | None:
    """The line (from 1) on which the key at `place` begins; None where the text doesn't have it.

    It is the first line after the longest beginning of the text that can be parsed and doesn't have the
    key yet. `text` must be valid TOML with LF line ends.
    """
    lines = text.split("\n")
    if not _beginning(lines, len(lines), place)[1]:
        return None
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        if _beginning(lines, middle, place)[1]:
            high = middle
        else:
            low = middle + 1
    return _beginning(lines, low - 1, place)[0] + 1


def _beginning(lines: list[str], count: int, place: tuple[str, ...]) -> tuple[int, bool]:
    """The longest parsable beginning of at most `count` lines, and whether it has the key."""
    for end in range(count, 0, -1):
        try:
            tree = tomllib.loads("\n".join(lines[:end]))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        return end, _has(tree, place)
    return 0, False


def _has(tree: object, place: tuple[str, ...]) -> bool:
    for key in place:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True
