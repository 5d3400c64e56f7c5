"""The worker's server: it reads commands, executes each in a thread, and writes the replies.

The loop executes a cancellation itself, so that no running command can delay it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from jobtui import __version__
from jobtui.errors import DECODE_ERRORS
from jobtui.formatting import printable_line
from jobtui.storage.base import OperationProgress, ProgressCallback
from jobtui.storage.local import protocol as p
from jobtui.storage.local.errors import WorkerError, defect_error, system_error
from jobtui.storage.local.worker import pairs
from jobtui.storage.local.worker.compaction import compact
from jobtui.storage.local.worker.compaction_figures import read_figures
from jobtui.storage.local.worker.database import Database, LogTail, Opener
from jobtui.storage.local.worker.operations import OperationRequests, flush
from jobtui.storage.local.worker.stats import read_stall, read_stats

THREADS = 16
# the time that a quitting worker waits for the work under way and for the databases to close
QUIT_SECONDS = 2.0

# returns the opener of the database in a directory; with True, creates the database first
OpenerFactory = Callable[[str, bool], Opener]


class WorkerServer:
    """The server of one pipe. `after_operation` is called after every flush and compaction."""

    def __init__(self, make_opener: OpenerFactory, output: int, after_operation: Callable[[], None]) -> None:
        self._make_opener = make_opener
        self._after_operation = after_operation
        self._output = output
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._databases: dict[str, Database] = {}
        self._operations: dict[int, OperationRequests] = {}
        self._threads = ThreadPoolExecutor(THREADS, "command")

    def run(self, commands: BinaryIO) -> None:
        """Serve until the pipe ends, which means that the parent has exited, or QuitWorker is done."""
        self._send(0, _ready())
        decoder = msgspec.json.Decoder(p.WorkerRequest)
        for line in commands:
            try:
                request = decoder.decode(line)
            except DECODE_ERRORS as error:
                self._send(0, p.WarningReply(f"a command could not be read: {printable_line(str(error))}"))
                continue
            match request.command:
                case p.CancelOperation(target):
                    if (operation := self._operations.get(target)) is not None:
                        operation.cancellation.request()
                    self._send(request.number, p.Done())
                case p.PauseOperation(target):
                    if (operation := self._operations.get(target)) is not None:
                        operation.pause.set()
                    self._send(request.number, p.Done())
                case p.SetWriteRate(target, rate):
                    if (operation := self._operations.get(target)) is not None:
                        operation.rate = rate
                    self._send(request.number, p.Done())
                case p.QuitWorker():
                    self._quit()
                    self._send(request.number, p.Done())
                    return
                case _:
                    if isinstance(request.command, p.FlushDatabase):
                        self._operations[request.number] = OperationRequests()
                    elif isinstance(request.command, p.CompactDatabase):
                        self._operations[request.number] = OperationRequests(request.command.rate)
                    self._threads.submit(self._execute, request)

    def _execute(self, request: p.WorkerRequest) -> None:
        reply: p.WorkerMessage
        try:
            reply = self._reply_to(request.number, request.command)
        except WorkerError as failure:
            reply = p.FailureReply(failure.code, failure.reason)
        except OSError as error:
            failed = system_error(error, "the worker")
            reply = p.FailureReply(failed.code, failed.reason)
        except Exception as error:  # the caller gets an error in any case
            defect = defect_error(error)
            reply = p.FailureReply(defect.code, defect.reason)
        if request.number in self._operations:
            self._after_operation()
        self._send(request.number, reply)
        self._operations.pop(request.number, None)  # after its last reply, for which a quit waits

    def _reply_to(self, number: int, command: p.WorkerCommand) -> p.WorkerMessage:
        match command:
            case p.CreateDatabase(directory):
                self._make_opener(directory, True)
                return p.Done()
            case p.CloseDatabase(directory):
                self._discard_database(directory)
                return p.Done()
            case p.ReadStats(directory):
                return p.StatsReply(self._database(directory).run(read_stats, write=False))
            case p.ReadFigures(directory, figures_request):
                database = self._database(directory)
                return p.FiguresReply(
                    database.run(lambda handle: read_figures(handle, database, figures_request), write=False)
                )
            case p.ReadStall(directory):
                return p.StallReply(self._database(directory).peek(read_stall, ""))
            case p.FlushDatabase(directory):
                cancellation = self._operations[number].cancellation
                database = self._database(directory)
                with self._logging(number, database):
                    return flush(database, cancellation, self._reporter(number))
            case p.CompactDatabase(directory):
                database = self._database(directory)
                with self._logging(number, database):
                    return compact(database, command, self._operations[number], self._reporter(number))
            case p.WritePairs(directory, loaded, sync):
                pairs.write_pairs(self._database(directory), loaded, sync)
                return p.Done()
            case p.ReadPairs(directory, cursor):
                return pairs.read_pairs(self._database(directory), cursor)
            case p.EndRead(directory, cursor):
                self._database(directory).end_cursor(cursor)
                return p.Done()
            case _:
                return _ready()

    def _database(self, directory: str) -> Database:
        with self._lock:
            if directory not in self._databases:
                self._databases[directory] = Database(self._make_opener(directory, False))
            return self._databases[directory]

    def _discard_database(self, directory: str) -> None:
        with self._lock:
            database = self._databases.pop(directory, None)
        if database is not None:
            database.discard()

    @contextmanager
    def _logging(self, number: int, database: Database) -> Iterator[None]:
        """Report what RocksDB logs meanwhile, before the reply, also if the operation fails."""
        tail = LogTail(database)
        try:
            yield
        finally:
            if lines := tail.read():
                self._send(number, p.ProgressReply(None, None, log=lines))

    def _reporter(self, number: int) -> ProgressCallback:
        def report(progress: OperationProgress) -> None:
            self._send(number, p.ProgressReply(**msgspec.structs.asdict(progress)))

        return report

    def _quit(self) -> None:
        for operation in list(self._operations.values()):
            operation.cancellation.request()
        until = time.monotonic() + QUIT_SECONDS
        while self._operations and time.monotonic() < until:
            time.sleep(0.005)  # for their last replies
        with self._lock:
            databases = list(self._databases.values())
        closers = [threading.Thread(target=self._close, args=(one,), daemon=True) for one in databases]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(max(0.0, until - time.monotonic()))

    def _close(self, database: Database) -> None:
        try:
            database.close()
        except WorkerError as failure:
            self._send(0, p.WarningReply(failure.reason))

    def _send(self, number: int, reply: p.WorkerMessage) -> None:
        line = msgspec.json.encode(p.WorkerResponse(number, reply)) + b"\n"
        with self._sending:
            view = memoryview(line)
            while view:
                view = view[os.write(self._output, view) :]


def _ready() -> p.Ready:
    return p.Ready(p.PROTOCOL, __version__)
