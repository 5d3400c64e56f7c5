"""Take the pictures in this directory from the real dashboard on the demo's profile.

    python screenshots/make.py [NAME…]
    python screenshots/make.py --all DIR [NAME…]

Each is an SVG as Textual exports it, and a PNG made from that with resvg (`pip install resvg-py`). The jobs run
on real RocksDB databases in a temporary directory. `--all` takes every view of the scenes in `scenes.py` at
five sizes and with five palettes, into a directory that is not in the repository; names choose a scene, a view,
a palette or a size.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import ClassVar

import msgspec
from rocksdict import Options, Rdict
from textual.pilot import Pilot

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client, Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.model import Status
from jobtui.tui.app import DashboardApp
from jobtui.tui.terminal import ColorDepth

HERE = Path(__file__).parent
# the directory of an adopted database, which is seen in pictures
SHOP = Path("/tmp/shop")
PATIENCE_SECONDS = 120.0
PNG_WIDTH = 1600
"""The most pixels of a line."""
CELL_PIXELS = 10
"""The pixels of a cell in the pictures of `--all`: more take longer, and show no more."""
FIRST_JOBS = "USE nba; ADMIN FLUSH; ADMIN COMPACT; ADMIN FLUSH test2; ADMIN COMPACT test2; ADMIN COMPACT"
SCHEDULES = (
    'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" DO ADMIN COMPACT nba IF NEEDED; '
    'CREATE SCHEDULE weekend AT "0 1 * * 6" DO ADMIN COMPACT test2'
)


class Photographer:
    """Drives a dashboard and takes pictures of it."""

    directory = HERE
    """Where the pictures go."""
    # what `run_once` has run: all dashboards share an engine
    texts: ClassVar[set[str]] = set()

    def __init__(self, engine: Client, app: DashboardApp, pilot: Pilot[int]) -> None:
        self.engine, self.app, self._pilot = engine, app, pilot

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text, key by key."""
        for character in text:
            await self._pilot.press(_KEYS.get(character, character))

    async def run(self, text: str) -> None:
        """Run a text, as another terminal would."""
        session = self.app.context.session
        answer = await asyncio.wrap_future(self.engine.execute(text, session))
        assert answer.failure is None, answer.failure

    async def run_once(self, text: str) -> None:
        """Run a text whose effect another picture may already have needed."""
        if text not in self.texts:
            self.texts.add(text)
            await self.run(text)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"not seen in {PATIENCE_SECONDS:g} s"
            await self._pilot.pause(0.02)

    async def ended(self) -> None:
        """Wait for all work."""
        await asyncio.wrap_future(self.engine.wait_idle())
        self.app.clear_notifications()
        await self._pilot.pause(0.3)

    async def settle(self) -> None:
        """Wait for what a view loads."""
        await self._pilot.pause(0.5)

    async def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""
        await self._pilot.resize_terminal(width, height)
        await self.until(lambda: self.app.screen.size == (width, height))
        await self._pilot.pause(0.1)

    async def take(self, name: str) -> Path:
        """Take a picture and return the path of its SVG."""
        self.app.clear_notifications()
        await self._pilot.pause(0.3)
        place = self.directory / f"{name}.svg"
        place.write_text(self.app.export_screenshot(title="jobtui"), encoding="utf-8")
        return place


Shot = Callable[[Photographer], Awaitable[None]]


@dataclass(frozen=True)
class Picture:
    """A picture's name, the terminal's size, what leads there, and the theme and colors."""

    name: str
    size: tuple[int, int]
    shot: Shot
    theme: str = "dark"
    depth: ColorDepth = ColorDepth.TRUE


async def live(photographer: Photographer) -> None:
    """Show jobs that wait, run and have ended."""
    await photographer.run("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN COMPACT test2")
    await photographer.until(lambda: (job := running(photographer)) and 0.3 < job < 0.8)
    await photographer.press("home", "down", "down")


async def drill_down(photographer: Photographer) -> None:
    """Show the timeline of a job that waited for the one before it."""
    await photographer.run("ADMIN COMPACT nba; ADMIN COMPACT nba")
    await photographer.until(lambda: len(photographer.engine.active_jobs()) == 1)
    await photographer.until(lambda: (job := running(photographer)) and job > 0.3)
    await photographer.press("home", "enter", "right_square_bracket")


async def completion(photographer: Photographer) -> None:
    """Show a result, and possible completions."""
    await photographer.press("home", "colon")
    await photographer.type("SHOW JOB 3")
    await photographer.press("enter")
    await photographer.until(lambda: photographer.app.dashboard.console.transcript.has_lines)
    await photographer.type("SHOW JOB ")
    await photographer.until(lambda: photographer.app.dashboard.console.completions.is_open)


async def error(photographer: Photographer) -> None:
    """Show a refusal, and a caret under a mistake."""
    await photographer.press("colon")
    await photographer.type("ADMIN COMPACT nbaa")
    await photographer.press("enter")
    await photographer.until(lambda: photographer.app.dashboard.console.transcript.has_lines)
    await photographer.type("SHOW JBO 3")


async def spaces(photographer: Photographer) -> None:
    """Show the spaces and the content of one."""
    await photographer.press("2")
    await photographer.until(lambda: photographer.app.context.overview_cache.overview)


async def archive(photographer: Photographer) -> None:
    """Show archived jobs."""
    await photographer.run_once("BACKUP JOB 1 6")
    await photographer.press("4")


async def question(photographer: Photographer) -> None:
    """Show the confirmation of an action on marked jobs."""
    await photographer.run("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN FLUSH nba")
    await photographer.until(lambda: running(photographer))
    await photographer.press("home", "space", "space", "space", "space", "s")


async def help_screen(photographer: Photographer) -> None:
    """Show the keys."""
    await photographer.press("question_mark")


async def advice(photographer: Photographer) -> None:
    """Show which spaces need a compaction."""
    if "cities" not in photographer.engine.space_names():
        chance = random.Random(1)
        assert isinstance(photographer.engine, LocalClient)  # which can load pairs
        await photographer.run("CREATE SPACE cities")
        for _ in range(3):
            pairs = [(b"%06d" % number, chance.randbytes(400)) for number in range(5_000)]
            await asyncio.wrap_future(photographer.engine.load("cities", pairs))
            await photographer.run("ADMIN FLUSH cities")
            await photographer.ended()
    await photographer.press("5")
    await photographer.until(lambda: photographer.app.dashboard.view.title == "advice")
    await photographer.until(lambda: photographer.app.context.verdicts.get("cities") == "compact")
    await photographer.settle()


async def schedules(photographer: Photographer) -> None:
    """Show the schedules and the strip of the week."""
    await photographer.run_once(SCHEDULES)
    await photographer.press("6")
    await photographer.settle()


async def overview(photographer: Photographer) -> None:
    """Show a card for each space."""
    await photographer.press("7")
    await photographer.settle()


async def chart(photographer: Photographer) -> None:
    """Show what a running compaction reads and writes."""
    await photographer.run("ADMIN COMPACT nba")
    await photographer.until(lambda: running(photographer) > 0.6)
    await photographer.press("home", "enter", "right_square_bracket", "right_square_bracket")
    await photographer.settle()


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
    Picture("schedules", (110, 26), schedules),
    Picture("overview", (110, 26), overview),
    Picture("chart", (110, 30), chart),
    Picture("advice", (110, 26), advice),  # the last: it makes a space
)
SIZES = ((60, 16), (80, 24), (120, 36), (170, 45), (300, 100))
PALETTES = {
    "dark": ("dark", ColorDepth.TRUE),
    "light": ("light", ColorDepth.TRUE),
    "256": ("dark", ColorDepth.PALETTE),
    "16": ("", ColorDepth.SIXTEEN),
    "mono": ("", ColorDepth.NONE),
}


def running(photographer: Photographer) -> float:
    """Return how far the running compaction is."""
    for job in photographer.engine.active_jobs():
        if job.status is Status.RUNNING and job.command == "compact":
            return job.progress or 0.0
    return 0.0


@asynccontextmanager
async def dashboard(
    engine: Client,
    picture: Picture,
    settings: TuiSettings | None = None,
    now: Callable[[], datetime] | None = None,
) -> AsyncIterator[Photographer]:
    """Open a dashboard for one picture.

    Args:
        engine: The engine's client.
        picture: The picture, for the size and the colors.
        settings: The dashboard's settings, None for those of the demo.
        now: The dashboard's clock, None for the system's.
    """
    os.environ.pop("NO_COLOR", None)
    if picture.depth is ColorDepth.NONE:
        os.environ["NO_COLOR"] = "1"
    shown = settings or TuiSettings(theme=picture.theme, demo=True)
    app = DashboardApp(engine, shown, now=now, depth=picture.depth)
    async with app.run_test(size=picture.size, notifications=False) as pilot:
        yield Photographer(engine, app, pilot)


async def make(engine: LocalClient, pictures: Sequence[Picture], wanted: set[str]) -> None:
    """Run some jobs, one of which fails, then take each picture from a dashboard of its own."""
    first = Picture("", (110, 30), live)
    async with dashboard(engine, first) as photographer:
        await photographer.until(lambda: {"nba", "test2"} <= set(engine.space_names()))
        await photographer.run(FIRST_JOBS)
        await photographer.until(lambda: running(photographer) > 0.2)
        await photographer.run("STOP JOB 5")
        await photographer.ended()
        await photographer.run("RECOVER JOB 5; ADMIN FLUSH nba")
        await photographer.ended()
        # the job fails, since this process has the database open
        database = Rdict(str(SHOP / "orders"), Options(raw_mode=True))
        database[b"order"] = b"1"
        database.flush()
        await photographer.run(f'CREATE SPACE orders AT "{SHOP / "orders"}"')
        await photographer.run('ADMIN COMPACT orders WITH because = "disk alarm"')
        await photographer.ended()
        database.close()
    for picture in pictures:
        if wanted and not any(picture.name == name or picture.name.startswith(f"{name}-") for name in wanted):
            continue
        async with dashboard(engine, picture) as photographer:
            await photographer.run("USE nba")
            photographer.app.dashboard.refresh_space()
            await picture.shot(photographer)
            as_png(await photographer.take(picture.name), PNG_WIDTH)
            print(f"{picture.name}.png")
            await photographer.ended()


async def make_all(directory: Path, wanted: set[str]) -> None:
    """Take every view of each scene at each size and with each palette.

    Args:
        directory: Where the pictures go, one directory for each palette and size.
        wanted: What a picture's scene, view, palette or size must be, such as {"busy", "80x24"}; empty for all.
    """
    # late: the published pictures need none of the tests' helpers
    from screenshots.scenes import RESIZED, SCENES

    sizes = {f"{width}x{height}": (width, height) for width, height in SIZES}
    for scene_name in _chosen(wanted, SCENES):
        open_scene, views = SCENES[scene_name]
        async with open_scene() as scene:
            for palette, view_name in product(_chosen(wanted, PALETTES), _chosen(wanted, views)):
                theme, depth = PALETTES[palette]
                settings = msgspec.structs.replace(scene.settings, theme=theme)
                picture = Picture(f"{scene_name}-{view_name}", SIZES[2], views[view_name], theme, depth)
                async with dashboard(scene.client, picture, settings, scene.clock.now) as photographer:
                    photographer.app.context.session.space = scene.space
                    photographer.app.dashboard.refresh_space()
                    await asyncio.to_thread(scene.report)
                    await picture.shot(photographer)
                    for size in _chosen(wanted, sizes):
                        await photographer.resize(*sizes[size])
                        if view_name in RESIZED:
                            await RESIZED[view_name](photographer)
                        photographer.directory = directory / palette / size
                        photographer.directory.mkdir(parents=True, exist_ok=True)
                        print(await photographer.take(picture.name), flush=True)


def _chosen(wanted: set[str], names: Iterable[str]) -> list[str]:
    """Return the names of a kind that are wanted, all of them if none is named."""
    return [name for name in names if name in wanted] or [*names]


_BRAILLE_TEXT = re.compile(
    r'(?P<head><text [^>]*?x=")(?P<x>[\d.]+)(?P<middle>"[^>]*?) textLength="(?P<length>[\d.]+)"(?P<end>[^>]*>)'
    r"(?P<text>[^<]*[\u2801-\u28ff][^<]*)(?=</text>)"
)


def as_png(place: Path, width: int) -> None:
    """Write the PNG next to an SVG, with a font of this machine: the SVG names one on the net."""
    import resvg_py

    text = re.sub(r"Fira Code", "DejaVu Sans Mono", place.read_text(encoding="utf-8"))
    text = _BRAILLE_TEXT.sub(_in_cells, text)
    raw = resvg_py.svg_to_bytes(svg_string=text, width=width, font_dirs=["/usr/share/fonts"])
    place.with_suffix(".png").write_bytes(bytes(raw))


def _in_cells(found: re.Match[str]) -> str:
    """Return a text of an SVG with a position for each character.

    Braille comes from another font, whose characters are wider: the lines of a curve would not fit together.
    """
    count = len(html.unescape(found["text"]))
    step = float(found["length"]) / count
    places = " ".join(f"{float(found['x']) + step * cell:.1f}" for cell in range(count))
    return f"{found['head']}{places}{found['middle']}{found['end']}{found['text']}"


def main() -> None:
    """Take all pictures, or those that are named."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument(
        "--all", metavar="DIR", type=Path, help="take every view at every size and with every palette, into DIR"
    )
    options.add_argument("names", metavar="NAME", nargs="*")
    chosen = options.parse_args()
    # the same name on every machine
    Session.requested_by = property(lambda _session: "anna@db1, dashboard")  # type: ignore[assignment,method-assign]
    if chosen.all is not None:
        sys.path.insert(0, str(HERE.parent))
        asyncio.run(make_all(chosen.all, set(chosen.names)))
        for place in sorted(chosen.all.glob("*/*/*.svg")):
            width = int(place.parent.name.partition("x")[0])
            as_png(place, min(PNG_WIDTH, CELL_PIXELS * width))
        return
    SHOP.mkdir()
    with tempfile.TemporaryDirectory(prefix="jobtui-screenshots-") as root:
        engine = LocalClient.open(Profile("demo", Path(root, "demo")), demo=True)
        try:
            asyncio.run(make(engine, PICTURES, set(chosen.names)))
        finally:
            engine.close()
            shutil.rmtree(SHOP, ignore_errors=True)


_KEYS = {" ": "space", ":": "colon"}

if __name__ == "__main__":
    main()
