"""The acceptor of connections at a Unix socket, which also works when file descriptors run out.

asyncio's own server would log a traceback and leave the client waiting. This one keeps a descriptor in reserve
to accept with, so that every client receives the reason of its rejection. Connections use at most half of the
descriptors, so that the rest of the process keeps working.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Coroutine
from typing import Any

LISTEN_BACKLOG = 100  # clients that the kernel keeps while the loop is busy
MAX_PER_TURN = 20  # connections accepted in one turn of the loop
PAUSE_SECONDS = 1.0  # before accepting again, if there is no descriptor for the reserve either
MAX_CONNECTIONS = 500

Handler = Callable[[socket.socket], Coroutine[Any, Any, None]]


class Acceptor:
    """An acceptor of connections at a `listener` until it is closed; `handle` serves each of them.

    `refusal` returns the line for a rejected client from a reason. `notify` is called when clients are
    rejected, and not again before one has been accepted. For the running loop alone.
    """

    def __init__(
        self,
        listener: socket.socket,
        handle: Handler,
        refusal: Callable[[str], bytes],
        notify: Callable[[str], None],
    ) -> None:
        self._listener = listener
        self._handle = handle
        self._refusal = refusal
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._resume: asyncio.TimerHandle | None = None
        self._reserve: int | None = _spare_descriptor()
        listener.setblocking(False)
        listener.listen(LISTEN_BACKLOG)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more; the connections are served to their end."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        if self._resume is not None:
            self._resume.cancel()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _accept(self) -> None:
        for _ in range(MAX_PER_TURN):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._refuse_with_reserve(error)
                return
            connection.setblocking(False)
            most = max_connections()
            if len(self._tasks) >= most:
                self._refuse(connection, f"{most} clients are connected to it, which is its limit")
                continue
            self._refusing = False
            task = self._loop.create_task(self._handle(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _refuse_with_reserve(self, error: OSError) -> None:
        """Accept one client with the descriptor in reserve, to reject it."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            try:
                connection, _address = self._listener.accept()
            except OSError:
                pass  # another thread was faster, or the client has left
            else:
                reason = error.strerror or str(error)
                self._refuse(connection, f"{reason}; raise its limit (ulimit -n), or end some of its clients")
        try:
            self._reserve = _spare_descriptor()
        except OSError:
            self._loop.remove_reader(self._listener)
            self._resume = self._loop.call_later(
                PAUSE_SECONDS, self._loop.add_reader, self._listener, self._accept
            )

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        text = f"The jobtui that owns this profile accepts no client at the moment: {reason}"
        try:
            connection.setblocking(False)
            connection.send(self._refusal(text))
        except OSError:
            pass  # the client has left
        finally:
            connection.close()
        if not self._refusing:
            self._refusing = True
            self._notify(f"Other jobtui processes cannot submit work here: {reason}")


def max_connections() -> int:
    """Return how many clients are served at once: at most half of the process's file descriptors."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, max(1, soft // 2))


def _spare_descriptor() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
