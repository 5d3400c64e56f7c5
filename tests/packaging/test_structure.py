"""The structure of the code, as CONTRIBUTING.md describes it: imports, names and sizes.

Each list of exceptions may only shrink.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "jobtui").rglob("*.py"))
SOURCES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}

MOST_LINES = 500
MOST_MODULES = 251
"""The target is 200."""

NOUNS = {"feed.py", "formatting.py", "storaged.py"}
"""Module names that end in -ing or -ed and are nouns of the field."""

CLASSES_DEFINED_TWICE: set[str] = set()
PARTICIPLES: set[str] = set()
PRIVATE_TEXTUAL: set[str] = set()
TOO_LONG: set[str] = set()
MERGE_COMMENTS = 0


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {module_name(path): str(path.relative_to(ROOT)) for path in FILES}


@cache
def tree_of(name: str) -> ast.Module:
    """Parse a file when a test asks for it: every process of a run imports this module."""
    return ast.parse(SOURCES[name])


def imported_by(name: str) -> Iterator[str]:
    """Yield the modules of jobtui that a module imports anywhere: at the top, late, or for types only."""
    for node in ast.walk(tree_of(NAMES[name])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.ImportFrom) and node.module in NAMES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in NAMES else node.module


def modules_in_cycles(graph: dict[str, set[str]]) -> set[str]:
    """Return the modules from which a chain of imports leads back to themselves."""
    found = set()
    for name in graph:
        reached: set[str] = set()
        pending = list(graph[name])
        while pending:
            other = pending.pop()
            if other not in reached:
                reached.add(other)
                pending.extend(graph[other])
        if name in reached:
            found.add(name)
    return found


class TestImports:
    def test_no_cycle(self) -> None:
        graph = {name: set(imported_by(name)) - {name} for name in NAMES}
        assert modules_in_cycles(graph) == set()

    def test_cycles_are_found(self) -> None:
        assert modules_in_cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"b", "c"}

    def test_private_textual_stays_in_textual_ext(self) -> None:
        users = set()
        for name in SOURCES:
            for node in ast.walk(tree_of(name)):
                match node:
                    case ast.ImportFrom(module=str(module), names=aliases):
                        imported = [f"{module}.{alias.name}" for alias in aliases]
                    case ast.Import(names=aliases):
                        imported = [alias.name for alias in aliases]
                    case _:
                        continue
                if any(
                    re.match(r"textual\..*\b_(?!_)", each) or each.startswith("textual._") for each in imported
                ):
                    users.add(name)
        assert {name for name in users if not name.startswith("jobtui/tui/textual_ext/")} == PRIVATE_TEXTUAL


class TestNames:
    def test_no_class_name_twice(self) -> None:
        counts = Counter(
            node.name for name in SOURCES for node in ast.walk(tree_of(name)) if isinstance(node, ast.ClassDef)
        )
        assert {name for name, count in counts.items() if count > 1} == CLASSES_DEFINED_TWICE

    def test_module_names_are_nouns(self) -> None:
        suspects = {
            name
            for name in SOURCES
            if re.search(r"(ing|ed)(\.py|/__init__\.py)$", name) and Path(name).name not in NOUNS
        }
        assert suspects == PARTICIPLES


class TestSizes:
    def test_no_file_over_the_limit(self) -> None:
        long = {name for name, source in SOURCES.items() if len(source.splitlines()) > MOST_LINES}
        assert long == TOO_LONG

    def test_no_test_or_benchmark_over_the_limit(self) -> None:
        files = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
        long = [str(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES]
        assert long == []

    def test_number_of_modules(self) -> None:
        assert len(SOURCES) <= MOST_MODULES

    def test_no_merge_comments(self) -> None:
        assert "".join(SOURCES.values()).count("merged from") == MERGE_COMMENTS
