"""Opening and closing an engine for one command, and its errors as plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

from jobtui.cli.exits import CommandError, unusable
from jobtui.cli.streams import complain
from jobtui.engine.client import EngineEvent
from jobtui.engine.engine import Engine
from jobtui.engine.profile import Profile, Run
from jobtui.engine.protocol import NoAnswer
from jobtui.engine.queries import no_such_space
from jobtui.engine.reader import Reader
from jobtui.engine.remote import Remote
from jobtui.errors import StorageError
from jobtui.history import StoreError
from jobtui.model import Notice


@contextmanager
def opened(profile: Profile, run: Run) -> Iterator[Engine | Remote]:
    """The profile's engine until the block ends; what its owner lets us do where another process has it.

    Raises CommandError where the profile can't be used, and for what the storage says in the block.
    """
    from jobtui.engine.failover import Unanswered, own_or_join

    try:
        desk = own_or_join(profile, run=run)
    except Unanswered as error:
        raise CommandError(f"{error}; nothing was done") from None
    except (StoreError, StorageError) as error:
        raise unusable(error) from None
    try:
        yield desk
        if isinstance(desk, Engine):
            see_guests_off(desk)
    except (StoreError, StorageError, NoAnswer) as error:
        raise CommandError(str(error)) from None
    finally:
        desk.close()


def see_guests_off(engine: Engine) -> None:
    """Stay for jobs that other processes handed in meanwhile: they count on this one."""
    from jobtui.cli.waiting import LeftAtOnce, counted_jobs, waiting_for

    with waiting_for(engine) as waiting:
        try:
            while jobs := waiting.result(engine.leave_if_idle()):
                complain(
                    f"Staying for {counted_jobs(jobs)}: handed in meanwhile by another jobtui; ctrl+c stops"
                )
                waiting.until_ended(jobs)
        except LeftAtOnce:
            return


@contextmanager
def notices_told(engine: Engine | Remote) -> Iterator[None]:
    """Say on stderr, once the block ends, what the engine had to say meanwhile."""
    notices: SimpleQueue[Notice] = SimpleQueue()

    def hear(messages: Sequence[EngineEvent]) -> None:
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


def must_exist(engine: Engine | Reader, space: str) -> None:
    """Refuse a space that isn't there, with the near miss. Raises CommandError."""
    known = engine.spaces()
    if space not in known:
        raise CommandError(no_such_space(space, known))
