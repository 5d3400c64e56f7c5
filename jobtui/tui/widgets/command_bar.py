"""The command bar: the prompt, and the editor that is mounted when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message

from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.text.spans import Line, TextRole, line_width
from jobtui.tui.widgets.base import OneLine
from jobtui.tui.widgets.completions import CompletionList

if TYPE_CHECKING:
    from jobtui.language.completion import Candidate
    from jobtui.tui.widgets.command_input import CommandInput


import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.suggest import did_you_mean

if TYPE_CHECKING:
    from jobtui.engine.client import ExecuteResult


class Prompt(OneLine):
    """`local[nba]> `, or what ctrl+r searches for."""

    _text: Line = ()

    def show(self, line: Line) -> None:
        """Say this."""
        if line != self._text:
            self._text = line
            self.refresh(layout=True)

    def line(self, width: int) -> Line:
        """The prompt."""
        return self._text

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Textual's hook: as wide as its text, but never the whole line."""
        return min(line_width(self._text), max(8, container.width // 2))


class PlaceholderText(OneLine):
    """What stands after the prompt while nobody types."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def line(self, width: int) -> Line:
        """The invitation."""
        return ((self._text, TextRole.MUTED),)


class Usage(OneLine):
    """How the statement that is being typed goes, at the right of the bar."""

    _text = ""

    def show(self, text: str) -> None:
        """Say this; nothing where it is empty."""
        if text != self._text:
            self._text = text
            self.display = bool(text)
            self.styles.width = len(text) + 2
            self.refresh(layout=True)

    def line(self, width: int) -> Line:
        """The usage."""
        return ((f" {self._text} ", TextRole.MUTED),)


class CommandBar(Horizontal):
    """Holds what is typed; what is done with it is the dashboard's part."""

    class Sent(Message):
        """This text is to be run."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The focus goes back."""

    class Scrolled(Message):
        """The results are to be scrolled by so many pages, or so many steps sideways."""

        def __init__(self, by: int, sideways: bool = False) -> None:
            super().__init__()
            self.by, self.sideways = by, sideways

    class Cleared(Message):
        """The results are to be cleared."""

    def __init__(self, context: Context, completions: CompletionList, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shared = context
        self._completions = completions
        self._prompt = Prompt()
        key = context.keymap.shown(BY_ID["bar"])
        self._usage = Usage()
        self._usage.display = False
        self._invitation = PlaceholderText(f"{key} types a statement, like SHOW JOBS or ADMIN COMPACT nba")
        self._typist: CommandInput | None = None

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        yield self._prompt
        yield self._invitation

    def on_mount(self) -> None:
        """Textual's hook."""
        self.show_prompt()

    def show_prompt(self) -> None:
        """The prompt, with the chosen space."""
        self._prompt.show(((f" {self._shared.prompt}", TextRole.ACCENT),))

    async def enter(self, text: str | None = None) -> None:
        """Type here; `text` is put there for a start."""
        from jobtui.tui.widgets.command_input import CommandInput

        if self._typist is None:
            self._typist = CommandInput(self._shared, self._prompt, self._completions)
            self._invitation.display = False
            listed = self.screen.mount(self._completions)
            await self.mount(self._typist, self._usage)
            await listed
        if text is not None:
            self._typist.begin(text)
        # at once: what is typed next belongs here already
        self.screen.set_focus(self._typist)

    def drop(self) -> bool:
        """Drop what is being typed, or leave the bar where nothing is; False where nobody types."""
        typist = self._typist
        if typist is None or not self.typing:
            return False
        typist.settle()
        if typist.text:
            typist.begin("")
        else:
            # at once: what is typed next belongs elsewhere
            self.screen.set_focus(None)
            self.post_message(self.Left())
        return True

    def take(self, candidate: Candidate) -> None:
        """Put a candidate where the cursor is."""
        if self._typist is not None:
            self._typist.take(candidate)
            self.screen.set_focus(self._typist)

    def show_usage(self, usage: str, typed: int) -> None:
        """Say how the statement goes, where what is typed (so many cells) leaves room for it."""
        room = self.size.width - self._prompt.size.width - typed - 4
        self._usage.show(usage if len(usage) <= room else "")

    @property
    def typing(self) -> bool:
        """Whether the bar has the focus."""
        return self._typist is not None and self.screen.focused is self._typist

    @property
    def searching(self) -> bool:
        """Whether what was sent is being searched."""
        return self._typist is not None and self._typist.searching

    @property
    def blank(self) -> bool:
        """Whether nothing is typed."""
        return self._typist is None or not self._typist.text

    async def on_click(self, event: events.Click) -> None:
        """Textual's hook: a click anywhere in the bar begins to type."""
        if not self.typing:
            await self.enter()


# ---- merged from jobtui.tui.words: ----
# Words of the command bar that are for the screen, and texts that the screen asks about before they run.
_WORDS = {"quit": "quit", "exit": "quit", "help": "help", "?": "help", "clear": "clear"}
_EXPECTED = "expected "
_DROP = re.compile(r"\bDROP\s+SPACE\b", re.IGNORECASE | re.ASCII)


def local_word(text: str) -> str:
    """`quit`, `help` or `clear` where that alone was typed; "" for what the engine is to run."""
    return _WORDS.get(text.strip().rstrip(";").strip().lower(), "")


def asked_about(text: str) -> str:
    """The statement's words of `help recover`; "" where the text is no such question."""
    first, _, rest = text.strip().rstrip(";").strip().partition(" ")
    return rest.strip() if _WORDS.get(first.lower()) == "help" else ""


def is_local(text: str, caret: int) -> bool:
    """Return whether the screen understands a text itself, or may once the word at the caret is typed."""
    if local_word(text) or asked_about(text):
        return True
    typed = text.strip().lower()
    return bool(typed) and caret == len(text.rstrip()) and any(word.startswith(typed) for word in _WORDS)


def expected_here(text: str, at: int, message: str) -> str:
    """What is wrong at a place of the text, with the screen's own words among those that could stand there."""
    word = text.strip().split(maxsplit=1)[0] if text.strip() else ""
    if at != len(text) - len(text.lstrip()) or not message.startswith(_EXPECTED):
        return message
    said = f"expected help, quit, {message.removeprefix(_EXPECTED)}"
    # nobody means a lone ? by another word
    near = did_you_mean(word[:20].rstrip(";"), [known for known in _WORDS if known != "?"])
    return f"{said}; did you mean {near}?" if near and "did you mean" not in said else said


def with_local_words(text: str, answer: ExecuteResult) -> ExecuteResult:
    """The answer to a text; a syntax error at its first word names the screen's own words too."""
    failure = answer.failure
    if failure is None or not failure.syntax or failure.line != 1 or not failure.caret:
        return answer
    message = expected_here(text, failure.column - 1, failure.message)
    caret = failure.caret.replace(failure.message, message)
    return replace(answer, failure=replace(failure, message=message, caret=caret))


def drops(text: str) -> bool:
    """Whether some statement of the text drops a space; no for a text that does not parse: it won't run."""
    if _DROP.search(text) is None and "/*" not in text:
        return False
    from jobtui.language import StatementError, parse
    from jobtui.language.ast import DropSpace

    try:
        return any(isinstance(statement, DropSpace) for statement in parse(text))
    except StatementError:
        return False
