"""What every place of the dashboard has in common."""

from __future__ import annotations

from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from jobtui.tui.commands import KeyScope
from jobtui.tui.data.feed import Batch


class ViewContainer(Container):
    """What the place that is shown stands on."""

    BLANK = True


class DashboardView(Container):
    """A place: is told what happened, and says where the focus belongs and which keys are its own."""

    BLANK = True
    where: KeyScope = KeyScope.JOBS
    title: str = ""

    class Noted(Message):
        """Something that the header shows changed."""

    class Told(Message):
        """Something that a person should read."""

        def __init__(self, text: str, severity: str) -> None:
            super().__init__()
            self.text, self.severity = text, severity

    def take(self, batch: Batch) -> None:
        """Jobs changed."""

    def tick(self) -> None:
        """A second passed."""

    def places_seen(self) -> None:
        """There is a new overview of spaces and hosts."""

    def back(self) -> bool:
        """Esc: whether there was something to go back from."""
        return False

    @property
    def looks(self) -> bool:
        """Whether there is an adopted space that the key for it would look into."""
        return False

    @property
    def typing(self) -> bool:
        """Whether one types in it."""
        return False

    def drop(self) -> None:
        """Drop what is being typed in it."""

    @property
    def home(self) -> Widget:
        """Where the focus goes on arrival."""
        raise NotImplementedError

    def space_in_view(self) -> str | None:
        """The space that what is shown is about, where it is about one."""
        return None
