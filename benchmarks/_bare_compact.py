"""The yardstick: `compact_range` of databases, one after the other, with jobtui's options and nothing else.

python -m benchmarks._bare_compact DIRECTORY...

Prints a line when the databases are open, waits for a line, compacts, and prints the seconds and those of the
processor.
"""

from __future__ import annotations

import sys
import time

from rocksdict import Rdict

from jobtui.storage.local.worker.options import SharedOptions, full_compaction_options


def main() -> None:
    """Compact the databases that the arguments name."""
    options = SharedOptions().own
    databases = [Rdict(path, options=options, column_families={"default": options}) for path in sys.argv[1:]]
    print("open", flush=True)
    sys.stdin.readline()
    begin, worked = time.perf_counter(), time.process_time()
    for database in databases:
        database.compact_range(None, None, full_compaction_options())
    print(time.perf_counter() - begin, time.process_time() - worked)
    for database in databases:
        database.close()


if __name__ == "__main__":
    main()
