"""Shell completion: `jobtui completion SHELL` prints a script, and the script asks jobtui at each tab.

    scripts.py    what is printed for bash, zsh and fish
    line.py       the typed part of a command line as words, and how to write into its last
    offers.py     what may stand there: verbs, options, values, and statements after -e
    answering.py  the hidden verb that the scripts call, and the answer that each shell wants

Nothing here starts an engine or asks another process: a tab must not be waited for.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobtui.cli import args
from jobtui.cli.args import ConfigCommand
from jobtui.cli.errors import CommandError, Exit
from jobtui.cli.streams import Output
from jobtui.engine.profile import Profile

# The hidden verb that the completion scripts call: it reads the line up to the cursor and prints the answer.
#
# The first line of an answer is what the shell itself completes if nothing follows: `nothing`,
# `files` or `directories`. Then there is one line per candidate:
#
#     bash    the rest of readline's word, as it is written; when it only lists, the offer and its note
#     zsh     the whole word as it is written, a tab, what is shown
#     fish    the whole word without its quotes, a tab, the note
#
# A word that goes on is never offered alone: bash and fish would close its quote.
#
VERB = "__complete"
LISTING = "list"
_BREAKS = "=:"


def print_candidates(words: Sequence[str]) -> int:
    """`__complete SHELL LINE [list]`. A tab says nothing of what is wrong: it offers nothing then."""
    from jobtui.errors import StorageError
    from jobtui.history import StoreError

    shell, text, *rest = words
    line = read_line(text)
    try:
        found = offers(line.words[1:], line.typed)
    except (CommandError, StoreError, StorageError, OSError):
        found = ShellCandidates()
    output = Output()
    output.write("".join(f"{one}\n" for one in _lines(shell, line, found, listing=LISTING in rest)))
    output.flush()
    return Exit.DONE


def _lines(shell: str, line: Line, found: ShellCandidates, *, listing: bool) -> Iterator[str]:
    yield found.fallback
    for offer in found.found:
        note = " ".join(offer.note.split())
        match shell:
            case "bash" if listing and len(found.found) > 1:
                yield f"{offer.text.strip()}  {note}".rstrip()
            case "bash":
                yield _for_readline(line, offer)
                if offer.goes_on and len(found.found) == 1:
                    yield f"{_for_readline(line, offer)} "
            case "zsh":
                shown = f"{offer.text.strip()} -- {note}" if note else offer.text.strip()
                yield f"{_in_quotes(line, offer)}\t{shown}"
            case _:
                yield f"{line.typed[: offer.start]}{offer.text}\t{note}"
                if offer.goes_on and len(found.found) == 1:
                    end = " " if offer.text.endswith(" ") else ";"
                    yield f"{line.typed[: offer.start]}{offer.text}{end}\t"


def _in_quotes(line: Line, offer: ShellCandidate) -> str:
    """The whole word; a statement that begins without a quote gets one, for blanks will follow."""
    if offer.goes_on and not line.quote and line.raw == line.typed:
        return f'"{line.typed[: offer.start]}{Line((), "", "", (0,), chr(34)).with_word(0, offer.text)}'
    whole = line.with_word(offer.start, offer.text)
    return whole if offer.goes_on or line.quote else f"{whole} "


def _for_readline(line: Line, offer: ShellCandidate) -> str:
    """The same from where readline has the word begin: behind the open quote, or the last `=` or `:`."""
    whole = _in_quotes(line, offer)
    if line.quote:
        return whole[line.raw.rindex(line.quote, 0, line.places[0] + 1) + 1 :] if line.raw else whole
    end = max((line.raw.rfind(one) for one in _BREAKS), default=-1)
    return whole[end + 1 :]


# The command line before the cursor, as the shell splits it: complete words, and the word being typed.
_BLANKS = " \t\n"
_LITERAL = frozenset("%+,-./:=@_")


@dataclass(frozen=True, slots=True)
class Line:
    """`words` are the whole words with their quotes resolved, `typed` what there is of the last.

    `raw` is the last as it was typed; `places[n]` is where in it the character `n` of `typed` begins, with
    one more for the end; `quote` is the quote that is still open at its end, "" for none.
    """

    words: tuple[str, ...]
    typed: str
    raw: str
    places: tuple[int, ...]
    quote: str

    def with_word(self, start: int, text: str) -> str:
        """The last word as the shell should read it, with `text` for what follows character `start`."""
        return self.raw[: self.places[start]] + written(text, self.quote)


def read_line(text: str) -> Line:
    """The line up to the cursor. What a shell would substitute, `$HOME` say, is taken as it stands."""
    words: list[str] = []
    typed: list[str] = []
    places: list[int] = []
    quote = ""
    begun = -1
    at = 0
    while at < len(text):
        char = text[at]
        if not quote and char in _BLANKS:
            if begun >= 0:
                words.append("".join(typed))
                typed, places, begun = [], [], -1
            at += 1
            continue
        if begun < 0:
            begun = at
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            escaped = char == "\\" and _escapes(text[at + 1 : at + 2], quote)
            places.append(at - begun)
            typed.append(text[at + 1] if escaped else char)
            at += escaped
        at += 1
    raw = text[begun:] if begun >= 0 else ""
    return Line(tuple(words), "".join(typed), raw, (*places, len(raw)), quote)


def written(text: str, quote: str) -> str:
    """Text as it is written on, with that quote open ("" for none)."""
    match quote:
        case "'":
            return text.replace("'", "'\\''")
        case '"':
            return "".join(f"\\{char}" if char in '\\"$`' else char for char in text)
    return "".join(char if char.isalnum() or char in _LITERAL else f"\\{char}" for char in text)


def _escapes(after: str, quote: str) -> bool:
    """Whether a backslash before this character stands for the character alone."""
    return bool(after) and quote != "'" and (not quote or after in '\\"$`')


# The candidates at the cursor: verbs, options and their values, profiles, and statements after -e.
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
    "completion": args.SHELLS,
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
class ShellCandidate:
    """One way to go on: `text` from the character `start` of the typed word. `goes_on`: the word does, too."""

    text: str
    note: str = ""
    start: int = 0
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class ShellCandidates:
    """All of them, best first; where there are none, the shell's own fallback."""

    found: tuple[ShellCandidate, ...] = ()
    fallback: Fallback = Fallback.NOTHING


@dataclass(slots=True)
class _Seen:
    """What the whole words say."""

    verb: str | None = None
    operands: int = 0
    given: dict[str, str] = field(default_factory=dict)
    awaiting: str = ""


def offers(words: Sequence[str], typed: str) -> ShellCandidates:
    """What may come next after these words (without the command's own name) and a word `typed` so far."""
    seen = _seen(words)
    if seen.awaiting:
        return _values(seen.awaiting, typed, 0, seen)
    if typed.startswith("--") and "=" in typed:
        name, _, value = typed.partition("=")
        return _values(name, value, len(name) + 1, seen)
    if typed.startswith("-"):
        return ShellCandidates(tuple(ShellCandidate(name) for name in _options(seen) if name.startswith(typed)))
    if seen.verb is None:
        return ShellCandidates(
            tuple(ShellCandidate(verb, _NOTES[verb]) for verb in args.VERBS if verb.startswith(typed))
        )
    return _operands(seen.verb, typed, seen)


def _seen(words: Sequence[str]) -> _Seen:
    seen = _Seen()
    for word in words:
        if seen.awaiting:
            seen.given[seen.awaiting] = word
            seen.awaiting = ""
        elif word in args.VALUE_OPTIONS:
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


def _values(option: str, typed: str, start: int, seen: _Seen) -> ShellCandidates:
    match option:
        case "-e":
            return ShellCandidates(tuple(_statements(typed, seen)))
        case "-f" | "--config":
            return ShellCandidates(fallback=Fallback.FILES)
        case "--data-dir":
            return ShellCandidates(fallback=Fallback.DIRECTORIES)
        case "--profile":
            return _beginning(_profiles(seen), typed, start)
        case "--format" if seen.verb == "history":
            return _beginning(args.EXPORT_FORMATS, typed, start)
        case "--format" if seen.verb is not None:
            return _beginning(args.PAIR_FORMATS, typed, start)
        case "--format":
            return _beginning(args.TEXT_FORMATS, typed, start)
        case "--tls":
            return ShellCandidates(_beginning(("system",), typed, start).found, Fallback.FILES)
    return ShellCandidates()


def _operands(verb: str, typed: str, seen: _Seen) -> ShellCandidates:
    match verb:
        case "load" if seen.operands:
            return ShellCandidates(fallback=Fallback.FILES)
        case "load" | "dump" if not seen.operands:
            return _beginning(_spaces(seen), typed)
        case "history" if seen.operands:
            return ShellCandidates(fallback=Fallback.FILES)
        case "help":
            return _beginning((*_statement_words(), *args.VERBS), typed)
        case _ if not seen.operands:
            return _beginning(_CHOICES.get(verb, ()), typed)
    return ShellCandidates()


def _beginning(known: Iterable[str], typed: str, start: int = 0) -> ShellCandidates:
    return ShellCandidates(tuple(ShellCandidate(one, start=start) for one in known if one.startswith(typed)))


def _statement_words() -> Iterable[str]:
    from jobtui.language.syntax import SYNTAX

    return dict.fromkeys(form.verb.lower() for form in SYNTAX)


def _statements(typed: str, seen: _Seen) -> Iterator[ShellCandidate]:
    """What may come next in the text of -e."""
    from jobtui.engine.reader import ReadOnlyClient
    from jobtui.language.completion import complete
    from jobtui.tui.widgets.completions import ClientNames

    reader = ReadOnlyClient.open(_profile(seen))
    try:
        completion = complete(typed, len(typed), ClientNames(reader))
    finally:
        reader.close()
    for candidate in completion.candidates:
        blank = " " if candidate.kind == "keyword" else ""
        yield ShellCandidate(candidate.text + blank, candidate.note, completion.span[0], goes_on=True)


def _spaces(seen: _Seen) -> Iterable[str]:
    from jobtui.engine.reader import ReadOnlyClient

    reader = ReadOnlyClient.open(_profile(seen))
    try:
        return reader.space_names()
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


# The scripts with which a shell calls jobtui at each tab.
_BASH = r"""
_jobtui() {
    local line answer fallback listing=
    line=${COMP_LINE:0:COMP_POINT}
    [[ $COMP_TYPE == 63 ]] && listing=list
    mapfile -t answer < <("$1" __complete bash "$line" $listing 2>/dev/null)
    fallback=${answer[0]}
    COMPREPLY=("${answer[@]:1}")
    compopt -o nospace -o nosort 2>/dev/null
    if ((${#COMPREPLY[@]} == 0)); then
        case $fallback in
        files) compopt -o default +o nospace ;;
        directories) compopt -o dirnames +o nospace ;;
        esac
    fi
}
complete -F _jobtui jobtui
"""

_ZSH = r"""
#compdef jobtui
_jobtui() {
    local -a answer words_ shown
    local fallback one
    answer=("${(@f)$("$words[1]" __complete zsh "${(j: :)words[1,CURRENT-1]} $words[CURRENT]" 2>/dev/null)}")
    fallback=$answer[1]
    for one in "${(@)answer[2,-1]}"; do
        words_+=("${one%%$'\t'*}")
        shown+=("${one#*$'\t'}")
    done
    if ((${#words_})); then
        [[ -n $QIPREFIX ]] && words_=("${(@)words_#$QIPREFIX}")
        compadd -U -Q -V jobtui -S '' -d shown -l -- "${(@)words_}"
    elif [[ $fallback == files ]]; then
        _files
    elif [[ $fallback == directories ]]; then
        _files -/
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _jobtui "$@"
else
    compdef _jobtui jobtui
fi
"""

_FISH = r"""
function __jobtui_complete
    set -l command (commandline -po)[1]
    set -l answer ($command __complete fish (commandline -cp) 2>/dev/null)
    if set -q answer[2]
        printf '%s\n' $answer[2..-1]
    else if test "$answer[1]" = files
        __fish_complete_path (commandline -ct)
    else if test "$answer[1]" = directories
        __fish_complete_directories (commandline -ct) ''
    end
end
complete -c jobtui -f -k -a '(__jobtui_complete)'
"""

_SCRIPTS = {"bash": _BASH.lstrip(), "zsh": _ZSH.lstrip(), "fish": _FISH.lstrip()}


def print_script(shell: str) -> int:
    """Print the completion script for a shell and return the exit status."""
    output = Output()
    output.write(_SCRIPTS[shell])
    output.flush()
    return Exit.DONE
