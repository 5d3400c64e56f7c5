"""Opening and closing an engine for one command, and its errors as plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

from jobtui.cli.exits import CommandError
from jobtui.cli.streams import complain
from jobtui.engine.answers import no_such_space
from jobtui.engine.desk import Message
from jobtui.engine.engine import Engine
from jobtui.engine.failures import StorageError, StoreError
from jobtui.engine.profile import Profile, Run
from jobtui.model import Notice


@contextmanager
def opened(profile: Profile, run: Run) -> Iterator[Engine]:
    """The profile's engine until the block ends.

    Raises CommandError where the profile can't be taken, and for what the storage says in the block.
    """
    try:
        engine = Engine.open(profile, run=run)
    except (StoreError, StorageError) as error:
        raise CommandError(str(error)) from None
    try:
        yield engine
    except (StoreError, StorageError) as error:
        raise CommandError(str(error)) from None
    finally:
        engine.close()


@contextmanager
def notices_told(engine: Engine) -> Iterator[None]:
    """Say on stderr, once the block ends, what the engine had to say meanwhile."""
    notices: SimpleQueue[Notice] = SimpleQueue()

    def hear(messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, Notice):
                notices.put(message)

    leave = engine.subscribe(hear)
    try:
        yield
    finally:
        leave()
        while not notices.empty():
            complain(notices.get().text)


def must_exist(engine: Engine, space: str) -> None:
    """Refuse a space that isn't there, with the near miss. Raises CommandError."""
    known = engine.spaces()
    if space not in known:
        raise CommandError(no_such_space(space, known))
