"""Who types in the command bar: sends, completes, walks through what was sent, searches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from jobtui.language.completion import Candidate
from jobtui.tui.commands import Where, bindings
from jobtui.tui.context import Context
from jobtui.tui.lines import Ink, Line
from jobtui.tui.names import DeskNames
from jobtui.tui.text import width_of
from jobtui.tui.thinking import Thought, remark, think
from jobtui.tui.widgets.bar import CommandBar, Prompt
from jobtui.tui.widgets.completions import CompletionList
from jobtui.tui.widgets.editor import Editor

# a text up to this long is thought about at every key, a longer one once no key has come for a moment
_QUICKLY_JUDGED = 400
_PAUSE_SECONDS = 0.15


class Typist(Editor):
    """The editor of the command bar."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Where.BAR)]

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
        self._thought = Thought()
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
        self._thought = think(text, caret, self._names)
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
        ink = Ink.FAILED if words and found is None else Ink.ACCENT
        self._prompt.show(((" search ", Ink.MUTED), (words, ink), (": ", Ink.MUTED)))
        if found is not None:
            self.put(found, max(0, found.casefold().find(words.casefold())))

    def _end_search(self) -> None:
        if self._searching is not None:
            self._searching = None
            self._prompt.show(((f" {self._shared.prompt}", Ink.ACCENT),))
            self._judged = ("", -1)
            self._think()
