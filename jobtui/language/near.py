"""Near misses: the word that a mistyped one was meant to be."""

from __future__ import annotations


def nearest(word: str, candidates: tuple[str, ...]) -> str | None:
    """The candidate that `word` is a slip or a beginning of, None where none is near enough."""
    if len(word) < 2 or not word.isascii() or not word.isalpha():
        return None
    ranked = sorted((distance(word, candidate), at) for at, candidate in enumerate(candidates))
    for away, at in ranked[:1]:
        if away <= (1 if len(candidates[at]) <= 4 else 2):
            return candidates[at]
    begun = [candidate for candidate in candidates if len(word) >= 3 and candidate.startswith(word)]
    return begun[0] if len(begun) == 1 else None


def distance(a: str, b: str) -> int:
    """How many letters must be put in, left out, changed or swapped with their neighbour."""
    rows = [list(range(len(b) + 1))]
    for i, left in enumerate(a, start=1):
        row = [i]
        for j, right in enumerate(b, start=1):
            cost = min(rows[-1][j] + 1, row[j - 1] + 1, rows[-1][j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
