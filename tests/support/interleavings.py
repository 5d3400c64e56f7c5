"""Two threads that meet at every instruction of a function, one after the other.

A race between a few instructions is hardly ever seen by running both threads often. Here the first thread is
held before each instruction of the functions in question in turn, while the second one runs as far as it can.
If that must wait for a lock, the first thread continues.

The code under test gets its lock from `Meeting.lock`, so that a wait for it is noticed without a delay.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from tests.support.waiting import PATIENCE

MOST_INSTRUCTIONS = 5_000  # of one scenario: more of them are a loop that never ends


class WatchedLock:
    """A lock that reports when a thread must wait for it."""

    def __init__(self, must_wait: threading.Event) -> None:
        self._lock = threading.Lock()
        self._must_wait = must_wait

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        if not blocking:
            return False
        self._must_wait.set()
        return self._lock.acquire(timeout=PATIENCE if timeout < 0 else timeout)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> bool:
        if not self.acquire():
            raise TimeoutError("the lock is never released")
        return True

    def __exit__(self, *error: object) -> None:
        self.release()


class Meeting:
    """One run of a scenario, in which the first thread is held before its `at`-th instruction."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._must_wait = threading.Event()  # also set when the second thread has ended
        self._errors: list[BaseException] = []
        self._has_met = False

    def lock(self) -> WatchedLock:
        """Return a lock for the code under test."""
        return WatchedLock(self._must_wait)

    def run(self, first: Callable[[], object], second: Callable[[], object], inside: list[CodeType]) -> bool:
        """Run both; return whether the first reached the instruction. Raises the error of either."""
        count = itertools.count()
        other = threading.Thread(target=self._run_second, args=(second,), daemon=True)

        def at_instruction(frame: FrameType, event: str, argument: object) -> Any:
            if event == "opcode" and next(count) == self._at:
                self._has_met = True
                other.start()
                assert self._must_wait.wait(PATIENCE), "the second thread neither ends nor waits for a lock"
            return at_instruction

        def at_call(frame: FrameType, event: str, argument: object) -> Any:
            if frame.f_code not in inside or self._has_met:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return at_instruction

        before = sys.gettrace()
        sys.settrace(at_call)
        try:
            first()
        finally:
            sys.settrace(before)
        if self._has_met:
            other.join(PATIENCE)
            assert not other.is_alive(), "the second thread does not end"
        if self._errors:
            raise self._errors[0]
        return self._has_met

    def _run_second(self, second: Callable[[], object]) -> None:
        try:
            second()
        except BaseException as error:  # raised in the test
            self._errors.append(error)
        finally:
            self._must_wait.set()


Steps = tuple[Callable[[], object], Callable[[], object], Callable[[], object]]
"""What the first thread does, what the second one does, and the check of the outcome."""
Scenario = Callable[[Meeting], Steps]


def meet_everywhere(scenario: Scenario, *inside: Callable[..., object]) -> None:
    """Run a scenario once for each instruction that its first thread executes in `inside`.

    `inside`: the functions in question. `scenario` makes new objects and returns the steps of the two threads
    and the check.
    """
    codes = [_code(function) for function in inside]
    for at in range(MOST_INSTRUCTIONS):
        meeting = Meeting(at)
        first, second, check = scenario(meeting)
        if not meeting.run(first, second, codes):
            assert at > 0, "the first thread calls none of these functions"
            return
        check()
    raise AssertionError("too many instructions")


def expect(found: object, expected: object) -> None:
    """Assert that they are equal; for the check of a scenario that is a lambda."""
    assert found == expected


def _code(function: Callable[..., object]) -> CodeType:
    unwrapped = getattr(function, "__wrapped__", function)
    code = getattr(unwrapped, "__code__", None)
    assert isinstance(code, CodeType), function
    return code
