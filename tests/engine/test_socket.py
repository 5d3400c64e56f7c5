"""The local socket between the processes of a profile: malformed lines, and clients that are disconnected."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from jobtui import errors
from jobtui.engine import acceptor, owner_socket, protocol, remote, server
from jobtui.engine.client import Session
from jobtui.engine.owner_socket import SOCKET, Channel, short_path
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from tests.support.engines import WAIT, Bench, impostor

ME = frozenset({os.geteuid()})
RUN = b'{"want":{"type":"Run","text":%b,"space":null,"cwd":"/"}}'
LOAD = b'{"want":{"type":"Load","space":"solo","pairs":%b}}'
MALFORMED = {
    "nothing": b"",
    "no JSON": b"GET / HTTP/1.1\r",
    "no UTF-8": RUN % b'"\xff\xfe"',
    "no UTF-8 in a name": b'{"want":{"type":"Look"},"\xff":1}, "version":"\xff"}',
    "no UTF-8 in the version": b'{"want":{"type":"Look"},"version":"\xff"}',
    "half a surrogate pair": RUN % b'"\\ud800"',
    "50,000 nested objects": b'{"x":' * 50_000 + b"1" + b"}" * 50_000,
    "50,000 nested questions": b'{"want":' * 50_000,
    "500,000 nested arrays": LOAD % (b"[" * 500_000),
    "a wrong type": RUN % b"7",
    "an unknown question": b'{"want":{"type":"Reboot"}}',
    "no question": b'{"want":null}',
    "an array": b"[1,2,3]",
    "a number of 5,000 digits": b'{"want":{"type":"Look"},"protocol":%b}' % (b"9" * 5_000),
    "a number beyond all": b'{"want":{"type":"Look"},"protocol":1e400}',
    "pairs that are no base64": LOAD % b'[["!!","YQ=="]]',
    "a pair of three": LOAD % b'[["YQ==","YQ==","YQ=="]]',
    "a NUL byte": b'{"want":\x00}',
}
UNFIT = {
    "no statement": RUN % b'""',
    "a NUL in the text": RUN % b'"SHOW JOBS\\u0000"',
    "a text of a million levels": RUN % (b'"' + b"(" * 1_000_000 + b'"'),
    "a NUL in the directory": RUN.replace(b'"/"', b'"\\u0000"') % b'"CREATE SPACE x AT \\"y\\""',
    "a space that is not there": b'{"want":{"type":"LookAt","space":"nowhere","host":"far"}}',
    "a host that is not there": b'{"want":{"type":"LookAt","space":"solo","host":"\\u0000"}}',
    "no pairs": LOAD % b"[]",
    "pairs for a space that is not there": b'{"want":{"type":"Load","space":"\\u0000","pairs":[]}}',
    "a dump of a space that is not there": b'{"want":{"type":"Dump","space":"nowhere"}}',
    "a job that cannot be": RUN % (b'"STOP JOB ' + b"9" * 5_000 + b'"'),
}


@contextlib.contextmanager
def connected(root: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client, short_path(root / SOCKET) as name:
        client.settimeout(WAIT)
        client.connect(name)
        yield client


def answer_to(root: Path, line: bytes) -> protocol.Response:
    """The last answer to a line; fails if there is none."""
    with connected(root) as client, client.makefile("rb") as answers:
        client.sendall(line + b"\n")
        answer = protocol.decode_response(answers.readline())
        return protocol.decode_response(answers.readline()) if isinstance(answer, protocol.Accepted) else answer


def open_channel(root: Path) -> Channel:
    return Channel.open(root / SOCKET, ME, 5.0)


class TestQuestions:
    @pytest.fixture(autouse=True)
    def clean_log(self, owner: Bench, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """Whatever was asked, the log is clean and the owner answers the next client."""
        caplog.set_level(logging.WARNING)
        yield
        assert not caplog.records
        assert not owner.events.notices
        answer = owner.execute("SHOW JOBS")
        assert answer.failure is None

    @pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
    def test_malformed_line_gets_error_reply(self, root: Path, line: bytes) -> None:
        answer = answer_to(root, line)
        assert isinstance(answer, protocol.ErrorResponse)
        assert answer.text.startswith("The request was not understood: ")
        RemoteClient.connect(Profile("local", root)).close()

    @pytest.mark.parametrize("line", UNFIT.values(), ids=UNFIT.keys())
    def test_unfit_question_gets_a_reply(self, root: Path, line: bytes) -> None:
        assert answer_to(root, line) is not None
        RemoteClient.connect(Profile("local", root)).close()

    def test_failure_of_the_owner_is_an_error_reply(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise TypeError("not " + chr(0xDCFF) + " text")

        with monkeypatch.context() as failing:
            failing.setattr(owner.engine.engine.executor, "execute", fail)
            answer = answer_to(root, RUN % b'"SHOW JOBS"')
        assert answer == protocol.ErrorResponse("The request could not be executed: not \\udcff text")

    def test_list_of_jobs_is_answered(self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        owner.execute("ADMIN FLUSH solo; ADMIN COMPACT solo")
        answer = answer_to(root, RUN % b'"SHOW JOBS"')
        assert isinstance(answer, protocol.ExecuteResponse)
        assert [row.cells[:2] for row in answer.results[0].rows] == [("1", "flush solo"), ("2", "compact solo")]
        assert answer.results[0].total is None
        monkeypatch.setattr(server, "MAX_ROWS", 1)
        answer = answer_to(root, RUN % b'"ADMIN FLUSH nba; SHOW JOBS"')
        assert isinstance(answer, protocol.ExecuteResponse)
        submitted, listed = answer.results
        assert submitted.jobs == (3,)
        assert [row.cells[:2] for row in listed.rows] == [("3", "flush nba")]
        assert listed.total == 3

    def test_second_malformed_line_gets_error_reply(self, root: Path) -> None:
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(b'{"want":{"type":"Retry"}}\n\xff\n')
            kinds = [type(protocol.decode_response(answers.readline())) for _ in range(3)]
            assert kinds == [protocol.Accepted, protocol.ReconnectResponse, protocol.ErrorResponse]
            assert answers.read() == b""

    def test_subscription_needs_a_connection_of_its_own(self, root: Path) -> None:
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(b'{"want":{"type":"Retry"}}\n{"want":{"type":"Follow"}}\n')
            kinds = [type(protocol.decode_response(answers.readline())) for _ in range(2)]
            assert kinds == [protocol.Accepted, protocol.ReconnectResponse]
            assert answers.read() == b""

    def test_nothing_follows_a_request_that_failed(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("a defect")

        monkeypatch.setattr(owner.engine.engine.storage, "stats", fail)
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(
                b'{"want":{"type":"LookAt","space":"solo","host":"far"}}\n{"want":{"type":"Retry"}}\n'
            )
            kinds = [type(protocol.decode_response(answers.readline())) for _ in range(2)]
            assert kinds == [protocol.Accepted, protocol.ErrorResponse]
            assert answers.read() == b""

    def test_owner_that_closes_accepts_no_further_request(self, owner: Bench, root: Path) -> None:
        async def close() -> None:
            owner.engine.engine.server.close()

        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(b'{"want":{"type":"Retry"}}\n')
            answers.readline(), answers.readline()
            owner.engine.call(close()).result(WAIT)
            with contextlib.suppress(BrokenPipeError):
                client.sendall(b'{"want":{"type":"Retry"}}\n')
            assert answers.read() == b""

    def test_line_without_end_gets_error_reply(self, root: Path) -> None:
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(RUN % b'"ADMIN FLUSH solo"')
            client.shutdown(socket.SHUT_WR)
            assert "it has no end" in answers.readline().decode()

    @pytest.mark.parametrize("sent", [b"", b"{", b"x" * (3 * server.SHORT_LINE)])
    def test_unfinished_line_times_out(self, root: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
        monkeypatch.setattr(server, "REQUEST_SECONDS", 0.1)
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(sent)
            assert b"not sent within 0.1 s" in answers.readline()
            assert answers.read() == b""

    def test_line_too_long_gets_error_reply(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 1 << 20)
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(b"x" * (3 << 20))
            assert b"more than 1 MiB" in answers.readline()

    def test_many_long_half_lines_are_not_all_read(self, root: Path) -> None:
        half = bytes(4 << 20)
        with contextlib.ExitStack() as clients:
            readers = [clients.enter_context(connected(root)) for _ in range(server.LONG_LINES_AT_ONCE)]
            for client in readers:
                client.sendall(half)
            last = clients.enter_context(connected(root))
            last.settimeout(0.5)
            with pytest.raises(TimeoutError):
                last.sendall(half)
            for client in readers:
                client.close()
            last.settimeout(WAIT)
            last.sendall(half + b"\n")
            assert b"not understood" in last.makefile("rb").readline()

    def test_client_that_reads_no_answer_is_disconnected(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobtui.engine.server.RESPONSE_SECONDS", 0.1)
        much = (b"key", bytes(8 << 20))

        async def dump(_: str) -> AsyncIterator[tuple[bytes, bytes]]:
            for _number in range(4):
                yield much

        monkeypatch.setattr(owner.storage, "dump", dump)
        with connected(root) as client:
            client.sendall(b'{"want":{"type":"Dump","space":"solo"}}\n')
            assert client.recv(1) == b"{"
            assert owner.engine.close_if_idle().result(WAIT) == ()


class TestConnections:
    def test_job_is_requested_by_user_at_other_end(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "peer_uid", lambda connection: 0)
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
        for kind in ("script", "dashboard", "schedule"):  # a client is no schedule, whatever it says
            request = protocol.ExecuteRequest("ADMIN FLUSH solo", None, "/", kind)
            line = msgspec.json.encode(protocol.Request(request))
            assert isinstance(answer_to(root, line), protocol.ExecuteResponse)
        host = os.uname().nodename
        shown = [owner.execute(f"SHOW JOB {number}").results[0].rows[0] for number in (1, 2, 3)]
        assert [row.values["requested_by"] for row in shown] == [
            f"root@{host}, script",
            f"root@{host}, dashboard",
            f"root@{host}, script",
        ]

    def test_text_takes_one_connection(self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        owner_client = RemoteClient.connect(Profile("local", root))
        opened: list[Channel] = []
        connect = owner_client._channel
        monkeypatch.setattr(owner_client, "_channel", lambda: opened.append(connect()) or opened[-1])
        answer = owner_client.answer(
            "USE solo; ADMIN FLUSH; SHOW HOSTS; ADMIN COMPACT", Session(None, Path("/"))
        )
        assert answer.jobs == (1, 2)
        assert len(opened) == 1
        owner_client.close()

    def test_connection_that_was_silent_is_replaced(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
        owner_client = RemoteClient.connect(Profile("local", root))
        with contextlib.closing(remote._Requests(owner_client._channel)) as questions:
            session = Session("solo", Path("/"))
            questions.execute("ADMIN FLUSH", session)
            first = questions._channel
            assert first is not None
            assert first._connection.recv(1, socket.MSG_PEEK) == b""  # the owner has closed it
            assert [
                job for result in questions.execute("ADMIN FLUSH", session).results for job in result.jobs
            ] == [2]
            assert questions._channel is not first
        owner_client.close()

    def test_owner_stays_for_the_rest_of_a_text(self, owner: Bench, root: Path) -> None:
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(b'{"want":{"type":"Retry"}}\n')
            answers.readline(), answers.readline()
            leaving = owner.engine.close_if_idle()
            client.sendall(RUN % b'"ADMIN FLUSH solo"' + b"\n")
            assert isinstance(protocol.decode_response(answers.readline()), protocol.Accepted)
            assert isinstance(protocol.decode_response(answers.readline()), protocol.ExecuteResponse)
            assert not leaving.done()
            client.close()
        assert leaving.result(WAIT) == (1,)

    def test_client_is_refused_when_descriptors_run_out(
        self, owner: Bench, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as files:
            for client in clients:
                files.enter_context(client)
            files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(c.fileno() for c in clients) + 10, limits[1]))
            with contextlib.suppress(OSError):
                while True:
                    files.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            for client in clients:
                client.settimeout(WAIT)
                client.connect(str(root / SOCKET))
                answer = protocol.decode_response(client.recv(1 << 16))
                assert isinstance(answer, protocol.ErrorResponse)
                assert answer.busy
                assert "Too many open files; raise its limit (ulimit -n)" in answer.text
        RemoteClient.connect(Profile("local", root)).close()
        assert not caplog.records
        assert len(owner.events.notices) == 1

    def test_clients_leave_descriptors_for_the_owner(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(acceptor, "MAX_CONNECTIONS", 1)
        owner_client = RemoteClient.connect(Profile("local", root))
        with pytest.raises(errors.RequestNotAccepted, match="1 clients are connected"):
            RemoteClient.connect(Profile("local", root))
        owner_client.close()
        owner.events.wait_for(lambda: owner.events.notices)

    def test_client_without_descriptor_reports_it(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(owner_socket.socket, "socket", fail)
        with pytest.raises(errors.RequestNotAccepted, match="Too many open files"):
            open_channel(root)

    def test_input_from_a_follower_is_discarded(self, owner: Bench, root: Path) -> None:
        with connected(root) as client, client.makefile("rb") as answers:
            client.sendall(b'{"want":{"type":"Follow"}}\n' + bytes(8 << 20))
            assert protocol.decode_response(answers.readline()) == protocol.EventsMessage(())
            owner.execute("ADMIN FLUSH solo")
            assert isinstance(protocol.decode_response(answers.readline()), protocol.EventsMessage)


class TestLongTexts:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The texts that were handed to the owner."""
        texts: list[str] = []
        send = Channel.send

        def note(self: Channel, want: protocol.RequestBody, seconds: float | None) -> None:
            if isinstance(want, protocol.ExecuteRequest):
                texts.append(want.text)
            send(self, want, seconds)

        monkeypatch.setattr(Channel, "send", note)
        return texts

    def test_thousand_statements_are_few_questions(self, owner: Bench, root: Path, asked: list[str]) -> None:
        owner_client = RemoteClient.connect(Profile("local", root))
        answer = owner_client.answer("USE solo;" + "ADMIN FLUSH;" * 1_000, Session(None, Path("/")))
        assert answer.jobs == tuple(range(1, 1_001))
        assert {result.statement for result in answer.results} == {"USE solo", "ADMIN FLUSH"}
        assert len(asked) == 6
        owner_client.close()

    def test_failure_is_placed_and_ends_the_text(self, owner: Bench, root: Path, asked: list[str]) -> None:
        owner_client = RemoteClient.connect(Profile("local", root))
        text = "USE solo; -- a note\n ADMIN FLUSH;\n  STOP JOB 7;\nADMIN FLUSH; SHOW HOSTS"
        answer = owner_client.answer(text, Session(None, Path("/")))
        assert answer.jobs == (1,)
        assert answer.failure is not None
        failure = answer.failure
        assert (failure.statement, failure.line, failure.column) == ("STOP JOB 7", 3, 3)
        assert failure.message == "Job 7 does not exist"
        assert len(asked) == 1
        assert [job.id for job in owner.engine.active_jobs()] == [1]
        owner_client.close()

    def test_slow_statements_are_requested_one_by_one(self, owner: Bench, root: Path, asked: list[str]) -> None:
        owner_client = RemoteClient.connect(Profile("local", root))
        text = "ADMIN FLUSH solo; ADMIN FLUSH solo; CREATE SPACE x; CREATE SPACE y; DROP SPACE x; SHOW JOBS"
        assert owner_client.answer(text, Session(None, Path("/"))).failure is None
        assert [len(one.split(";")) for one in asked] == [2, 1, 1, 1]
        owner_client.close()

    def test_unknown_outcome_is_reported_for_the_whole_batch(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def go(*_: object) -> None:
            raise ConnectionResetError

        owner_client = RemoteClient.connect(Profile("local", root))
        monkeypatch.setattr(owner.engine.engine.executor, "execute", go)
        answer = owner_client.answer("ADMIN FLUSH solo; ADMIN COMPACT solo", Session(None, Path("/")))
        assert answer.failure is not None
        assert "this statement and the 1 after it may have been carried out" in answer.failure.message
        owner_client.close()


class TestAnswers:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (b"\xff\n", "does not answer as this one understands"),
            (b'{"x":' * 50_000 + b"\n", "does not answer as this one understands"),
            (b'{"type":"Denied","text":"\xff"}\n', "does not answer as this one understands"),
            (b'{"type":"Looked","overview":null}\n', "does not answer as this one understands"),
            (b'{"type":"Retrying"}\n', "answered something else"),
            (b'{"type":"Denied","text":"no","code":"of tomorrow"}\n', "no"),
            (b'{"type":"Denied"', "went away before it answered"),
            (b"x" * (1 << 18), "sent a line of more than"),
        ],
        ids=range(8),
    )
    def test_malformed_answer_is_reported(
        self, runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, why: str
    ) -> None:
        monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 1 << 17)
        line = line if len(line) < 1 << 16 or line.startswith(b"x") else line[: 1 << 16] + b"\n"

        def say(client: socket.socket) -> None:
            client.recv(1 << 16)
            with contextlib.suppress(BrokenPipeError):
                client.sendall(line)

        with impostor(root, say), pytest.raises(errors.OwnerUnavailable, match=why):
            RemoteClient.connect(Profile("local", root))

    def test_answer_in_drops_times_out(
        self, runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def drip(client: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    client.sendall(b"{")

        monkeypatch.setattr(remote, "GREETING_SECONDS", 0.2)
        monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 1 << 40)
        with impostor(root, drip), pytest.raises(errors.OwnerTimeout):
            RemoteClient.connect(Profile("local", root))

    def test_text_that_is_no_utf8_is_refused(self, owner: Bench, root: Path) -> None:
        owner_client = RemoteClient.connect(Profile("local", root))
        answer = owner_client.answer("ADMIN FLUSH solo", Session(None, Path("/tmp/\udcff")))
        assert answer.failure is not None
        assert "not UTF-8" in answer.failure.message
        owner_client.close()

    def test_batch_of_changes_is_split_into_lines(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner_client = RemoteClient.connect(Profile("local", root))
        monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 4_000)
        answer = owner.execute("ADMIN FLUSH solo; ADMIN FLUSH solo; ADMIN FLUSH solo; ADMIN FLUSH solo")
        ended = owner_client.wait_ended(answer.jobs)
        owner.engine.stop_jobs()
        owner.storage.operation("solo", "far").finish()
        assert len(ended.result(WAIT)) == 4
        owner_client.close()
