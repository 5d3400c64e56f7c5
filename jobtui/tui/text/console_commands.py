"""The commands that the console handles itself, such as help and quit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.suggest import did_you_mean

if TYPE_CHECKING:
    from jobtui.engine.client import ExecuteResult

_COMMANDS = {
    "quit": "quit",
    "exit": "quit",
    "help": "help",
    "?": "help",
    "clear": "clear",
    "profile": "profile",
}
_EXPECTED = "expected "
_DROP_SPACE = r"\bDROP\s+SPACE\b"


def console_command(text: str) -> str:
    """Return `quit`, `help`, `clear` or `profile` if the text is that command, else ""."""
    return _COMMANDS.get(text.strip().rstrip(";").strip().lower(), "")


def profile_name(text: str) -> str:
    """Return the name after `profile`, as in `profile prod`; "" if the text names none."""
    words = text.strip().rstrip(";").split()
    return words[1] if len(words) == 2 and words[0].lower() == "profile" else ""


def job_number(text: str) -> int:
    """Return the number of the job that a text of digits alone jumps to, 0 for any other text."""
    digits = text.strip().rstrip(";").strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0


def help_topic(text: str) -> str:
    """Return the words after `help` or `?`, as in `help recover`, or ""."""
    first, _, rest = text.strip().rstrip(";").strip().partition(" ")
    return rest.strip() if _COMMANDS.get(first.lower()) == "help" else ""


def may_be_console_command(text: str, caret: int) -> bool:
    """Return whether a text is a command of the console, or may become one."""
    if console_command(text) or help_topic(text) or job_number(text) or profile_name(text):
        return True
    typed = text.strip().lower()
    return bool(typed) and caret == len(text.rstrip()) and any(word.startswith(typed) for word in _COMMANDS)


def drops_space(text: str) -> bool:
    """Return whether a statement of the text drops a space; False if it does not parse."""
    if re.search(_DROP_SPACE, text, re.IGNORECASE | re.ASCII) is None and "/*" not in text:
        return False
    # late: the grammar is loaded when a text is first sent, not at the start of the dashboard
    from jobtui.language import StatementError, parse
    from jobtui.language.ast import DropSpace

    try:
        return any(isinstance(statement, DropSpace) for statement in parse(text))
    except StatementError:
        return False


def add_console_commands(text: str, offset: int, message: str) -> str:
    """Return a syntax error's message with the console's commands among what was expected.

    Args:
        text: The whole text.
        offset: Where in the text the error is; only at the first word are the commands expected.
        message: The message of the language, such as `expected ADMIN or SHOW`.
    """
    word = text.strip().split(maxsplit=1)[0] if text.strip() else ""
    if offset != len(text) - len(text.lstrip()) or not message.startswith(_EXPECTED):
        return message
    expected = f"expected help, quit, {message.removeprefix(_EXPECTED)}"
    # a lone ? is never a misspelling of another word
    near = did_you_mean(word[:20].rstrip(";"), [known for known in _COMMANDS if known != "?"])
    return f"{expected}; did you mean {near}?" if near and "did you mean" not in expected else expected


def with_console_commands(text: str, answer: ExecuteResult) -> ExecuteResult:
    """Return the answer; a syntax error at the first word names the console's commands, too."""
    failure = answer.failure
    if failure is None or not failure.syntax or failure.line != 1 or not failure.caret:
        return answer
    message = add_console_commands(text, failure.column - 1, failure.message)
    caret = failure.caret.replace(failure.message, message)
    return replace(answer, failure=replace(failure, message=message, caret=caret))
