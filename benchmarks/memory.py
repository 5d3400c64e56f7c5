"""Memory of the dashboard with a million jobs, compared with an empty app, and of an idle engine's workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.history_data import newest
from benchmarks.homes import Home, fresh_home, long_home
from benchmarks.launch import EMPTY
from benchmarks.processes import family, is_worker, megabytes
from benchmarks.screen import launched
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile

_SPACES = 12
_WAIT = 120.0


@figure("memory of the dashboard with 1,000,000 jobs ÷ an empty app's", goal=at_most(3))
def dashboard(run: Run) -> Outcome:
    """Anonymous memory of all processes except the storage hosts' workers, which are another figure."""
    ratios, note = [], ""
    for _ in range(1 if run.quick else 2):
        home = long_home(run)  # another one each time: an order that was sorted is kept
        with (
            launched(home.jobtui(), home.environment, newest(run)) as ours,
            launched(EMPTY, home.environment, "Ready") as theirs,
        ):
            ours.quiet(1.5)
            ours.presses("page down", 20)
            theirs.presses("down", 20)
            ours.quiet(1.0)
            everyone = family(ours.process.pid)
            mine = [pid for pid in everyone if not is_worker(pid)]
            at_rest = megabytes(mine, "Pss_Anon")
            empty = megabytes([theirs.process.pid], "Pss_Anon")
            ours.send(">")
            ours.quiet(1.5)
            ratios.append(at_rest / empty)
            note = (
                f"{at_rest:.0f} MB, empty app {empty:.0f} MB; sorted by another column "
                f"{megabytes(mine, 'Pss_Anon'):.0f} MB; {len(everyone) - len(mine)} workers"
            )
    return Outcome.of(ratios, note)


@figure("memory of the workers of an idle engine, 12 spaces on 3 hosts ÷ bare processes", goal=at_most(2))
def workers(run: Run) -> Outcome:
    """All spaces hold something and have been opened; the bare processes have the same databases open."""
    home = fresh_home(run)
    engine = LocalClient.open(Profile("local", home.profile))
    session = Session(None, Path("/"))
    try:
        for number in range(_SPACES):
            name = f"space_{number:02d}"
            _execute(engine, session, f"CREATE SPACE {name}")
            engine.load(name, [(b"key%d" % k, os.urandom(500)) for k in range(1000)]).result(_WAIT)
            _execute(engine, session, f"ADMIN FLUSH {name}")
        engine.wait_idle().result(_WAIT)
        pids = [pid for pid in family(os.getpid()) if is_worker(pid)]
        used = megabytes(pids, "Pss")
    finally:
        engine.close()
    by_host = [sorted(str(each.parent) for each in host.rglob("CURRENT")) for host in _hosts(home)]
    bare = _bare([paths for paths in by_host if paths])
    return Outcome.of([used / bare], f"{len(pids)} workers, {used:.0f} MB; bare {bare:.0f} MB")


def _hosts(home: Home) -> list[Path]:
    return [path for path in (home.profile / "storage").iterdir() if path.is_dir()]


def _bare(groups: Sequence[Sequence[str]]) -> float:
    """Return the megabytes of processes that have these databases open and nothing else."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks._bare_compact", *group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for group in groups
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # its databases are open
    used = megabytes([process.pid for process in processes], "Pss")
    for process in processes:
        process.kill()
        process.communicate()
    return used


def _execute(engine: LocalClient, session: Session, text: str) -> None:
    failure = engine.execute(text, session).result(_WAIT).failure
    if failure is not None:
        raise RuntimeError(failure.message)
