"""The keymap: the default keys of all commands, and the config's checked changes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from jobtui.suggest import did_you_mean
from jobtui.tui.commands import BY_ID, COMMANDS, SCOPE_CHAINS, KeyCommand, KeyScope, commands
from jobtui.tui.textual_ext.keys import functional_key_names, key_of_character
from jobtui.tui.widgets.table import Table

# the names of keys in the footer and the help
_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "plus": "+",
    "at": "@",
    "minus": "-",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "shift+up": "⇧↑",
    "shift+down": "⇧↓",
    "shift+tab": "⇧tab",
    "shift+enter": "⇧enter",
}
_WRITTEN = {shown: key for key, shown in _SHOWN.items()}
_MODIFIERS = frozenset(("alt", "ctrl", "shift", "super", "hyper", "meta"))


class Keymap(msgspec.Struct, frozen=True):
    """A checked keymap: the accepted changes (command id to Textual's keys), the problems."""

    changes: Mapping[str, str]
    problems: tuple[str, ...]

    def keys(self, command: KeyCommand) -> tuple[str, ...]:
        """Return the keys of a command."""
        return tuple(self.changes.get(command.id, command.keys).split(","))

    def shown(self, command: KeyCommand, most: int = 1) -> str:
        """Return the first keys of a command in readable form: `?`, `esc`, `ctrl+p`."""
        return " ".join(readable_key(key) for key in self.keys(command)[:most])


def load_keymap(wanted: Mapping[str, str]) -> Keymap:
    """Check the config's keymap: a change that clashes or names nothing becomes a problem."""
    changes: dict[str, str] = {}
    problems: list[str] = []
    for command_id, keys in wanted.items():
        if command_id not in BY_ID:
            near = did_you_mean(command_id, BY_ID)
            hint = f"; did you mean {near}?" if near else ""
            problems.append(f"keymap: there is no command {command_id}{hint}")
            continue
        normal = [_normal(key) for key in keys.split(",") if key.strip()]
        if not normal:
            problems.append(f"keymap: {command_id} has no key")
            continue
        strange = [key for key in normal if not _is_key(key)]
        if strange:
            problems.append(
                f"keymap: there is no key {strange[0]}{_meant(strange[0])}; {command_id} keeps "
                f"{Keymap(changes, ()).shown(BY_ID[command_id])}"
            )
            continue
        trial = Keymap({**changes, command_id: ",".join(normal)}, ())
        clashes = [clash for clash in _clashes(trial) if command_id in clash[1:]]
        if clashes:
            key, one, other = clashes[0]
            rival = other if one == command_id else one
            problems.append(
                f"keymap: {readable_key(key)} for {command_id} is taken by {rival}; {command_id} keeps "
                f"{Keymap(changes, ()).shown(BY_ID[command_id])}"
            )
            continue
        changes[command_id] = trial.changes[command_id]
    return Keymap(changes, tuple(problems))


def readable_key(key: str) -> str:
    """Return a key in readable form."""
    return _SHOWN.get(key, key)


def _normal(key: str) -> str:
    key = key.strip()
    if len(key) == 1:
        return _WRITTEN.get(key) or key_of_character(key)
    *modifiers, name = _WRITTEN.get(key, key).lower().split("+")
    return "+".join((*modifiers, key_of_character(name) if len(name) == 1 else name))


def _is_key(key: str) -> bool:
    """Return whether a terminal can send the key: not shift with a character."""
    *modifiers, name = key.split("+")
    if not _MODIFIERS.issuperset(modifiers) or len(set(modifiers)) < len(modifiers):
        return False
    return name in functional_key_names() or (modifiers != ["shift"] and _is_sign(name))


def _is_sign(name: str) -> bool:
    signs = map(chr, range(0x21, 0x100))
    if len(name) == 1 or name in map(key_of_character, signs):
        return True
    try:
        return key_of_character(unicodedata.lookup(name.replace("_", " "))) == name
    except KeyError:
        return False


def _meant(key: str) -> str:
    """Return '; did you mean S?' for `shift+s` or a misspelled key, or ""."""
    *modifiers, name = key.split("+")
    if modifiers == ["shift"] and len(name) == 1:
        return f"; did you mean {name.upper()}?"
    near = did_you_mean(name, sorted(functional_key_names()))
    return f"; did you mean {'+'.join((*modifiers, near))}?" if near else ""


def _clashes(trial: Keymap) -> Iterator[tuple[str, str, str]]:
    """Yield each key that two commands share, with their ids.

    Between scopes, the key of the inner one takes precedence on purpose, unless a change of the user caused it.
    """
    for where in KeyScope:
        owners: dict[str, str] = {}
        for command in commands(where):
            for key in trial.keys(command):
                owner = owners.setdefault(key, command.id)
                if owner != command.id:
                    yield key, owner, command.id
    for chain in SCOPE_CHAINS:
        for command in COMMANDS:
            if command.id not in trial.changes or command.where not in chain:
                continue
            outer = chain[chain.index(command.where) + 1 :]
            inner = chain[: chain.index(command.where)]
            for rival in COMMANDS:
                if rival.where in outer or rival.where in inner:
                    shared = set(trial.keys(command)) & set(trial.keys(rival))
                    if shared and not set(command.keys.split(",")) & set(rival.keys.split(",")):
                        yield min(shared), command.id, rival.id


def find_command(key: str, scopes: Sequence[KeyScope], keymap: Keymap) -> KeyCommand | None:
    """Return the command of a key in one of the scopes, else in any other view."""
    elsewhere = [where for where in KeyScope if where not in (*scopes, KeyScope.BAR, KeyScope.FILTER)]
    for where in (*scopes, *elsewhere):
        for command in commands(where):
            if key in keymap.keys(command):
                return command
    return None


_MOVES: Mapping[str, Callable[[Table], None]] = {
    "up": lambda table: table.action_move(-1),
    "down": lambda table: table.action_move(1),
    "page_up": lambda table: table.action_page(-1),
    "page_down": lambda table: table.action_page(1),
    "first": lambda table: table.action_first(),
    "last": lambda table: table.action_last(),
}


def cursor_moves(keymap: Keymap) -> dict[str, Callable[[Table], None]]:
    """Return the keys that move the cursor of a table, each with the function that moves it."""
    return {key: move for command_id, move in _MOVES.items() for key in keymap.keys(BY_ID[command_id])}
