"""Shell completion: `jobtui completion SHELL` prints a script that calls it at each tab.

It calls the hidden verb `__complete` with the line up to the cursor, and reads the answer. The first line of an
answer names the shell's own completion to use if no candidate follows: `nothing`, `files` or `directories`.
Then there is one line per candidate:

    bash    the rest of readline's word, as it is written; a list also has the notes
    zsh     the whole word as it is written, a tab, the text to show
    fish    the whole word without its quotes, a tab, the note

A candidate that is only the beginning of a word is never the only candidate: bash and fish would close its
quote.

Nothing here starts an engine or connects to another process: users do not want to wait for a tab.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from jobtui.cli import args
from jobtui.cli.errors import CommandError, Exit
from jobtui.cli.options import ConfigCommand
from jobtui.cli.streams import StdoutWriter
from jobtui.engine.profile import Profile
from jobtui.errors import StorageError, StoreError

LISTING = "list"
_BREAKS = "=:"


def print_candidates(words: Sequence[str]) -> int:
    """Run `__complete SHELL LINE [list]`: print the candidates, none after an error."""
    shell, text, *rest = words
    line = split_line(text)
    try:
        found = find_candidates(line.words[1:], line.typed)
    except (CommandError, StoreError, StorageError, OSError):
        found = ShellCandidates()
    output = StdoutWriter()
    output.write("".join(f"{each}\n" for each in _lines(shell, line, found, listing=LISTING in rest)))
    output.flush()
    return Exit.DONE


def _lines(shell: str, line: ShellLine, found: ShellCandidates, *, listing: bool) -> Iterator[str]:
    yield found.fallback
    for offer in found.found:
        note = " ".join(offer.note.split())
        match shell:
            case "bash" if listing and len(found.found) > 1:
                yield f"{offer.text.strip()}  {note}".rstrip()
            case "bash":
                yield _for_readline(line, offer)
                if offer.is_unfinished and len(found.found) == 1:
                    yield f"{_for_readline(line, offer)} "
            case "zsh":
                shown = f"{offer.text.strip()} -- {note}" if note else offer.text.strip()
                yield f"{_in_quotes(line, offer)}\t{shown}"
            case _:
                yield f"{line.typed[: offer.start]}{offer.text}\t{note}"
                if offer.is_unfinished and len(found.found) == 1:
                    end = " " if offer.text.endswith(" ") else ";"
                    yield f"{line.typed[: offer.start]}{offer.text}{end}\t"


def _in_quotes(line: ShellLine, offer: ShellCandidate) -> str:
    """Return the whole word. A statement without a quote gets one, because blanks will follow."""
    if offer.is_unfinished and not line.quote and line.raw == line.typed:
        return f'"{line.typed[: offer.start]}{quote_for_shell(offer.text, chr(34))}'
    whole = line.with_word(offer.start, offer.text)
    return whole if offer.is_unfinished or line.quote else f"{whole} "


def _for_readline(line: ShellLine, offer: ShellCandidate) -> str:
    """Return the part of the word that readline replaces: after the open quote, or the last `=` or `:`."""
    whole = _in_quotes(line, offer)
    if line.quote:
        return whole[line.raw.rindex(line.quote, 0, line.offsets[0] + 1) + 1 :] if line.raw else whole
    end = max((line.raw.rfind(each) for each in _BREAKS), default=-1)
    return whole[end + 1 :]


_BLANKS = " \t\n"
_LITERAL = frozenset("%+,-./:=@_")


class ShellLine(msgspec.Struct, frozen=True):
    """The command line before the cursor, as the shell splits it: complete words, and the last one.

    Attributes:
        words: The complete words without their quotes.
        typed: The last word without its quotes.
        raw: The last word as it was typed.
        offsets: Where in `raw` each character of `typed` begins, and the end of `raw`.
        quote: The quote that is still open, "" for none.
    """

    words: tuple[str, ...]
    typed: str
    raw: str
    offsets: tuple[int, ...]
    quote: str

    def with_word(self, start: int, text: str) -> str:
        """Return the last word for the shell, with `text` in place of what follows character `start`."""
        return self.raw[: self.offsets[start]] + quote_for_shell(text, self.quote)


def split_line(text: str) -> ShellLine:
    """Split the line before the cursor. Expansions such as `$HOME` stay unchanged."""
    words: list[str] = []
    typed: list[str] = []
    offsets: list[int] = []
    quote = ""
    begin = -1
    at = 0
    while at < len(text):
        char = text[at]
        if not quote and char in _BLANKS:
            if begin >= 0:
                words.append("".join(typed))
                typed, offsets, begin = [], [], -1
            at += 1
            continue
        if begin < 0:
            begin = at
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            escaped = char == "\\" and _escapes(text[at + 1 : at + 2], quote)
            offsets.append(at - begin)
            typed.append(text[at + 1] if escaped else char)
            at += escaped
        at += 1
    raw = text[begin:] if begin >= 0 else ""
    return ShellLine(tuple(words), "".join(typed), raw, (*offsets, len(raw)), quote)


def quote_for_shell(text: str, quote: str) -> str:
    """Return the text as it is written inside that quote ("" for none)."""
    match quote:
        case "'":
            return text.replace("'", "'\\''")
        case '"':
            return "".join(f"\\{char}" if char in '\\"$`' else char for char in text)
    return "".join(char if char.isalnum() or char in _LITERAL else f"\\{char}" for char in text)


def _escapes(after: str, quote: str) -> bool:
    """Return whether a backslash before this character escapes it."""
    return bool(after) and quote != "'" and (not quote or after in '\\"$`')


_WITHOUT_VERB = ("text", "file", *args.RUN_OPTIONS, "demo", *args.PROFILE_OPTIONS)
_NOTES = {
    "load": "load key-value pairs into a space",
    "dump": "print a space's key-value pairs",
    "serve": "run the jobs without a screen",
    "web": "show the dashboard in a browser",
    "config": "the settings",
    "history": "verify, repair or export the stored jobs",
    "metrics": "print metrics for Prometheus",
    "notify": "send a test notification",
    "doctor": "check everything that jobtui needs",
    "completion": "print a completion script",
    "help": "the statements",
}


class Fallback(enum.StrEnum):
    """The shell's own completion to use if there is no candidate."""

    NOTHING = "nothing"
    FILES = "files"
    DIRECTORIES = "directories"


class ShellCandidate(msgspec.Struct, frozen=True):
    """A candidate: `text` replaces the typed word from character `start` on."""

    text: str
    note: str = ""
    start: int = 0
    is_unfinished: bool = False


class ShellCandidates(msgspec.Struct, frozen=True):
    """All candidates, the best first, and the shell's fallback if there are none."""

    found: tuple[ShellCandidate, ...] = ()
    fallback: Fallback = Fallback.NOTHING


class _ParsedWords(msgspec.Struct):
    """The meaning of the complete words; `awaiting` is the option to which the next word is the value."""

    verb: str | None = None
    operands: int = 0
    given: dict[str, str] = {}
    awaiting: str = ""


def find_candidates(words: Sequence[str], typed: str) -> ShellCandidates:
    """Return the candidates after these words (without the command's name) for a word `typed` so far."""
    parsed = _parse_words(words)
    if parsed.awaiting:
        return _values(parsed.awaiting, typed, 0, parsed)
    if typed.startswith("--") and "=" in typed:
        name, _, value = typed.partition("=")
        return _values(name, value, len(name) + 1, parsed)
    if typed.startswith("-"):
        return ShellCandidates(
            tuple(ShellCandidate(name) for name in _options(parsed) if name.startswith(typed))
        )
    if parsed.verb is None:
        return ShellCandidates(
            tuple(ShellCandidate(verb, _NOTES[verb]) for verb in args.VERBS if verb.startswith(typed))
        )
    return _operands(parsed.verb, typed, parsed)


def _parse_words(words: Sequence[str]) -> _ParsedWords:
    parsed = _ParsedWords()
    for word in words:
        if parsed.awaiting:
            parsed.given[parsed.awaiting] = word
            parsed.awaiting = ""
        elif word in args.VALUE_OPTIONS:
            parsed.awaiting = word
        elif word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            parsed.given[name] = value
        elif word.startswith("-") and word != "-":
            parsed.given[word] = ""
        elif parsed.verb is None:
            parsed.verb = word
        else:
            parsed.operands += 1
    return parsed


def _options(parsed: _ParsedWords) -> Iterator[str]:
    """Yield the options that have an effect here and were not given yet."""
    fitting = _WITHOUT_VERB if parsed.verb is None else args.VERB_OPTIONS.get(parsed.verb, ())
    for name in (*map(args.option_name, fitting), "--version", "--help"):
        if name not in parsed.given:
            yield name


def _values(option: str, typed: str, start: int, parsed: _ParsedWords) -> ShellCandidates:
    match option:
        case "-e":
            return ShellCandidates(tuple(_statements(typed, parsed)))
        case "-f" | "--config" | "--output":
            return ShellCandidates(fallback=Fallback.FILES)
        case "--data-dir":
            return ShellCandidates(fallback=Fallback.DIRECTORIES)
        case "--profile":
            return _beginning(_profiles(parsed), typed, start)
        case "--format" if parsed.verb == "history":
            return _beginning(args.EXPORT_FORMATS, typed, start)
        case "--format" if parsed.verb is not None:
            return _beginning(args.PAIR_FORMATS, typed, start)
        case "--format":
            return _beginning(args.TEXT_FORMATS, typed, start)
        case "--tls":
            return ShellCandidates(_beginning(("system",), typed, start).found, Fallback.FILES)
    return ShellCandidates()


def _operands(verb: str, typed: str, parsed: _ParsedWords) -> ShellCandidates:
    match verb:
        case "load" if parsed.operands:
            return ShellCandidates(fallback=Fallback.FILES)
        case "load" | "dump" if not parsed.operands:
            return _beginning(_spaces(parsed), typed)
        case "history" if parsed.operands:
            return ShellCandidates(fallback=Fallback.FILES)
        case "help":
            return _beginning((*_statement_words(), *args.VERBS), typed)
        case _ if not parsed.operands:
            return _beginning(args.ACTIONS.get(verb, ()), typed)
    return ShellCandidates()


def _beginning(known: Iterable[str], typed: str, start: int = 0) -> ShellCandidates:
    return ShellCandidates(tuple(ShellCandidate(one, start=start) for one in known if one.startswith(typed)))


def _statement_words() -> Iterable[str]:
    # late, here and below: each kind of candidate imports only the layers that it needs, for speed
    from jobtui.language.syntax import SYNTAX

    return dict.fromkeys(form.verb.lower() for form in SYNTAX)


def _statements(typed: str, parsed: _ParsedWords) -> Iterator[ShellCandidate]:
    """Yield the candidates in the text of -e."""
    from jobtui.engine.completion_names import CompletionNames
    from jobtui.engine.reader import ReadOnlyClient
    from jobtui.language.completion import complete

    reader = ReadOnlyClient.open(_profile(parsed))
    try:
        completion = complete(typed, len(typed), CompletionNames(reader))
    finally:
        reader.close()
    for candidate in completion.candidates:
        blank = " " if candidate.kind == "keyword" else ""
        yield ShellCandidate(candidate.text + blank, candidate.note, completion.span[0], is_unfinished=True)


def _spaces(parsed: _ParsedWords) -> Iterable[str]:
    from jobtui.engine.reader import ReadOnlyClient

    reader = ReadOnlyClient.open(_profile(parsed))
    try:
        return reader.space_names()
    finally:
        reader.close()


def _profiles(parsed: _ParsedWords) -> Iterable[str]:
    from jobtui.cli.profiles import read_settings

    return read_settings(_options_of(parsed)).profiles


def _profile(parsed: _ParsedWords) -> Profile:
    from jobtui.cli.profiles import read_settings, resolve_profile

    options = _options_of(parsed)
    return resolve_profile(options, read_settings(options))


def _options_of(parsed: _ParsedWords) -> ConfigCommand:
    """Return the options that select the profile, for a command that asks for no password."""
    config, data_dir = parsed.given.get("--config"), parsed.given.get("--data-dir")
    return ConfigCommand(
        action="print",
        config=_expanded(config),
        data_dir=_expanded(data_dir),
        profile=parsed.given.get("--profile"),
        nebula=parsed.given.get("--nebula"),
    )


def _expanded(typed: str | None) -> Path | None:
    """Return the path with `~` expanded; unchanged if there is no such home."""
    return Path(os.path.expanduser(typed)) if typed else None  # noqa: PTH111 Path.expanduser would raise


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
    output = StdoutWriter()
    output.write(_SCRIPTS[shell])
    output.flush()
    return Exit.DONE
