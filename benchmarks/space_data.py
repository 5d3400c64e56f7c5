"""Spaces worth compacting: written by jobtui in layers, made once and copied for each measurement."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Run, once
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile

SPACE = "nba"
WAIT = 600.0
_LAYERS = 8
_VALUE = 1000
_BATCH = 2000


def megabytes(run: Run) -> int:
    """Return the size of a space in this run."""
    return 80 if run.quick else 500


@once
def one_host(run: Run) -> Path:
    """Return a profile whose only host has all of the space."""
    return _made(run, 1)


@once
def three_hosts(run: Run) -> Path:
    """Return a profile whose three hosts have a third each."""
    return _made(run, 3)


def copy_of(profile: Path, run: Run) -> Path:
    """Return a copy: each is synced to disk and in the page cache when it is measured."""
    to = run.directory("copy") / "profile"
    shutil.copytree(profile, to)
    for path in to.rglob("*.sst"):
        path.read_bytes()
    os.sync()
    return to


@contextmanager
def opened(root: Path, hosts: int) -> Iterator[tuple[LocalClient, Session]]:
    """Yield the engine of such a profile, with its databases open."""
    names = {f"host{number}": None for number in range(hosts)}
    engine = LocalClient.open(Profile("local", root, hosts=names))
    try:
        if SPACE in engine.space_names():
            for name in names:
                engine.fetch_stats(SPACE, name).result(WAIT)
        yield engine, Session(SPACE, root)
    finally:
        engine.close()


def databases(root: Path) -> list[str]:
    """Return the directories of the space's databases."""
    return sorted(str(path.parent) for path in (root / "storage").rglob("CURRENT"))


def execute(engine: LocalClient, session: Session, text: str) -> tuple[int, ...]:
    """Execute a statement that must succeed; return the jobs that it submitted."""
    answer = engine.execute(text, session).result(WAIT)
    if answer.failure is not None:
        raise RuntimeError(answer.failure.message)
    return answer.jobs


def _made(run: Run, hosts: int) -> Path:
    if run.cache is None:
        return _filled(run.directory("filled") / "profile", run, hosts)
    kept = run.cache / f"space-{megabytes(run)}-{hosts}"
    if not kept.exists():
        unready = kept.with_suffix(".unready")
        shutil.rmtree(unready, ignore_errors=True)
        _filled(unready, run, hosts).rename(kept)
    return kept


def _filled(root: Path, run: Run, hosts: int) -> Path:
    rng = random.Random(hosts)
    with opened(root, hosts) as (engine, session):
        execute(engine, session, f"CREATE SPACE {SPACE}")
        per_layer = megabytes(run) * 1_000_000 // _VALUE // _LAYERS
        for _ in range(_LAYERS):
            for first in range(0, per_layer, _BATCH):
                count = min(_BATCH, per_layer - first)
                pairs = [(b"%012d" % rng.randrange(10**9), rng.randbytes(_VALUE)) for _ in range(count)]
                engine.load(SPACE, pairs).result(WAIT)
            engine.wait_ended(execute(engine, session, "ADMIN FLUSH")).result(WAIT)
    return root
