"""A session with graphd on a thread of its own, so that the event loop never waits for the network.

There is one connection, and one statement at a time. A job manager has three sessions, so that a command of the
user never waits for a slow list.

A query is harmless to repeat: if its answer is lost, it is sent once more over a new connection. A command is
sent at most once. The one exception is a session that graphd no longer knows: graphd rejects such a statement
before reading it, so it is sent again after one new login.
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
from jobtui.storage.nebula.ngql import ErrorReply, Reply, SameReply
from jobtui.storage.nebula.reconnector import RETRIED
from jobtui.storage.nebula.settings import Address, ClusterSettings, LiteralPassword

if TYPE_CHECKING:
    from jobtui.storage.nebula.thrift import GraphdConnection

T = TypeVar("T")
SESSION_GONE = frozenset({"E_SESSION_INVALID", "E_SESSION_TIMEOUT"})
CLOSE_SECONDS = 1.0  # for the logout, and again for a call that was aborted
TYPED_PASSWORD = "the password was typed: the next start asks for it again"
_Call = tuple[Future[Any], Callable[[], Any]]


class GraphdSession:
    """A session with one of the cluster's graphds.

    The public methods are called in one event loop; the private ones below the connection run in the thread.
    """

    def __init__(self, settings: ClusterSettings, name: str) -> None:
        self._settings = settings
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"jobtui-{name}", daemon=True)
        self._closed = False
        self._connection: GraphdConnection | None = None
        self._session_id: int | None = None
        self._next_address = 0

    @property
    def address(self) -> str:
        """The graphd that it is connected to, "" if there is none."""
        connection = self._connection
        return str(connection.address) if connection is not None else ""

    async def connect(self) -> str:
        """Check the connection, or connect to another graphd, and return its address.

        Raises StorageError.
        """
        return await self._run_in_thread(self._connect)

    async def query(
        self, text: str, on_start: Callable[[], object] = lambda: None, known: str | None = None
    ) -> Reply | SameReply:
        """Execute a statement that changes nothing, and return the answer.

        Args:
            text: The statement.
            on_start: Called in the loop when the statements before this one have been answered.
            known: The digest of the last answer, which is not decoded again; None if no digest is wanted.

        Raises:
            StorageError: no graphd answered.
        """
        loop = asyncio.get_running_loop()

        def call() -> Reply | SameReply:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any longer
                loop.call_soon_threadsafe(on_start)
            return self._query(text, known)

        return await self._run_in_thread(call)

    async def execute(self, text: str) -> Reply:
        """Execute a statement that changes the cluster, at most once, and return the answer.

        If this is canceled while other statements are under way, the statement is never sent.

        Raises:
            StorageError: no graphd answered; with `outcome_unknown` if the statement had been sent.
        """
        return await self._run_in_thread(lambda: self._execute_once(text))

    async def close(self) -> None:
        """End the session and the thread.

        A statement under way has a second to end, then it is aborted.
        """
        if self._closed:
            return
        self._closed = True
        if not self._thread.is_alive():
            return
        result: Future[None] = Future()
        self._calls.put((result, self._log_out))
        self._calls.put(None)
        logged_out = asyncio.wrap_future(result)
        done, _ = await asyncio.wait([logged_out], timeout=CLOSE_SECONDS)
        connection = self._connection
        if not done and connection is not None:
            connection.abort()
            await asyncio.wait([logged_out], timeout=CLOSE_SECONDS)

    async def _run_in_thread(self, call: Callable[[], T]) -> T:
        self._check_open()
        if not self._thread.is_alive():
            self._thread.start()
        result: Future[T] = Future()
        self._calls.put((result, call))
        return await asyncio.wrap_future(result)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(ErrorCode.UNREACHABLE, "", "", "the connection to the cluster is closed")

    # ---- in the thread

    def _run(self) -> None:
        while (queued := self._calls.get()) is not None:
            future, call = queued
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
        self._discard_connection()

    def _connect(self) -> str:
        if self._connection is not None and not self._connection.is_alive():
            self._discard_connection()
        connection, _ = self._open_session()
        return str(connection.address)

    def _query(self, text: str, known: str | None) -> Reply | SameReply:
        self._open_session()
        try:
            return self._query_logged_in(text, known)
        except StorageError as error:
            if error.code not in RETRIED:
                raise
        return self._query_logged_in(text, known)

    def _execute_once(self, text: str) -> Reply:
        if self._connection is not None and not self._connection.is_alive():
            self._discard_connection()  # known before the statement is sent, so that it is not lost
        connection, session_id = self._open_session()
        reply = self._send(lambda: connection.execute(session_id, text), is_command=True)
        if _is_session_gone(reply):
            session_id = self._log_in(connection)
            reply = self._send(lambda: connection.execute(session_id, text), is_command=True)
        return reply

    def _query_logged_in(self, text: str, known: str | None) -> Reply | SameReply:
        connection, session_id = self._open_session()

        def query() -> Reply | SameReply:
            if known is None:
                return connection.execute(session_id, text)
            return connection.query(session_id, text, known)

        reply = self._send(query)
        if _is_session_gone(reply):
            session_id = self._log_in(connection)
            reply = self._send(query)
        return reply

    def _send(self, call: Callable[[], T], *, is_command: bool = False) -> T:
        try:
            return call()
        except StorageError as error:
            self._discard_connection()
            raise StorageError(error.code, error.host, "", error.detail, outcome_unknown=is_command) from None

    def _open_session(self) -> tuple[GraphdConnection, int]:
        self._check_open()
        if self._connection is None:
            self._connection = self._open_connection()
        if self._session_id is None:
            return self._connection, self._log_in(self._connection)
        return self._connection, self._session_id

    def _open_connection(self) -> GraphdConnection:
        try:
            from jobtui.storage.nebula.thrift import GraphdConnection
        except ImportError as error:
            text = f"a NebulaGraph cluster needs the extra 'nebula' (pip install 'jobtui[nebula]'): {error}"
            raise StorageError(ErrorCode.UNSUPPORTED, "", "", text) from None

        problems: list[StorageError] = []
        for address in self._addresses_in_turn():
            try:
                return GraphdConnection.open(address, self._settings)
            except StorageError as error:
                problems.append(error)
        raise _combined(problems)

    def _addresses_in_turn(self) -> Iterator[Address]:
        addresses = self._settings.addresses
        for _ in addresses:
            yield addresses[self._next_address % len(addresses)]
            self._next_address += 1  # reached only if that address failed

    def _log_in(self, connection: GraphdConnection) -> int:
        self._session_id = None
        try:
            self._session_id = connection.log_in(self._settings.user, self._settings.password.read())
        except StorageError as error:
            self._discard_connection()
            if error.code is ErrorCode.ACCESS and isinstance(self._settings.password, LiteralPassword):
                raise StorageError(error.code, error.host, "", f"{error.detail}; {TYPED_PASSWORD}") from None
            raise
        return self._session_id

    def _discard_connection(self) -> None:
        """Close a failed connection; the next one goes to another graphd first.

        The session id is kept: a session belongs to the cluster, not to the graphd that opened it.
        """
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._next_address += 1

    def _log_out(self) -> None:
        if self._connection is not None and self._session_id is not None:
            with contextlib.suppress(StorageError):
                self._connection.log_out(self._session_id)
            self._connection = None


def _is_session_gone(reply: Reply | SameReply) -> bool:
    return isinstance(reply, ErrorReply) and reply.code in SESSION_GONE


def _combined(problems: list[StorageError]) -> StorageError:
    """Return one error for those of all addresses, with their common code if they agree on one."""
    codes = {problem.code for problem in problems}
    code = codes.pop() if len(codes) == 1 else ErrorCode.UNREACHABLE
    host = problems[0].host if len(problems) == 1 else ""
    details = dict.fromkeys(
        f"{problem.host}: {problem.detail}" if problem.host else problem.detail for problem in problems
    )
    return StorageError(code, host, "", "; ".join(details))
