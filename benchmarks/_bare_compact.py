"""The yardstick: `compact_range` of databases, one after the other, with jobtui's options and nothing else.

python -m benchmarks._bare_compact [--in-steps] DIRECTORY...

Prints a line when the databases are open, waits for a line, compacts, and prints the seconds and those of the
processor. With `--in-steps`, a call for each step that jobtui plans, and with its limit of a merge.
"""

from __future__ import annotations

import sys
import time

from rocksdict import Options, Rdict

from jobtui.storage.base import STEP_BYTES, CompactionRequest
from jobtui.storage.local.worker.database import ColumnFamily, DatabaseHandle
from jobtui.storage.local.worker.options import NO_LIMITS, SharedOptions, WriteLimits, full_compaction_options
from jobtui.storage.local.worker.steps import CompactionPlan, StepPart


def main() -> None:
    """Compact the databases that the arguments name."""
    in_steps = sys.argv[1] == "--in-steps"
    limits = WriteLimits(step_bytes=STEP_BYTES) if in_steps else NO_LIMITS
    options = SharedOptions(limits).own
    paths = sys.argv[2 if in_steps else 1 :]
    databases = [Rdict(path, options=options, column_families={"default": options}) for path in paths]
    whole = StepPart("default", None, None, None, 0, 0, 0)
    calls = [
        (database, part)
        for database in databases
        for part in (_plan(database, options, limits) if in_steps else [whole])
    ]
    print("open", flush=True)
    sys.stdin.readline()
    begin, worked = time.perf_counter(), time.process_time()
    for database, part in calls:
        database.compact_range(part.begin, part.end, full_compaction_options())
    print(time.perf_counter() - begin, time.process_time() - worked)
    for database in databases:
        database.close()


def _plan(database: Rdict, options: Options, limits: WriteLimits) -> list[StepPart]:
    """Return the parts of the steps that jobtui plans."""
    families = (ColumnFamily("default", database),)
    handle = DatabaseHandle(database, families, options, limits)
    plan = CompactionPlan(handle, families, CompactionRequest(), STEP_BYTES)
    return [part for step in plan.all_steps(handle) for part in step.parts]


if __name__ == "__main__":
    main()
