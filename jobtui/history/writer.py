"""The threads of a history that is written: one puts commits on disk, one seals and archives beside it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from jobtui.history.archive import ArchiveResult
from jobtui.history.errors import Health, StoreError, StoreFailed, StoreFull
from jobtui.history.io import is_full
from jobtui.history.store import Store
from jobtui.history.vault import Sealing, UnsureError
from jobtui.model import Job

Result = TypeVar("Result")

_GROUP = 512
"""Commits that share one sync at most."""


@dataclass(frozen=True, slots=True)
class _Commit:
    jobs: tuple[Job, ...]
    done: Future[None]


@dataclass(frozen=True, slots=True)
class _Archive:
    first: int
    last: int
    done: Future[ArchiveResult]


_Order = _Commit | _Archive | None


class Writer:
    """Takes orders from any thread; None among them is the last."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._chores: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._one_at_a_time = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._quiet = threading.Event()
        self._quiet.set()
        self._keeper: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def new_id(self) -> int:
        """An id that no job has had."""
        with self.store.state.mutex:
            job_id = self.store.state.next_id
            self.store.state.next_id += 1
        return job_id

    def commit(self, jobs: tuple[Job, ...]) -> Future[None]:
        """See History.commit."""
        done: Future[None] = Future()
        self._order(_Commit(jobs, done), done)
        return done

    def archive(self, first: int, last: int) -> Future[ArchiveResult]:
        """See History.archive."""
        done: Future[ArchiveResult] = Future()
        self._order(_Archive(first, last, done), done)
        return done

    def try_again(self) -> bool:
        """See History.try_again."""
        with self._one_at_a_time:
            return self.store.try_again()

    def close(self) -> None:
        """Carry out what was ordered, and end."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._orders.put(None)
        self._thread.join()
        if self._keeper is not None:
            self._chores.put(None)
            self._keeper.join()
        self.store.close()

    def _order(self, order: _Commit | _Archive, done: Future[None] | Future[ArchiveResult]) -> None:
        with self._closing:
            if self._closed:
                done.set_exception(StoreFailed("The history is closed"))
            else:
                self._orders.put(order)

    # ---- the writer's thread

    def _run(self) -> None:
        ended = False
        while not ended:
            commits: list[_Commit] = []
            for order in self._waiting():
                if isinstance(order, _Commit):
                    commits.append(order)
                    continue
                self._write(commits)
                commits = []
                if order is None:
                    ended = True
                else:
                    self._begin_archive(order)
            self._write(commits)

    def _waiting(self) -> list[_Order]:
        orders = [self._orders.get()]
        with contextlib.suppress(queue.Empty):
            while len(orders) < _GROUP:
                orders.append(self._orders.get_nowait())
        return orders

    def _write(self, commits: Sequence[_Commit]) -> None:
        wanted = [commit for commit in commits if commit.done.set_running_or_notify_cancel()]
        if not wanted:
            return
        try:
            with self._one_at_a_time:
                refusals = self.store.write([commit.jobs for commit in wanted])
        except Exception as error:
            for commit in wanted:
                commit.done.set_exception(error)
            raise
        for commit, refusal in zip(wanted, refusals, strict=True):
            if refusal is None:
                commit.done.set_result(None)
            else:
                commit.done.set_exception(refusal)
        if self.store.is_long and self._quiet.is_set():
            self._seal()

    def _seal(self) -> None:
        with contextlib.suppress(OSError), self._one_at_a_time:
            sealing = self.store.rotate()
            self._start(lambda: self._seal_now(sealing))

    def _begin_archive(self, order: _Archive) -> None:
        if not order.done.set_running_or_notify_cancel():
            return
        self._quiet.wait()
        try:
            with self._one_at_a_time:
                sealing = self.store.rotate()
                self.store.moving.acquire()
        except OSError as error:
            order.done.set_exception(self._refusal(error))
            return
        self._start(lambda: self._archive_now(sealing, order))

    def _refusal(self, error: OSError) -> StoreError:
        what = f"The jobs were not archived, and are where they were: {error.strerror or error}"
        if self.store.health is Health.READ_ONLY:
            return StoreFailed(self.store.trouble)
        return StoreFull(what) if is_full(error) else StoreError(what)

    # ---- the keeper's thread

    def _start(self, chore: Callable[[], None]) -> None:
        self._quiet.clear()
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="history-keeper", daemon=True)
            self._keeper.start()
        self._chores.put(chore)

    def _keep(self) -> None:
        while (chore := self._chores.get()) is not None:
            try:
                chore()
            finally:
                self._quiet.set()

    def _seal_now(self, sealing: Sealing) -> None:
        try:
            _at_ease(self.store.vault.seal(sealing))
        except UnsureError as error:
            self.store.fail(error)
        except OSError as error:
            self.store.put_off(error)

    def _archive_now(self, sealing: Sealing, order: _Archive) -> None:
        try:
            _at_ease(self.store.vault.seal(sealing))
            result = _at_ease(self.store.vault.archive(order.first, order.last))
        except OSError as error:
            if isinstance(error, UnsureError):
                self.store.fail(error)
            order.done.set_exception(self._refusal(error))
        else:
            order.done.set_result(result)
        finally:
            self.store.moving.release()


def _at_ease(steps: Generator[None, None, Result]) -> Result:
    """Take the steps one by one, letting other threads have their turn between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        time.sleep(0)
