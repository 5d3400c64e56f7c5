"""Memory of the dashboard with a million jobs, compared with an empty app, and of an idle engine's workers."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.history_data import count_of
from benchmarks.homes import fresh_home, long_home
from benchmarks.launch import EMPTY
from benchmarks.processes import family, is_worker, megabytes
from benchmarks.screen import launched
from jobtui.engine.client import Session
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile

_SPACES = 12
_WAIT = 120.0


@figure("memory of the dashboard with 1,000,000 jobs, above an empty app's", goal=at_most(60), unit="MB")
def dashboard(run: Run) -> Outcome:
    """Anonymous memory of all its processes but the storage hosts' workers, which are another figure."""
    above, notes = [], []
    for _ in range(1 if run.quick else 3):
        home = long_home(run)  # another one each time: what was sorted by is kept
        with (
            launched(home.jobtui(), home.environment, str(count_of(run))) as ours,
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
            above.append(at_rest - empty)
            notes.append(
                f"{at_rest:.0f} MB, empty app {empty:.0f} MB; sorted by another column "
                f"{megabytes(mine, 'Pss_Anon'):.0f} MB; {len(everyone) - len(mine)} workers"
            )
    return Outcome.of(above, notes[-1])


@figure("memory of the workers of an idle engine, 12 spaces on 3 hosts", goal=at_most(120), unit="MB")
def workers(run: Run) -> Outcome:
    """All spaces hold something and have been opened; shared pages count once."""
    home = fresh_home(run)
    engine = LocalClient.open(Profile("local", home.profile))
    session = Session(None, Path("/"))
    try:
        for number in range(_SPACES):
            name = f"space_{number:02d}"
            _done(engine, session, f"CREATE SPACE {name}")
            engine.load(name, [(b"key%d" % k, os.urandom(500)) for k in range(1000)]).result(_WAIT)
            _done(engine, session, f"ADMIN FLUSH {name}")
        engine.wait_idle().result(_WAIT)
        pids = [pid for pid in family(os.getpid()) if is_worker(pid)]
        used = megabytes(pids, "Pss")
        resident = megabytes(pids, "Rss")
    finally:
        engine.close()
    return Outcome.of([used], f"{len(pids)} workers; resident sizes, shared pages in each: {resident:.0f} MB")


def _done(engine: LocalClient, session: Session, text: str) -> None:
    failure = engine.execute(text, session).result(_WAIT).failure
    if failure is not None:
        raise RuntimeError(failure.message)
