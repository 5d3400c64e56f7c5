"""The known word that a mistyped one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Two swapped letters of three leave a ratio of 2/3 (JBO, JOB). Longer words with such a ratio are rarely meant
# as the same word (EVERY, RECOVER).
_SHORT: Final = 4
_CUTOFF_SHORT: Final = 0.6
_CUTOFF: Final = 0.7
_MAX_LENGTH: Final = 64  # comparing two words costs the product of their lengths
_MIN_BEGINNING: Final = 3


def near_miss_hint(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'local'?` for the nearest known word, "" if none is near."""
    near = did_you_mean(word, known)
    return f"; did you mean '{near}'?" if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the known word nearest to `word`, None if none is near.

    A known word that differs only in case is the nearest. Next comes one that differs by a typing mistake, the
    first of those equally near; last the only one that begins with `word`.
    """
    import difflib  # late: only errors need it, and its import takes a millisecond of every start

    if not word or len(word) > _MAX_LENGTH:
        return None
    wanted = word.casefold()
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    nearest, best = None, _CUTOFF_SHORT if len(wanted) <= _SHORT else _CUTOFF
    begun = []
    for candidate in known:
        folded = candidate.casefold()
        if folded == wanted:
            return candidate
        if folded.startswith(wanted):
            begun.append(candidate)
        matcher.set_seq1(folded)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                nearest, best = candidate, ratio
    if nearest is None and len(wanted) >= _MIN_BEGINNING and len(begun) == 1:
        return begun[0]
    return nearest
