"""No import cycles, type-only and late imports included, in the packages that are free of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FREE = ("jobtui.formatting", "jobtui.suggest", "jobtui.model", "jobtui.language")
"""The modules and packages without cycles; the others are added as they are untangled."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in (ROOT / "jobtui").rglob("*.py")}


def imported_by(name: str) -> Iterator[str]:
    """The modules of ours that a module imports anywhere in it; absolute imports only, as ours are."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def modules_of(package: str) -> list[str]:
    return [name for name in MODULES if name == package or name.startswith(f"{package}.")]


def cycle_among(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one cycle, in order; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", FREE)
def test_package_has_no_import_cycle(package: str) -> None:
    graph: dict[str, set[str]] = {}
    pending = modules_of(package)
    while pending:
        name = pending.pop()
        if name not in graph:
            graph[name] = set(imported_by(name)) - {name}
            pending.extend(graph[name])
    assert cycle_among(graph) == []


def test_cycles_are_found() -> None:
    assert set(cycle_among({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}
