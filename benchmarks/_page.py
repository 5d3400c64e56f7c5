"""The tables and pictures of docs/performance.md, one per machine, from what `--json` wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._plot import plot
from benchmarks.figures import milliseconds

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
_BLOCK = re.compile(r"<!-- machine: (.*?) -->\n.*?<!-- /machine -->\n", re.DOTALL)
_ROW = re.compile(r"^\|(?! figure \|| ---).*\|$", re.MULTILINE)
_BAR = re.compile(r"(?<!\\)\|")
_NUMBER = re.compile(r"-?[\d,.]+(?:e[-+]?\d+)?")


def write_figures(figures: Path, machine: str, page: Path = PAGE, names: Collection[str] | None = None) -> None:
    """Write a machine's figures into the page, between its markers, and their chart next to it.

    Rows of figures that were not measured this time stay, and so do the tables of other machines. A table
    that belongs to no machine is removed.

    Args:
        figures: The file that `--json` wrote, of all figures or of some.
        machine: The machine that they were measured on.
        page: The page.
        names: The figures that exist: rows of others are removed. None keeps all.

    Raises:
        ValueError: The page has no markers.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    shown, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} followed by {END}")
    report = json.loads(figures.read_text(encoding="utf-8"))
    blocks = {found[1]: found[0] for found in _BLOCK.finditer(shown)}
    rows = {row.name: row for row in map(_parse_row, _ROW.findall(blocks.get(machine, "")))}
    form = "quick" if report["quick"] else "whole"
    rows |= {row.name: row for row in (_row(each, form) for each in report["figures"])}
    existing = rows.keys() if names is None else {_cell(name) for name in names}
    kept = [row for row in rows.values() if row.name in existing]
    picture = picture_of(machine)
    page.with_name(picture).write_text(plot([row.figure() for row in kept]), encoding="utf-8")
    blocks[machine] = (
        f"<!-- machine: {machine} -->\n### {machine}\n\n{_table(report['machine'], kept)}\n"
        f"![Each figure of this machine as a share of its goal]({picture})\n<!-- /machine -->\n"
    )
    page.write_text("\n".join([f"{before}{BEGIN}", *blocks.values(), f"{END}{after}"]), encoding="utf-8")


def picture_of(machine: str) -> str:
    """Return the file name of a machine's chart."""
    return f"performance-{re.sub('[^a-z0-9]+', '-', machine.lower()).strip('-')}.svg"


def describe_absolute(absolute: Mapping[str, Any] | None) -> str:
    """Return an absolute value with its goal, "" if there is none: `180 ms (≤ 200 ms: met)`."""
    if absolute is None:
        return ""
    sign, bound = absolute["goal"].split()
    unit = absolute["unit"]
    value, goal = (
        milliseconds(each) if unit == "s" else f"{number(each)} {unit}"
        for each in (absolute["value"], float(bound))
    )
    return f"{value} ({sign} {goal}: {'met' if absolute['met'] else 'short'})"


class _Row(msgspec.Struct, frozen=True):
    """A row of the table: the text of its cells."""

    name: str
    value: str
    spread: str
    goal: str
    mark: str
    absolute: str
    limit: str
    form: str

    def __str__(self) -> str:
        cells = msgspec.structs.astuple(self)
        return f"| {' | '.join(cells)} |"

    def figure(self) -> dict[str, Any]:
        """Return what the chart shows of it."""
        low, _, high = self.spread.partition(" to ")
        measured = bool(high)
        return {
            "name": self.name.replace("\\|", "|"),
            "goal": self.goal or None,
            "met": self.mark == "met",
            "value": _parse_number(self.value) if measured else None,
            "low": _parse_number(low) if measured else None,
            "high": _parse_number(high) if measured else None,
        }


def _table(machine: Mapping[str, Any], rows: Sequence[_Row]) -> str:
    """Return a line about the machine, and the table with a row for each figure."""
    lines = [
        f"Measured on {machine['cores']} cores, {machine['system']}, Python {machine['python']}.",
        "",
        "| figure | median | lowest to highest | goal | | in absolute numbers | limit of the machine | form |",
        "| --- | ---: | ---: | ---: | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(str, rows), ""])


def _row(figure: Mapping[str, Any], form: str) -> _Row:
    unit = figure["unit"] if figure["unit"] in ("×", "%") else f" {figure['unit']}"
    name, goal = _cell(figure["name"]), figure["goal"] or ""
    note = _cell(figure["note"])
    if figure["value"] is None:
        return _Row(name, "–", "–", goal, "", note, "", form)
    mark = "" if figure["goal"] is None else "met" if figure["met"] else "**short**"
    spread = f"{number(figure['low'])} to {number(figure['high'])}"
    value = f"{number(figure['value'])}{unit}"
    absolute = describe_absolute(figure["absolute"])
    if absolute and not figure["absolute"]["met"]:
        absolute = f"**{absolute}**"
    absolute = "; ".join(filter(None, [absolute, note]))
    return _Row(name, value, spread, goal, mark, absolute, _cell(figure["limit"]), form)


def _parse_row(line: str) -> _Row:
    """Return the row of a line that an earlier run wrote."""
    return _Row(*(cell.strip() for cell in _BAR.split(line)[1:-1]))


def _parse_number(text: str) -> float:
    return float(_NUMBER.match(text)[0].replace(",", ""))  # type: ignore[index]  # number() wrote it


def number(value: float) -> str:
    """Return a number with three significant digits, and all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
