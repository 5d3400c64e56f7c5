"""Answers that no graphd gave: cut, changed in a byte, or with tables of wrong shapes."""

from __future__ import annotations

import base64
import random
import socket
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from nebula3.common.ttypes import DataSet, DateTime, NList, NullType, Row, Value

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.nebula import ngql, thrift
from jobtui.storage.nebula.ngql import ErrorReply, NgqlTable, Reply, SameReply
from jobtui.storage.nebula.settings import Address, ClusterSettings
from jobtui.storage.nebula.thrift import GraphdConnection
from tests.support.replay import Record, captures

ADDRESS = Address("graphd", 9669)
SETTINGS = ClusterSettings(addresses=(ADDRESS,), answer_timeout=5.0)
PARSERS: tuple[Callable[[NgqlTable], object], ...] = (
    ngql.parse_jobs,
    ngql.parse_job,
    ngql.parse_hosts,
    ngql.parse_new_job_id,
    ngql.parse_recovered_count,
    lambda table: ngql.parse_spaces(table, table),
)
LIST = ("Job Id", "Command", "Status", "Start Time", "Stop Time")
HOSTS = ("Host", "Port", "Status", "Leader count", "Leader distribution", "Partition distribution")


def recorded(statement: str) -> bytes:
    return next(base64.b64decode(one["response_b64"]) for one in captures() if one["statement"] == statement)


def reply_to(answer: bytes) -> Reply:
    """Return jobtui's reading of these bytes, after which the server closes the connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        connection = GraphdConnection(ADDRESS, thrift._Transport(ADDRESS, ours), SETTINGS)
        connection._limit_answers(thrift.LIMIT_AFTER_LOGIN)
        return connection.execute(1, "SHOW JOBS")


def error_of(act: Callable[[], object]) -> ErrorCode | None:
    """Return the code of the StorageError that an act comes to; every other error fails the test."""
    try:
        act()
    except StorageError as error:
        return error.code
    return None


def read_by_all(table: NgqlTable) -> None:
    for parse in PARSERS:
        assert error_of(lambda parse=parse: parse(table)) in (None, ErrorCode.UNSUPPORTED)


class TestBytes:
    def test_cut_answer_is_an_error(self) -> None:
        whole = recorded("SHOW JOB 21")
        assert isinstance(reply_to(whole), NgqlTable)
        for length in [*range(40), *range(40, len(whole), 13), len(whole) - 1]:
            with pytest.raises(StorageError) as failed:
                reply_to(whole[:length])
            assert failed.value.code is ErrorCode.UNREACHABLE, length

    @pytest.mark.parametrize("statement", ["SHOW JOB 21", "SHOW HOSTS", "SHOW JOB 0"])
    def test_changed_byte_is_an_answer_or_an_error(self, statement: str) -> None:
        whole, rng = recorded(statement), random.Random(statement)
        for _ in range(150):
            changed = bytearray(whole)
            changed[rng.randrange(4, len(whole))] = rng.randrange(256)
            found: list[Reply] = []
            code = error_of(lambda changed=changed, found=found: found.append(reply_to(bytes(changed))))
            assert code in (None, ErrorCode.UNREACHABLE)
            for reply in found:
                if isinstance(reply, NgqlTable):
                    read_by_all(reply)
                else:
                    ngql.graphd_error(reply, "s1")

    def test_count_beyond_the_answer_is_an_error(self) -> None:
        whole = recorded("USE `leer`; SHOW JOBS")  # the list of rows begins with its count, after the names
        at = whole.index(b"Stop Time") + len(b"Stop Time")
        rows = whole[:at] + b"\x19\xfc\xff\xff\xff\xff\x07" + whole[at + 2 :]
        rows = (len(rows) - 4).to_bytes(4, "big") + rows[4:]
        # it waits for the rows that are announced, as long as for any answer
        with pytest.raises(StorageError, match="graphd closed the connection"):
            reply_to(rows)


def text(value: str) -> Value:
    return Value(sVal=value.encode())


ODD = {
    "nothing": Value(),
    "NULL": Value(nVal=NullType.__NULL__),
    "a flag": Value(bVal=True),
    "a fraction": Value(fVal=float("nan")),
    "a list": Value(lVal=NList(values=[Value(iVal=1)])),
    "bytes": Value(sVal=b"\xff\xfe\x00"),
    "a time of no calendar": Value(dtVal=DateTime(0, 13, 32, 25, 61, 61, -1)),
    "a number below zero": Value(iVal=-(1 << 63)),
    "a long text": text("x" * 100_000),
}


class TestTables:
    @pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
    @pytest.mark.parametrize("columns", [LIST, HOSTS], ids=["jobs", "hosts"])
    def test_cell_of_another_type(self, columns: tuple[str, ...], odd: Value) -> None:
        usual = [Value(iVal=7), text("FLUSH"), text("RUNNING"), Value(), Value()]
        if columns is HOSTS:
            usual = [text("h1"), Value(iVal=9779), text("ONLINE"), Value(iVal=1), text("s1:1"), text("s1:1")]
        for index in range(len(columns)):
            cells = [*usual[:index], odd, *usual[index + 1 :]]
            table = DataSet([name.encode() for name in columns], [Row(values=cells)])
            read_by_all(thrift._table(table, "s1"))

    @pytest.mark.parametrize("cells", [(), (7,), (7, "FLUSH", "RUNNING", None, None, "", "more")])
    def test_row_of_another_length(self, cells: tuple[ngql.Cell, ...]) -> None:
        table = NgqlTable(LIST, ((8, "FLUSH", "RUNNING", None, None), cells))
        for parse in (ngql.parse_jobs, ngql.parse_job):
            with pytest.raises(StorageError, match="in a form that jobtui does not know"):
                parse(table)

    @pytest.mark.parametrize("job_id", [0, -1, True, 7.0, "7", None])
    def test_id_that_no_job_has(self, job_id: ngql.Cell) -> None:
        for parse in (ngql.parse_jobs, ngql.parse_job):
            with pytest.raises(StorageError, match="in a form that jobtui does not know"):
                parse(NgqlTable(LIST, ((job_id, "FLUSH", "RUNNING", None, None),)))
        with pytest.raises(StorageError, match="in a form that jobtui does not know"):
            ngql.parse_new_job_id(NgqlTable(("New Job Id",), ((job_id,),)))

    def test_name_that_is_not_utf_8(self) -> None:
        names = thrift._table(DataSet([b"Name"], [Row(values=[Value(sVal=b"a\xffb")])]), "")
        hosts = NgqlTable(HOSTS, (("h1", 9779, "ONLINE", 1, "", "a�b:1"),))
        (space,) = ngql.parse_spaces(names, hosts)
        assert (space.name, space.hosts) == ("a�b", ("h1",))
        assert ngql.show_jobs_text(space.name) == "USE `a�b`; SHOW JOBS"


@pytest.mark.parametrize("record", [one for one in captures() if one["statement"].startswith("STOP")])
def test_refusal_keeps_its_text(record: Record) -> None:
    reply = reply_to(base64.b64decode(record["response_b64"]))
    assert isinstance(reply, ErrorReply)
    assert ngql.graphd_error(reply, "s1").detail == reply.message


class TestSameAnswer:
    """A list that is as it was is not decoded again, however long the query took."""

    def test_is_known_by_its_digest(self) -> None:
        whole = recorded("USE `s1`; SHOW JOBS")
        marker = whole.index(b"\x15\x00\x16") + 3
        end = next(at for at in range(marker, len(whole)) if whole[at] < 0x80) + 1
        later = framed(whole[4:marker] + b"\xfe\xff\xff\xff\x0f" + whole[end:])  # another latency
        last = whole.rindex(b"FINISHED")
        other = framed(whole[4:last] + b"FINISHEX" + whole[last + 8 :])
        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection = GraphdConnection(ADDRESS, thrift._Transport(ADDRESS, ours), SETTINGS)
            connection._limit_answers(thrift.LIMIT_AFTER_LOGIN)

            def query(answer: bytes, known: str) -> Reply | SameReply:
                theirs.sendall(answer)
                return connection.query(1, "SHOW JOBS", known)

            first = query(whole, "")
            assert isinstance(first, NgqlTable)
            assert len(first.digest) == 32
            assert query(later, first.digest) == SameReply()
            assert query(whole, first.digest) == SameReply()
            second = query(other, first.digest)
            assert isinstance(second, NgqlTable)
            assert (second.rows != first.rows, second.digest != first.digest) == (True, True)
            # what follows is decoded as ever, and an error has no digest
            refused = query(recorded("SHOW JOB 0"), second.digest)
            assert isinstance(refused, ErrorReply)
            assert query(recorded("SHOW JOB 0"), "") == refused
            theirs.sendall(whole)
            assert connection.execute(1, "SHOW JOBS") == replace(first, digest="")


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload
