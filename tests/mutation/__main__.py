"""`python -m tests.mutation`: take out the guards of a package one by one, and list those that no test misses.

Each mutant is tried in a copy of the tree, with the tests of its package until one fails. A full run
takes days, so a run takes a sample, which `--seed` repeats:

    python -m tests.mutation --count 50 --seed 7
    python -m tests.mutation --module jobtui/engine/jobs.py --tests tests/engine/test_commits.py

Survivors that are known, with their reasons, are in survivors.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
# the packages whose every guard has a test, and where their tests are
TESTS = {
    "jobtui/engine": ["tests/engine"],
    "jobtui/history": ["tests/history"],
    "jobtui/storage/local": ["tests/storage"],
}
LONGEST_SECONDS = 1200.0  # for the tests of one mutant: one that hangs is noticed, too
_COPIED = ("jobtui", "styles", "tests", "benchmarks", "docs", "pyproject.toml", "README.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants; returns 1 if one survived."""
    options = _options(arguments)
    chosen = _chosen(options)
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="jobtui-mutation-", dir=options.dir) as directory:
        copy = Path(directory)
        _copy_tree(copy)
        for mutant in chosen:
            begin = time.monotonic()
            survived = _survives(copy, mutant, options.tests or _tests_of(mutant.file))
            verdict = "SURVIVED" if survived else "killed"
            print(f"{verdict:8} {time.monotonic() - begin:5.0f} s  {mutant}", flush=True)
            survivors += [mutant] if survived else []
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed (seed {options.seed})")
    return 1 if survivors else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="how many mutants to try")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--module", action="append", default=[], help="a file instead of all packages")
    parser.add_argument("--line", type=int, action="append", default=[], help="only mutants of this line")
    parser.add_argument("--tests", action="append", default=[], help="tests instead of the package's")
    parser.add_argument("--dir", type=Path, help="where to put the copy of the tree")
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    files = options.module or [
        str(path.relative_to(ROOT)) for package in TESTS for path in sorted((ROOT / package).rglob("*.py"))
    ]
    every = [
        mutant
        for file in files
        for mutant in mutants(ROOT, file)
        if not options.line or mutant.line in options.line
    ]
    return random.Random(options.seed).sample(every, min(options.count, len(every)))


def _tests_of(file: str) -> list[str]:
    return next(tests for package, tests in TESTS.items() if file.startswith(f"{package}/"))


def _copy_tree(copy: Path) -> None:
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "mutation"))
        else:
            shutil.copy(source, copy / name)


def _survives(copy: Path, mutant: Mutant, tests: Sequence[str]) -> bool:
    """Run the tests on the mutant; whether none of them failed."""
    file = copy / mutant.file
    original = file.read_bytes()
    file.write_text(mutant.source, encoding="utf-8")
    # the programs that own the databases of other programs are kept in the cache: without it, their tests fail
    cache = f"cache_dir={ROOT / '.pytest_cache'}"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-o", cache, "-n", "2"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *tests], cwd=copy, env=environment, capture_output=True, timeout=LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        file.write_bytes(original)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
