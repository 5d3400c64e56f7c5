"""Words of the command bar that are for the screen, and texts that the screen asks about before they run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.suggest import did_you_mean

if TYPE_CHECKING:
    from jobtui.engine.client import Answer

_WORDS = {"quit": "quit", "exit": "quit", "help": "help", "?": "help", "clear": "clear"}
_EXPECTED = "expected "
_DROP = re.compile(r"\bDROP\s+SPACE\b", re.IGNORECASE | re.ASCII)


def local_word(text: str) -> str:
    """`quit`, `help` or `clear` where that alone was typed; "" for what the engine is to run."""
    return _WORDS.get(text.strip().rstrip(";").strip().lower(), "")


def asked_about(text: str) -> str:
    """The statement's words of `help recover`; "" where the text is no such question."""
    first, _, rest = text.strip().rstrip(";").strip().partition(" ")
    return rest.strip() if _WORDS.get(first.lower()) == "help" else ""


def is_local(text: str, caret: int) -> bool:
    """Return whether the screen understands a text itself, or may once the word at the caret is typed."""
    if local_word(text) or asked_about(text):
        return True
    typed = text.strip().lower()
    return bool(typed) and caret == len(text.rstrip()) and any(word.startswith(typed) for word in _WORDS)


def expected_here(text: str, at: int, message: str) -> str:
    """What is wrong at a place of the text, with the screen's own words among those that could stand there."""
    word = text.strip().split(maxsplit=1)[0] if text.strip() else ""
    if at != len(text) - len(text.lstrip()) or not message.startswith(_EXPECTED):
        return message
    said = f"expected help, quit, {message.removeprefix(_EXPECTED)}"
    # nobody means a lone ? by another word
    near = did_you_mean(word[:20].rstrip(";"), [known for known in _WORDS if known != "?"])
    return f"{said}; did you mean {near}?" if near and "did you mean" not in said else said


def with_local_words(text: str, answer: Answer) -> Answer:
    """The answer to a text; a syntax error at its first word names the screen's own words too."""
    failure = answer.failure
    if failure is None or not failure.syntax or failure.line != 1 or not failure.caret:
        return answer
    message = expected_here(text, failure.column - 1, failure.message)
    caret = failure.caret.replace(failure.message, message)
    return replace(answer, failure=replace(failure, message=message, caret=caret))


def drops(text: str) -> bool:
    """Whether some statement of the text drops a space; no for a text that does not parse: it won't run."""
    if _DROP.search(text) is None and "/*" not in text:
        return False
    from jobtui.language import StatementError, parse
    from jobtui.language.ast import DropSpace

    try:
        return any(isinstance(statement, DropSpace) for statement in parse(text))
    except StatementError:
        return False
