"""A few lines to type in: coloured as they grow, hostile characters made visible.

Imported when the command bar is first used: Textual's text area is a tenth of a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from jobtui.formatting import single_cells
from jobtui.language.completion import Candidate
from jobtui.tui.commands import KeyScope, bindings
from jobtui.tui.context import Context
from jobtui.tui.text.spans import Line, TextRole, width_of
from jobtui.tui.widgets.base import resolve_style
from jobtui.tui.widgets.command_bar import CommandBar, Prompt
from jobtui.tui.widgets.completions import CompletionList, DeskNames
from jobtui.tui.widgets.diagnostics import Analysis, Highlight, analyze, remark


def _edit(keys: str, action: str) -> Binding:
    return Binding(keys, action, show=False)


class HighlightedTextArea(TextArea, inherit_bindings=False):
    """A text area without the keys that mean something else here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _edit("left", "cursor_left"),
        _edit("right", "cursor_right"),
        _edit("ctrl+left", "cursor_word_left"),
        _edit("ctrl+right", "cursor_word_right"),
        _edit("home,ctrl+a", "cursor_line_start"),
        _edit("end,ctrl+e", "cursor_line_end"),
        _edit("shift+left", "cursor_left(True)"),
        _edit("shift+right", "cursor_right(True)"),
        _edit("ctrl+shift+left", "cursor_word_left(True)"),
        _edit("ctrl+shift+right", "cursor_word_right(True)"),
        _edit("shift+home", "cursor_line_start(True)"),
        _edit("shift+end", "cursor_line_end(True)"),
        _edit("shift+up", "cursor_up(True)"),
        _edit("shift+down", "cursor_down(True)"),
        _edit("backspace", "delete_left"),
        _edit("delete,ctrl+d", "delete_right"),
        _edit("ctrl+w,ctrl+backspace,alt+backspace", "delete_word_left"),
        _edit("ctrl+u", "delete_to_start_of_line"),
        _edit("ctrl+k", "delete_to_end_of_line_or_delete_line"),
        _edit("ctrl+x", "cut"),
        _edit("ctrl+v", "paste"),
        _edit("ctrl+underscore", "undo"),
        _edit("ctrl+y", "redo"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            tab_behavior="focus",
        )
        self.cursor_blink = False
        self._tints: tuple[Highlight, ...] = ()
        self._ahead = ""

    @property
    def caret(self) -> int:
        """Where the cursor is in the text, in characters."""
        row, column = self.cursor_location
        return self._begin(row) + column

    def column_of(self, place: int) -> int | None:
        """The cell, within the widget, of a character of the text; None where it is not in the last line."""
        row = self.text.count("\n", 0, place)
        if row != self.document.line_count - 1 or self.wrapped_document.height > self.document.line_count:
            return None
        return sum(width_of(_shown(character)) for character in self.text[self._begin(row) : place])

    def put(self, text: str, at: int | None = None) -> None:
        """Replace the whole text; the cursor goes to `at`, or to its end. It can be undone."""
        self.settle()
        self.replace(text, (0, 0), self.document.end)
        before = text[:at] if at is not None else text
        self.move_cursor((before.count("\n"), len(before) - before.rfind("\n") - 1))

    def tint(self, tints: Sequence[Highlight]) -> None:
        """Colour the text."""
        if tuple(tints) != self._tints:
            self._tints = tuple(tints)
            self._line_cache.clear()
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        """Textual's hook: a line as it is painted, each character standing for one of the text's."""
        raw = self.document.get_line(line_index)
        shown = raw if raw.isascii() and raw.isprintable() else "".join(map(_shown, raw))
        line = Text(shown, end="", no_wrap=True)
        begin = self._begin(line_index)
        for tint in self._tints:
            start, end = tint.start - begin, tint.end - begin
            if end > 0 and start < len(raw):
                line.stylize(resolve_style(self, tint.ink), max(0, start), min(end, len(raw)))
        return line

    def _begin(self, row: int) -> int:
        return sum(len(self.document.get_line(index)) + 1 for index in range(row))

    # -- typing -------------------------------------------------------------------------------------

    async def take_key(self, event: events.Key) -> bool:
        """Characters are taken in; many that come in one go, all at once."""
        if event.is_printable and event.character is not None:
            if not self._ahead:
                self.call_later(self.settle)
            self._ahead += event.character
            return True
        self.settle()
        return False

    def take_text(self, text: str) -> None:
        """Take in what was pasted."""
        self._ahead += text.replace("\r\n", "\n").replace("\r", "\n")
        self.settle()

    def settle(self) -> None:
        """Have the characters in the text that were typed so far."""
        ahead, self._ahead = self._ahead, ""
        if ahead:
            result = self._replace_via_keyboard(ahead, *self.selection)
            if result is not None:
                self.move_cursor(result.end_location)


def _shown(character: str) -> str:
    shown = single_cells(character)
    return shown if len(shown) == 1 else "\N{DOTTED CIRCLE}"


# ---- merged from jobtui.tui.widgets.typist: ----
# Who types in the command bar: sends, completes, walks through what was sent, searches it.
# a text up to this long is thought about at every key, a longer one once no key has come for a moment
_QUICKLY_JUDGED = 400
_PAUSE_SECONDS = 0.15


class CommandInput(HighlightedTextArea):
    """The editor of the command bar."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.BAR)]

    @dataclass
    class Remarked(Message):
        """What is to be said about the text: in the line below it, and at its right how the statement goes."""

        line: Line
        usage: str = ""
        typed: int = 0

    def __init__(self, context: Context, prompt: Prompt, completions: CompletionList) -> None:
        super().__init__(id="typist")
        self._shared = context
        self._prompt = prompt
        self._completions = completions
        self._names = DeskNames(context.desk)
        self._thought = Analysis()
        self._judged = ("", -1)
        self._quiet = False
        self._searching: str | None = None
        self._skipped = 0
        self._pause: Timer | None = None

    @property
    def searching(self) -> bool:
        """Whether what is typed is searched for among what was sent."""
        return self._searching is not None

    def begin(self, text: str) -> None:
        """Have this typed already."""
        self._end_search()
        self.put(text)

    def take(self, candidate: Candidate) -> None:
        """Put a candidate where the cursor's word is, and a blank behind it."""
        self._catch_up()
        start, end = self._thought.completion.span
        text = self.text
        after = "" if text[end : end + 1].isspace() else " "
        self.put(text[:start] + candidate.text + after + text[end:], start + len(candidate.text) + 1)

    # -- thinking along -----------------------------------------------------------------------------

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Textual's hook: what is typed changed."""
        event.stop()
        self._quiet = False
        self._think_soon()

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """Textual's hook: the cursor moved."""
        event.stop()
        self._think_soon()

    def on_focus(self) -> None:
        """Textual's hook."""
        self._judged = ("", -1)
        self.call_after_refresh(self._think)

    def on_blur(self) -> None:
        """Textual's hook: nothing is said about what nobody types."""
        self._completions.close()
        self.post_message(self.Remarked(()))

    def _think_soon(self) -> None:
        # of a long text what a key costs must not grow with it: it is thought about when there is a pause
        if len(self.text) <= _QUICKLY_JUDGED:
            self._think()
        elif self._pause is None:
            self._pause = self.set_timer(_PAUSE_SECONDS, self._think)
        else:
            self._pause.reset()

    def _think(self) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause = None
        judged = self.text, self.caret
        # the screen knows at once who has the focus, the widget only after a while
        if judged == self._judged or self.screen.focused is not self:
            return
        self._judged = judged
        text, caret = judged
        self._thought = analyze(text, caret, self._names)
        self.tint(self._thought.tints)
        searching = self._searching is not None
        self.suggestion = "" if searching else self._thought.completion.ghost
        self._offer()
        left = self.region.x

        def column(place: int) -> int | None:
            found = self.column_of(place)
            return None if found is None else left + found

        said = remark(self._thought, text, column, self.screen.size.width)
        self.post_message(self.Remarked(said, self._thought.completion.usage, width_of(text)))

    def _catch_up(self) -> None:
        """Think about what is typed by now: a key that came with it means the list for it."""
        self.settle()
        self._think()

    def _offer(self) -> None:
        completion = self._thought.completion
        if self._quiet or self._searching is not None or not self.text.strip():
            self._completions.close()
            return
        column = self.column_of(completion.span[0])
        self._completions.offer(completion.candidates, self.region.x + (column or 0))

    # -- keys ---------------------------------------------------------------------------------------

    def action_send(self) -> None:
        """Take the candidate that was stepped to; else run what is typed."""
        if self._completions.chosen is not None:
            self._catch_up()
        chosen = self._completions.chosen
        if chosen is not None:
            self.take(chosen)
            return
        self._end_search()
        self.settle()
        text = self.text
        if text.strip():
            self.put("")
            self._completions.close()
            self._shared.typed.rest()
            self.post_message(CommandBar.Sent(text))

    def action_newline(self) -> None:
        """A line break."""
        self.insert("\n")

    def action_complete(self) -> None:
        """Take the best candidate; without a list, have one."""
        self._catch_up()
        best = self._completions.best
        if best is not None:
            self.take(best)
        elif self._thought.completion.candidates:
            self._quiet = False
            completion = self._thought.completion
            self._completions.offer(
                completion.candidates, self.region.x + (self.column_of(completion.span[0]) or 0)
            )

    def action_older(self) -> None:
        """Up in the list; in the text; from its first line, to what was sent before."""
        self._catch_up()
        if self._searching is None and self._completions.open and self._completions.step(-1):
            return
        if self._searching is not None or self.cursor_at_first_line:
            self._end_search()
            self._recall(self._shared.typed.older(self.text))
        else:
            self.action_cursor_up()

    def action_newer(self) -> None:
        """Down, likewise."""
        self._catch_up()
        if self._searching is None and self._completions.open and self._completions.step(1):
            return
        if self._searching is not None or self.cursor_at_last_line:
            self._end_search()
            self._recall(self._shared.typed.newer())
        else:
            self.action_cursor_down()

    def action_search(self) -> None:
        """Search what was sent; again: the one before."""
        if self._searching is None:
            self._searching = ""
            self._skipped = 0
            self._completions.close()
            self.post_message(self.Remarked(()))
        elif self._shared.typed.search(self._searching, self._skipped + 1) is not None:
            self._skipped += 1
        self._show_found()

    def action_clear(self) -> None:
        """Clear the results."""
        self.post_message(CommandBar.Cleared())

    def action_leave(self) -> None:
        """Close the list, end the search; else leave."""
        if self._searching is not None:
            self._end_search()
        elif self._completions.open:
            self._quiet = True
            self._completions.close()
        else:
            # at once: what is typed next belongs elsewhere
            self.screen.set_focus(None)
            self.post_message(CommandBar.Left())

    def action_scroll_results(self, by: int) -> None:
        """Scroll the results."""
        self.post_message(CommandBar.Scrolled(by))

    def action_sideways(self, by: int) -> None:
        """Through wide results while nothing is typed; else through the text."""
        if not self.text and self._searching is None:
            self.post_message(CommandBar.Scrolled(by, sideways=True))
        elif by < 0:
            self.action_cursor_left()
        else:
            self.action_cursor_right()

    def _recall(self, text: str | None) -> None:
        if text is not None:
            self.put(text)
            self._quiet = True
            self._completions.close()

    # -- searching ----------------------------------------------------------------------------------

    async def take_key(self, event: events.Key) -> bool:
        """What is typed, here or into the search; any other key ends the search."""
        if self._searching is None:
            return await super().take_key(event)
        if event.key == "backspace":
            self._searching = self._searching[:-1]
        elif event.is_printable and event.character is not None:
            self._searching += event.character
        else:
            if event.key not in ("ctrl+r", "escape"):
                self._end_search()
            return False
        self._skipped = 0
        self._show_found()
        return True

    def _show_found(self) -> None:
        words = self._searching or ""
        found = self._shared.typed.search(words, self._skipped) if words else None
        ink = TextRole.FAILED if words and found is None else TextRole.ACCENT
        self._prompt.show(((" search ", TextRole.MUTED), (words, ink), (": ", TextRole.MUTED)))
        if found is not None:
            self.put(found, max(0, found.casefold().find(words.casefold())))

    def _end_search(self) -> None:
        if self._searching is not None:
            self._searching = None
            self._prompt.show(((f" {self._shared.prompt}", TextRole.ACCENT),))
            self._judged = ("", -1)
            self._think()
