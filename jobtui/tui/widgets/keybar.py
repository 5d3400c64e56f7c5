"""The last line: the keys that matter here, or what the command bar has to say about what is being typed."""

from __future__ import annotations

from collections.abc import Sequence

from jobtui.tui.commands import Command
from jobtui.tui.keymap import Keymap
from jobtui.tui.lines import Ink, Line, Piece, line_width
from jobtui.tui.widgets.inked import OneLine

# without these nobody finds the others: they give way last, the first of them never
_KEPT = ("help", "bar", "quit", "open", "filter", "stop", "look", "space_look", "space_new")


def key_line(commands: Sequence[Command], keymap: Keymap, width: int) -> Line:
    """Keys and titles in the order of their `footer`; the last give way first, `_KEPT` after all others."""
    ranked = sorted((command for command in commands if command.footer), key=lambda command: command.footer)
    while ranked:
        line = _keys(ranked, keymap)
        if line_width(line) <= width:
            return line
        ranked.remove(max(ranked, key=_dispensable))
    return ()


def _dispensable(command: Command) -> tuple[int, int]:
    return _KEPT.index(command.id) if command.id in _KEPT else len(_KEPT), command.footer


def _keys(commands: Sequence[Command], keymap: Keymap) -> Line:
    pieces: list[Piece] = []
    for command in commands:
        pieces += [(f" {keymap.shown(command)}", Ink.KEY), (f" {command.title} ", Ink.BAR)]
    return tuple(pieces)


class KeyBar(OneLine):
    """Shows keys; a remark, while there is one, goes before them."""

    def __init__(self, keymap: Keymap, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._keymap = keymap
        self._commands: tuple[Command, ...] = ()
        self._remark: Line = ()

    def show(self, commands: Sequence[Command]) -> None:
        """These commands work here."""
        if tuple(commands) != self._commands:
            self._commands = tuple(commands)
            self.refresh()

    @property
    def remark(self) -> Line:
        """What is said in place of the keys; empty: the keys are shown."""
        return self._remark

    @remark.setter
    def remark(self, line: Line) -> None:
        if line != self._remark:
            self._remark = line
            self.refresh()

    def line(self, width: int) -> Line:
        """The remark, or the keys."""
        return self._remark or key_line(self._commands, self._keymap, width)
