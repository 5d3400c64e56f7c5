"""What may stand where the cursor is: verbs, options and their values, profiles, and statements after -e."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobtui.cli import arguments
from jobtui.cli.asked import ConfigCommand
from jobtui.engine.profile import Profile

_PLACE = ("--profile", "--nebula", "-u", "--tls", "--data-dir", "--config")
_WITHOUT_VERB = ("-e", "-f", "--format", "--raw", "--detach", "--wait", "--quiet", "--demo")
_OPTIONS = {
    "load": ("--format", "--delete-keys", "--quiet"),
    "dump": ("--format",),
    "history": ("--format", "--raw", "--quiet"),
    "serve": ("--background",),
}
_WITHOUT_PLACE = ("help", "completion")
_CHOICES = {
    "config": ("print", "path", "check"),
    "history": ("verify", "repair", "export"),
    "completion": arguments.SHELLS,
}
_NOTES = {
    "load": "put key-value pairs into a space",
    "dump": "print a space's key-value pairs",
    "serve": "run the jobs without a screen",
    "config": "the settings",
    "history": "verify, repair or export the stored jobs",
    "doctor": "look at all that jobtui needs here",
    "completion": "what a shell needs",
    "help": "the statements",
}


class Fallback(enum.StrEnum):
    """What the shell offers by itself where nothing is offered here."""

    NOTHING = "nothing"
    FILES = "files"
    DIRECTORIES = "directories"


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to go on: `text` from the character `start` of the typed word. `goes_on`: the word does, too."""

    text: str
    note: str = ""
    start: int = 0
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Offers:
    """All of them, best first; where there are none, the shell's own fallback."""

    found: tuple[Offer, ...] = ()
    fallback: Fallback = Fallback.NOTHING


@dataclass(slots=True)
class _Seen:
    """What the whole words say."""

    verb: str | None = None
    operands: int = 0
    given: dict[str, str] = field(default_factory=dict)
    awaiting: str = ""


def offers(words: Sequence[str], typed: str) -> Offers:
    """What may come next after these words (without the command's own name) and a word `typed` so far."""
    seen = _seen(words)
    if seen.awaiting:
        return _values(seen.awaiting, typed, 0, seen)
    if typed.startswith("--") and "=" in typed:
        name, _, value = typed.partition("=")
        return _values(name, value, len(name) + 1, seen)
    if typed.startswith("-"):
        return Offers(tuple(Offer(name) for name in _options(seen) if name.startswith(typed)))
    if seen.verb is None:
        return Offers(tuple(Offer(verb, _NOTES[verb]) for verb in arguments.VERBS if verb.startswith(typed)))
    return _operands(seen.verb, typed, seen)


def _seen(words: Sequence[str]) -> _Seen:
    seen = _Seen()
    for word in words:
        if seen.awaiting:
            seen.given[seen.awaiting] = word
            seen.awaiting = ""
        elif word in arguments.VALUED:
            seen.awaiting = word
        elif word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            seen.given[name] = value
        elif word.startswith("-") and word != "-":
            seen.given[word] = ""
        elif seen.verb is None:
            seen.verb = word
        else:
            seen.operands += 1
    return seen


def _options(seen: _Seen) -> Iterator[str]:
    """The options that mean something here and were not given yet."""
    own = _WITHOUT_VERB if seen.verb is None else _OPTIONS.get(seen.verb, ())
    place = () if seen.verb in _WITHOUT_PLACE else _PLACE
    for name in (*own, *place, "--version", "--help"):
        if name not in seen.given:
            yield name


def _values(option: str, typed: str, start: int, seen: _Seen) -> Offers:
    match option:
        case "-e":
            return Offers(tuple(_statements(typed, seen)))
        case "-f" | "--config":
            return Offers(fallback=Fallback.FILES)
        case "--data-dir":
            return Offers(fallback=Fallback.DIRECTORIES)
        case "--profile":
            return _beginning(_profiles(seen), typed, start)
        case "--format" if seen.verb == "history":
            return _beginning(arguments.EXPORT_FORMATS, typed, start)
        case "--format" if seen.verb is not None:
            return _beginning(arguments.PAIR_FORMATS, typed, start)
        case "--format":
            return _beginning(arguments.TEXT_FORMATS, typed, start)
        case "--tls":
            return Offers(_beginning(("system",), typed, start).found, Fallback.FILES)
    return Offers()


def _operands(verb: str, typed: str, seen: _Seen) -> Offers:
    match verb:
        case "load" if seen.operands:
            return Offers(fallback=Fallback.FILES)
        case "load" | "dump" if not seen.operands:
            return _beginning(_spaces(seen), typed)
        case "history" if seen.operands:
            return Offers(fallback=Fallback.FILES)
        case "help":
            return _beginning((*_statement_words(), *arguments.VERBS), typed)
        case _ if not seen.operands:
            return _beginning(_CHOICES.get(verb, ()), typed)
    return Offers()


def _beginning(known: Iterable[str], typed: str, start: int = 0) -> Offers:
    return Offers(tuple(Offer(one, start=start) for one in known if one.startswith(typed)))


def _statement_words() -> Iterable[str]:
    from jobtui.language.syntax import SYNTAX

    return dict.fromkeys(form.verb.lower() for form in SYNTAX)


def _statements(typed: str, seen: _Seen) -> Iterator[Offer]:
    """What may come next in the text of -e."""
    from jobtui.engine.reader import Reader
    from jobtui.language.completion import complete
    from jobtui.tui.names import DeskNames

    reader = Reader.open(_profile(seen))
    try:
        completion = complete(typed, len(typed), DeskNames(reader))
    finally:
        reader.close()
    for candidate in completion.candidates:
        blank = " " if candidate.kind == "keyword" else ""
        yield Offer(candidate.text + blank, candidate.note, completion.span[0], goes_on=True)


def _spaces(seen: _Seen) -> Iterable[str]:
    from jobtui.engine.reader import Reader

    reader = Reader.open(_profile(seen))
    try:
        return reader.spaces()
    finally:
        reader.close()


def _profiles(seen: _Seen) -> Iterable[str]:
    from jobtui.cli.profiles import settings_of

    return settings_of(_asked(seen)).profiles


def _profile(seen: _Seen) -> Profile:
    from jobtui.cli.profiles import profile_of, settings_of

    asked = _asked(seen)
    return profile_of(asked, settings_of(asked))


def _asked(seen: _Seen) -> ConfigCommand:
    """The place that was typed, as one for which no password is asked."""
    config, data_dir = seen.given.get("--config"), seen.given.get("--data-dir")
    return ConfigCommand(
        what="print",
        config=_expanded(config),
        data_dir=_expanded(data_dir),
        profile=seen.given.get("--profile"),
        nebula=seen.given.get("--nebula"),
    )


def _expanded(typed: str | None) -> Path | None:
    """Return the path as the shell expands it: as it is, if there is no such home."""
    return Path(os.path.expanduser(typed)) if typed else None  # noqa: PTH111 a Path's own raises then
