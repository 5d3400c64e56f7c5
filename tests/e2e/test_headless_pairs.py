"""`jobtui load` and `jobtui dump` on real storage."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from jobtui.cli.pair_files import read_pairs, write_pairs
from jobtui.cli.pair_format import PairFormat
from tests.support.commands import CommandLine
from tests.support.homes import moved_in

AWKWARD = {
    b"": b"an empty key",
    b"\x00\xff": b"\x80\x81",
    b"bytes": bytes(range(256)),
    b"empty": b"",
    b"key": b"value",
    b"lines": b"a\nb\r\nc\rd",
    b"null": rb"\N",
    b"quotes": b'"a", "b"',
    b"slash": rb"C:\new\table",
    b"tabs": b"\ta\t",
    b"terminal": b"\x1b[2J\xc2\x9b",
    "图谱".encode(): "wide 图谱 😀".encode(),
}


@pytest.fixture(scope="session")
def with_nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user with an empty space, on one host: a load and a dump start one worker."""
    jobtui = CommandLine(tmp_path_factory.mktemp("nothing"))
    jobtui.done("-e", "CREATE SPACE nba ON 1 HOSTS")
    return jobtui.home


@pytest.fixture
def nba(with_nothing: Path, tmp_path: Path) -> CommandLine:
    return moved_in(tmp_path, with_nothing)


def held(jobtui: CommandLine, space: str = "nba") -> dict[bytes, bytes | None]:
    lines = jobtui.done("dump", space).encode().splitlines(keepends=True)
    return dict(read_pairs(lines, PairFormat.JSONL, "dump"))


def test_every_format_reads_its_output_back_to_the_byte(nba: CommandLine) -> None:
    nba.done("-e", "CREATE SPACE jsonl; CREATE SPACE csv ON 1 HOSTS; CREATE SPACE tsv ON 2 HOSTS")
    first = nba.home / "pairs.jsonl"
    first.write_bytes(b"".join(write_pairs(AWKWARD.items(), PairFormat.JSONL)))
    nba.done("load", "nba", first)
    for form in ("jsonl", "csv", "tsv"):
        dumped = nba.home / f"dumped.{form}"
        dumped.write_text(nba.done("dump", "nba", "--format", form), newline="")
        nba.done("load", form, dumped)
        assert held(nba, form) == AWKWARD
        assert list(held(nba, form)) == sorted(AWKWARD)


def test_files_are_loaded_in_their_order_and_nulls_delete(nba: CommandLine) -> None:
    (nba.home / "a.csv").write_text("key,value\na,1\nb,1\nc,1\nd,1\n")
    (nba.home / "b.TSV").write_text("a\t2\nb\n")
    (nba.home / "c.ndjson").write_text('{"key": "c", "value": null}\n{"key": "d", "value": {"n": [1, 2.0]}}\n')
    nba.done("load", "nba", "a.csv", "b.TSV", "c.ndjson")
    assert held(nba) == {b"a": b"2", b"d": b'{"n":[1,2.0]}'}


def test_later_value_wins_at_any_distance(nba: CommandLine) -> None:
    rows = "".join(f"k{number % 100},{number}\n" for number in range(30_000))
    nba.done("load", "nba", "-", "--format", "csv", stdin=rows)
    assert held(nba) == {f"k{number}".encode(): f"{29_900 + number}".encode() for number in range(100)}


def test_bad_line_in_any_file_leaves_the_space_unchanged(nba: CommandLine) -> None:
    (nba.home / "a.csv").write_text("a,1\n")
    (nba.home / "b.csv").write_text("b,1\nc,2,3\n")
    ended = nba("load", "nba", "a.csv", "b.csv")
    assert ended.returncode == 1
    assert ended.stderr == "jobtui: b.csv:2: 3 columns, where a key and a value are expected\n"
    assert held(nba) == {}


def test_bad_line_of_a_pipe_leaves_the_space_unchanged(nba: CommandLine) -> None:
    ended = nba("load", "nba", "-", stdin='{"key": "a", "value": "1"}\n{"key": "b"}\n')
    assert ended.returncode == 1
    assert ended.stderr.startswith('jobtui: stdin:2: one of "value" and "value_base64"')
    assert held(nba) == {}
    assert [path.name for path in nba.profile.root.iterdir() if path.is_file()] == ["history.lock"]


def test_file_on_stdin_is_read_from_its_position(nba: CommandLine) -> None:
    (nba.home / "a.csv").write_text("passed over\na,1\n")
    with (nba.home / "a.csv").open("rb", buffering=0) as file:
        file.seek(len("passed over\n"))
        with nba.started("load", "nba", "-", "--format", "csv", stdin=file) as process:
            assert process.wait(60) == 0
    assert held(nba) == {b"a": b"1"}


def test_interrupt_while_reading_loads_nothing_and_is_reported(nba: CommandLine) -> None:
    with nba.started("load", "nba", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(
            b'{"key": "a", "value": "1"}\n' * 100_000
        )  # more than a pipe holds: it is being read
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"Nothing was loaded\n"
    assert held(nba) == {}


def test_fifo_is_loaded_as_a_file_is(nba: CommandLine) -> None:
    os.mkfifo(nba.home / "a.csv")
    with nba.started("load", "nba", "a.csv") as process:
        (nba.home / "a.csv").write_text("a,1\nb,2\n")
        assert process.wait(60) == 0
    assert held(nba) == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("", "0 pairs loaded into nba"),
        ("key,value\n", "0 pairs loaded into nba"),
        ("a,1\n", "1 pair loaded into nba"),
        ("a,1\nb\n", "1 pair loaded into nba, 1 key deleted"),
        ("a,1\nb\nc,\\N\nd,2\n", "2 pairs loaded into nba, 2 keys deleted"),
        ("b,\\N\n", "0 pairs loaded into nba, 1 key deleted"),
    ],
)
def test_load_counts_pairs_and_deletions_apart(nba: CommandLine, rows: str, expected: str) -> None:
    words = ("load", "nba", "-", "--format", "csv")
    assert nba(*words, stdin=rows).stderr == f"{expected}\n"
    assert nba(*words, "--quiet", stdin=rows).stderr == ""


def test_semicolon_csv_leaves_the_space_unchanged(nba: CommandLine) -> None:
    nba.done("load", "nba", "-", "--format", "csv", stdin="player,Tim\nteam,Spurs\n")
    (nba.home / "a.csv").write_text("player;Tim Duncan\nteam;Spurs\n")
    ended = nba("load", "nba", "a.csv")
    assert ended.returncode == 1
    assert ended.stderr.startswith("jobtui: a.csv:1: this looks like semicolons where commas are expected: ")
    assert "'player;Tim Duncan'" in ended.stderr
    assert held(nba) == {b"player": b"Tim", b"team": b"Spurs"}


def test_file_of_keys_deletes_if_stated(nba: CommandLine) -> None:
    nba.done("load", "nba", "-", "--format", "csv", stdin="player,Tim\nteam,Spurs\n")
    (nba.home / "keys.csv").write_text("player\nteam\n")
    refused = nba("load", "nba", "keys.csv")
    assert (refused.returncode, "add --delete-keys" in refused.stderr) == (1, True)
    assert len(held(nba)) == 2
    assert nba("load", "nba", "keys.csv", "--delete-keys").stderr == "0 pairs loaded into nba, 2 keys deleted\n"
    assert held(nba) == {}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["load", "nbaa", "a.csv"], 1, "Space 'nbaa' does not exist; did you mean 'nba'?"),
        (["dump", "nbaa"], 1, "Space 'nbaa' does not exist; did you mean 'nba'?"),
        (["load", "nba", "none.csv"], 2, "none.csv: No such file or directory"),
        (["load", "nba", "none"], 2, "none: No such file or directory"),
        (
            ["load", "nba", "pairs.txt"],
            2,
            "pairs.txt: the name does not tell the format; add --format csv, tsv or jsonl",
        ),
        (["load", "nba", "-", "a.csv", "-"], 2, "stdin (-) can be read only once"),
    ],
)
def test_impossible_load_or_dump_is_reported(
    nba: CommandLine, words: list[str], status: int, message: str
) -> None:
    (nba.home / "a.csv").write_text("a,1\n")
    (nba.home / "pairs.txt").write_text("a,1\n")
    ended = nba(*words)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", f"jobtui: {message}\n")


def test_dump_into_a_closed_pipe_is_no_error(nba: CommandLine) -> None:
    rows = "".join(f"k{number:06},{'x' * 100}\n" for number in range(5_000))
    nba.done("load", "nba", "-", "--format", "csv", stdin=rows)
    with nba.started("dump", "nba") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"key":"k000000"')
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")


def test_empty_space_dumps_to_nothing(nba: CommandLine) -> None:
    assert nba.done("dump", "nba") == ""
    assert nba.done("dump", "nba", "--format", "csv") == "key,value,base64\n"


def test_load_draws_a_bar_on_a_terminal(nba: CommandLine) -> None:
    (nba.home / "a.csv").write_text("a,1\nb,2\n")
    master, slave = os.openpty()
    try:
        with nba.started("load", "nba", "a.csv", stderr=slave) as process:
            assert process.wait(60) == 0
        drawn = os.read(master, 100_000).decode()
        assert "load nba" in drawn
        assert "2 pairs loaded into nba" in drawn
    finally:
        os.close(master)
        os.close(slave)


def test_space_whose_name_is_a_path_is_only_a_name(nba: CommandLine, tmp_path: Path) -> None:
    nba.done("-e", "CREATE SPACE `/etc/nba`")
    nba.done("load", "/etc/nba", "-", "--format", "csv", stdin="a,1\n")
    assert held(nba, "/etc/nba") == {b"a": b"1"}
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
