"""Start of a worker: `python -m jobtui.storage.local.worker PARENT own HOST-DIRECTORY`, or
`… PARENT adopted DATABASE-DIRECTORY NOTES-DIRECTORY [--wal WAL-DIRECTORY] [--without-cf-paths]`.

The worker exits when the process PARENT does. Both take `--rate` with the bytes a second of flush and compact
writes, and `--step` with the bytes of a compaction's step.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the pipe ends, then exit by os._exit: RocksDB aborts if it is destroyed during work."""
    _ignore_earlier_signals()
    parent, kind, directory, *more = sys.argv[1:]
    _die_with(int(parent))
    answers = _take_stdout()
    _raise_file_limit()
    try:
        _serve(kind, Path(directory), more, answers)
    except BrokenPipeError:
        os._exit(0)  # the parent is gone
    except Exception as error:  # the parent shows this message
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _serve(kind: str, directory: Path, more: Sequence[str], answers: int) -> None:
    from jobtui.storage.local.adoption import Surveyor
    from jobtui.storage.local.worker.database import Opener
    from jobtui.storage.local.worker.openers import AdoptedOpener, OwnOpener
    from jobtui.storage.local.worker.options import SharedOptions, WriteLimits
    from jobtui.storage.local.worker.server import WorkerServer

    def own(name: str, create: bool) -> Opener:
        opener = OwnOpener(directory / name, shared)
        if create:
            opener.create()
        return opener

    def adopted(_directory: str, _create: bool) -> Opener:
        wal = _option(more[1:], "--wal")
        wal_directory = Path(wal) if wal is not None else None
        surveyor = Surveyor(directory, wal_directory, without_cf_paths="--without-cf-paths" in more[1:])
        return AdoptedOpener(directory, Path(more[0]), surveyor, shared)

    rate, step = _option(more, "--rate"), _option(more, "--step")
    shared = SharedOptions(WriteLimits(int(rate) if rate else None, int(step) if step else None))
    WorkerServer(own if kind == "own" else adopted, answers, shared.empty_cache).run(sys.stdin.buffer)


def _option(words: Sequence[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


def _ignore_earlier_signals() -> None:
    """Discard signals that were meant for the starting process; ignore ctrl+c from now on."""
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, before[one])


def _take_stdout() -> int:
    """Reserve stdout for the protocol: all other output goes to stderr from now on."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _raise_file_limit() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        return  # the default limit is enough except for many spaces


if __name__ == "__main__":
    main()
