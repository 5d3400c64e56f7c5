"""The command bar: a prompt, and an input that is mounted when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Size
from typing_extensions import override

from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.text.spans import Line, TextRole, line_width, width_of
from jobtui.tui.widgets.base import OneLine
from jobtui.tui.widgets.completions import CompletionList

if TYPE_CHECKING:
    from jobtui.language.completion import Candidate
    from jobtui.tui.widgets.command_input import CommandInput


class CommandBar(Horizontal):
    """The line for statements. The input in it posts the messages; the console handles them."""

    def __init__(self, context: Context, completions: CompletionList, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.context = context
        self._completions = completions
        self._prompt = Prompt()
        self._usage = Usage()
        self._form = "", 0  # the form of the statement, and how many cells are typed
        self._usage.display = False
        self._placeholder = PlaceholderText(context)
        self._input: CommandInput | None = None

    @override
    def compose(self) -> ComposeResult:
        yield self._prompt
        yield self._placeholder

    def on_mount(self) -> None:
        """Show the prompt."""
        self.show_prompt()

    def show_prompt(self) -> None:
        """Show the prompt, with the chosen space in it."""
        self._prompt.show(self.context.prompt_line)

    def refresh_example(self) -> None:
        """Show an example that can be run; nothing reports when the spaces change."""
        self._placeholder.refresh_example()

    async def start_edit(self, text: str | None = None) -> None:
        """Focus the input.

        Args:
            text: Replaces what is in the input until the user leaves it unchanged; None leaves it.
        """
        # late: Textual's text area takes a tenth of the time of a start
        from jobtui.tui.widgets.command_input import CommandInput

        if self._input is None:
            self._input = CommandInput(self.context, self._prompt.show, self._completions)
            self._placeholder.display = False
            mounted = self.screen.mount(self._completions)
            await self.mount(self._input, self._usage)
            await mounted
        if text is not None:
            self._input.offer(text)
        # on the screen, at once: `Widget.focus` takes effect later, but the next key is for the input
        self.screen.set_focus(self._input)

    def cancel_edit(self) -> bool:
        """Clear the input, or leave it if it is empty; return False if it does not have the focus."""
        if self._input is None or not self.is_typing:
            return False
        self._input.flush_typed()
        if self._input.text:
            self._input.set_text("")
        else:
            self._input.leave()
        return True

    def insert_candidate(self, candidate: Candidate) -> None:
        """Insert a completion at the cursor."""
        if self._input is not None:
            self._input.insert_candidate(candidate)
            self.screen.set_focus(self._input)

    def show_usage(self, usage: str, typed: int) -> None:
        """Show the form of the statement, if the text (`typed` cells wide) leaves room for it."""
        self._form = usage, typed
        room = self.size.width - self._prompt.size.width - typed - 4
        self._usage.show(usage if len(usage) <= room else "")

    def on_resize(self) -> None:
        """Show the form of the statement again, unless it would cover the text now."""
        self.show_usage(*self._form)

    @property
    def is_typing(self) -> bool:
        """Whether the input has the focus."""
        # an event may arrive when the app is closing and the input has left its screen
        return self._input is not None and self.is_attached and self.screen.focused is self._input

    @property
    def is_searching(self) -> bool:
        """Whether the user searches the texts that were sent."""
        return self._input is not None and self._input.is_searching

    @property
    def is_blank(self) -> bool:
        """Whether the input is empty."""
        return self._input is None or not self._input.text

    async def on_click(self, event: events.Click) -> None:
        """Start typing, wherever in the bar the click was."""
        if not self.is_typing:
            await self.start_edit()


class Prompt(OneLine):
    """The text before the input: `local[nba]> `, or what ctrl+r searches for."""

    _text: Line = ()

    def show(self, line: Line) -> None:
        """Replace the text."""
        if line != self._text:
            self._text = line
            self.refresh(layout=True)

    @override
    def line(self, width: int) -> Line:
        return self._text

    @override
    def get_content_width(self, container: Size, viewport: Size) -> int:
        # half of the bar is left for the input
        return min(line_width(self._text), max(8, container.width // 2))


def _example(context: Context) -> str:
    """Return a statement for an example, on a space of the user's or one that may be created."""
    if not context.client.writable:
        return "SHOW SPACES"
    names = sorted(context.client.space_names())
    space = next((name for name in (context.space, *names) if name and name.isidentifier()), "demo")
    return f"ADMIN COMPACT {space}"


class PlaceholderText(OneLine):
    """The text in place of the input until it is first used."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._example = _example(context)

    def refresh_example(self) -> None:
        """Show another example if its space is gone, or statements are accepted or refused now."""
        example = _example(self.context)
        if example != self._example:
            self._example = example
            self.refresh()

    @override
    def line(self, width: int) -> Line:
        key = self.context.keymap.shown(BY_ID["bar"])
        text, example = f"{key} types a statement", self._example
        longer = (f"{text}, like SHOW JOBS or {example}", f"{text}, like {example}", f"{text}, like SHOW JOBS")
        return ((next((each for each in longer if width_of(each) <= width), text), TextRole.MUTED),)


class Usage(OneLine):
    """The form of the statement that is being typed, at the right of the bar."""

    _text = ""

    def show(self, text: str) -> None:
        """Replace the text; hide the widget if it is empty."""
        if text != self._text:
            self._text = text
            self.display = bool(text)
            self.styles.width = len(text) + 2
            self.refresh(layout=True)

    @override
    def line(self, width: int) -> Line:
        return ((f" {self._text} ", TextRole.MUTED),)
