"""The threads of a history that is open for writing.

A thread that waits for a commit writes all waiting commits itself, which saves two thread switches. Commits
that no thread waits for (asyncio, a callback) are written by the writer thread. The keeper thread seals and
archives concurrently.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

import msgspec

from jobtui.errors import StoreError, StoreFailed, StoreFull
from jobtui.history.format.archive import ArchiveResult
from jobtui.history.format.disk import is_full
from jobtui.history.format.quarantine import Health
from jobtui.history.steps import run_cooperatively
from jobtui.history.write.archiver import archive
from jobtui.history.write.segment_store import CommitUncertain, SealRequest
from jobtui.history.write.store import Store
from jobtui.model import Job
from jobtui.os_errors import explain

_MAX_GROUP: Final = 512
"""Commits that share one sync at most."""
_SEAL_ATTEMPTS: Final = 8
"""Attempts to seal what is to be archived: only a sync that fails during each one takes more than one."""
_POLL_SECONDS: Final = 0.01
_STOP_POLLING_AFTER: Final = 0.1
"""While commits come, the writer thread looks every few milliseconds for one that nobody waits for, and
stops looking when none came for a while: seconds."""


class CommitFuture(Future[None]):
    """A commit of `jobs`, done when it is durable. A thread that waits for it writes it now."""

    def __init__(self, writer: Writer, jobs: tuple[Job, ...]) -> None:
        super().__init__()
        self._writer, self.jobs = writer, jobs

    def cancel(self) -> bool:
        """Return False: a commit cannot be withdrawn."""
        return False

    def result(self, timeout: float | None = None) -> None:
        """See concurrent.futures.Future."""
        if not self.done():
            self._writer.write_in_caller()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """See concurrent.futures.Future."""
        if not self.done():
            self._writer.write_in_caller()
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[None]], Any]) -> None:
        """See concurrent.futures.Future."""
        super().add_done_callback(fn)
        if not self.done():
            self._writer.wake()


class _ArchiveRequest(msgspec.Struct, frozen=True):
    first: int
    last: int
    done: Future[ArchiveResult]


class Writer:
    """A queue of commits and archive requests from any thread, carried out in order."""

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
        self._keeper_idle = threading.Event()
        self._keeper_idle.set()
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def new_id(self) -> int:
        """Return an id that no job has had."""
        with self.store.state.mutex:
            job_id = self.store.state.next_id
            self.store.state.next_id += 1
        return job_id

    def commit(self, jobs: tuple[Job, ...]) -> Future[None]:
        """See History.commit."""
        done = CommitFuture(self, jobs)
        if self._enqueue(done, done):
            self._has_new_commit = True
            if not self._is_polling:
                self._is_polling = True
                self.wake()
        return done

    def archive(self, first: int, last: int) -> Future[ArchiveResult]:
        """See History.archive."""
        done: Future[ArchiveResult] = Future()
        if self._enqueue(_ArchiveRequest(first, last, done), done):
            self.wake()
        return done

    def retry(self) -> bool:
        """See History.try_again."""
        with self._store_lock:
            return self.store.retry()

    def set_address(self, address: str) -> None:
        """See History.listens_at."""
        with self._store_lock:
            self.store.set_address(address)

    def write_in_caller(self) -> None:
        """Write the commits that are waiting in this thread, unless another is just doing so.

        The main thread leaves it to the writer's: a signal's exception there could come between two steps.
        """
        if threading.get_ident() != self._main_thread and self._store_lock.acquire(blocking=False):
            try:
                self._write_waiting(leading=True)
            finally:
                self._store_lock.release()
        if self._queue:
            self.wake()

    def wake(self) -> None:
        """Wake the writer thread, so that it looks at the queue now."""
        with contextlib.suppress(RuntimeError):
            self._wake.release()

    def close(self) -> None:
        """Carry out the queued requests, then stop."""
        with self._queue_lock:
            if self._closed:
                return
            self._closed = True
        self.wake()
        self._thread.join()
        while True:
            self._keeper_idle.wait()  # without the lock, which the keeper may need
            with self._store_lock:
                if self._keeper_idle.is_set():
                    self.store.close()
                    return

    def _enqueue(self, order: CommitFuture | _ArchiveRequest, done: Future[Any]) -> bool:
        with self._queue_lock:
            if not self._closed:
                self._queue.append(order)
                return True
        done.set_exception(StoreFailed("The history is closed"))
        return False

    # ---- the writer's thread

    def _run(self) -> None:
        quiet_at = 0.0
        while self._queue or not self._closed:
            # what one group left behind goes on without a call: there may have been one for all of it
            behind = len(self._queue) > (_MAX_GROUP if self._is_polling else 0)
            woken = behind or self._wake.acquire(timeout=_POLL_SECONDS if self._is_polling else -1)
            if self._has_new_commit:
                self._has_new_commit, quiet_at = False, time.monotonic() + _STOP_POLLING_AFTER
            elif self._is_polling and time.monotonic() > quiet_at:
                # before the last look: a commit that comes from now on wakes this thread
                self._is_polling = False
            # who is writing just now needs not be waited for while this comes back soon
            if self._store_lock.acquire(blocking=woken or not self._is_polling):
                try:
                    self._write_waiting()
                    order = self._next_archive()
                    self.store.write_status()
                finally:
                    self._store_lock.release()
                if order is not None:
                    self._start_archive(order)

    def _write_waiting(self, *, leading: bool = False) -> None:
        """Write the commits up to the first other order. Only for who has `_one_at_a_time`."""
        orders, commits = self._queue, list[CommitFuture]()
        while orders and isinstance(order := orders[0], CommitFuture) and len(commits) < _MAX_GROUP:
            commits.append(order)
            orders.popleft()
        if commits:
            self._write(commits, leading=leading)

    def _next_archive(self) -> _ArchiveRequest | None:
        """Take the next order, if it is to archive."""
        if self._queue and isinstance(order := self._queue[0], _ArchiveRequest):
            self._queue.popleft()
            return order
        return None

    def _write(self, commits: Sequence[CommitFuture], *, leading: bool) -> None:
        """Write commits. With `leading`, in a waiting thread, the writer thread updates LOCK afterwards."""
        try:
            refusals = self.store.write([commit.jobs for commit in commits])
        except Exception as error:
            # not the disk's fault but ours: what is in memory may not be what is on disk any more
            self.store.fail(error)
            for commit in commits:
                commit.set_exception(error)
            return
        if not (self._is_polling and leading):
            self.store.write_status()
        for commit, refusal in zip(commits, refusals, strict=True):
            if refusal is None:
                commit.set_result(None)
            else:
                commit.set_exception(refusal)
        if self.store.must_seal and self._keeper_idle.is_set():
            self._start_seal()

    def _start_seal(self) -> None:
        with contextlib.suppress(OSError):
            sealing = self.store.rotate()
            self._start_keeper(lambda: self._run_seal(sealing))

    def _start_archive(self, order: _ArchiveRequest) -> None:
        if not order.done.set_running_or_notify_cancel():
            return
        while True:
            self._keeper_idle.wait()
            with self._store_lock:
                if self._keeper_idle.is_set():
                    self._rotate_for_archive(order)
                    return

    def _rotate_for_archive(self, order: _ArchiveRequest) -> None:
        refusal = self.store.refusal()
        if refusal is not None:
            order.done.set_exception(refusal)
            return
        try:
            sealing = self.store.rotate() if self.store.has_unsealed(order.first, order.last) else None
        except OSError as error:
            order.done.set_exception(self._archive_error(error))
            return
        self.store.changes.archive_lock.acquire()
        self._start_keeper(lambda: self._run_archive(sealing, order))

    def _archive_error(self, error: OSError) -> StoreError:
        what = f"The jobs were not archived, and are where they were: {explain(error)}"
        if self.store.health is Health.READ_ONLY:
            return StoreFailed(self.store.write_error)
        return StoreFull(what) if is_full(error) else StoreError(what)

    # ---- the keeper's thread

    def _start_keeper(self, chore: Callable[[], None]) -> None:
        self._keeper_idle.clear()
        threading.Thread(target=self._run_keeper, args=(chore,), name="history-keeper", daemon=True).start()

    def _run_keeper(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        finally:
            self._keeper_idle.set()

    def _rotate_again(self) -> SealRequest:
        """Rotate from the keeper's thread. Raises OSError, and StoreError where nothing can be written."""
        moving = self.store.changes.archive_lock
        moving.release()  # whoever writes may wait for it, and is waited for here
        with self._store_lock:
            try:
                if (refusal := self.store.refusal()) is not None:
                    raise refusal
                return self.store.rotate()
            finally:
                moving.acquire()

    def _run_seal(self, sealing: SealRequest) -> None:
        try:
            run_cooperatively(self.store.segments.seal(sealing))
        except OSError as error:
            if isinstance(error, CommitUncertain):
                self.store.fail(error)
            else:
                self.store.postpone_seal(error)
        except Exception as error:
            self.store.fail(error)

    def _run_archive(self, sealing: SealRequest | None, order: _ArchiveRequest) -> None:
        try:
            for _ in range(_SEAL_ATTEMPTS):
                if sealing is None:
                    break
                run_cooperatively(self.store.segments.seal(sealing))
                sealing = self._rotate_again() if self.store.must_seal_again(sealing) else None
            result = run_cooperatively(archive(self.store.segments, order.first, order.last))
        except OSError as error:
            if isinstance(error, CommitUncertain):
                self.store.fail(error)
            order.done.set_exception(self._archive_error(error))
        except StoreError as refusal:
            order.done.set_exception(refusal)
        except Exception as error:
            self.store.fail(error)
            order.done.set_exception(error)
        else:
            order.done.set_result(result)
        finally:
            self.store.changes.archive_lock.release()
