"""Makes every picture in this directory from the real dashboard on the demo's profile.

    python screenshots/make.py [NAME…]

Each is an SVG as Textual exports it, and a PNG made from that with resvg (`pip install resvg-py`). Nothing is
drawn by hand: the jobs run on real RocksDB databases in a throw-away directory while the pictures are taken.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import Status
from jobtui.tui.app import DashboardApp

HERE = Path(__file__).parent
PATIENCE_SECONDS = 120.0
PNG_WIDTH = 1600
FIRST_JOBS = "USE nba; ADMIN FLUSH; ADMIN COMPACT; ADMIN FLUSH test2; ADMIN COMPACT test2; ADMIN COMPACT"


class Photographer:
    """Drives a dashboard and takes pictures of it."""

    def __init__(self, engine: LocalClient, app: DashboardApp, pilot: Pilot[int]) -> None:
        self.engine, self.app, self._pilot = engine, app, pilot

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text, key by key."""
        for character in text:
            await self._pilot.press(_KEYS.get(character, character))

    async def run(self, text: str) -> None:
        """Have the engine run a text, as another terminal would."""
        session = self.app.context.session
        answer = await asyncio.wrap_future(self.engine.execute(text, session))
        assert answer.failure is None, answer.failure

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, "this picture never came"
            await self._pilot.pause(0.02)

    async def ended(self) -> None:
        """Wait for all work."""
        await asyncio.wrap_future(self.engine.wait_idle())
        self.app.clear_notifications()
        await self._pilot.pause(0.3)

    async def take(self, name: str) -> None:
        """One picture, as SVG and PNG."""
        self.app.clear_notifications()
        await self._pilot.pause(0.3)
        place = HERE / f"{name}.svg"
        place.write_text(self.app.export_screenshot(title="jobtui"), encoding="utf-8")
        as_png(place)
        print(place.with_suffix(".png").name)


Shot = Callable[[Photographer], Awaitable[None]]


@dataclass(frozen=True)
class Picture:
    """A picture's name, the terminal's size, the theme, and how to get there."""

    name: str
    size: tuple[int, int]
    shot: Shot
    theme: str = "dark"


async def live(photographer: Photographer) -> None:
    """Jobs queued, running and ended, a compact under way."""
    await photographer.run("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN COMPACT test2")
    await photographer.until(lambda: (job := running(photographer)) and 0.3 < job < 0.8)
    await photographer.press("home", "down", "down")


async def drill_down(photographer: Photographer) -> None:
    """One job over the whole screen, its timeline: it waited for the one before it."""
    await photographer.run("ADMIN COMPACT nba; ADMIN COMPACT nba")
    await photographer.until(lambda: len(photographer.engine.active_jobs()) == 1)
    await photographer.until(lambda: (job := running(photographer)) and job > 0.3)
    await photographer.press("home", "enter", "right_square_bracket")


async def completion(photographer: Photographer) -> None:
    """A result, and what may come next."""
    await photographer.press("home", "colon")
    await photographer.type("SHOW JOB 3")
    await photographer.press("enter")
    await photographer.until(lambda: not photographer.app.dashboard.console.transcript.empty)
    await photographer.type("SHOW JOB ")
    await photographer.until(lambda: photographer.app.dashboard.console.completions.open)


async def error(photographer: Photographer) -> None:
    """A refusal, and a caret under what is wrong."""
    await photographer.press("colon")
    await photographer.type("ADMIN COMPACT nbaa")
    await photographer.press("enter")
    await photographer.until(lambda: not photographer.app.dashboard.console.transcript.empty)
    await photographer.type("SHOW JBO 3")


async def spaces(photographer: Photographer) -> None:
    """The spaces and what one of them holds."""
    await photographer.press("2")
    await photographer.until(lambda: photographer.app.context.overview_cache.overview)


async def archive(photographer: Photographer) -> None:
    """What was archived."""
    await photographer.run("BACKUP JOB 1 6")
    await photographer.press("4")


async def question(photographer: Photographer) -> None:
    """A question about marked jobs."""
    await photographer.run("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN FLUSH nba")
    await photographer.until(lambda: running(photographer))
    await photographer.press("home", "space", "space", "space", "space", "s")


async def help_screen(photographer: Photographer) -> None:
    """The keys."""
    await photographer.press("question_mark")


PICTURES = (
    Picture("dashboard", (110, 30), live),
    Picture("drill-down", (110, 26), drill_down),
    Picture("completion", (110, 30), completion),
    Picture("error", (110, 26), error),
    Picture("spaces", (110, 26), spaces),
    Picture("marks", (110, 26), question),
    Picture("archive", (110, 26), archive),
    Picture("light", (110, 26), live, "light"),
    Picture("narrow", (60, 20), live),
    Picture("wide", (200, 36), live),
    Picture("help", (110, 34), help_screen),
)


def running(photographer: Photographer) -> float:
    """How far the running compact is."""
    for job in photographer.engine.active_jobs():
        if job.status is Status.RUNNING and job.command == "compact":
            return job.progress or 0.0
    return 0.0


@asynccontextmanager
async def dashboard(engine: LocalClient, picture: Picture) -> AsyncIterator[Photographer]:
    """A dashboard for one picture."""
    app = DashboardApp(engine, TuiSettings(theme=picture.theme, demo=True))
    async with app.run_test(size=picture.size, notifications=False) as pilot:
        yield Photographer(engine, app, pilot)


async def make(engine: LocalClient, wanted: set[str]) -> None:
    """Some history first, then each picture from a dashboard of its own."""
    first = Picture("", (110, 30), live)
    async with dashboard(engine, first) as photographer:
        await photographer.until(lambda: {"nba", "test2"} <= set(engine.space_names()))
        await photographer.run(FIRST_JOBS)
        await photographer.until(lambda: running(photographer) > 0.2)
        await photographer.run("STOP JOB 5")
        await photographer.ended()
        await photographer.run("RECOVER JOB 5; ADMIN FLUSH nba")
        await photographer.ended()
    for picture in PICTURES:
        if wanted and picture.name not in wanted:
            continue
        async with dashboard(engine, picture) as photographer:
            await photographer.run("USE nba")
            photographer.app.dashboard.refresh_space()
            await picture.shot(photographer)
            await photographer.take(picture.name)
            await photographer.ended()


def as_png(place: Path) -> None:
    """The PNG beside an SVG. The SVG's font is on the net; the picture takes one that is here."""
    import resvg_py

    text = re.sub(r"Fira Code", "DejaVu Sans Mono", place.read_text(encoding="utf-8"))
    raw = resvg_py.svg_to_bytes(svg_string=text, width=PNG_WIDTH, font_dirs=["/usr/share/fonts"])
    place.with_suffix(".png").write_bytes(bytes(raw))


def main() -> None:
    """All pictures, or those that are named."""
    # the same name on every machine
    Session.requested_by = property(lambda _session: "anna@db1, dashboard")  # type: ignore[assignment,method-assign]
    with tempfile.TemporaryDirectory(prefix="jobtui-screenshots-") as root:
        engine = LocalClient.open(Profile("demo", Path(root)), demo=True)
        try:
            asyncio.run(make(engine, set(sys.argv[1:])))
        finally:
            engine.close()


_KEYS = {" ": "space", ":": "colon"}

if __name__ == "__main__":
    main()
