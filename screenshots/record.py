"""Record a session of the real dashboard as an animated SVG: `python screenshots/record.py`.

A real jobtui runs in a pseudo-terminal, on real RocksDB databases, and keys are typed into it. Each frame that
it paints is kept with its time; waits are shortened. The picture, session.svg, holds each line of the screen
once and shows the frames one after the other with a CSS animation, so that it plays wherever a browser shows
images. It stands still for readers who prefer reduced motion.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import pyte
from rocksdict import Options, Rdict

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.screen import Screen

OUTPUT: Final = Path(__file__).parent / "session.svg"
COLUMNS, ROWS = 100, 26
KEY_SECONDS: Final = 0.06
# a frame is shown at least and at most so long; a pause of the story is kept as it is
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 1.0
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, MARGIN = 8.0, 17.0, 13.2, 10.0
FOREGROUND, BACKGROUND = "#bfc7d5", "#0b0e14"
# adopted databases are named by their directories, which are seen in the picture
DATABASES: Final = (Path("/tmp/db1/cities"), Path("/tmp/db2/cities"))
KEYS: Final = 200_000
CONFIG: Final = """
[profiles.local]
step_size = "16 MiB"
compact_rate = "6 MiB"
min_free = 0

[dashboard]
theme = "dark"
bell = false
"""


class Look(NamedTuple):
    """How a cell is drawn."""

    color: str
    ground: str
    bold: bool
    italic: bool
    underlined: bool


class Run(NamedTuple):
    """Adjacent cells of a line that are drawn alike."""

    column: int
    text: str
    look: Look


Line = tuple[Run, ...]


class Frame(NamedTuple):
    """The lines of a screen, and for how many seconds they are shown."""

    lines: tuple[Line, ...]
    seconds: float


class Session:
    """Types into a terminal, waits for what it shows, and keeps the frames."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._frames: list[tuple[float, tuple[Line, ...]]] = []
        self._pauses: dict[int, float] = {}

    def press(self, key: str) -> None:
        """Press a key and look at what it does."""
        self._screen.send(key)
        self._read(3 * KEY_SECONDS)

    def type(self, text: str) -> None:
        """Type a text."""
        for character in text:
            self._screen.send(character)
            self._read(KEY_SECONDS)

    def wait_for(self, *texts: str) -> None:
        """Wait until the screen shows one of the texts."""
        for _ in range(600):
            if any(text in self._screen.text() for text in texts):
                return
            self._read(0.1)
        raise TimeoutError(f"{texts} never came:\n{self._screen.text()}")

    def pause(self, seconds: float) -> None:
        """Let the reader look at the screen, which moves on meanwhile."""
        self._read(seconds)
        last = len(self._frames) - 1
        self._pauses[last] = max(self._pauses.get(last, 0.0), min(seconds, LONGEST_SECONDS))

    def _read(self, seconds: float) -> None:
        self._screen.read(seconds)
        for frame, screen in self._screen.replayed():
            lines = tuple(_line(screen, row) for row in range(ROWS))
            if not self._frames or lines != self._frames[-1][1]:
                self._frames.append((frame.at, lines))

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that are shown long enough to be seen."""
        ends = [at for at, _ in self._frames[1:]] + [self._frames[-1][0] + 3.0]
        for number, ((begin, lines), end) in enumerate(zip(self._frames, ends, strict=True)):
            longest = 3.0 if end is ends[-1] else LONGEST_SECONDS
            seconds = max(min(end - begin, longest), self._pauses.get(number, 0.0))
            if seconds >= SHORTEST_SECONDS:
                yield Frame(lines, seconds)


def _line(screen: pyte.Screen, row: int) -> Line:
    cells = screen.buffer[row]
    looks = [(column, cells[column].data, _look(cells[column])) for column in range(COLUMNS)]
    runs = []
    for look, group in groupby(looks, lambda cell: cell[2]):
        members = list(group)
        text = "".join(data for _, data, _ in members)
        if text.strip() or look.ground != BACKGROUND:
            runs.append(Run(members[0][0], text, look))
    return tuple(runs)


def _look(cell: pyte.screens.Char) -> Look:
    color, ground = _color(cell.fg, FOREGROUND), _color(cell.bg, BACKGROUND)
    if cell.reverse:
        color, ground = ground, color
    return Look(color, ground, cell.bold, cell.italics, cell.underscore)


def _color(name: str, default: str) -> str:
    return default if name == "default" else f"#{name}" if len(name) == 6 else default


def tell_story(session: Session) -> None:
    """Advice, compact, pause, resume, stop, recover."""
    session.wait_for("No jobs yet", "cities")
    session.type(":CREATE SPACE cities AT ")
    session.type(", ".join(f'"{path}"' for path in DATABASES))
    session.press("\r")
    session.wait_for("Execution succeeded", "created", "cities")
    session.pause(1.0)
    session.press("\x1b")
    session.press("5")
    session.wait_for("would be given back")
    session.pause(2.0)
    session.press("\r")
    session.pause(1.0)
    session.press("\r")
    session.wait_for("job 1")
    session.pause(0.6)
    session.press("\x1b")
    session.press("1")
    session.wait_for("step 1/")
    session.pause(1.0)
    session.press("P")
    session.wait_for("paused")
    session.pause(1.5)
    session.press("P")
    session.wait_for("▶ running")
    session.pause(1.0)
    session.press("s")
    session.pause(1.0)
    session.press("y")
    session.wait_for("■ stopped")
    session.pause(1.5)
    session.press("r")
    session.wait_for("Run 1 job again?")
    session.pause(1.0)
    session.press("y")
    session.wait_for("✔ finished")
    session.pause(2.0)


def animate(frames: list[Frame]) -> str:
    """Return the SVG: each distinct line once, `use` elements for each frame, and their animation."""
    width, height = COLUMNS * CELL_WIDTH + 2 * MARGIN, ROWS * CELL_HEIGHT + 2 * MARGIN
    numbers: dict[Line, int] = {}
    columns, moments, at = [], [], 0.0
    total = sum(frame.seconds for frame in frames)
    for place, frame in enumerate(frames):
        uses = "".join(
            f'<use href="#l{numbers.setdefault(line, len(numbers))}" y="{row * CELL_HEIGHT:g}"/>'
            for row, line in enumerate(frame.lines)
            if line
        )
        columns.append(f'<g transform="translate({place * width:g} 0)">{uses}</g>')
        moments.append(f"{at / total:.4%}{{transform:translateX({-place * width:g}px)}}")
        at += frame.seconds
    moments.append(f"to{{transform:translateX({-(len(frames) - 1) * width:g}px)}}")
    looks: dict[Look, str] = {}
    lines = "".join(f'<g id="l{number}">{_drawn(line, looks)}</g>' for line, number in numbers.items())
    style = (
        "text{white-space:pre;font:"
        f"{FONT_SIZE}px ui-monospace,'SFMono-Regular',Menlo,Consolas,'DejaVu Sans Mono',monospace}}"
        f".film{{animation:film {total:.2f}s step-end infinite}}@keyframes film{{{''.join(moments)}}}"
        "@media (prefers-reduced-motion:reduce){.film{animation:none}}"
        + "".join(f".{name}{{{_declarations(look)}}}" for look, name in looks.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}"><title>A session of jobtui</title><style>{style}</style>'
        f'<defs>{lines}<clipPath id="c"><rect width="{width:g}" height="{height:g}"/></clipPath></defs>'
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{BACKGROUND}"/>'
        f'<g clip-path="url(#c)"><g transform="translate({MARGIN:g} {MARGIN:g})"><g class="film">'
        f"{''.join(columns)}</g></g></g></svg>\n"
    )


def _drawn(line: Line, looks: dict[Look, str]) -> str:
    parts = []
    for run in line:
        x, width = run.column * CELL_WIDTH, len(run.text) * CELL_WIDTH
        if run.look.ground != BACKGROUND:
            parts.append(
                f'<rect x="{x:g}" width="{width:g}" height="{CELL_HEIGHT:g}" fill="{run.look.ground}"/>'
            )
        if run.text.strip():
            name = looks.setdefault(run.look._replace(ground=BACKGROUND), f"s{len(looks)}")
            parts.append(
                f'<text class="{name}" x="{x:g}" y="{CELL_HEIGHT - 4:g}" textLength="{width:g}" '
                f'xml:space="preserve">{escape(run.text)}</text>'
            )
    return "".join(parts)


def _declarations(look: Look) -> str:
    weight = "font-weight:bold;" if look.bold else ""
    slope = "font-style:italic;" if look.italic else ""
    line = "text-decoration:underline;" if look.underlined else ""
    return f"fill:{look.color};{weight}{slope}{line}"


def make_database(path: Path, seed: int) -> None:
    """Write a database of which a compaction frees half: values overwritten and keys deleted."""
    dice = random.Random(seed)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_target_file_size_base(4 << 20)
    options.set_write_buffer_size(8 << 20)
    options.set_max_bytes_for_level_base(32 << 20)
    path.mkdir(parents=True)
    database = Rdict(str(path), options)
    for number in range(KEYS):
        database[b"city:%06d" % number] = dice.randbytes(900)
    database.flush()
    database.compact_range(None, None)
    for number in range(KEYS):
        if number % 5 == 0:
            database[b"city:%06d" % number] = dice.randbytes(900)
        elif number % 5 < 3:
            del database[b"city:%06d" % number]
    database.flush()
    database.close()


def main() -> None:
    """Make the databases, play the story and write the picture."""
    parents = [path.parent for path in DATABASES]
    if any(parent.exists() for parent in parents):
        raise SystemExit(f"{' and '.join(map(str, parents))} must not exist: the databases are made there")
    try:
        for seed, path in enumerate(DATABASES):
            make_database(path, seed)
        with tempfile.TemporaryDirectory(prefix="jobtui-record-") as root:
            config = Path(root, "config.toml")
            config.write_text(CONFIG, encoding="utf-8")
            command = [sys.executable, "-m", "jobtui", "--config", str(config), "--data-dir", f"{root}/data"]
            with Screen(command, size=(COLUMNS, ROWS)) as screen:
                session = Session(screen)
                tell_story(session)
        OUTPUT.write_text(animate(list(session.frames())), encoding="utf-8")
        print(f"{OUTPUT.name}: {OUTPUT.stat().st_size / 1024:.0f} KiB")
    finally:
        for parent in parents:
            shutil.rmtree(parent, ignore_errors=True)


if __name__ == "__main__":
    main()
