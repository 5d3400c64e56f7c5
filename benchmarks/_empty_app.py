"""The yardstick: the least Textual app that paints something, does something for a key, or has an Input."""

from __future__ import annotations

import sys

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Input, Static


class EmptyApp(App[None]):
    """One line, which counts the keys."""

    count = 0

    def compose(self) -> ComposeResult:
        yield Static("Ready", id="line")

    def on_key(self, event: events.Key) -> None:
        self.count += 1
        self.query_one("#line", Static).update(f"{self.count} {event.key}")


class InputApp(App[None]):
    """A focused Input, whose cursor blinks."""

    def compose(self) -> ComposeResult:
        yield Input(placeholder="Ready")

    def on_mount(self) -> None:
        self.query_one(Input).focus()


if __name__ == "__main__":
    (InputApp if "input" in sys.argv else EmptyApp)().run()
