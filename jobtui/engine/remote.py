"""The desk of a process whose profile another one owns: it reads the history itself and hands in the rest.

A statement that only reads is answered here, from disk; any other goes to the owner and is answered as
if it had been typed there. Changes come from the owner as they happen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from jobtui.engine import answers, wire
from jobtui.engine.desk import Answer, Listener, Message, Overview, Refused, Session
from jobtui.engine.profile import Profile
from jobtui.engine.reader import Reader
from jobtui.history import History, StoreError
from jobtui.language.result import Result
from jobtui.language.statements import ShowJob, ShowJobs
from jobtui.model import Archived, Change, Job, Progress, Stats
from jobtui.storage.base import Code, StorageError

T = TypeVar("T")
PATIENCE_SECONDS = 120.0


class Remote(Reader):
    """See the module; a `Desk`. `gone` is called, once, when the owner has."""

    writable = True

    def __init__(self, profile: Profile, history: History) -> None:
        super().__init__(profile, history)
        self._door = wire.door_of(profile.root)
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._live: dict[int, Job] = {}
        self._closed = False
        self.gone: Callable[[], None] = lambda: None
        self._following = wire.ask(self._door, wire.Follow(), PATIENCE_SECONDS)
        self._lines = self._following.makefile("rb")
        first = wire.answer_of(self._lines.readline())
        if isinstance(first, wire.Denied):
            self._following.close()
            raise wire.NoAnswer(first.text)
        self._following.settimeout(None)
        self.history.refresh()
        threading.Thread(target=self._follow, name="jobtui-follow", daemon=True).start()

    @classmethod
    def connect(cls, profile: Profile) -> Remote:
        """Open the profile beside its owner. Raises NoAnswer where nobody answers, StoreError."""
        history = History.open(profile.history, write=False)
        try:
            return cls(profile, history)
        except BaseException:
            history.close()
            raise

    def execute(self, text: str, session: Session) -> Future[Answer]:
        """See `Desk.execute`."""
        return _beside(lambda: self.answer(text, session))

    def answer(self, text: str, session: Session) -> Answer:
        """The answer itself, waited for."""
        parsed = answers.parsed(text)
        if isinstance(parsed, Answer):
            return parsed
        done: list[Result] = []
        for statement in parsed:
            try:
                if isinstance(statement, ShowJobs | ShowJob):
                    self.history.refresh()
                    done.append(self._run(statement, answers.words(text, statement), session))
                    continue
                ran = self._hand_in(answers.words(text, statement), session)
            except (Refused, StoreError, StorageError, wire.NoAnswer) as error:
                return Answer(tuple(done), answers.failure(text, statement, str(error)))
            done.extend(ran.results)
            if ran.failure is not None:
                return Answer(tuple(done), answers.failure(text, statement, ran.failure.message))
        return Answer(tuple(done))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Desk.subscribe`; called on a thread of the desk's own."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    def job(self, job_id: int) -> Job | None:
        """See `Desk.job`."""
        return self._live.get(job_id) or self.history.get(job_id)

    def active(self) -> tuple[Job, ...]:
        """See `Desk.active`."""
        return tuple(self._live.get(job.id, job) for job in self.history.live())

    def overview(self) -> Future[Overview]:
        """See `Desk.overview`; the owner looks."""
        return _beside(lambda: self._want(wire.Look(), wire.Looked).overview)

    def stats(self, space: str, host: str) -> Future[Stats]:
        """See `Desk.stats`; the owner looks."""
        return _beside(lambda: self._want(wire.LookAt(space, host), wire.LookedAt).stats)

    def close(self) -> None:
        """Let go of the owner and of the history; the owner's work goes on."""
        self._closed = True
        self._following.close()
        super().close()

    def _hand_in(self, words: str, session: Session) -> wire.Ran:
        ran = self._want(wire.Run(words, session.space, str(session.cwd)), wire.Ran)
        session.space = ran.space
        return ran

    def _want(self, want: wire.Run | wire.Look | wire.LookAt, kind: type[T]) -> T:
        connection = wire.ask(self._door, want, PATIENCE_SECONDS)
        with connection, connection.makefile("rb") as lines:
            try:
                answer = wire.answer_of(lines.readline())
            except OSError as error:
                raise wire.NoAnswer(f"the jobtui that owns this profile does not answer: {error}") from error
        if isinstance(answer, wire.Denied):
            if answer.code:
                raise StorageError(Code(answer.code), answer.host, answer.space, answer.text)
            raise wire.NoAnswer(answer.text)
        if not isinstance(answer, kind):
            raise wire.NoAnswer("the jobtui that owns this profile answered something else")
        return answer

    def _follow(self) -> None:
        try:
            while line := self._lines.readline():
                answer = wire.answer_of(line)
                if isinstance(answer, wire.Posted) and not self._closed:
                    self._take(answer.messages)
        except (OSError, ValueError, wire.NoAnswer, StoreError):
            pass  # the owner is gone or unreadable, which is what comes next says
        if not self._closed:
            self.gone()

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, Progress) or (isinstance(message, Change) and not message.job.status.ended):
                self._live[message.job.id] = message.job
            elif isinstance(message, Change):
                self._live.pop(message.job.id, None)
        if any(isinstance(message, Change | Archived) for message in messages):
            self.history.refresh()
        for listener in self._listeners:
            listener(messages)


def _beside(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)  # the asker's own to tell

    threading.Thread(target=run, name="jobtui-ask", daemon=True).start()
    return future
