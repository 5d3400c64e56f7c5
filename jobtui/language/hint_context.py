"""The context of a hint: a wrong statement, its first mistake, and what was expected."""

from __future__ import annotations

from typing import Final

import msgspec

from jobtui.language.grammar import Expected, Punctuation
from jobtui.language.lexer import Tokens
from jobtui.language.parts import Keyword, KeywordChoice, Placeholder, PlaceholderKind, UnitChoice

MAX_TYPO_LENGTH: Final = 40
"""A longer word is not a typing error."""

_PUNCTUATION: Final = {Punctuation.COMMA: ("a comma",), Punctuation.END: (";", "the end")}


class Hint(msgspec.Struct, frozen=True):
    """A sentence that ends an error message, and the near miss that it names."""

    text: str
    near: str | None = None


class HintContext(msgspec.Struct, frozen=True):
    """A statement that is correct up to token `at`, and the parts that were expected there."""

    text: str
    tokens: Tokens
    at: int
    expected: tuple[Expected, ...]

    @property
    def missing(self) -> bool:
        """Whether the statement is only incomplete."""
        return self.at >= len(self.tokens.starts)

    @property
    def kind(self) -> str:
        """The kind of the wrong token, "" if one is missing."""
        return "" if self.missing else self.tokens.kinds[self.at]

    @property
    def word(self) -> str:
        """The text of the wrong token, "" if it is too long to be a typing error."""
        return "" if self.missing else self.written(self.at)

    def written(self, at: int) -> str:
        """Return the text of token number `at`, "" if it is long."""
        start, end = self.tokens.starts[at], self.tokens.ends[at]
        return self.text[start:end] if end - start <= MAX_TYPO_LENGTH else ""

    @property
    def before(self) -> str:
        """The character before the wrong token."""
        start = self.tokens.starts[self.at]
        return self.text[start - 1 : start] if start else ""

    def allows(self, *kinds: PlaceholderKind) -> bool:
        """Return whether a value of one of these kinds was expected."""
        return any(isinstance(one, Placeholder) and one.kind in kinds for one in self.expected)

    @property
    def kind_before(self) -> str:
        """The kind of the token before the wrong one, "" at the start."""
        return self.tokens.kinds[self.at - 1] if self.at else ""

    @property
    def kinds_before(self) -> list[str]:
        """The kinds of the tokens before the wrong one; that of a keyword is itself."""
        return self.tokens.kinds[: self.at]

    @property
    def expects_unit(self) -> bool:
        """Whether a unit was expected."""
        return any(isinstance(one, UnitChoice) for one in self.expected)

    @property
    def may_end(self) -> bool:
        """Whether the statement could have ended."""
        return Punctuation.END in self.expected

    @property
    def keywords(self) -> tuple[str, ...]:
        """The keywords that were expected."""
        return expected_keywords(self.expected)


def describe_expected(parts: tuple[Expected, ...]) -> tuple[str, ...]:
    """Return the text that a user would type for each part, keywords first and the end last."""
    found: dict[str, int] = {}
    for part in parts:
        match part:
            case Keyword(word):
                found.setdefault(word, 0)
            case KeywordChoice(_, choices, _, label):
                for name in (label,) if label else choices:
                    found.setdefault(name, 1 if label else 0)
            case UnitChoice(words):
                for name in words:
                    found.setdefault(name, 1)
            case Placeholder():
                found.setdefault(part.kind.value, 2)
            case Punctuation():
                for name in _PUNCTUATION[part]:
                    found.setdefault(name, 4 if part is Punctuation.END else 3)
    return tuple(sorted(found, key=found.__getitem__))


def join_alternatives(names: tuple[str, ...]) -> str:
    """Return `a`, `a or b`, or `a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def expected_keywords(parts: tuple[Expected, ...]) -> tuple[str, ...]:
    """Return the keywords among the parts."""
    found: dict[str, None] = {}
    for part in parts:
        match part:
            case Keyword(word):
                found[word] = None
            case KeywordChoice(_, choices):
                found.update(dict.fromkeys(choices))
            case _:
                pass
    return tuple(found)
