"""The figures of docs/performance.md by machine, as docs/performance.json keeps them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, Self

import msgspec


class AbsoluteValue(msgspec.Struct, frozen=True):
    """A value in absolute numbers with its goal, such as "≤ 1"."""

    value: float
    unit: str
    goal: str
    met: bool


class MeasuredFigure(msgspec.Struct, frozen=True):
    """A figure as it was measured.

    `value`, `low` and `high` are None if it could not be measured, and `rounds` if their number was not kept.
    """

    name: str
    unit: str
    goal: str | None
    met: bool
    value: float | None
    low: float | None
    high: float | None
    rounds: int | None
    note: str
    absolute: AbsoluteValue | None
    limit: str


class Environment(msgspec.Struct, frozen=True):
    """What figures were measured on."""

    system: str
    python: str
    cores: int | None


class Report(msgspec.Struct, frozen=True):
    """The figures of one run, as `--json` writes them."""

    machine: Environment
    quick: bool
    seconds: int
    figures: list[MeasuredFigure]


class PublishedFigure(MeasuredFigure, frozen=True):
    """A figure of the page, with the form of the run that measured it."""

    form: Literal["quick", "whole"]


class PublishedMachine(msgspec.Struct, frozen=True):
    """What the page shows of a machine: its figures in the order in which they were first measured."""

    environment: Environment
    figures: list[PublishedFigure]

    def with_report(self, report: Report, names: Collection[str] | None) -> Self:
        """Return the machine with the figures of a further run in place of their older values.

        Args:
            report: The run, of all figures or of some.
            names: The figures that exist: others are removed. None keeps all.
        """
        form: Literal["quick", "whole"] = "quick" if report.quick else "whole"
        figures = {figure.name: figure for figure in self.figures}
        for figure in report.figures:
            figures[figure.name] = PublishedFigure(**msgspec.structs.asdict(figure), form=form)
        existing = figures.keys() if names is None else names
        return type(self)(report.machine, [figure for figure in figures.values() if figure.name in existing])


def read_report(file: Path) -> Report:
    """Return what `--json` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Report)


def read_machines(file: Path) -> dict[str, PublishedMachine]:
    """Return the published machines by name, none if the file does not exist."""
    if not file.exists():
        return {}
    return msgspec.json.decode(file.read_bytes(), type=dict[str, PublishedMachine])


def write_machines(file: Path, machines: dict[str, PublishedMachine]) -> None:
    """Replace the published machines."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(machines), indent=1) + b"\n")
