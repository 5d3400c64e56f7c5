"""What Linux reports of a process and its children: memory, processor time, wake-ups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

_PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for status in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def is_worker(pid: int) -> bool:
    """Return whether it is a storage host's worker."""
    with contextlib.suppress(OSError):
        return b"storage.local.worker" in (_PROC / str(pid) / "cmdline").read_bytes()
    return False


def megabytes(pids: Iterable[int], kind: str) -> float:
    """Return the memory of these processes; shared pages count once. `kind`: Pss, or Pss_Anon."""
    total = 0
    for pid in pids:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            total += int(rest.split()[0]) if name == kind else 0
    return total / 1024


def seconds_run(pids: Sequence[int]) -> float:
    """Return the seconds for which their threads have had a processor."""
    return sum(int(path.read_text().split()[0]) for path in _threads(pids, "schedstat")) / 1e9


def wake_ups(pids: Sequence[int]) -> int:
    """Return how often their threads have waited for something, and so been woken."""
    lines = [line for path in _threads(pids, "status") for line in path.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def _threads(pids: Sequence[int], file: str) -> list[Path]:
    return [path for pid in pids for path in (_PROC / str(pid) / "task").glob(f"*/{file}")]
