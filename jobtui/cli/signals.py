"""The signals that ask a process to end, kept from the start on until something can be done about them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def kept_signals() -> Iterator[list[signal.Signals]]:
    """Keep what arrives until the block ends, in a list that grows; a signal that is ignored stays ignored.

    An engine runs queued jobs as soon as it is open: from then on a signal may not simply end the process.
    A second one does, since the user does not want to wait.
    """
    received: list[signal.Signals] = []

    def keep(number: int, _frame: object) -> None:
        if number != signal.SIGHUP and not is_hangup(received):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        received.append(signal.Signals(number))

    before = {
        number: signal.signal(number, keep)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_hangup(received: Sequence[signal.Signals]) -> bool:
    """Return whether nothing but SIGHUP came.

    One hang-up sends several: the kernel to the session's leader and to the process group in the foreground,
    the shell to its jobs, and the process in front to the one behind it.
    """
    return all(one is signal.SIGHUP for one in received)
