"""The imports of the history: nothing that delays the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = (
    "asyncio",
    "concurrent.futures",
    "logging",
    "textual",
    "rich",
    "rocksdict",
    "sqlite3",
    "pyparsing",
    "numpy",
)


def _modules(code: str, *arguments: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


def test_importing_the_history_imports_nothing_heavy() -> None:
    assert _modules("import jobtui.history").isdisjoint(HEAVY)


def test_reading_a_page_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from jobtui.history import History, Query\n"
        "history = History.open(Path(sys.argv[1]), write=False)\n"
        "history.query(Query()).page(0, 20)\n"
        "history.close()"
    )
    assert _modules(code, str(tmp_path / "none")).isdisjoint(HEAVY)
