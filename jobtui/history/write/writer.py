"""The threads of a history that is open for writing.

A thread that waits for a commit writes all waiting commits itself, which saves two thread switches. Commits
that no thread waits for (asyncio, a callback) are written by the writer thread. The maintenance thread seals
and archives concurrently.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

import msgspec
from typing_extensions import override

from jobtui.errors import StoreError, StoreFailed, StoreFull
from jobtui.history.format.archive import ArchiveResult
from jobtui.history.format.disk import is_full
from jobtui.history.format.quarantine import Health
from jobtui.history.work_steps import Steps, run_cooperatively
from jobtui.history.write.archiver import archive, restore
from jobtui.history.write.segment_store import CommitUncertain, SealRequest
from jobtui.history.write.store import Store
from jobtui.model import Job
from jobtui.os_errors import describe_os_error

_MAX_GROUP: Final = 512
"""Commits that share one sync at most."""
_SEAL_ATTEMPTS: Final = 8
"""Attempts to seal the jobs to archive: a second one is needed only if a sync fails during the first."""
_POLL_SECONDS: Final = 0.01
_STOP_POLLING_AFTER: Final = 0.1
"""Seconds after the last commit until the writer thread stops polling for commits that no thread waits for."""


class CommitFuture(Future[None]):
    """The future of a commit, done when it is durable.

    A thread that waits for it writes the commit.
    """

    def __init__(self, writer: Writer, jobs: tuple[Job, ...]) -> None:
        super().__init__()
        self._writer, self.jobs = writer, jobs

    @override
    def cancel(self) -> bool:
        return False  # a commit cannot be withdrawn

    @override
    def result(self, timeout: float | None = None) -> None:
        if not self.done():
            self._writer.write_in_caller()
        return super().result(timeout)

    @override
    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self.done():
            self._writer.write_in_caller()
        return super().exception(timeout)

    @override
    def add_done_callback(self, fn: Callable[[Future[None]], Any]) -> None:
        super().add_done_callback(fn)
        if not self.done():
            self._writer.wake()


class _ArchiveRequest(msgspec.Struct, frozen=True):
    """A request to `move` jobs to the archive or back; `what` is its verb in messages."""

    first: int
    last: int
    done: Future[ArchiveResult]
    move: Callable[[Store, int, int], Steps[ArchiveResult]]
    what: str


def _archive(store: Store, first: int, last: int) -> Steps[ArchiveResult]:
    return archive(store.segments, first, last)


def _restore(store: Store, first: int, last: int) -> Steps[ArchiveResult]:
    return restore(store.segments, store.archives, first, last)


class Writer:
    """The writer: a queue of commits and archive requests from any thread, executed in order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._queue: deque[CommitFuture | _ArchiveRequest] = deque()
        self._main_thread = threading.main_thread().ident
        self._store_lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._closed = False
        self._is_polling = self._has_new_commit = False
        self._wake = threading.Lock()
        self._wake.acquire()
        self._maintenance_idle = threading.Event()
        self._maintenance_idle.set()
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def new_id(self) -> int:
        """Return an id that no job has had."""
        with self.store.state.mutex:
            job_id = self.store.state.next_id
            self.store.state.next_id += 1
        return job_id

    def commit(self, jobs: tuple[Job, ...]) -> Future[None]:
        """Queue a commit, as described in History."""
        done = CommitFuture(self, jobs)
        if self._enqueue(done, done):
            self._has_new_commit = True
            if not self._is_polling:
                self._is_polling = True
                self.wake()
        return done

    def archive(self, first: int, last: int) -> Future[ArchiveResult]:
        """Queue an archive request, as described in History."""
        return self._request(_ArchiveRequest(first, last, Future(), _archive, "archived"))

    def restore(self, first: int, last: int) -> Future[ArchiveResult]:
        """Queue a request to restore, as described in History."""
        return self._request(_ArchiveRequest(first, last, Future(), _restore, "restored"))

    def _request(self, request: _ArchiveRequest) -> Future[ArchiveResult]:
        if self._enqueue(request, request.done):
            self.wake()
        return request.done

    def retry(self) -> bool:
        """Retry writes that a full disk prevented, as described in History."""
        with self._store_lock:
            return self.store.retry()

    def set_address(self, address: str) -> None:
        """Record this process's address in LOCK."""
        with self._store_lock:
            self.store.set_address(address)

    def write_in_caller(self) -> None:
        """Write the waiting commits in this thread, unless another one is writing.

        The main thread leaves it to the writer thread: a signal handler's exception could interrupt a write.
        """
        if threading.get_ident() != self._main_thread and self._store_lock.acquire(blocking=False):
            try:
                self._write_waiting(in_caller=True)
            finally:
                self._store_lock.release()
        if self._queue:
            self.wake()

    def wake(self) -> None:
        """Wake the writer thread, so that it checks the queue now."""
        with contextlib.suppress(RuntimeError):
            self._wake.release()

    def close(self) -> None:
        """Execute the queued requests, then close the history."""
        with self._queue_lock:
            if self._closed:
                return
            self._closed = True
        self.wake()
        self._thread.join()
        while True:
            self._maintenance_idle.wait()  # without the lock, which the maintenance thread may need
            with self._store_lock:
                if self._maintenance_idle.is_set():
                    self.store.close()
                    return

    def _enqueue(self, request: CommitFuture | _ArchiveRequest, done: Future[Any]) -> bool:
        with self._queue_lock:
            if not self._closed:
                self._queue.append(request)
                return True
        done.set_exception(StoreFailed("The history is closed"))
        return False

    # ---- the writer's thread

    def _run(self) -> None:
        quiet_at = 0.0
        while self._queue or not self._closed:
            # commits that did not fit into the last group need no wake-up of their own
            is_behind = len(self._queue) > (_MAX_GROUP if self._is_polling else 0)
            woken = is_behind or self._wake.acquire(timeout=_POLL_SECONDS if self._is_polling else -1)
            if self._has_new_commit:
                self._has_new_commit, quiet_at = False, time.monotonic() + _STOP_POLLING_AFTER
            elif self._is_polling and time.monotonic() > quiet_at:
                # before the queue is checked for the last time: a later commit wakes this thread
                self._is_polling = False
            # while it polls, it need not wait for a thread that is writing
            if self._store_lock.acquire(blocking=woken or not self._is_polling):
                try:
                    self._write_waiting()
                    request = self._next_archive()
                    self.store.write_status()
                finally:
                    self._store_lock.release()
                if request is not None:
                    self._start_archive(request)

    def _write_waiting(self, *, in_caller: bool = False) -> None:
        """Write the commits before the first archive request. The caller holds `_store_lock`."""
        queue, commits = self._queue, list[CommitFuture]()
        while queue and isinstance(request := queue[0], CommitFuture) and len(commits) < _MAX_GROUP:
            commits.append(request)
            queue.popleft()
        if commits:
            self._write(commits, in_caller=in_caller)

    def _next_archive(self) -> _ArchiveRequest | None:
        """Remove and return the next request if it is to archive."""
        if self._queue and isinstance(request := self._queue[0], _ArchiveRequest):
            self._queue.popleft()
            return request
        return None

    def _write(self, commits: Sequence[CommitFuture], *, in_caller: bool) -> None:
        """Write commits.

        If a waiting caller writes them, the writer thread updates LOCK afterwards.
        """
        try:
            refusals = self.store.write([commit.jobs for commit in commits])
        except Exception as error:
            # a defect, not the disk: the state in memory may differ from the disk
            self.store.fail(error)
            for commit in commits:
                commit.set_exception(error)
            return
        if not (self._is_polling and in_caller):
            self.store.write_status()
        for commit, refusal in zip(commits, refusals, strict=True):
            if refusal is None:
                commit.set_result(None)
            else:
                commit.set_exception(refusal)
        if self.store.must_seal and self._maintenance_idle.is_set():
            self._start_seal()

    def _start_seal(self) -> None:
        try:
            seal_request = self.store.rotate()
        except OSError:
            return  # the journal is written on, and sealed when it is longer
        try:
            self._start_maintenance(lambda: self._run_seal(seal_request))
        except OSError as error:
            self.store.postpone_seal(error)

    def _start_archive(self, request: _ArchiveRequest) -> None:
        if not request.done.set_running_or_notify_cancel():
            return
        while True:
            self._maintenance_idle.wait()
            with self._store_lock:
                if self._maintenance_idle.is_set():
                    self._rotate_for_archive(request)
                    return

    def _rotate_for_archive(self, request: _ArchiveRequest) -> None:
        refusal = self.store.refusal()
        if refusal is not None:
            request.done.set_exception(refusal)
            return
        try:
            seal_request = self.store.rotate() if self.store.has_unsealed(request.first, request.last) else None
        except OSError as error:
            request.done.set_exception(self._archive_error(error, request))
            return
        archive_lock = self.store.changes.archive_lock
        archive_lock.acquire()
        try:
            self._start_maintenance(lambda: self._run_archive(seal_request, request))
        except OSError as error:
            archive_lock.release()
            request.done.set_exception(self._archive_error(error, request))

    def _archive_error(self, error: OSError, request: _ArchiveRequest) -> StoreError:
        what = f"The jobs were not {request.what}, and nothing was changed: {describe_os_error(error)}"
        if self.store.health is Health.READ_ONLY:
            return StoreFailed(self.store.write_error)
        return StoreFull(what) if is_full(error) else StoreError(what)

    # ---- the maintenance thread

    def _start_maintenance(self, work: Callable[[], None]) -> None:
        """Run `work` on a maintenance thread. Raises OSError if none can be started."""
        thread = threading.Thread(
            target=self._run_maintenance, args=(work,), name="history-maintenance", daemon=True
        )
        self._maintenance_idle.clear()
        try:
            thread.start()
        except RuntimeError as error:
            self._maintenance_idle.set()
            raise OSError(errno.EAGAIN, str(error)) from None

    def _run_maintenance(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._maintenance_idle.set()

    def _rotate_again(self) -> SealRequest:
        """Rotate from the maintenance thread.

        Raises OSError, and StoreError if nothing can be written.
        """
        archive_lock = self.store.changes.archive_lock
        archive_lock.release()  # a thread with the store's lock may wait for it: holding both would deadlock
        with self._store_lock:
            try:
                if (refusal := self.store.refusal()) is not None:
                    raise refusal
                return self.store.rotate()
            finally:
                archive_lock.acquire()

    def _run_seal(self, seal_request: SealRequest) -> None:
        try:
            run_cooperatively(self.store.segments.seal(seal_request))
        except OSError as error:
            if isinstance(error, CommitUncertain):
                self.store.fail(error)
            else:
                self.store.postpone_seal(error)
        except Exception as error:
            self.store.fail(error)

    def _run_archive(self, seal_request: SealRequest | None, request: _ArchiveRequest) -> None:
        try:
            for _ in range(_SEAL_ATTEMPTS):
                if seal_request is None:
                    break
                run_cooperatively(self.store.segments.seal(seal_request))
                seal_request = self._rotate_again() if self.store.must_seal_again(seal_request) else None
            result = run_cooperatively(request.move(self.store, request.first, request.last))
        except OSError as error:
            if isinstance(error, CommitUncertain):
                self.store.fail(error)
            request.done.set_exception(self._archive_error(error, request))
        except StoreError as refusal:
            request.done.set_exception(refusal)
        except Exception as error:
            self.store.fail(error)
            request.done.set_exception(error)
        else:
            request.done.set_result(result)
        finally:
            self.store.changes.archive_lock.release()
