"""The compiled test modules that the processes of a run share.

pytest rewrites the assertions of a test module when it imports it, and keeps the result as a .pyc. In a fresh
clone none is there, and each process of a run would rewrite all 240 modules at the same moment, which took 36
of the CPU seconds of a run with four processes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

WORTH_IT = 40
"""This many modules without a .pyc are compiled in advance; fewer take no time."""


def compile_ahead(config: pytest.Config, tests: Path) -> None:
    """Rewrite the modules below `tests` that were not, in one process a core, before a worker imports them."""
    missing = [path for path in sorted(tests.rglob("test_*.py")) if not _is_compiled(path)]
    hook: Any = config.pluginmanager.rewrite_hook
    if len(missing) < WORTH_IT or hook is None or sys.dont_write_bytecode:
        return
    cores = os.cpu_count() or 1
    children = [_fork(hook, missing[first::cores]) for first in range(cores)]
    for child in children:
        os.waitpid(child, 0)


def _is_compiled(path: Path) -> bool:
    compiled = path.parent.glob(f"__pycache__/{path.stem}.{sys.implementation.cache_tag}-pytest-*.pyc")
    return any(found.stat().st_mtime >= path.stat().st_mtime for found in compiled)


def _fork(hook: Any, paths: Sequence[Path]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        for path in paths:
            _import(hook, path)
    finally:
        os._exit(0)


def _import(hook: Any, path: Path) -> None:
    spec = hook.find_spec(path.stem, [str(path.parent)])
    hook.exec_module(importlib.util.module_from_spec(spec))
