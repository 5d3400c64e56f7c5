"""Measure every figure, compare it with its goal, and print the table: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import pkgutil
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import benchmarks
from benchmarks import _page
from benchmarks._page import number
from benchmarks._published import AbsoluteValue, Environment, MeasuredFigure, Report
from benchmarks.figures import FIGURES, Figure, Outcome, Run
from jobtui.cli.main import SWITCH_SECONDS

_MINUTES, _QUICK_MINUTES = 20, 5
"""How long a whole run should take at most on two cores: longer, and it is not made before each release."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit status."""
    options = _options(arguments)
    if options.markdown is not None:
        _load_figures()
        names = [each.name for each in FIGURES]
        _page.write_figures(options.markdown, options.machine, names=names)
        return 0
    _load_figures()
    wanted = [each for each in FIGURES if not options.only or any(name in each.name for name in options.only)]
    if not wanted:
        print(f"no figure is called {' or '.join(options.only)}", file=sys.stderr)
        return 2
    if options.list:
        for each in wanted:
            print(each.name)
        return 0
    sys.setswitchinterval(SWITCH_SECONDS)  # as in every process of jobtui
    began = time.monotonic()
    results = []
    with tempfile.TemporaryDirectory(
        prefix="jobtui-benchmarks-",
        dir=options.dir,
        ignore_cleanup_errors=True,  # a server that still ends must not cost the report
    ) as directory:
        run = Run(options.quick, Path(directory), options.cache)
        for turn, each in enumerate(wanted, 1):
            passed = time.monotonic() - began
            print(f"[{turn}/{len(wanted)}, {_minutes(passed)}] {each.name} …", file=sys.stderr, flush=True)
            results.append((each, _measured(each, run)))
    took = time.monotonic() - began
    if options.json is not None:
        report = _report(results, took, quick=options.quick)
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    goal = _QUICK_MINUTES if options.quick else _MINUTES
    print(f"{len(results)} figures in {_minutes(took)} min; a whole run should take at most {goal} min")
    short = [each.name for each, outcome in results if not _met(each, outcome)]
    if short:
        print(f"short of the goal: {', '.join(short)}", file=sys.stderr)
    return 1 if short and options.check else 0


def _load_figures() -> None:
    """Import every module that declares figures."""
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"benchmarks.{module.name}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="figures whose name contains NAME"
    )
    parser.add_argument("--quick", action="store_true", help="measure less, and less exactly")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure misses its goal")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures into FILE, too")
    parser.add_argument(
        "--markdown",
        metavar="FILE",
        type=Path,
        help="add what --json wrote to docs/performance.json, and render docs/performance.md from it",
    )
    parser.add_argument(
        "--machine", metavar="NAME", help="the machine whose figures --markdown adds or replaces"
    )
    parser.add_argument("--dir", metavar="DIR", type=Path, help="where to put files; a real disk, not memory")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="keep the long histories in DIR from run to run"
    )
    parser.add_argument("--list", action="store_true", help="only print the names of the figures")
    options = parser.parse_args(arguments)
    if (options.markdown is None) != (options.machine is None):
        parser.error("--markdown and --machine go together")
    return options


def _measured(each: Figure, run: Run) -> Outcome:
    try:
        outcome = each.measure(run)
    except Exception as error:  # a figure that cannot be measured counts as short, and the others are measured
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        outcome = Outcome(math.nan, math.nan, math.nan, 0, f"not measured: {_first_line(error)}")
    goal = str(each.goal) if each.goal is not None else ""
    mark = "" if each.goal is None else "met" if _met(each, outcome) else "SHORT"
    spread = f"{number(outcome.low)} to {number(outcome.high)}"
    print(f"{each.name:88} {number(outcome.value):>10} {each.unit:6} {goal:>8} {mark:5}  {spread}", flush=True)
    if shown := _page.describe_absolute(_absolute(each, outcome)):
        print(f"    {shown}", flush=True)
    if outcome.note:
        print(f"    {outcome.note}", flush=True)
    if outcome.limit:
        print(f"    limit: {outcome.limit}", flush=True)
    return outcome


def _absolute(each: Figure, outcome: Outcome) -> AbsoluteValue | None:
    """Return the absolute value, its goal and whether it is met; None if the figure has no such goal."""
    if each.absolute is None or outcome.absolute is None:
        return None
    met = each.absolute.met_by(outcome.absolute)
    return AbsoluteValue(outcome.absolute, each.absolute_unit, str(each.absolute), met)


def _met(each: Figure, outcome: Outcome) -> bool:
    if outcome.rounds == 0:
        return False
    return each.goal is None or each.goal.met_by(outcome.value)


def _first_line(error: Exception) -> str:
    """Return what failed, without the screen that may follow; JOBTUI_DEBUG=1 shows the whole."""
    first = str(error).strip().split("\n")[0].rstrip(":")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _report(results: Sequence[tuple[Figure, Outcome]], took: float, *, quick: bool) -> Report:
    system = f"{platform.system()} {platform.machine()}"
    environment = Environment(system, platform.python_version(), os.cpu_count())
    return Report(environment, quick, round(took), [_measured_figure(*result) for result in results])


def _measured_figure(each: Figure, outcome: Outcome) -> MeasuredFigure:
    measured = outcome.rounds > 0
    return MeasuredFigure(
        name=each.name,
        unit=each.unit,
        goal=str(each.goal) if each.goal is not None else None,
        met=_met(each, outcome),
        value=outcome.value if measured else None,
        low=outcome.low if measured else None,
        high=outcome.high if measured else None,
        rounds=outcome.rounds,
        note=outcome.note,
        absolute=_absolute(each, outcome),
        limit=outcome.limit,
    )


if __name__ == "__main__":
    sys.exit(main())
