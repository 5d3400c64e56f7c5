"""Words of the command bar that are for the screen, and texts that the screen asks about before they run."""

from __future__ import annotations

import re

_WORDS = {"quit": "quit", "exit": "quit", "help": "help", "?": "help", "clear": "clear"}
_DROP = re.compile(r"\bDROP\s+SPACE\b", re.IGNORECASE | re.ASCII)


def local_word(text: str) -> str:
    """`quit`, `help` or `clear` where that alone was typed; "" for what the engine is to run."""
    return _WORDS.get(text.strip().rstrip(";").strip().lower(), "")


def drops(text: str) -> bool:
    """Whether some statement of the text drops a space; no for a text that does not parse: it won't run."""
    if _DROP.search(text) is None and "/*" not in text:
        return False
    from jobtui.language import StatementError, parse
    from jobtui.language.statements import DropSpace

    try:
        return any(isinstance(statement, DropSpace) for statement in parse(text))
    except StatementError:
        return False
