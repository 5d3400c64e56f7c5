"""What a history keeps in memory: in a process of its own, where nothing else was in memory before.

python -m benchmarks._index_memory DIRECTORY [sort]      prints the bytes above those of a history just opened
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from jobtui.history import History, Query, Sort


def main() -> None:
    """Load the indexes, sort if requested, and print the bytes."""
    history = History.open(Path(sys.argv[1]), write=False)
    len(history.query(Query()))
    gc.collect()
    before = _resident()
    history.load_indexes()
    loaded = _resident()
    if "sort" in sys.argv:
        view = history.query(Query(sort=Sort.TOOK))
        view.prepare()
        del view
        gc.collect()
    print(max(loaded, _resident()) - before)
    history.close()


def _resident() -> int:
    """Return the bytes of this process that are in memory and not shared."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * 4096


if __name__ == "__main__":
    main()
