"""Writes to a terminal that wait no longer than a bounded time.

A terminal accepts no output while its flow is stopped (ctrl+s), while its emulator or multiplexer hangs, or
while its connection is dead without having been reset. A plain write waits for as long as that lasts.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

PATIENCE_SECONDS = 1.0
"""How long a terminal may accept nothing before the rest of the output is discarded."""

_CHUNK_BYTES = 4096
_TICK_SECONDS = 0.05


def reopen(descriptor: int) -> int:
    """Return a non-blocking descriptor of the same terminal, or a duplicate.

    O_NONBLOCK on the descriptor itself would be set for the shell as well: they share one open file.
    """
    try:
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(os.ttyname(descriptor), flags)
    except OSError:  # another user's terminal after `su`, or one outside of this container
        return os.dup(descriptor)


def write_all(descriptor: int, data: bytes, is_late: Callable[[float], bool]) -> bool:
    """Write the data and return True; give up and return False once `is_late` returns True.

    Args:
        descriptor: The terminal, as `reopen` returns it.
        is_late: Called while the terminal accepts nothing, with the seconds since it last accepted something.

    Raises:
        OSError: The terminal is gone.
    """
    last = time.monotonic()
    while data:
        taken = 0
        if select.select([], [descriptor], [], _TICK_SECONDS)[1]:
            try:
                taken = os.write(descriptor, data[:_CHUNK_BYTES])
            except BlockingIOError:
                # there is space for a byte, and a line end needs two
                time.sleep(_TICK_SECONDS)
        if taken:
            data = data[taken:]
            last = time.monotonic()
        elif is_late(time.monotonic() - last):
            return False
    return True


def write_within(descriptor: int, data: bytes, seconds: float = PATIENCE_SECONDS) -> bool:
    """Write to the terminal at `descriptor`; return whether it accepted all in that time.

    Raises:
        OSError: The terminal is gone.
    """
    terminal = reopen(descriptor)
    try:
        return write_all(terminal, data, lambda silent: silent >= seconds)
    finally:
        os.close(terminal)
