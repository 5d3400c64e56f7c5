"""A chart of the figures and their goals: a bar for each figure, and one line for all goals."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks._published import PublishedFigure

_ROW, _TEXT, _BARS, _MOST = 22, 470, 360, 2.0
_STYLE = (
    "text{font:12px sans-serif;fill:#24292f}.met{fill:#4c9a6a}.short{fill:#cf5c4c}"
    "line{stroke:#24292f}.spread{stroke-width:1}.goal{stroke-dasharray:4 3}rect.ground{fill:#fff}"
)


def plot(figures: Sequence[PublishedFigure]) -> str:
    """Return an SVG of those figures that have a goal and were measured.

    A bar is the share of its goal that a figure takes, so that less is better for all of them and a bar that
    crosses the dashed line falls short; the thin line is the spread of the rounds. Shares above 2 are cut.
    """
    rows = [figure for figure in figures if figure.goal and figure.value]
    height = _ROW * (len(rows) + 2)
    goal = _TEXT + _BARS / _MOST
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_TEXT + _BARS + 90}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="100%" height="{height}"/>',
        f'<text x="{goal}" y="15" text-anchor="middle">the goal</text>',
        *(line for position, figure in enumerate(rows, 1) for line in _row(figure, position * _ROW)),
        f'<line class="goal" x1="{goal}" x2="{goal}" y1="20" y2="{height - _ROW // 2}"/>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _row(figure: PublishedFigure, top: int) -> list[str]:
    """Return the name, the bar and the spread of a figure that has a goal and was measured."""
    assert figure.goal is not None
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    sign, bound = figure.goal.split()
    share, *spread = (_share(each, sign, float(bound)) for each in (figure.value, figure.low, figure.high))
    low, high = sorted(_TEXT + _width(each) for each in spread)
    middle = top + _ROW // 2
    kind = "met" if figure.met else "short"
    return [
        f'<text x="{_TEXT - 8}" y="{middle + 4}" text-anchor="end">{escape(_short(figure.name))}</text>',
        f'<rect class="{kind}" x="{_TEXT}" y="{top + 4}" width="{_width(share):.1f}" height="{_ROW - 8}"/>',
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{_TEXT + _BARS + 8}" y="{middle + 4}">{share:.2g} of it</text>',
    ]


def _share(value: float, sign: str, bound: float) -> float:
    if sign == "≤":
        return value / bound
    return bound / value if value else _MOST


def _width(share: float) -> float:
    return _BARS * min(share, _MOST) / _MOST


def _short(name: str, most: int = 72) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
