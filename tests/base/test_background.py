"""Work on background threads."""

from __future__ import annotations

import threading
from concurrent.futures import wait

import pytest

from jobtui.background import SerialExecutor, start_in_thread


class Owner:
    """An owner of work, which holds nothing."""


def test_any_exception_of_the_work_is_in_its_future() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        start_in_thread(leave).result(30)


def test_work_of_one_owner_runs_in_its_order() -> None:
    executor, owner, done = SerialExecutor(), Owner(), list[int]()
    gate = threading.Event()
    first = executor.submit(owner, lambda: (gate.wait(), done.append(0)))
    others = [executor.submit(owner, lambda number=number: done.append(number)) for number in range(1, 20)]
    gate.set()
    wait([first, *others], 30)
    assert done == list(range(20))


def test_failed_start_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    executor, owner, done = SerialExecutor(), Owner(), list[str]()
    gate = threading.Event()
    first = executor.submit(owner, lambda: (gate.wait(), done.append("first")))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refuse)
        with pytest.raises(RuntimeError):
            executor.submit(owner, lambda: done.append("second"))
    third = executor.submit(owner, lambda: done.append("third"))
    wait([third], 0.2)  # a chance for one that does not wait
    gate.set()
    wait([first, third], 30)
    assert done == ["first", "third"]


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
