"""The table and the picture of docs/performance.md, made of what `--json` wrote: no number is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._plot import plot

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PICTURE = "performance.svg"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def write_figures(figures: Path, page: Path = PAGE) -> None:
    """Write the figures into the page, between its markers, and their chart next to it.

    Raises ValueError if the page has no markers.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} followed by {END}")
    report = json.loads(figures.read_text(encoding="utf-8"))
    page.with_name(PICTURE).write_text(plot(report["figures"]), encoding="utf-8")
    shown = f"{table(report)}\n![Each figure as a share of its goal]({PICTURE})\n"
    page.write_text(f"{before}{BEGIN}\n\n{shown}\n{END}{after}", encoding="utf-8")


def table(report: Mapping[str, Any]) -> str:
    """The machine, and a row a figure."""
    machine = report["machine"]
    lines = [
        f"Measured on {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
        f"{', --quick' if report['quick'] else ''}.",
        "",
        "| figure | median | lowest to highest | goal | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    return "\n".join([*lines, *map(_row, report["figures"]), ""])


def _row(figure: Mapping[str, Any]) -> str:
    unit = figure["unit"] if figure["unit"] in ("×", "%") else f" {figure['unit']}"
    if figure["value"] is None:
        return f"| {_cell(figure['name'])} | – | – | {figure['goal'] or ''} | {_cell(figure['note'])} |"
    mark = "" if figure["goal"] is None else "met" if figure["met"] else "**short**"
    spread = f"{number(figure['low'])} to {number(figure['high'])}"
    value = f"{number(figure['value'])}{unit}"
    return f"| {_cell(figure['name'])} | {value} | {spread} | {figure['goal'] or ''} | {mark} |"


def number(value: float) -> str:
    """Three digits that count, more before a decimal point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
