"""The yardstick: the smallest Textual app that paints a line, and counts keys, has an Input or changes lines.

python -m benchmarks._empty_app [input | busy CHANGES]      CHANGES: how many lines change per second
"""

from __future__ import annotations

import sys
import time

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Input, Static

_LINES = 12
_TICK = 0.005
"""Seconds between changes: the period of the storm that the benchmarks make in the dashboard's storage."""


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


class BusyApp(EmptyApp):
    """The line that counts the keys, and as many others as the dashboard shows jobs, which change in turn."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self._rate = changes
        self._begun, self._changed = 0.0, 0

    def compose(self) -> ComposeResult:
        yield from super().compose()
        self._others = [Static("") for _ in range(_LINES)]
        yield from self._others

    def on_mount(self) -> None:
        self._begun = time.monotonic()
        self.set_interval(_TICK, self._change)

    def _change(self) -> None:
        due = int((time.monotonic() - self._begun) * self._rate)
        for number in range(max(self._changed, due - _LINES), due):
            self._others[number % _LINES].update(f"job {number % _LINES} {number}", layout=False)
        self._changed = due


def main() -> None:
    """Run the app that the arguments name."""
    kind, *words = sys.argv[1:] or ["empty"]
    app = InputApp() if kind == "input" else BusyApp(int(words[0])) if kind == "busy" else EmptyApp()
    app.run()


if __name__ == "__main__":
    main()
