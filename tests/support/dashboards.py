"""The dashboard over a real engine and history and a scripted storage, driven by Textual's pilot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual import events
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client
from jobtui.tui.app import DashboardApp
from jobtui.tui.screens.dashboard import Dashboard
from jobtui.tui.text.spans import plain
from jobtui.tui.widgets.base import LinesView
from tests.support.clock import FakeClock
from tests.support.engines import Bench, open_bench
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import PATIENCE

WAIT = PATIENCE
HOSTS = ("local0", "local1", "local2")


class DashboardBench:
    """A dashboard under test: it presses keys and reads the screen; `bench` has the engine."""

    def __init__(self, app: DashboardApp, pilot: Pilot[int], bench: Bench | None) -> None:
        self.app, self.pilot = app, pilot
        self._bench = bench

    @property
    def bench(self) -> Bench:
        assert self._bench is not None
        return self._bench

    @property
    def dashboard(self) -> Dashboard:
        return self.app.dashboard

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text one key at a time."""
        await self.pilot.press(*(_KEYS.get(character, character) for character in text))

    async def paste(self, text: str) -> None:
        """Paste a text into the focused widget."""
        self.app.post_message(events.Paste(text))
        await self.pilot.pause()

    async def execute(self, text: str) -> None:
        """Send a text from the command bar and return to the table."""
        await self.press("colon")
        await self.until(lambda: self.dashboard.console.bar.is_typing)
        await self.paste(text)
        before = len(self.dashboard.console.transcript.lines)
        await self.press("enter")
        await self.until(lambda: len(self.dashboard.console.transcript.lines) > before)
        await self.press("escape")

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the app run until the condition holds."""
        end = time.monotonic() + WAIT
        while True:
            await self.pilot.pause()
            if condition():
                return
            assert time.monotonic() < end, f"never came:\n{self.screen}"
            await asyncio.sleep(0.005)

    async def shows(self, *texts: str) -> None:
        """Wait until all these texts are on screen."""
        await self.until(lambda: _holds(self.screen, texts))

    async def shows_no_more(self, text: str) -> None:
        await self.until(lambda: text not in self.screen)

    @property
    def screen(self) -> str:
        """The contents of the terminal, a line a row."""
        width, height = self.app.size
        lines = self.app.screen._compositor.render_strips()
        return "\n".join(
            "".join(segment.text for segment in line)[: width * 2].rstrip() for line in lines[:height]
        )

    def row(self, text: str) -> str:
        """Return the first line on screen that contains the text."""
        return next((line for line in self.screen.split("\n") if text in line), "")

    @property
    def transcript(self) -> str:
        return "\n".join(plain(line) for line in self.dashboard.console.transcript.lines)

    @property
    def detail(self) -> str:
        body: LinesView = self.dashboard.jobs.detail.body
        return "\n".join(plain(line) for line in body.lines)

    @property
    def cursor(self) -> object:
        """The id of the job under the cursor."""
        return self.dashboard.jobs.list.table.cursor_key


@asynccontextmanager
async def dashboard_bench(
    root: Path,
    spaces: dict[str, Sequence[str]] | None = None,
    *,
    storage: ScriptedStorage | None = None,
    size: tuple[int, int] = (100, 30),
    settings: TuiSettings | None = None,
    auto: bool = False,
    obey: bool = False,
) -> AsyncIterator[DashboardBench]:
    """Run a dashboard over an engine with these spaces. `auto`: each task ends at once."""
    script = storage or ScriptedStorage({"nba": HOSTS} if spaces is None else spaces, auto=auto, obey=obey)
    clock = FakeClock()
    with open_bench(root, script, clock=clock) as bench:
        async with showing(bench.engine, settings=settings, size=size, clock=clock, bench=bench) as shown:
            yield shown


@asynccontextmanager
async def showing(
    client: Client,
    *,
    settings: TuiSettings | None = None,
    size: tuple[int, int] = (100, 30),
    clock: FakeClock | None = None,
    bench: Bench | None = None,
) -> AsyncIterator[DashboardBench]:
    """Run a dashboard over any client."""
    app = DashboardApp(client, settings or TuiSettings(), now=(clock or FakeClock()).now)
    async with app.run_test(size=size, notifications=True) as pilot:
        shown = DashboardBench(app, pilot, bench)
        await shown.until(
            lambda: app.context.overview_cache.overview is not None or app.context.overview_cache.problem
        )
        yield shown


_parse_rules = Stylesheet._parse_rules
_parsed: dict[object, list[RuleSet]] = {}


def _parse_rules_once(sheet: Stylesheet, css: str, *where: Any, **how: Any) -> list[RuleSet]:
    """Parse a style sheet once for all dashboards of the process: it took a tenth of a dashboard's time."""
    key = (frozenset(sheet._variables.items()), css, where, frozenset(how.items()))
    if key not in _parsed:
        _parsed[key] = _parse_rules(sheet, css, *where, **how)
    return _parsed[key]


# of Textual's own, with the same result
Stylesheet._parse_rules = _parse_rules_once  # type: ignore[method-assign]


def _holds(screen: str, texts: Sequence[str]) -> bool:
    return all(text in screen for text in texts)


_KEYS = {
    " ": "space",
    ":": "colon",
    ";": "semicolon",
    ",": "comma",
    "/": "slash",
    "-": "minus",
    "!": "exclamation_mark",
    "\n": "ctrl+j",
    "`": "grave_accent",
    '"': "quotation_mark",
    ".": "full_stop",
}
