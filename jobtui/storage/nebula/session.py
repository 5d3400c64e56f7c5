"""A thread that carries statements to graphd: one connection, one session, one statement at a time.

The loop never waits for the network. A mirror has two couriers, so that what a person orders never waits
behind a look that is slow.

A look (`ask`) does no harm twice: when its answer is lost it is asked once more over a new connection. An
order is sent at most once. Only a session that graphd no longer knows makes it go again, after one new
login: graphd turns such a statement away before it reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.nebula.ngql import ErrorReply, Reply
from jobtui.storage.nebula.settings import Address, ClusterSettings, LiteralPassword

if TYPE_CHECKING:
    from jobtui.storage.nebula.thrift import GraphdConnection

T = TypeVar("T")
SESSION_GONE = frozenset({"E_SESSION_INVALID", "E_SESSION_TIMEOUT"})
CLOSE_SECONDS = 1.0
TYPED = "the password was typed: the next start asks for it again"
_Call = tuple[Future[Any], Callable[[], Any]]


class GraphdSession:
    """See the module. `ask`, `order`, `connect` and `close` belong to one loop; the rest is the thread's."""

    def __init__(self, settings: ClusterSettings, name: str) -> None:
        self._settings = settings
        self._errands: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"jobtui-{name}", daemon=True)
        self._closed = False
        self._line: GraphdConnection | None = None
        self._session: int | None = None
        self._turn = 0

    @property
    def address(self) -> str:
        """Where the connection leads, "" while there is none."""
        line = self._line
        return str(line.address) if line is not None else ""

    async def connect(self) -> str:
        """Make sure that a graphd answers, or connect to another; the address it is at. Raises StorageError."""
        return await self._send(self._connect)

    async def ask(self, text: str, begun: Callable[[], object] = lambda: None) -> Reply:
        """Say something that only looks. Raises StorageError where no graphd answered.

        `begun` is called, in the loop, when its turn has come.
        """
        loop = asyncio.get_running_loop()

        def act() -> Reply:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any longer
                loop.call_soon_threadsafe(begun)
            return self._ask(text)

        return await self._send(act)

    async def order(self, text: str) -> Reply:
        """Say something that changes the cluster. Raises StorageError, `outcome_unknown` where it was sent.

        Cancelled before its turn has come, it is never sent.
        """
        return await self._send(lambda: self._order(text))

    async def close(self) -> None:
        """End the session and the thread. A statement under way is given a second, then cut off."""
        if self._closed:
            return
        self._closed = True
        if not self._thread.is_alive():
            return
        ended: Future[None] = Future()
        self._errands.put((ended, self._log_out))
        self._errands.put(None)
        farewell = asyncio.wrap_future(ended)
        done, _ = await asyncio.wait([farewell], timeout=CLOSE_SECONDS)
        line = self._line
        if not done and line is not None:
            line.cut()
            await asyncio.wait([farewell], timeout=CLOSE_SECONDS)

    async def _send(self, errand: Callable[[], T]) -> T:
        self._check_open()
        if not self._thread.is_alive():
            self._thread.start()
        carried: Future[T] = Future()
        self._errands.put((carried, errand))
        return await asyncio.wrap_future(carried)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(ErrorCode.UNREACHABLE, "", "", "the connection to the cluster is closed")

    # ---- in the thread

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            future, act = errand
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = act()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
        self._drop()

    def _connect(self) -> str:
        if self._line is not None and not self._line.alive():
            self._drop()
        line, _ = self._ready()
        return str(line.address)

    def _ask(self, text: str) -> Reply:
        fresh = self._line is None
        try:
            return self._say(text)
        except StorageError as error:
            if fresh or error.code not in (ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT):
                raise
        return self._say(text)

    def _order(self, text: str) -> Reply:
        if self._line is not None and not self._line.alive():
            self._drop()  # found out before anything was sent
        line, session = self._ready()
        reply = self._execute(line, session, text, order=True)
        if _session_is_gone(reply):
            reply = self._execute(line, self._log_in(line), text, order=True)
        return reply

    def _say(self, text: str) -> Reply:
        line, session = self._ready()
        reply = self._execute(line, session, text)
        if _session_is_gone(reply):
            reply = self._execute(line, self._log_in(line), text)
        return reply

    def _execute(self, line: GraphdConnection, session: int, text: str, *, order: bool = False) -> Reply:
        try:
            return line.execute(session, text)
        except StorageError as error:
            self._drop()
            raise StorageError(error.code, error.host, "", error.detail, outcome_unknown=order) from None

    def _ready(self) -> tuple[GraphdConnection, int]:
        self._check_open()
        if self._line is None:
            self._line = self._dial()
        if self._session is None:
            return self._line, self._log_in(self._line)
        return self._line, self._session

    def _dial(self) -> GraphdConnection:
        try:
            from jobtui.storage.nebula.thrift import GraphdConnection
        except ImportError as error:
            text = f"a NebulaGraph cluster needs the extra 'nebula' (pip install 'jobtui[nebula]'): {error}"
            raise StorageError(ErrorCode.UNSUPPORTED, "", "", text) from None

        problems: list[StorageError] = []
        for address in self._in_turn():
            try:
                return GraphdConnection.open(address, self._settings)
            except StorageError as error:
                problems.append(error)
        raise _together(problems)

    def _in_turn(self) -> Iterator[Address]:
        addresses = self._settings.addresses
        for _ in addresses:
            yield addresses[self._turn % len(addresses)]
            self._turn += 1  # reached only where that address failed

    def _log_in(self, line: GraphdConnection) -> int:
        self._session = None
        try:
            self._session = line.log_in(self._settings.user, self._settings.password.read())
        except StorageError as error:
            self._drop()
            if error.code is ErrorCode.ACCESS and isinstance(self._settings.password, LiteralPassword):
                raise StorageError(error.code, error.host, "", f"{error.detail}; {TYPED}") from None
            raise
        return self._session

    def _drop(self) -> None:
        """Let go of a connection that failed, and go to the next graphd first. The session is the cluster's."""
        if self._line is not None:
            self._line.close()
            self._line = None
            self._turn += 1

    def _log_out(self) -> None:
        if self._line is not None and self._session is not None:
            with contextlib.suppress(StorageError):
                self._line.log_out(self._session)
            self._line = None


def _session_is_gone(reply: Reply) -> bool:
    return isinstance(reply, ErrorReply) and reply.code in SESSION_GONE


def _together(problems: list[StorageError]) -> StorageError:
    """One error of those of all addresses: its own code where they agree."""
    codes = {problem.code for problem in problems}
    code = codes.pop() if len(codes) == 1 else ErrorCode.UNREACHABLE
    host = problems[0].host if len(problems) == 1 else ""
    told = dict.fromkeys(
        f"{problem.host}: {problem.detail}" if problem.host else problem.detail for problem in problems
    )
    return StorageError(code, host, "", "; ".join(told))
