from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from jobtui.engine.client import EngineEvent
from jobtui.engine.events import BACKLOG, EventBus
from jobtui.model import Notice


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
