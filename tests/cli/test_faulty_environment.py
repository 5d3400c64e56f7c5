"""The first five minutes of a user whose environment has a fault."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobtui.cli import streams
from jobtui.cli.commands.run import DASHBOARD_COMMANDS, add_dashboard_hint
from jobtui.cli.errors import UsageError
from jobtui.cli.main import main
from jobtui.engine import lifecycle
from jobtui.formatting import format_local_time
from jobtui.history import History, StoreError
from jobtui.language import StatementError, parse
from jobtui.model import Status
from jobtui.tui.text import console_commands
from tests.support import made_jobs
from tests.support.commands import CommandLine
from tests.support.terminal import Terminal

JOBTUI = [sys.executable, "-m", "jobtui"]
ROOT = Path(__file__).parents[2]


def run(
    jobtui: CommandLine, *words: str, cwd: Path | None = None, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """The command in a changed environment (None: without it), with nothing on stdin."""
    changed = jobtui.environment | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [*JOBTUI, *words],
        env={name: value for name, value in changed.items() if value is not None},
        cwd=cwd or jobtui.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def in_a_deleted_directory(jobtui: CommandLine, *words: str) -> subprocess.CompletedProcess[str]:
    gone = jobtui.home / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0" && exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, str(gone), *JOBTUI, *words],
        env=jobtui.environment | {"PYTHONPATH": str(ROOT)},
        cwd=jobtui.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("home", [None, "", "/nonexistent/home"])
def test_home_is_not_needed_to_read(jobtui: CommandLine, home: str | None) -> None:
    result = run(jobtui, "-e", "SHOW JOBS", HOME=home, XDG_DATA_HOME=str(jobtui.home / "none"))
    assert (result.returncode, result.stderr) == (0, "")


def test_unwritable_home_is_reported_with_a_remedy(jobtui: CommandLine) -> None:
    (jobtui.home / "file").write_text("")
    in_the_way = f"{jobtui.home / 'file'} is a file, and must be a directory"
    for words, why in (
        (("-e", "CREATE SPACE nba"), in_the_way),
        (("serve",), in_the_way),
        (("serve", "--background"), "Not a directory"),
    ):
        result = run(jobtui, *words, HOME=str(jobtui.home / "file"))
        assert result.returncode == 1
        assert f"{why}; jobtui doctor shows what to do" in result.stderr


def test_missing_stdin_is_not_an_empty_text(jobtui: CommandLine) -> None:
    result = run(jobtui)
    assert result.returncode == 2
    assert "the dashboard needs a terminal; in scripts use -e TEXT, -f FILE or a pipe" in result.stderr


def test_empty_pipe_is_an_empty_text(jobtui: CommandLine) -> None:
    assert jobtui.done(stdin="") == ""


@pytest.mark.parametrize("term", ["dumb", ""])
def test_terminal_unfit_for_a_dashboard_is_reported(jobtui: CommandLine, term: str) -> None:
    words = ["env", f"TERM={term}", *JOBTUI, "--data-dir", str(jobtui.data)]
    with Terminal(words, environment=jobtui.environment, cwd=ROOT) as terminal:
        assert terminal.ended() == 2
        terminal.shows("the dashboard needs a terminal that can move its cursor")
        assert "without it use -e TEXT, -f FILE or a pipe" in terminal.text().replace("\n", "")


C = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_locale_without_utf8_gets_escapes_with_a_note(nba: CommandLine) -> None:
    options = ("--data-dir", str(nba.data))
    assert run(nba, *options, "-e", "SHOW SPACES", **C).returncode == 0
    help_ = run(nba, "load", "--help", **C)
    assert (help_.returncode, help_.stderr) == (0, "")
    result = run(nba, *options, "-e", "CREATE SPACE 图谱", **C)
    assert result.returncode == 2
    assert "not valid UTF-8" in result.stderr


def test_profile_name_has_a_maximum_length(jobtui: CommandLine) -> None:
    result = jobtui("--profile", "a" * 300, "-e", "SHOW JOBS")
    assert result.returncode == 2
    assert "at most 64 ASCII letters" in result.stderr
    jobtui.config.write_text(f"[profiles.{'a' * 64}]\n")
    jobtui.done("--profile", "a" * 64, "-e", "CREATE SPACE nba")


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8 whatever is asked for")
def test_directory_with_an_undecodable_name_is_refused(jobtui: CommandLine) -> None:
    named = jobtui.home / os.fsdecode(b"d\xff")
    result = run(jobtui, "--data-dir", str(named), "-e", "CREATE SPACE nba")
    assert (result.returncode, result.stdout) == (2, "")
    assert r"d\udcff/local is not UTF-8; take another one" in result.stderr
    assert not named.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "SHOW JOBS"),
        ("-e", "CREATE SPACE nba"),
        ("doctor",),
        ("history", "verify"),
        ("history", "repair"),
    ],
)
def test_unreadable_directory_is_reported(jobtui: CommandLine, words: tuple[str, ...]) -> None:
    result = run(jobtui, "--data-dir", str(jobtui.home / ("d" * 300)), *words)
    assert result.returncode == 1
    assert "File name too long" in result.stdout + result.stderr
    assert "defect" not in result.stderr


def test_deleted_current_directory_is_no_obstacle(nba: CommandLine) -> None:
    options = ("--data-dir", str(nba.data))
    for words in (("-e", "SHOW SPACES"), ("-q", "-e", "ADMIN FLUSH nba"), ("doctor",), ("history", "verify")):
        result = in_a_deleted_directory(nba, *options, *words)
        assert (result.returncode, result.stderr) == (0, ""), words


def test_path_relative_to_a_deleted_directory_is_refused(nba: CommandLine) -> None:
    result = in_a_deleted_directory(nba, "--data-dir", "data", "-e", "SHOW SPACES")
    assert (result.returncode, result.stderr) == (
        2,
        "jobtui: data is relative to the current directory, which is gone\n",
    )
    adopted = in_a_deleted_directory(nba, "--data-dir", str(nba.data), "-e", "CREATE SPACE x AT 'db'")
    assert adopted.returncode == 1
    assert "gone/db: there is no such directory" in adopted.stderr


def adopted(jobtui: CommandLine) -> Path:
    """The space `other`, adopted from a database in a directory with a blank in its path; that directory."""
    origin = jobtui.home / "an origin"
    origin.mkdir()
    CommandLine(origin).done("-e", "CREATE SPACE nba ON 1 HOSTS")
    database = next(origin.rglob("CURRENT")).parent
    jobtui.done("-e", f"CREATE SPACE other AT '{database}'")
    return database


def test_load_that_cannot_succeed_is_not_suggested(jobtui: CommandLine) -> None:
    adopted(jobtui)
    result = jobtui("load", "other", "-", stdin='{"key": "k", "value": "v"}\n')
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "jobtui: other is adopted: where its keys belong is known to its own program alone\n"
    )


def test_open_adopted_database_is_named_once_after_the_cause(
    jobtui: CommandLine,
) -> None:
    database = adopted(jobtui)
    with (database / "LOCK").open("r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        result = jobtui("-e", "ADMIN COMPACT other")
    assert result.returncode == 3
    cause = "another program has the database open (its LOCK is held)"
    assert f"Job 1 (compact other) failed: {cause}, at {database}\n" in result.stderr
    (_, task) = jobtui.rows("SHOW JOB 1")
    assert task["reason"] == cause
    assert jobtui("-e", "SHOW JOB 1").stderr == f"Job 1 (compact other) failed: {cause}, at {database}\n"


def test_file_is_not_called_a_missing_directory(jobtui: CommandLine) -> None:
    file = jobtui.home / "big.csv"
    file.write_text("a,b\n")
    result = jobtui("-e", f"CREATE SPACE other AT '{file}'")
    assert result.stderr == f"-e:1:1: {file} is a file, not a directory\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of a megabyte; only root can mount one."""
    options = tmp_path / "disk"
    options.mkdir()
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root on Linux mounts a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", options]).returncode:
        pytest.skip("a small disk cannot be mounted here")
    return options


@pytest.fixture
def unmounted(small_disk: Path) -> Iterator[Path]:
    yield small_disk
    subprocess.run(["umount", small_disk], check=True)


def fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_full_disk_is_reported_and_history_stays_readable(jobtui: CommandLine, unmounted: Path) -> None:
    options = ("--data-dir", str(unmounted))
    assert run(jobtui, *options, "-e", "CREATE SPACE nba; ADMIN FLUSH nba").returncode == 0
    fill(unmounted)
    result = run(jobtui, *options, "-e", "ADMIN FLUSH nba")
    assert result.returncode == 1
    assert result.stderr.count("is full: free some space on it") == 1
    assert result.stderr.endswith("-e:1:1: refused for that reason\n")
    assert "flush nba | finished" in run(jobtui, *options, "-e", "SHOW JOBS").stdout
    doctor = run(jobtui, *options, "doctor")
    assert doctor.returncode == 1
    assert "0 B free" in doctor.stdout


def test_read_only_disk_is_reported_and_history_stays_readable(jobtui: CommandLine, unmounted: Path) -> None:
    options = ("--data-dir", str(unmounted))
    assert run(jobtui, *options, "-e", "CREATE SPACE nba; ADMIN FLUSH nba").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", unmounted], check=True)
    for text in ("SHOW JOBS", "SHOW SPACES", "SHOW JOB 1"):
        assert "nba" in run(jobtui, *options, "-e", text).stdout
    assert run(jobtui, *options, "history", "verify").returncode == 0
    for words in (("-e", "ADMIN FLUSH nba"), ("serve",), ("history", "repair"), ("serve", "--background")):
        result = run(jobtui, *options, *words)
        assert result.returncode == 1
        assert "Read-only file system" in result.stderr


def test_pipe_larger_than_the_disk_is_refused_before_loading(jobtui: CommandLine, unmounted: Path) -> None:
    jobtui.data = unmounted
    jobtui.done("-e", "CREATE SPACE nba")
    ended = jobtui("load", "nba", "-", "--format", "csv", stdin="k,v\n" * 300_000)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "jobtui: stdin cannot be stored until all of it is checked: No space left on device; "
        "nothing was loaded. A file in place of the pipe needs no temporary file\n"
    )
    assert jobtui.done("dump", "nba") == ""


def test_interrupted_job_is_shown_as_the_next_start_records_it(jobtui: CommandLine) -> None:
    history = History.open(jobtui.profile.history)
    queued = made_jobs.submitted(history.new_id(), random.Random(1))
    running = lifecycle.start_tasks(queued, [0], queued.submitted)
    history.commit(running).result()
    assert jobtui.rows("SHOW JOBS")[0]["Status"] == "running"  # while its owner lives
    history.close()
    for options in ((), ("--read-only",)):
        shown = jobtui(*options, "-e", "SHOW FAILED JOBS")
        assert shown.returncode == 0
        assert "failed" in shown.stdout
        assert shown.stderr == (
            "Job 1 was running when the jobtui that ran it ended; its last sign of life was at "
            f"{format_local_time(queued.submitted)}, and the next start records it as interrupted\n"
        )
        assert "running" not in jobtui(*options, "-e", "SHOW RUNNING JOBS").stdout
    assert '"reason": "interrupted between ' in jobtui("-e", "SHOW JOB 1", "--format", "jsonl").stdout
    assert '"status":"failed"' in jobtui.done("history", "export", "--format", "jsonl")
    assert "1 interrupted when its jobtui ended" in jobtui("doctor").stdout
    metrics = jobtui.done("metrics")
    assert 'status="failed"' in metrics
    assert "jobtui_running_tasks{" not in metrics
    assert jobtui("-e", "SHOW JOBS", "--quiet").stderr == jobtui("-e", "SHOW SPACES").stderr == ""


def test_jobs_waiting_for_an_owner_name_the_command_to_run(jobtui: CommandLine) -> None:
    history = History.open(jobtui.profile.history)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    jobs = [lifecycle.new_job(history.new_id(), "compact", "nba", ["h1", "h2"], now) for _ in range(4)]
    left = lifecycle.requeue_task(
        lifecycle.start_tasks(jobs[2], [0], now), 0, lifecycle.TaskOutcome(Status.QUEUE), now
    )
    made = [lifecycle.pause(jobs[0], now), lifecycle.pause(jobs[1], now), left, jobs[3]]
    for job in made:
        history.commit(job).result()
    assert jobtui("-e", "SHOW JOBS").stderr == ""  # while its owner lives
    history.close()
    line = jobtui("-e", "SHOW JOB 1").stderr.replace(f" --data-dir {jobtui.profile.root.parent}", "")
    assert line == (
        "No jobtui runs this profile: jobs 1 and 2 are paused, and `jobtui -e 'RESUME JOB 1, 2'` continues "
        "them; jobs 3 and 4 were left at a step or in the queue, "
        "and `jobtui serve --until-idle` continues them\n"
    )
    assert jobtui("-e", "SHOW JOBS", "--quiet").stderr == jobtui("-e", "SHOW SPACES").stderr == ""


def test_history_failure_after_the_answer_is_not_a_defect(
    jobtui: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(history: History) -> None:
        raise StoreError("The history cannot be read: Input/output error")

    history = History.open(jobtui.profile.history)
    queued = made_jobs.submitted(history.new_id(), random.Random(1))
    history.commit(made_jobs.replace(queued, status=Status.RUNNING, start=queued.submitted)).result()
    history.close()
    monkeypatch.setattr(History, "refresh", fails)
    assert main(["--data-dir", str(jobtui.data), "-e", "SHOW JOBS"]) == 1
    assert capsys.readouterr().err == "jobtui: The history cannot be read: Input/output error\n"


@pytest.fixture
def closed_stdin() -> Iterator[None]:
    """Close the descriptor 0 during a test."""
    kept = os.dup(0)
    os.close(0)
    yield
    os.dup2(kept, 0)
    os.close(kept)


@pytest.mark.usefixtures("closed_stdin")
def test_closed_stdin_is_not_an_empty_one() -> None:
    streams.secure_streams()
    with pytest.raises(UsageError, match="stdin: it is closed"):
        streams.read_text("-")


def test_endless_text_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "text").open("wb") as file:
        file.truncate(streams.MAX_TEXT_BYTES + 1)
    with pytest.raises(UsageError, match="text: a text of statements has at most 16 MiB"):
        streams.read_text(str(tmp_path / "text"))


class TestDashboardCommands:
    """Commands of the dashboard's command bar where statements are expected."""

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("HELP", "HELP"),
            ("?", "?"),
            ("help recover", "help"),
            ("SHOW JOBS; exit;", "exit"),
            ("quit", "quit"),
        ],
    )
    def test_are_named(self, text: str, word: str) -> None:
        hint = f"; {word} works in the dashboard's command bar; jobtui help lists the statements"
        with pytest.raises(StatementError) as refused:
            parse(text)
        named = add_dashboard_hint(refused.value)
        assert named.message == refused.value.message + hint
        assert named.span == refused.value.span

    @pytest.mark.parametrize(
        "text", ["HLP", "SHWO JOBS", "EXPLAIN help", "USE nba help", "SHOW help", "USE 'nba"]
    )
    def test_other_mistakes_stay_as_they_are(self, text: str) -> None:
        with pytest.raises(StatementError) as refused:
            parse(text)
        assert add_dashboard_hint(refused.value) is refused.value

    def test_are_those_of_the_console(self) -> None:
        assert frozenset(console_commands._COMMANDS) == DASHBOARD_COMMANDS

    def test_are_named_by_the_command(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert main(["--data-dir", str(tmp_path), "-e", "HELP"]) == 2
        assert "HELP works in the dashboard's command bar" in capsys.readouterr().err
