"""The input of the command bar: it highlights, completes, and recalls what was sent.

Imported when the command bar is first used: importing Textual's text area takes a tenth of the time of a start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea
from typing_extensions import override

from jobtui.engine.completion_names import CompletionNames
from jobtui.formatting import single_cells
from jobtui.language.completion import Candidate
from jobtui.tui.commands import KeyScope, bindings
from jobtui.tui.context import Context
from jobtui.tui.text.spans import Line, TextRole, width_of
from jobtui.tui.textual_ext.app import clear_line_cache
from jobtui.tui.widgets.base import resolve_style
from jobtui.tui.widgets.completions import CompletionList
from jobtui.tui.widgets.diagnostics import Analysis, Highlight, analyze, diagnostic_line


def _edit(keys: str, action: str) -> Binding:
    return Binding(keys, action, show=False)


class HighlightedTextArea(TextArea, inherit_bindings=False):
    """A text area with highlighted characters, without the keys of the dashboard's commands.

    Control and bidirectional characters are painted as visible ones; the text keeps them.
    """

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
        self._highlights_shown: tuple[Highlight, ...] = ()
        self._typed = ""

    @property
    def caret(self) -> int:
        """The offset of the cursor in the text, in characters."""
        row, column = self.cursor_location
        return self._line_start(row) + column

    def column_of(self, offset: int) -> int | None:
        """Return the cell, within the widget, of a character; None if it is not in the last line."""
        row = self.text.count("\n", 0, offset)
        if row != self.document.line_count - 1 or self.wrapped_document.height > self.document.line_count:
            return None
        return sum(width_of(_printable(character)) for character in self.text[self._line_start(row) : offset])

    def replace_text(self, text: str, caret: int | None = None) -> None:
        """Replace the whole text, as an edit that can be undone.

        Args:
            text: The new text.
            caret: Where the cursor goes; None for the end.
        """
        self.flush_typed()
        self.replace(text, (0, 0), self.document.end)
        before = text[:caret] if caret is not None else text
        self.move_cursor((before.count("\n"), len(before) - before.rfind("\n") - 1))

    def highlight(self, highlights: Sequence[Highlight]) -> None:
        """Replace the highlights."""
        if tuple(highlights) != self._highlights_shown:
            self._highlights_shown = tuple(highlights)
            clear_line_cache(self)
            self.refresh()

    @override
    def get_line(self, line_index: int) -> Text:
        raw = self.document.get_line(line_index)
        shown = raw if raw.isascii() and raw.isprintable() else "".join(map(_printable, raw))
        line = Text(shown, end="", no_wrap=True)
        line_start = self._line_start(line_index)
        for highlight in self._highlights_shown:
            start, end = highlight.start - line_start, highlight.end - line_start
            if end > 0 and start < len(raw):
                line.stylize(resolve_style(self, highlight.role), max(0, start), min(end, len(raw)))
        return line

    def _line_start(self, row: int) -> int:
        return sum(len(self.document.get_line(index)) + 1 for index in range(row))

    # -- typing -------------------------------------------------------------------------------------

    async def handle_key(self, event: events.Key) -> bool:
        """Collect a character; of many that arrive at once, all are inserted by one edit."""
        if event.is_printable and event.character is not None:
            if not self._typed:
                self.call_later(self.flush_typed)
            self._typed += event.character
            return True
        self.flush_typed()
        return False

    def insert_paste(self, text: str) -> None:
        """Insert a pasted text."""
        self._typed += text.replace("\r\n", "\n").replace("\r", "\n")
        self.flush_typed()

    def flush_typed(self) -> None:
        """Insert the characters that were collected so far."""
        typed, self._typed = self._typed, ""
        if typed:
            result = self.replace(typed, *self.selection, maintain_selection_offset=False)
            self.move_cursor(result.end_location)


def _printable(character: str) -> str:
    shown = single_cells(character)
    return shown if len(shown) == 1 else "\N{DOTTED CIRCLE}"


# A text up to this length is analyzed at every key, a longer one when no key has come for a moment.
_ANALYZED_AT_ONCE = 400
_PAUSE_SECONDS = 0.15


class CommandInput(HighlightedTextArea):
    """The input of the command bar."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.BAR)]

    class TextSubmitted(Message):
        """The user sent a text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class EditingEnded(Message):
        """The user left the input."""

    class ResultsScrolled(Message):
        """The user scrolled the results: by `pages`, or sideways by steps."""

        def __init__(self, by: int, sideways: bool = False) -> None:
            super().__init__()
            self.by, self.sideways = by, sideways

    class ResultsCleared(Message):
        """The user cleared the results."""

    class AnalysisChanged(Message):
        """The line below the bar changed, or the form of the statement.

        `typed` is the cells of the text.
        """

        def __init__(self, line: Line, usage: str = "", typed: int = 0) -> None:
            super().__init__()
            self.line, self.usage, self.typed = line, usage, typed

    def __init__(
        self, context: Context, show_prompt: Callable[[Line], None], completions: CompletionList
    ) -> None:
        """Create the input. `show_prompt` replaces the text before it."""
        super().__init__(id="command-input")
        self.context = context
        self._show_prompt = show_prompt
        self._is_pasted = False
        self._completions = completions
        self._names = CompletionNames(context.client)
        self._analysis = Analysis()
        self._analyzed = ("", -1)
        self._is_list_dismissed = False
        self._search_words: str | None = None
        self._skipped = 0
        self._analysis_timer: Timer | None = None
        self._offered: str | None = None  # a text that the user did not type
        self._draft = ""  # what was in its place

    @property
    def is_searching(self) -> bool:
        """Whether keys are words to search in the texts that were sent."""
        return self._search_words is not None

    def set_text(self, text: str) -> None:
        """Replace the text and end a search."""
        self._end_search()
        self.replace_text(text)

    def offer(self, text: str) -> None:
        """Replace the text by one to edit and run; leaving it unchanged restores the old one."""
        self._draft = self.text if self._offered is None else self._draft
        self.set_text(text)
        self._offered = text

    def insert_candidate(self, candidate: Candidate) -> None:
        """Replace the word at the cursor with a candidate and a blank."""
        self._update_analysis()
        start, end = self._analysis.completion.span
        text = self.text
        after = "" if text[end : end + 1].isspace() else " "
        self.replace_text(text[:start] + candidate.text + after + text[end:], start + len(candidate.text) + 1)

    @override
    def insert_paste(self, text: str) -> None:
        self._is_list_dismissed = self._is_pasted = "\n" in text or "\r" in text
        super().insert_paste(text)

    def leave(self) -> None:
        """Give up the focus, and what was offered."""
        self.flush_typed()
        if self.text == self._offered:
            self.replace_text(self._draft)
        self._offered = None
        # on the screen, at once: the next key belongs elsewhere already
        self.screen.set_focus(None)
        self.post_message(self.EditingEnded())

    # -- analysis -----------------------------------------------------------------------------------

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Analyze the new text."""
        event.stop()
        # the list would cover what was pasted in several lines
        self._is_list_dismissed, self._is_pasted = self._is_pasted, False
        self._analyze_soon()

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """Analyze the text at the new position of the cursor."""
        event.stop()
        self._analyze_soon()

    def on_focus(self) -> None:
        """Analyze the text again: names may have changed."""
        self._analyzed = ("", -1)
        self.call_after_refresh(self._analyze)

    def on_resize(self) -> None:
        """Fit the diagnostic into the new width."""
        if self.screen.focused is self and self._analyzed == (self.text, self.caret):
            self._show_diagnostic()

    def on_blur(self) -> None:
        """Hide the completions and the diagnostic."""
        self._completions.close()
        self.post_message(self.AnalysisChanged(()))

    def _analyze_soon(self) -> None:
        # the cost of a key must not grow with the text
        if len(self.text) <= _ANALYZED_AT_ONCE:
            self._analyze()
        elif self._analysis_timer is None:
            self._analysis_timer = self.set_timer(_PAUSE_SECONDS, self._analyze)
        else:
            self._analysis_timer.reset()

    def _analyze(self) -> None:
        if self._analysis_timer is not None:
            self._analysis_timer.stop()
            self._analysis_timer = None
        text, caret = self.text, self.caret
        # the screen knows the focus at once, `has_focus` follows later
        if (text, caret) == self._analyzed or self.screen.focused is not self:
            return
        self._analyzed = text, caret
        analysis = self._analysis = analyze(text, caret, self._names)
        self.highlight(analysis.highlights)
        self.suggestion = "" if self.is_searching else analysis.completion.ghost
        self._show_completions()
        self._show_diagnostic()

    def _show_diagnostic(self) -> None:
        analysis, text = self._analysis, self.text
        left = self.region.x

        def column_of(offset: int) -> int | None:
            column = self.column_of(offset)
            return None if column is None else left + column

        line = diagnostic_line(analysis.diagnostic, text, column_of, self.screen.size.width)
        self.post_message(self.AnalysisChanged(line, analysis.completion.usage, width_of(text)))

    def _update_analysis(self) -> None:
        """Analyze what is typed by now, on whose completions the key that follows acts."""
        self.flush_typed()
        self._analyze()

    def _show_completions(self) -> None:
        if self._is_list_dismissed or self.is_searching or not self.text.strip():
            self._completions.close()
        else:
            self._open_list()

    def _open_list(self) -> None:
        completion = self._analysis.completion
        column = self.column_of(completion.span[0])
        self._completions.offer(completion.candidates, self.region.x + (column or 0))

    # -- keys ---------------------------------------------------------------------------------------

    def action_send(self) -> None:
        """Insert the chosen candidate; without one, send the text."""
        if self._completions.chosen is not None:
            self._update_analysis()
        chosen = self._completions.chosen
        if chosen is not None:
            self.insert_candidate(chosen)
            return
        self._end_search()
        self.flush_typed()
        text = self.text
        if text.strip():
            self.replace_text("")
            self._offered = None
            self._completions.close()
            self.context.command_history.rest()
            self.post_message(self.TextSubmitted(text))

    def action_newline(self) -> None:
        """Insert a line break."""
        self.insert("\n")

    def action_complete(self) -> None:
        """Insert the best candidate; without a list, open it."""
        self._update_analysis()
        best = self._completions.best
        if best is not None:
            self.insert_candidate(best)
        elif self._analysis.completion.candidates:
            self._is_list_dismissed = False
            self._open_list()

    def action_older(self) -> None:
        """Go up in the list or the text; from the first line, recall the text sent before."""
        self._update_analysis()
        if not self.is_searching and self._completions.is_open and self._completions.step(-1):
            return
        if self.is_searching or self.cursor_at_first_line:
            self._end_search()
            self._recall(self.context.command_history.older(self.text))
        else:
            self.action_cursor_up()

    def action_newer(self) -> None:
        """Go down in the list or the text; from the last line, recall the text sent after."""
        self._update_analysis()
        if not self.is_searching and self._completions.is_open and self._completions.step(1):
            return
        if self.is_searching or self.cursor_at_last_line:
            self._end_search()
            self._recall(self.context.command_history.newer())
        else:
            self.action_cursor_down()

    def action_search(self) -> None:
        """Start to search the texts that were sent; while searching, find the match before."""
        if self._search_words is None:
            self._search_words = ""
            self._skipped = 0
            self._completions.close()
            self.post_message(self.AnalysisChanged(()))
        elif self.context.command_history.search(self._search_words, self._skipped + 1) is not None:
            self._skipped += 1
        self._show_found()

    def action_clear(self) -> None:
        """Clear the results."""
        self.post_message(self.ResultsCleared())

    def action_leave(self) -> None:
        """End the search or close the list; without them, leave the input."""
        if self.is_searching:
            self._end_search()
        elif self._completions.is_open:
            self._is_list_dismissed = True
            self._completions.close()
        else:
            self.leave()

    def action_scroll_results(self, by: int) -> None:
        """Scroll the results."""
        self.post_message(self.ResultsScrolled(by))

    def action_sideways(self, by: int) -> None:
        """Scroll wide results sideways if the input is empty; otherwise move the cursor."""
        if not self.text and self._search_words is None:
            self.post_message(self.ResultsScrolled(by, sideways=True))
        elif by < 0:
            self.action_cursor_left()
        else:
            self.action_cursor_right()

    def _recall(self, text: str | None) -> None:
        if text is not None:
            self.replace_text(text)
            self._is_list_dismissed = True
            self._completions.close()

    # -- searching ----------------------------------------------------------------------------------

    @override
    async def handle_key(self, event: events.Key) -> bool:
        # any key without a meaning in the search ends it
        if self._search_words is None:
            return await super().handle_key(event)
        if event.key == "backspace":
            self._search_words = self._search_words[:-1]
        elif event.is_printable and event.character is not None:
            self._search_words += event.character
        else:
            if event.key not in ("ctrl+r", "escape"):
                self._end_search()
            return False
        self._skipped = 0
        self._show_found()
        return True

    def _show_found(self) -> None:
        words = self._search_words or ""
        found = self.context.command_history.search(words, self._skipped) if words else None
        role = TextRole.FAILED if words and found is None else TextRole.ACCENT
        self._show_prompt(((" search ", TextRole.MUTED), (words, role), (": ", TextRole.MUTED)))
        if found is not None:
            self.replace_text(found, max(0, found.casefold().find(words.casefold())))

    def _end_search(self) -> None:
        if self.is_searching:
            self._search_words = None
            self._show_prompt(self.context.prompt_line)
            self._analyzed = ("", -1)
            self._analyze()
