from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from jobtui.engine.client import EngineEvent
from jobtui.engine.events import BACKLOG, EventBus, Listeners
from jobtui.model import Notice
from tests.support.interleavings import Meeting, Steps, expect, meet_everywhere


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def texts(messages: Sequence[EngineEvent]) -> list[str]:
    return [message.text for message in messages if isinstance(message, Notice)]


def turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(asyncio.sleep(0))


def test_newest_undelivered_notices_wait_for_a_listener(
    loop: asyncio.AbstractEventLoop,
) -> None:
    listeners = EventBus(loop)
    for number in range(BACKLOG + 20):
        listeners.publish([Notice(str(number))])
    received: list[str] = []
    listeners.add(lambda messages: received.extend(texts(messages)))
    turn(loop)
    assert received == [str(number) for number in range(20, BACKLOG + 20)]


def test_failing_listener_is_reported_to_the_others(
    loop: asyncio.AbstractEventLoop,
) -> None:
    listeners = EventBus(loop)

    def fails(messages: Sequence[EngineEvent]) -> None:
        raise ValueError("an error of the listener")

    received: list[str] = []
    leave = listeners.add(fails)
    listeners.publish([Notice("without a listener")])
    listeners.add(lambda messages: received.extend(texts(messages)))
    turn(loop)
    listeners.publish([Notice("to all")])
    report = "A change could not be shown: ValueError: an error of the listener"
    assert received == [report, "to all", report]
    leave()
    listeners.publish([Notice("again")])
    assert received[3:] == ["again"]


def test_waiting_notices_go_only_to_the_first_listener(loop: asyncio.AbstractEventLoop) -> None:
    listeners = EventBus(loop)
    listeners.publish([Notice("once")])
    received: list[str] = []
    for _ in range(2):
        listeners.add(lambda messages: received.extend(texts(messages)))
    turn(loop)
    assert received == ["once"]


class TestAtTheSameTime:
    def test_two_added_listeners_are_both_called(self) -> None:
        def scenario(meeting: Meeting) -> Steps:
            listeners, received = watched(meeting), list[str]()

            def check() -> None:
                listeners.publish([Notice("to both")])
                assert sorted(received) == ["first", "second"]

            return (
                lambda: listeners.add(lambda messages: received.append("first")),
                lambda: listeners.add(lambda messages: received.append("second")),
                check,
            )

        meet_everywhere(scenario, Listeners.add)

    def test_removed_listener_takes_no_other_along(self) -> None:
        def scenario(meeting: Meeting) -> Steps:
            listeners, received = watched(meeting), list[str]()
            leave = listeners.add(lambda messages: received.append("removed"))

            def check() -> None:
                listeners.publish([Notice("to the other")])
                assert received == ["added"]

            return leave, lambda: listeners.add(lambda messages: received.append("added")), check

        meet_everywhere(scenario, Listeners().add(print))

    def test_notice_is_delivered_once_to_a_new_listener(self) -> None:
        def scenario(meeting: Meeting) -> Steps:
            listeners, received = watched(meeting), list[str]()
            listeners.publish([Notice("earlier")])
            return (
                lambda: listeners.publish([Notice("meanwhile")]),
                lambda: listeners.add(lambda messages: received.extend(texts(messages))),
                lambda: expect(sorted(received), ["earlier", "meanwhile"]),
            )

        def reversed_scenario(meeting: Meeting) -> Steps:
            first, second, check = scenario(meeting)
            return second, first, check

        meet_everywhere(scenario, Listeners.publish, Listeners._keep_notices)
        meet_everywhere(reversed_scenario, Listeners.add)

    def test_report_of_a_failure_is_kept_once(self) -> None:
        def scenario(meeting: Meeting) -> Steps:
            def fails(messages: Sequence[EngineEvent]) -> None:
                raise ValueError(f"no {texts(messages)[0]}")

            listeners, received = watched(meeting), list[str]()
            listeners.add(fails)
            listeners.publish([Notice("first")])

            def check() -> None:
                listeners.add(lambda messages: received.extend(texts(messages)))
                reports = [text.removeprefix("A change could not be shown: ValueError: ") for text in received]
                # the second one is also sent to the new listener itself, if that was added in time
                assert [report for report in reports if report != "second"] == ["no first", "no second"]

            return (
                lambda: listeners.publish([Notice("second")]),
                lambda: listeners.add(lambda messages: received.extend(texts(messages))),
                check,
            )

        meet_everywhere(scenario, Listeners.publish, Listeners._deliver, Listeners._keep_notices)


def watched(meeting: Meeting) -> Listeners:
    listeners = Listeners()
    listeners._lock = meeting.lock()  # type: ignore[assignment]
    return listeners
