"""The keys as the user wants them: the registry's own, changed by the config, clashes found and named."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping

import msgspec

from jobtui.suggest import did_you_mean
from jobtui.tui.commands import BY_ID, COMMANDS, SCOPE_CHAINS, KeyCommand, KeyScope, commands
from jobtui.tui.textual_ext.keys import functional_key_names, key_of_character
from jobtui.tui.widgets.table import Table

# how a key is called in the key line and the help
_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "plus": "+",
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
    """The changes that stand (command id to keys, as Textual takes them) and what is wrong with the others."""

    changes: Mapping[str, str]
    problems: tuple[str, ...]

    def keys(self, command: KeyCommand) -> tuple[str, ...]:
        """The keys that the command has now."""
        return tuple(self.changes.get(command.id, command.keys).split(","))

    def shown(self, command: KeyCommand, most: int = 1) -> str:
        """The command's first keys as a person reads them: `?`, `esc`, `ctrl+p`."""
        return " ".join(shown_key(key) for key in self.keys(command)[:most])


def load_keymap(wanted: Mapping[str, str]) -> Keymap:
    """Check the config's keymap. A change that clashes, or names no command or key, is left out and told."""
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
            problems.append(f"keymap: {command_id} is given no key")
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
                f"keymap: {shown_key(key)} for {command_id} is taken by {rival}; {command_id} keeps "
                f"{Keymap(changes, ()).shown(BY_ID[command_id])}"
            )
            continue
        changes[command_id] = trial.changes[command_id]
    return Keymap(changes, tuple(problems))


def shown_key(key: str) -> str:
    """A key as a person reads it."""
    return _SHOWN.get(key, key)


def _normal(key: str) -> str:
    key = key.strip()
    if len(key) == 1:
        return _WRITTEN.get(key) or key_of_character(key)
    *modifiers, name = _WRITTEN.get(key, key).lower().split("+")
    return "+".join((*modifiers, key_of_character(name) if len(name) == 1 else name))


def _is_key(key: str) -> bool:
    """Whether a terminal can send it: shift and a sign are the sign that stands above it."""
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
    """'; did you mean S?' for `shift+s` and for what is nearly a key's name, "" where none is near."""
    *modifiers, name = key.split("+")
    if modifiers == ["shift"] and len(name) == 1:
        return f"; did you mean {name.upper()}?"
    near = did_you_mean(name, sorted(functional_key_names()))
    return f"; did you mean {'+'.join((*modifiers, near))}?" if near else ""


def _clashes(trial: Keymap) -> Iterator[tuple[str, str, str]]:
    """Keys that two commands of one place have; between places the inner one goes first, on purpose.

    Single-letter keys of the outer places never reach a place where one types.
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


# The keys that move the cursor of a table, from the registry and the user's keymap.
_MOVES: Mapping[str, Callable[[Table], None]] = {
    "up": lambda table: table.action_move(-1),
    "down": lambda table: table.action_move(1),
    "page_up": lambda table: table.action_page(-1),
    "page_down": lambda table: table.action_page(1),
    "first": lambda table: table.action_first(),
    "last": lambda table: table.action_last(),
}


def cursor_moves(keymap: Keymap) -> dict[str, Callable[[Table], None]]:
    """Each key that moves, and how."""
    return {key: move for command_id, move in _MOVES.items() for key in keymap.keys(BY_ID[command_id])}
