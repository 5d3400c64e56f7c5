"""Start of a worker: `python -m jobtui.storage.local.worker PARENT own|adopted DIRECTORY [RATE]`.

PARENT is the process id to live no longer than, RATE the bytes a second of flush and compact writes.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the pipe of orders ends; leave by os._exit: RocksDB aborts where it is torn down at work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, kind, directory, *rate = sys.argv[1:]
    _die_with(int(parent))
    answers = _take_stdout()
    _raise_file_limit()
    try:
        _serve(kind, Path(directory), int(rate[0]) if rate else None, answers)
    except BrokenPipeError:
        os._exit(0)  # the parent is gone
    except Exception as error:  # the parent shows what is said here
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _serve(kind: str, directory: Path, rate: int | None, answers: int) -> None:
    from jobtui.storage.local.worker.options import Shared
    from jobtui.storage.local.worker.own import OwnKeeper
    from jobtui.storage.local.worker.serve import Server

    shared = Shared(rate)

    def keep(place: str, create: bool) -> OwnKeeper:
        keeper = OwnKeeper(directory / place, shared)
        if create:
            keeper.create()
        return keeper

    Server(directory, keep, answers).run(sys.stdin.buffer)


def _take_stdout() -> int:
    """Keep stdout for the protocol alone: what anybody else prints goes to stderr from here on."""
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
        return  # the usual limit does for all but many spaces


if __name__ == "__main__":
    main()
