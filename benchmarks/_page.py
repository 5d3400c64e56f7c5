"""The tables and pictures of docs/performance.md, one per machine, from what `--json` wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._plot import plot

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
_BLOCK = re.compile(r"<!-- machine: (.*?) -->\n.*?<!-- /machine -->\n", re.DOTALL)


def write_figures(figures: Path, machine: str, page: Path = PAGE) -> None:
    """Write a machine's figures into the page, between its markers, and their chart next to it.

    The tables of other machines stay; one that belongs to no machine is removed.

    Raises:
        ValueError: The page has no markers.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    shown, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} followed by {END}")
    report = json.loads(figures.read_text(encoding="utf-8"))
    picture = picture_of(machine)
    page.with_name(picture).write_text(plot(report["figures"]), encoding="utf-8")
    blocks = {found[1]: found[0] for found in _BLOCK.finditer(shown)}
    blocks[machine] = (
        f"<!-- machine: {machine} -->\n### {machine}\n\n{table(report)}\n"
        f"![Each figure of this machine as a share of its goal]({picture})\n<!-- /machine -->\n"
    )
    page.write_text("\n".join([f"{before}{BEGIN}", *blocks.values(), f"{END}{after}"]), encoding="utf-8")


def picture_of(machine: str) -> str:
    """Return the file name of a machine's chart."""
    return f"performance-{re.sub('[^a-z0-9]+', '-', machine.lower()).strip('-')}.svg"


def table(report: Mapping[str, Any]) -> str:
    """Return a line about the machine, and the table with a row for each figure."""
    machine = report["machine"]
    lines = [
        f"Measured on {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
        f"{', --quick' if report['quick'] else ''}, in {-(-report['seconds'] // 60)} minutes.",
        "",
        "| figure | median | lowest to highest | goal | | limit of the machine |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    return "\n".join([*lines, *map(_row, report["figures"]), ""])


def _row(figure: Mapping[str, Any]) -> str:
    unit = figure["unit"] if figure["unit"] in ("×", "%") else f" {figure['unit']}"
    name, goal = _cell(figure["name"]), figure["goal"] or ""
    if figure["value"] is None:
        return f"| {name} | – | – | {goal} | {_cell(figure['note'])} | |"
    mark = "" if figure["goal"] is None else "met" if figure["met"] else "**short**"
    spread = f"{number(figure['low'])} to {number(figure['high'])}"
    value = f"{number(figure['value'])}{unit}"
    return f"| {name} | {value} | {spread} | {goal} | {mark} | {_cell(figure['limit'])} |"


def number(value: float) -> str:
    """Return a number with three significant digits, and all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
