"""The package: cheap to import, and its public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import jobtui.language


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after `code`."""
    script = f"{code}\nimport sys; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import jobtui.language",
        "from jobtui.language import StatementError, parse, quote_name, unparse, line_and_column",
        "from jobtui.language import parse; assert parse(' ; -- nothing') == []",
        "from jobtui.language.results import format_table, format_json, format_jsonl, format_csv",
    ],
)
def test_pyparsing_and_rich_are_loaded_only_when_needed(code: str) -> None:
    assert not loaded_after(code) & {"pyparsing", "rich", "textual", "rocksdict"}


def test_pyparsing_and_rich_cells_are_loaded_on_first_use() -> None:
    assert "pyparsing" in loaded_after("from jobtui.language import parse; parse('SHOW JOBS')")
    loaded = loaded_after("from jobtui.language.results import cell_width; cell_width('图谱')")
    assert "rich.cells" in loaded
    assert not {"rich.console", "rich.text"} & loaded


@pytest.mark.parametrize("name", jobtui.language.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(jobtui.language, name) is not None


def test_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(jobtui.language, "nothing")
