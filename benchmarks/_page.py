"""The tables and charts of docs/performance.md, one per machine, from docs/performance.json."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from benchmarks._plot import plot
from benchmarks._published import (
    AbsoluteValue,
    Environment,
    PublishedFigure,
    PublishedMachine,
    read_machines,
    read_report,
    write_machines,
)
from benchmarks.figures import milliseconds

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def write_figures(report: Path, machine: str, page: Path = PAGE, names: Collection[str] | None = None) -> None:
    """Add a machine's figures to the JSON file next to the page, and render the page and its chart from it.

    Figures that were not measured this time stay, and so do those of other machines.

    Args:
        report: The file that `--json` wrote, of all figures or of some.
        machine: The name of the machine that they were measured on.
        page: The page. The figures between its markers are replaced.
        names: The figures that exist: others are removed from this machine. None keeps all.

    Raises:
        ValueError: The page has no markers.
    """
    published = page.with_suffix(".json")
    machines = read_machines(published)
    run = read_report(report)
    machines[machine] = machines.get(machine, PublishedMachine(run.machine, [])).with_report(run, names)
    rendered = render(page.read_text(encoding="utf-8"), machines)
    write_machines(published, machines)
    page.with_name(picture_of(machine)).write_text(plot(machines[machine].figures), encoding="utf-8")
    page.write_text(rendered, encoding="utf-8")


def render(text: str, machines: dict[str, PublishedMachine]) -> str:
    """Return the text of the page with the tables of these machines, by name, between its markers.

    Raises:
        ValueError: The text has no markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} followed by {END}")
    sections = [_section(name, machine) for name, machine in machines.items()]
    return "\n".join([f"{before}{BEGIN}", *sections, f"{END}{after}"])


def picture_of(machine: str) -> str:
    """Return the file name of a machine's chart."""
    return f"performance-{re.sub('[^a-z0-9]+', '-', machine.lower()).strip('-')}.svg"


def describe_absolute(absolute: AbsoluteValue | None) -> str:
    """Return an absolute value with its goal, "" if there is none: `180 ms (≤ 200 ms: met)`."""
    if absolute is None:
        return ""
    sign, bound = absolute.goal.split()
    value, goal = (
        milliseconds(each) if absolute.unit == "s" else f"{number(each)} {absolute.unit}"
        for each in (absolute.value, float(bound))
    )
    return f"{value} ({sign} {goal}: {'met' if absolute.met else 'short'})"


def number(value: float) -> str:
    """Return a number with three significant digits, and all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _section(name: str, machine: PublishedMachine) -> str:
    """Return the heading of a machine, its table and its chart."""
    lines = [
        f"### {name}",
        "",
        _describe_environment(machine.environment),
        "",
        "| figure | median | lowest to highest | goal | | in absolute numbers | limit of the machine | form |",
        "| --- | ---: | ---: | ---: | --- | --- | --- | --- |",
        *map(_row, machine.figures),
        "",
        f"![Each figure of this machine as a share of its goal]({picture_of(name)})",
        "",
    ]
    return "\n".join(lines)


def _describe_environment(environment: Environment) -> str:
    return f"Measured on {environment.cores} cores, {environment.system}, Python {environment.python}."


def _row(figure: PublishedFigure) -> str:
    value = spread = "–"
    mark = absolute = limit = ""
    if figure.value is not None and figure.low is not None and figure.high is not None:
        unit = figure.unit if figure.unit in ("×", "%") else f" {figure.unit}"
        value = f"{number(figure.value)}{unit}"
        spread = f"{number(figure.low)} to {number(figure.high)}"
        mark = "" if figure.goal is None else "met" if figure.met else "**short**"
        absolute = describe_absolute(figure.absolute)
        if figure.absolute is not None and not figure.absolute.met:
            absolute = f"**{absolute}**"
        limit = figure.limit
    details = "; ".join(filter(None, [absolute, figure.note]))
    cells = (figure.name, value, spread, figure.goal or "", mark, details, limit, figure.form)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
