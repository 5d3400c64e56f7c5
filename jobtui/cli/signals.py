"""The signals that ask a process to end, from its start until a command handles them itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def exit_interrupted(*_: object) -> None:
    """Exit at once with the status of an interrupt, printing nothing: the early handler of SIGINT."""
    os._exit(128 + signal.SIGINT)


@contextmanager
def hold_signals() -> Iterator[list[signal.Signals]]:
    """Collect the signals that arrive until the block ends in the list that is yielded.

    An engine runs queued jobs as soon as it is open: from then on a signal must not simply end the process.
    A second one does, since the user does not want to wait. An ignored signal stays ignored.
    """
    received: list[signal.Signals] = []

    def hold(number: int, _frame: object) -> None:
        if number != signal.SIGHUP and not is_hangup(received):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        received.append(signal.Signals(number))

    before = {
        number: signal.signal(number, hold)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_hangup(received: Sequence[signal.Signals]) -> bool:
    """Return whether only SIGHUP was received, at least as far as is known.

    One hang-up sends several: the kernel to the session's leader and to the foreground process group, the
    shell to its jobs, and the process in front to the one behind it.
    """
    return all(number is signal.SIGHUP for number in received)
