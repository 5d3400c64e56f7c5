"""What `ADMIN COMPACT x IF NEEDED` saves over ten nights, compared with a compaction every night.

    python -m benchmarks.nightly            print the table, and draw docs/advice.svg

Three workloads run on real databases, each twice: one space is compacted every night, the other if needed. Both
hold the same pairs, which depend on a fixed seed alone. What the second is larger after the night is the space
that IF NEEDED leaves unreclaimed. Takes about a minute.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.formatting import format_bytes
from jobtui.model import Job
from jobtui.storage.base import Pair

DAYS = 10
KEYS = 30_000
SEED = 20_200_229
WAIT = 300.0
PICTURE = Path(__file__).parent.parent / "docs" / "advice.svg"


class Night(msgspec.Struct, frozen=True):
    """A night of a workload: the bytes of both spaces after it, and whether IF NEEDED compacted.

    `read`: the bytes that the compaction of every night read, and that IF NEEDED read.
    """

    always: int
    needed: int
    is_compacted: bool
    read: tuple[int, int]

    @property
    def unreclaimed(self) -> float:
        """The share of the space that is not in use, by comparison with the one compacted every night."""
        return 1 - self.always / self.needed


def _pair(number: int, rng: random.Random) -> Pair:
    words = [f"{rng.choice('abcdefgh')}{rng.randrange(5000)}" for _ in range(rng.randint(10, 35))]
    return b"city/%07d" % number, " ".join(words).encode()


def growing(day: int, rng: random.Random) -> Iterator[Pair]:
    """Add 5 % each day, and change almost nothing."""
    first = KEYS + day * KEYS // 20
    yield from (_pair(number, rng) for number in range(first, first + KEYS // 20))
    yield from (_pair(rng.randrange(KEYS), rng) for _ in range(KEYS // 200))


def updated(day: int, rng: random.Random) -> Iterator[Pair]:
    """Change 8 % on each working day, and nothing at the weekend."""
    if day % 7 < 5:
        yield from (_pair(number, rng) for number in rng.sample(range(KEYS), KEYS * 8 // 100))


def churning(day: int, rng: random.Random) -> Iterator[Pair]:
    """Change 3 % each day; delete a quarter on the fourth day, and load it again on the eighth."""
    yield from (_pair(number, rng) for number in rng.sample(range(KEYS * 3 // 4), KEYS * 3 // 100))
    if day == 3:
        yield from ((b"city/%07d" % number, None) for number in range(KEYS * 3 // 4, KEYS))
    if day == 7:
        yield from (_pair(number, rng) for number in range(KEYS * 3 // 4, KEYS))


WORKLOADS: dict[str, Callable[[int, random.Random], Iterator[Pair]]] = {
    "grows by 5 % a day": growing,
    "8 % changed on working days": updated,
    "3 % changed, a quarter deleted on day 4": churning,
}


class Statements:
    """An engine over real databases that executes statements."""

    def __init__(self, root: Path) -> None:
        self.engine = LocalClient.open(Profile("local", root, hosts={"h1": None}))
        self.session = Session(None, Path("/"))

    def run(self, text: str) -> Job:
        """Run a statement and return its job, once that has ended."""
        answer = self.engine.execute(text, self.session).result(WAIT)
        if answer.failure is not None:
            raise RuntimeError(answer.failure.message)
        return self.engine.wait_ended(answer.jobs).result(WAIT)[0]

    def load(self, space: str, pairs: Sequence[Pair]) -> None:
        """Load the pairs and flush them to a file."""
        if pairs:
            self.engine.load(space, pairs).result(WAIT)
            self.run(f"ADMIN FLUSH {space}")

    def size(self, space: str) -> int:
        """Return the bytes of the space's files."""
        return self.engine.fetch_stats(space, "h1").result(WAIT).bytes


def simulate(root: Path, workload: Callable[[int, random.Random], Iterator[Pair]]) -> list[Night]:
    """Return the nights of a workload."""
    rng = random.Random(SEED)
    spaces = Statements(root)
    nights = []
    try:
        spaces.engine.execute("CREATE SPACE always; CREATE SPACE needed", spaces.session).result(WAIT)
        begin = [_pair(number, rng) for number in range(KEYS)]
        for space in ("always", "needed"):
            spaces.load(space, begin)
            spaces.run(f"ADMIN COMPACT {space}")
        for day in range(DAYS):
            pairs = list(workload(day, rng))
            for space in ("always", "needed"):
                spaces.load(space, pairs)
            jobs = spaces.run("ADMIN COMPACT always"), spaces.run("ADMIN COMPACT needed IF NEEDED")
            read = tuple(job.tasks[0].before.bytes if job.tasks[0].before else 0 for job in jobs)
            sizes = spaces.size("always"), spaces.size("needed")
            nights.append(Night(*sizes, not jobs[1].not_needed, (read[0], read[1])))
    finally:
        spaces.engine.close()
    return nights


def main() -> None:
    """Run all workloads, print the table and draw the picture."""
    found = {}
    for name, workload in WORKLOADS.items():
        with tempfile.TemporaryDirectory() as root:
            found[name] = simulate(Path(root), workload)
    print("| workload | compactions | saved | rewritten | unreclaimed, on average | at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, nights in found.items():
        print(f"| {name} | {describe(nights)} |")
    PICTURE.write_text(draw(found), encoding="utf-8")
    print(f"{PICTURE.name} drawn", file=sys.stderr)


def describe(nights: Sequence[Night]) -> str:
    """Return the cells of a workload's row."""
    done = sum(night.is_compacted for night in nights)
    read = [sum(night.read[which] for night in nights) for which in (0, 1)]
    shares = [night.unreclaimed for night in nights]
    return " | ".join(
        (
            f"{done} of {len(nights)}",
            f"{len(nights) - done}",
            f"{format_bytes(read[1])} instead of {format_bytes(read[0])}",
            f"{100 * sum(shares) / len(shares):.1f} %",
            f"{100 * max(shares):.1f} %",
        )
    )


_STYLE = (
    "text{font:12px sans-serif;fill:#24292f}.small{font-size:10px}rect.ground{fill:#fff}.axis{stroke:#d0d7de}"
    ".limit{stroke:#cf5c4c;stroke-dasharray:4 3}polyline{fill:none;stroke:#3b7dd8;stroke-width:2}"
    ".done{fill:#3b7dd8}.saved{fill:#fff;stroke:#3b7dd8}"
)
_LEGEND = "unreclaimed after each night, as a share of the space;  ● IF NEEDED compacted   ○ it did not"
_PANEL, _WIDTH, _HEIGHT, _TOP, _LEFT = 270, 220, 130, 50, 45
_MOST = 0.3


def draw(found: dict[str, list[Night]]) -> str:
    """Return an SVG with a panel for each workload: the unreclaimed share night by night."""
    width, height = _LEFT + _PANEL * len(found), _TOP + _HEIGHT + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="100%" height="{height}"/>',
        *(line for place, (name, nights) in enumerate(found.items()) for line in _panel(place, name, nights)),
        f'<text x="{_LEFT}" y="{height - 12}">{escape(_LEGEND)}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(place: int, name: str, nights: Sequence[Night]) -> Iterator[str]:
    left, floor = _LEFT + place * _PANEL, _TOP + _HEIGHT
    saved = sum(not night.is_compacted for night in nights)
    yield f'<text x="{left}" y="20">{escape(name)}</text>'
    yield f'<text x="{left}" y="36">{saved} of {len(nights)} compactions saved</text>'
    for share in (0.0, 0.1, 0.2, 0.3):
        y = floor - share / _MOST * _HEIGHT
        kind = "limit" if share == 0.2 else "axis"
        yield f'<line class="{kind}" x1="{left}" x2="{left + _WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        if not place:
            text = f"{100 * share:.0f} %"
            yield f'<text class="small" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    points = []
    for day, night in enumerate(nights):
        x = left + (day + 0.5) * _WIDTH / len(nights)
        points.append((x, floor - min(_MOST, max(0.0, night.unreclaimed)) / _MOST * _HEIGHT, night))
        yield f'<text class="small" x="{x:.1f}" y="{floor + 14}" text-anchor="middle">{day + 1}</text>'
    yield f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)}"/>'
    for x, y, night in points:
        yield f'<circle class="{"done" if night.is_compacted else "saved"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


if __name__ == "__main__":
    main()
