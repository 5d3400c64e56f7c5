"""A compact by jobtui, compared with RocksDB's own on an identical copy with the same options."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.figures import Outcome, Run, at_most, figure
from benchmarks.space_data import WAIT, copy_of, databases, done, megabytes, one_host, opened, three_hosts
from jobtui.storage.local.worker.options import FILE

_CORES = 2


@figure("compact of 500 MB on one host ÷ compact_range, bare", goal=at_most(1.05))
def on_one_host(run: Run) -> Outcome:
    """From the statement to the job's durable end."""
    return _compared(run, one_host(run), 1)


@figure("compact on three hosts in parallel ÷ one after the other, bare", goal=at_most(0.7))
def on_three_hosts(run: Run) -> Outcome:
    """RocksDB itself uses two cores for one database, as far as its subcompactions and the disk let it.

    The note has the lowest ratio that is possible: the processor time of the bare work, shared by two cores
    that never wait for the disk, ÷ the time of the bare work. It also has the time that the disk alone takes
    for as many bytes.
    """
    return _compared(run, three_hosts(run), 3)


def _compared(run: Run, profile: Path, hosts: int) -> Outcome:
    ours, theirs, best, disk = [], [], [], []
    for turn in range(2 if run.quick else 7):
        for bare in (turn % 2 == 0, turn % 2 == 1):
            copy = copy_of(profile, run)
            if bare:
                took, worked = _bare(copy)
                theirs.append(took)
                best.append(worked / _CORES / took)
            else:
                ours.append(_ours(copy, hosts))
            shutil.rmtree(copy)
            os.sync()
        disk.append(_written(run))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Outcome.of(
        ratios,
        f"{megabytes(run)} MB; {_median(ours)}; bare {_median(theirs)}; "
        f"by the processor {statistics.median(best):.2f} at best; the disk alone {_median(disk)}",
    )


def _ours(root: Path, hosts: int) -> float:
    with opened(root, hosts) as (engine, session):
        begin = time.perf_counter()
        (job,) = engine.wait_ended(done(engine, session, "ADMIN COMPACT")).result(WAIT)
        took = time.perf_counter() - begin
    if job.status != "finished":
        raise RuntimeError(job.reason)
    return took


def _written(run: Run) -> float:
    """Seconds to write the space's bytes from two threads, each file synced as RocksDB syncs a table."""
    data = random.randbytes(FILE)
    place = run.directory("written")

    def write(number: int) -> None:
        with (place / f"{number}").open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file)

    with ThreadPoolExecutor(_CORES) as threads:
        begin = time.perf_counter()
        for _ in threads.map(write, range(megabytes(run) * 1_000_000 // FILE)):
            pass
        took = time.perf_counter() - begin
    shutil.rmtree(place)
    os.sync()
    return took


def _bare(root: Path) -> tuple[float, float]:
    """Seconds, and those of the processor."""
    command = [sys.executable, "-m", "benchmarks._bare_compact", *databases(root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    took, worked = map(float, ended.stdout.split())
    return took, worked


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s"
