"""`jobtui help`: the statements, one of them, or a verb of the command line; also --help."""

from __future__ import annotations

from collections.abc import Sequence

from jobtui.cli.exits import Exit
from jobtui.cli.help_texts import HELP, VERB_HELP
from jobtui.cli.streams import Output, complain


def show_help(verb: str | None) -> int:
    """Print the page of --help, or a verb's."""
    return _print(HELP if verb is None else VERB_HELP[verb])


def teach(words: Sequence[str]) -> int:
    """Print the help on the statement, or the verb, that begins with these words; none: on all statements."""
    if words and words[0] in VERB_HELP:
        return show_help(words[0])
    from jobtui.language.help import begins_a_statement, help_for

    asked = " ".join(words)
    text = help_for(asked)
    if begins_a_statement(asked):
        return _print(f"{text}\n")
    complain(text)
    return Exit.USAGE


def _print(text: str) -> int:
    output = Output()
    output.write(text)
    output.flush()
    return Exit.DONE
