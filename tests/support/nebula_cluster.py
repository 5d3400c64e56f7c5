"""A NebulaGraph 3.8.0 cluster in memory: its job manager, statements and users, without a network.

It answers as a live one did (tests/nebula/captures/ has the bytes). A space runs one job at a time, in order,
leader balances first. A job equal to one in flight gets the id of that one. RECOVER runs a job again under its
id. A running flush or compact cannot be stopped. An ended job is forgotten a week after its start, when
a client lists the jobs. Words are in upper case and times in UTC.

Its faults: `kill` and `restart` of a storaged, `metad_away`, `restart_metad`, `expire_sessions`, roles.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.support.nebula_records import (
    GraphdError,
    JobRecord,
    Rows,
    SessionRecord,
    SpaceRecord,
    Statement,
    TaskRecord,
    Value,
)

TWO_SPACES = {"nba": ["10.0.0.5", "10.0.0.6"], "test2": ["10.0.0.5"]}
"""Two spaces with their hosts."""
WEEK = timedelta(days=7)
IN_FLIGHT = ("QUEUE", "RUNNING")
STOPPABLE = ("STATS", "REBUILD_TAG_INDEX", "REBUILD_EDGE_INDEX", "DATA_BALANCE")
CANCEL_SECONDS = 1  # from the stop of a rebuild to the report of its hosts
TASKLESS = ("LEADER_BALANCE", "DOWNLOAD")

NOT_CHOSEN = "SemanticError: Space was not chosen."
NOT_IN_SPACE = "Job not existed in chosen space!"
ALREADY_ENDED = "Finished job or failed job can not be stopped, please start another job instead"
NOT_STOPPABLE = (
    "The job type do not support stopping, either wait previous job done or restart the cluster "
    "to start another job"
)
LEADER_CHANGED = "LeaderChanged: Leader changed!"
METAD_LOST = (
    "RPC failure in MetaClient: apache::thrift::transport::TTransportException: Dropping unsent request. "
    "Connection closed after: apache::thrift::transport::TTransportException: AsyncSocketException: connect "
    "failed, type = Socket not open, errno = 111 (Connect"
)
NOT_READABLE = "PermissionError: No permission to read space."
NOT_WRITABLE = "PermissionError: No permission to write data."


class Cluster:
    """The cluster. `auto`: a running job has ended by the next statement."""

    def __init__(
        self, spaces: dict[str, list[str]] | None = None, *, auto: bool = False, first_id: int = 1
    ) -> None:
        self.now = datetime(2019, 12, 17, 9, 21, 30, tzinfo=UTC)
        self.auto = auto
        self.pretends_to_stop = False  # as 3.0 to 3.2 did
        self.leaderless = 0  # this many statements about jobs are answered with "the leader has changed"
        self.loses_metad = 0  # this many are executed and answered with "metad could not be reached"
        self.metad_away = False  # every statement is refused; the real graphd takes three seconds for that
        self.holds_queue = False  # a job stays in the queue until `run_queue`; really for some 5 ms
        self.users = {"root": "nebula"}
        self.guests: set[str] = set()
        self.roles: dict[str, set[str]] = {}  # a user who is not in it sees every space
        self.login_errors: tuple[str, str] | None = None
        self.logins: list[str] = []
        self.sessions: dict[int, SessionRecord] = {}
        self.statements: list[str] = []
        self.spaces = {
            name: SpaceRecord(list(hosts)) for name, hosts in (spaces or {"nba": ["10.0.0.5"]}).items()
        }
        self.offline: set[str] = set()
        self.dropped: set[str] = set()
        self.lock = threading.RLock()
        # spaces draw their ids from the same counter, these ones before the first that a test sees
        self._ids = itertools.count(first_id)
        self._session_ids = itertools.count(1571309217634127)

    # ---- what happens on the cluster

    def submit(self, space: str, kind: str, *parameters: str) -> int:
        with self.lock:
            there = self.spaces[space]
            for job_id in filter(None, [there.running, *there.waiting]):
                job = there.jobs[job_id]
                if (job.kind, job.parameters) == (kind, parameters):
                    return job.id
            job = JobRecord(next(self._ids), kind, parameters)
            there.jobs[job.id] = job
            self._enqueue(there, job)
            return job.id

    def create_space(self, space: str, hosts: list[str]) -> int:
        """Create a space and return its id."""
        with self.lock:
            self.spaces[space] = SpaceRecord(list(hosts))
            self.dropped.discard(space)
            return next(self._ids)

    def finish(self, job_id: int, *, host: str | None = None, code: str = "SUCCEEDED") -> None:
        """Let a job's running task on this host, or all that can, report that they have finished."""
        with self.lock:
            there, job = self._find(job_id)
            for task in job.tasks:
                if task.status == "RUNNING" and host in (None, task.host) and task.host not in self.offline:
                    self._end_task(job, task, code)
            self._end_job_if_through(there, job)

    def kill(self, host: str) -> None:
        """Kill a storaged: its running work is not reported, and SHOW HOSTS shows OFFLINE."""
        with self.lock:
            self.offline.add(host)

    def restart(self, host: str) -> None:
        """Start it again: it reports that its interrupted work has failed.

        The next job of the space begins before metad can reach the host, and fails at once.
        """
        with self.lock:
            for there in self.spaces.values():
                for job in [*there.jobs.values()]:
                    cut = [task for task in job.tasks if task.host == host and task.status == "RUNNING"]
                    for task in cut:
                        self._end_task(job, task, "E_TASK_EXECUTION_FAILED")
                    if cut:
                        self._end_job_if_through(there, job)
            self.offline.discard(host)

    def restart_metad(self) -> None:
        """Restart metad, which forgets jobs in flight: running jobs continue, and the queue starts as well."""
        with self.lock:
            for there in self.spaces.values():
                there.running = None
                self._run_next(there)

    def run_queue(self) -> None:
        with self.lock:
            self.holds_queue = False
            for there in self.spaces.values():
                self._run_next(there)

    def ended_job(self, space: str, kind: str = "FLUSH", status: str = "FINISHED", *, ago: float = 0) -> int:
        """Return a job that ended this many seconds ago."""
        with self.lock:
            at = self.now - timedelta(seconds=ago)
            code = "SUCCEEDED" if status == "FINISHED" else "E_RPC_FAILURE"
            tasks = [TaskRecord(host, at, status, at) for host in self.spaces[space].hosts]
            job = JobRecord(next(self._ids), kind, (), status, at, at, code, tasks)
            self.spaces[space].jobs[job.id] = job
            return job.id

    def drop_space(self, space: str) -> None:
        with self.lock:
            del self.spaces[space]
            self.dropped.add(space)

    def expire_sessions(self) -> None:
        with self.lock:
            self.sessions.clear()

    def tick(self, seconds: float) -> None:
        with self.lock:
            self.now += timedelta(seconds=seconds)
            for there in self.spaces.values():
                for job in there.jobs.values():
                    self._report_cancel(job)

    def status(self, job_id: int) -> str:
        with self.lock:
            return self._find(job_id)[1].status

    # ---- what graphd asks for

    def log_in(self, user: str, password: str) -> int:
        with self.lock:
            self.logins.append(user)
            if self.metad_away:
                raise GraphdError("E_SESSION_INVALID", f"Create session failed: {METAD_LOST}")
            if self.login_errors is not None:
                raise GraphdError(*self.login_errors)
            if self.users.get(user) != password:
                words = "Invalid password" if user in self.users else "User not exist"
                raise GraphdError("E_BAD_USERNAME_PASSWORD", words)
            session = next(self._session_ids)
            self.sessions[session] = SessionRecord(user)
            return session

    def log_out(self, session: int) -> None:
        with self.lock:
            self.sessions.pop(session, None)

    def execute(self, session_id: int, text: str) -> tuple[Rows | None, str]:
        """Return the last statement's rows and the chosen space afterwards. Raises GraphdError."""
        with self.lock:
            session = self.sessions.get(session_id)
            if session is None:
                words = f"Session `{session_id}' not found: Session not existed!"
                raise GraphdError("E_SESSION_INVALID", f"Get sessionId[{session_id}] failed: {words}")
            self.statements.append(text)
            try:
                return self._carry_out(session, text)
            except GraphdError as error:
                error.space = session.space or ""
                raise

    def _carry_out(self, session: SessionRecord, text: str) -> tuple[Rows | None, str]:
        with self.lock:
            if self.metad_away and text != "YIELD 1":
                raise GraphdError("E_EXECUTION_ERROR", METAD_LOST)
            if self.auto:
                for there in self.spaces.values():
                    while there.running is not None:
                        self.finish(there.running)
            statements = [self._parsed(words) for words in _split(text)]
            self._validate(session, statements)
            rows = None
            for statement in statements:
                rows = statement.act(session)
            return rows, session.space or ""

    # ---- the job manager

    def _enqueue(self, there: SpaceRecord, job: JobRecord) -> None:
        leaders = sum(there.jobs[waiting].kind == "LEADER_BALANCE" for waiting in there.waiting)
        there.waiting.insert(leaders if job.kind == "LEADER_BALANCE" else len(there.waiting), job.id)
        self._run_next(there)

    def _run_next(self, there: SpaceRecord) -> None:
        while there.running is None and there.waiting and not self.holds_queue:
            job = there.jobs[there.waiting.pop(0)]
            there.running = job.id
            job.status, job.start = "RUNNING", self.now  # the stop of an earlier run stays, as in the real one
            job.tasks = [TaskRecord(host, self.now) for host in there.hosts if job.kind not in TASKLESS]
            away = [task for task in job.tasks if task.host in self.offline]
            for task in away:
                self._end_task(job, task, "E_RPC_FAILURE")
            if away:  # it fails at once, although the other hosts have begun
                job.status, job.stop, there.running = "FAILED", self.now, None

    def _end_task(self, job: JobRecord, task: TaskRecord, code: str) -> None:
        task.status, task.stop = ("FINISHED" if code == "SUCCEEDED" else "FAILED"), self.now
        if code != "SUCCEEDED" and job.code in ("E_JOB_SUBMITTED", "SUCCEEDED"):
            job.code = code

    def _end_job_if_through(self, there: SpaceRecord, job: JobRecord) -> None:
        if any(task.status == "RUNNING" for task in job.tasks):
            return
        failed = any(task.status == "FAILED" for task in job.tasks)
        job.status, job.stop = ("FAILED" if failed else "FINISHED"), self.now
        job.code = job.code if failed else "SUCCEEDED"
        if there.running == job.id:
            there.running = None
        self._run_next(there)

    def _report_cancel(self, job: JobRecord) -> None:
        """Let the hosts of a stopped rebuild report their cancellation, which makes it failed."""
        if job.status != "STOPPED" or job.kind not in STOPPABLE or job.stop is None:
            return
        if job.tasks and self.now - job.stop >= timedelta(seconds=CANCEL_SECONDS):
            job.status = "FAILED"
            for task in job.tasks:
                self._end_task(job, task, "E_USER_CANCEL")

    def _find(self, job_id: int) -> tuple[SpaceRecord, JobRecord]:
        return next((there, there.jobs[job_id]) for there in self.spaces.values() if job_id in there.jobs)

    def _chosen(self, session: SessionRecord) -> SpaceRecord:
        if self.leaderless:
            self.leaderless -= 1
            raise GraphdError("E_EXECUTION_ERROR", LEADER_CHANGED)
        if session.space not in self.spaces:
            raise GraphdError("E_EXECUTION_ERROR", "SpaceNotFound: Space not existed!")
        return self.spaces[session.space]

    def _job_there(self, session: SessionRecord, job_id: int) -> JobRecord:
        if job_id == 0:
            raise GraphdError("E_EXECUTION_ERROR", "Invalid param!")
        job = self._chosen(session).jobs.get(job_id)
        if job is None:
            raise GraphdError("E_EXECUTION_ERROR", NOT_IN_SPACE)
        return job

    def _submit(self, session: SessionRecord, kind: str, *parameters: str) -> Rows:
        self._chosen(session)
        job_id = self.submit(session.space or "", kind, *parameters)
        if self.loses_metad:
            self.loses_metad -= 1
            raise GraphdError("E_EXECUTION_ERROR", METAD_LOST)
        return Rows(["New Job Id"], [[job_id]])

    def _show_jobs(self, session: SessionRecord) -> Rows:
        there = self._chosen(session)
        for job in [*there.jobs.values()]:
            if job.status not in IN_FLIGHT and job.start is not None and self.now - job.start > WEEK:
                del there.jobs[job.id]
        newest_first = sorted(there.jobs.values(), key=lambda job: -job.id)
        rows: list[list[Value]] = [[job.id, job.kind, job.status, job.start, job.stop] for job in newest_first]
        return Rows(["Job Id", "Command", "Status", "Start Time", "Stop Time"], rows)

    def _show_job(self, session: SessionRecord, job_id: int) -> Rows:
        job = self._job_there(session, job_id)
        code = "" if job.code == "E_JOB_SUBMITTED" else job.code
        rows: list[list[Value]] = [[job.id, job.kind, job.status, job.start, job.stop, job.code]]
        rows += [
            [at, t.host.rpartition(":")[0] or t.host, t.status, t.start, t.stop, code]
            for at, t in enumerate(job.tasks)
        ]
        counts = [sum(task.status == word for task in job.tasks) for word in ("FINISHED", "FAILED", "RUNNING")]
        done, failed, going = counts
        total = [f"Total:{len(job.tasks)}", f"Succeeded:{done}", f"Failed:{failed}", f"In Progress:{going}"]
        columns = ["Job Id(TaskId)", "Command(Dest)", "Status", "Start Time", "Stop Time", "Error Code"]
        return Rows(columns, [*rows, [*total, "", ""]])

    def _stop(self, session: SessionRecord, job_id: int) -> Rows:
        job = self._job_there(session, job_id)
        there = self._chosen(session)
        if job.status in ("FINISHED", "FAILED"):
            raise GraphdError("E_EXECUTION_ERROR", ALREADY_ENDED)
        is_known = there.running == job.id
        if job.status == "RUNNING" and is_known and job.kind not in STOPPABLE and not self.pretends_to_stop:
            raise GraphdError("E_EXECUTION_ERROR", NOT_STOPPABLE)
        if job.status == "QUEUE":
            there.waiting.remove(job.id)
            job.start = self.now
        job.status, job.stop = "STOPPED", self.now
        if is_known and not self.pretends_to_stop:
            there.running = None
            self._run_next(there)
        return Rows(["Result"], [["Job stopped"]])

    def _recover(self, session: SessionRecord, ids: tuple[int, ...]) -> Rows:
        there, count = self._chosen(session), 0
        for job in sorted(there.jobs.values(), key=lambda job: job.id):
            in_flight = {(j.kind, j.parameters) for j in there.jobs.values() if j.status in IN_FLIGHT}
            fit = job.status in ("FAILED", "STOPPED") and (not ids or job.id in ids)
            if fit and (job.kind, job.parameters) not in in_flight:
                # the tasks of its run before are listed until the next begins
                job.status, job.code, count = "QUEUE", "E_JOB_SUBMITTED", count + 1
                self._enqueue(there, job)
        return Rows(["Recovered job num"], [[count]])

    def _rebuild(self, session: SessionRecord, kind: str, index: str | None) -> Rows:
        known = self._chosen(session).indexes
        if index is not None and index not in known:
            raise GraphdError(
                "E_SEMANTIC_ERROR", f"SemanticError: Index {index} not found in space {session.space}"
            )
        if not known:
            raise GraphdError("E_SEMANTIC_ERROR", f"SemanticError: Space `{session.space}' without indexes")
        return self._submit(session, f"REBUILD_{kind}_INDEX", *([index] if index else []))

    def _show_spaces(self, session: SessionRecord) -> Rows:
        own = self.roles.get(session.user)
        return Rows(["Name"], [[name] for name in sorted(self.spaces) if own is None or name in own])

    def _show_hosts(self, session: SessionRecord) -> Rows:
        held: dict[str, list[str]] = {}
        for name, there in sorted(self.spaces.items()):
            for host in there.hosts:
                held.setdefault(host, []).append(f"{name}:10")
        columns = ["Host", "Port", "Status", "Leader count", "Leader distribution"]
        columns += ["Partition distribution", "Version"]
        rows: list[list[Value]] = []
        for host, parts in sorted(held.items()):
            name, _, port = host.partition(":")
            address: list[Value] = [name, int(port or 9779)]
            text = ", ".join(parts)
            if host in self.offline:
                rows.append([*address, "OFFLINE", 0, "No valid partition", text, ""])
            else:
                rows.append([*address, "ONLINE", 10 * len(parts), text, text, ""])
        return Rows(columns, rows)

    def _use(self, session: SessionRecord, name: str) -> None:
        if name not in self.spaces:
            raise GraphdError("E_EXECUTION_ERROR", "SpaceNotFound: Space not existed!")
        session.space = name

    def _drop(self, session: SessionRecord, name: str) -> None:
        self.drop_space(name)
        if session.space == name:
            session.space = None

    # ---- statements

    def _validate(self, session: SessionRecord, statements: list[Statement]) -> None:
        chosen = session.space
        for statement in statements:
            if statement.use is not None:
                if statement.use in self.dropped:  # until graphd's cache is updated
                    raise GraphdError("E_EXECUTION_ERROR", "SpaceNotFound: Space not existed!")
                if statement.use not in self.spaces:
                    raise GraphdError("E_EXECUTION_ERROR", f"SpaceNotFound: SpaceName `{statement.use}`")
                if statement.use not in self.roles.get(session.user, self.spaces):
                    raise GraphdError("E_BAD_PERMISSION", NOT_READABLE)
                chosen = statement.use
            if statement.needs_space and chosen is None:
                raise GraphdError("E_SEMANTIC_ERROR", NOT_CHOSEN)
            if statement.writes and session.user in self.guests:
                raise GraphdError("E_BAD_PERMISSION", NOT_WRITABLE)

    def _parsed(self, tokens: list[tuple[str, str]]) -> Statement:
        words = [text.upper() if kind == "word" else kind for kind, text in tokens]
        names = [text for kind, text in tokens if kind == "name"]
        numbers = tuple(int(text) for kind, text in tokens if kind == "number")
        last = tokens[-1][1]
        match words:
            case ["USE", "name" | _] if len(words) == 2:
                name = names[0] if names else last
                return Statement(lambda s: self._use(s, name), use=name)
            case ["SHOW", "SPACES"]:
                return Statement(self._show_spaces)
            case ["SHOW", "HOSTS"]:
                return Statement(self._show_hosts)
            case ["SHOW", "JOBS"]:
                return Statement(self._show_jobs, needs_space=True)
            case ["SHOW", "JOB", "number"] if numbers[0] >= 0:
                return Statement(lambda s: self._show_job(s, numbers[0]), needs_space=True)
            case ["YIELD", "number"]:
                return Statement(lambda s: Rows(["1"], [[1]]))
            case ["DROP", "SPACE", "name" | _] if len(words) == 3:
                name = names[0] if names else last
                return Statement(lambda s: self._drop(s, name))
            case ["SUBMIT", "JOB", "FLUSH" | "COMPACT" | "STATS" | "INGEST" as kind]:
                return Statement(lambda s: self._submit(s, kind), needs_space=True, writes=True)
            case ["SUBMIT", "JOB", "BALANCE", "LEADER"]:
                return Statement(lambda s: self._submit(s, "LEADER_BALANCE"), needs_space=True, writes=True)
            case ["REBUILD", "TAG" | "EDGE" as kind, "INDEX", *index]:
                name_of = last if index else None
                return Statement(lambda s: self._rebuild(s, kind, name_of), needs_space=True, writes=True)
            case ["STOP", "JOB", "number"]:
                return Statement(lambda s: self._stop(s, numbers[0]), needs_space=True, writes=True)
            case ["RECOVER", "JOB", *ids] if all(word in ("number", ",") for word in ids):
                return Statement(lambda s: self._recover(s, numbers), needs_space=True, writes=True)
        known = max((len(form) for form in FORMS if words[: len(form)] == form), default=0)
        near = tokens[min(known, len(tokens) - 1)][1]
        raise GraphdError("E_SYNTAX_ERROR", f"SyntaxError: syntax error near `{near}'")


FORMS = [form.split() for form in ("SHOW", "SHOW JOB", "SHOW JOBS", "SUBMIT JOB", "STOP JOB", "RECOVER JOB")]
FORMS += [["SUBMIT", "JOB", kind] for kind in ("FLUSH", "COMPACT", "STATS", "INGEST")]


_BLANK = r"(?:\s|#[^\n]*)*"
_TOKEN = re.compile(
    _BLANK
    + r"(?:`(?P<name>(?:[^\\`.\n]|\\.)*)`|(?P<number>-?\d+)|(?P<word>[^\W\d]\w*)|(?P<sign>[;,]))"
    + _BLANK,
    re.DOTALL,
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _split(text: str) -> Iterator[list[tuple[str, str]]]:
    """Return the statements as tokens; escapes between back-quotes are resolved, as in graphd's scanner."""
    statement: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise GraphdError("E_SYNTAX_ERROR", f"SyntaxError: syntax error near `{text[at : at + 8]}'")
        at = match.end()
        kind = match.lastgroup or ""
        found = match[kind]
        if kind == "name":
            found = re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), found, flags=re.DOTALL)
        if found == ";" and kind == "sign":
            if statement:
                yield statement
            statement = []
        else:
            statement.append((found if kind == "sign" else kind, found))
    if statement:
        yield statement
