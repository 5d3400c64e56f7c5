"""A compact by jobtui, compared with RocksDB's own on an identical copy with the same options."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.figures import Outcome, Run, alternate, at_most, figure
from benchmarks.space_data import WAIT, copy_of, databases, execute, megabytes, one_host, opened, three_hosts
from jobtui.storage.local.worker.options import FILE_BYTES

_CORES = 2


@figure("compact of 500 MB on one host ÷ compact_range, bare", goal=at_most(1.1))
def on_one_host(run: Run) -> Outcome:
    """From the statement to the job's durable end."""
    data = one_host(run)
    return _compared(run, data, 1, lambda copy: bare_compaction([databases(copy)]))


@figure("compact on three hosts in parallel ÷ three bare processes in parallel", goal=at_most(1.1))
def on_three_hosts(run: Run) -> Outcome:
    """RocksDB itself uses two cores for one database, as far as its subcompactions and the disk let it."""
    data = three_hosts(run)
    outcome = _compared(run, data, 3, lambda copy: bare_compaction([[each] for each in databases(copy)]))
    copy = copy_of(data, run)
    one_by_one, worked = bare_compaction([databases(copy)])
    shutil.rmtree(copy)
    limit = f"two cores allow {worked / _CORES / one_by_one:.2f} of the time of one after the other"
    return msgspec.structs.replace(
        outcome, note=f"{outcome.note}; one after the other {one_by_one:.2f} s", limit=limit
    )


def _compared(run: Run, data: Path, hosts: int, bare: Callable[[Path], tuple[float, float]]) -> Outcome:
    def ours() -> float:
        return _on_a_copy(data, run, partial(_ours, hosts=hosts))

    def yardstick() -> float:
        return _on_a_copy(data, run, lambda copy: bare(copy)[0])

    times, theirs = alternate(2 if run.quick else 7, ours, yardstick)
    disk = _written(run)
    return Outcome.ratio(times, theirs, f"{megabytes(run)} MB; the disk alone {disk:.2f} s")


def _on_a_copy(data: Path, run: Run, measure: Callable[[Path], float]) -> float:
    copy = copy_of(data, run)
    took = measure(copy)
    shutil.rmtree(copy)
    os.sync()
    return took


def _ours(root: Path, *, hosts: int) -> float:
    with opened(root, hosts) as (engine, session):
        begin = time.perf_counter()
        (job,) = engine.wait_ended(execute(engine, session, "ADMIN COMPACT")).result(WAIT)
        took = time.perf_counter() - begin
    if job.status != "finished":
        raise RuntimeError(job.reason)
    return took


def _written(run: Run) -> float:
    """Return the seconds to write the space's bytes from two threads, each file synced as RocksDB syncs it."""
    data = random.randbytes(FILE_BYTES)
    place = run.directory("written")

    def write(number: int) -> None:
        with (place / f"{number}").open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file)

    with ThreadPoolExecutor(_CORES) as threads:
        begin = time.perf_counter()
        for _ in threads.map(write, range(megabytes(run) * 1_000_000 // FILE_BYTES)):
            pass
        took = time.perf_counter() - begin
    shutil.rmtree(place)
    os.sync()
    return took


def bare_compaction(groups: Sequence[Sequence[str]], *, in_steps: bool = False) -> tuple[float, float]:
    """Compact groups of databases, each in a process; return the longest seconds, and the processor's sum.

    `in_steps`: with a call for each step that jobtui plans, instead of one for the whole database.
    """
    options = ["--in-steps"] if in_steps else []
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks._bare_compact", *options, *group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for group in groups
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # its databases are open
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    found = [tuple(map(float, process.communicate()[0].split())) for process in processes]
    return max(took for took, _ in found), sum(worked for _, worked in found)
