"""The contract of `-e`, `-f` and pipes, flag by flag and status by status, on real storage."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.commands import CommandLine, new_job

ROOT = Path(__file__).parents[2]

# ---- what is printed, and where


def test_read_only_text_starts_and_creates_nothing(jobtui: CommandLine) -> None:
    shown = jobtui.done("-e", "SHOW JOBS; SHOW SPACES; SHOW HOSTS")
    assert "| Job Id | Command |" in shown
    assert not jobtui.data.exists()


HEAVY = {"asyncio", "textual", "rich", "rocksdict", "subprocess", "tomllib", "nebula3"}
LIGHT = {"pyparsing", "platformdirs", "jobtui.engine", "jobtui.language", "jobtui.history"}


def imported(jobtui: CommandLine, *words: str) -> set[str]:
    """The modules that the command imports, as Python itself lists them on stderr."""
    return imported_by(jobtui.words(*words), jobtui)


def imported_by(command: list[str], jobtui: CommandLine) -> set[str]:
    ended = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]],
        env=jobtui.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")
    }


def test_show_jobs_imports_no_asyncio_textual_or_rocksdict(nba: CommandLine) -> None:
    assert sorted(imported(nba, "-e", "SHOW JOBS; SHOW SPACES; SHOW HOSTS; USE nba") & HEAVY) == []


def test_show_jobs_imports_only_modules_that_it_needs(nba: CommandLine) -> None:
    late = {"logging", "concurrent.futures", "csv", "json", "ssl", "socket", "statistics", "cronsim", "getpass"}
    assert not imported(nba, "-e", "SHOW JOBS LIMIT 20") & late


def test_work_imports_nothing_of_metrics_and_notifications(nba: CommandLine) -> None:
    late = {"prometheus_client", "jobtui.engine.notifier", "jobtui.engine.delivery", "urllib.request"}
    assert not imported(nba, "-e", "ADMIN FLUSH nba") & late


def test_statement_completion_imports_no_textual(nba: CommandLine) -> None:
    line = f"jobtui --data-dir {nba.data} -e 'STOP JOB "
    found = imported_by([sys.executable, "-m", "jobtui", "__complete", "bash", line], nba)
    assert "jobtui.language.completion" in found
    assert not found & {"textual", "asyncio"}


LATE = {
    "cronsim",
    "statistics",
    "getpass",
    "pyparsing",
    "rocksdict",
    "plotille",
    "prometheus_client",
    "jobtui.engine.health",
    "jobtui.engine.notifier",
    "jobtui.engine.remote",
    "jobtui.history.verify",
    "jobtui.language.completion",
    "jobtui.language.lexer",
    "jobtui.storage.local.adopted_directory",
    "jobtui.storage.local.adoption",
    "jobtui.storage.local.rocksdb_files",
    "jobtui.tui.actions.jobs",
    "jobtui.tui.screens.dialog",
    "jobtui.tui.views.inventory",
    "jobtui.tui.widgets.command_input",
}
MOST_MODULES = 149
"""jobtui's own modules before the first frame; the number may only fall: each takes a start 0.1 to 2 ms."""


def test_dashboard_imports_only_what_first_frame_shows() -> None:
    program = (
        "import sys, jobtui.cli.main, jobtui.cli.commands.dashboard, jobtui.engine.local;"
        "import jobtui.history.write.writer, jobtui.storage.local.backend, jobtui.tui.launch;"
        "jobtui.tui.launch.import_dashboard(); print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    modules = shown.stdout.split()
    assert sorted(LATE.intersection(modules)) == []
    assert sum(name.partition(".")[0] == "jobtui" for name in modules) <= MOST_MODULES


def test_help_imports_few_modules(jobtui: CommandLine) -> None:
    assert not imported(jobtui, "--help") & (HEAVY | LIGHT)


def test_version_imports_only_the_standard_library(tmp_path: Path) -> None:
    alone = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "]
    alone[-1] += "from jobtui.__main__ import main; sys.exit(main())"
    result = subprocess.run([*alone, "--version"], capture_output=True, text=True, check=True)
    assert "msgspec missing" in result.stdout
    failed = subprocess.run(
        [*alone, "-e", "SHOW JOBS"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == (
        "jobtui: the Python package msgspec is missing; pip install jobtui installs everything that it needs\n"
    )


def test_results_are_boxes_with_a_line_between(nba: CommandLine) -> None:
    shown = nba.done("-e", "USE nba; ADMIN FLUSH; SUBMIT JOB COMPACT nba;")
    assert shown == f"{new_job(1)}\n{new_job(2)}"
    assert [row["Status"] for row in nba.rows("SHOW JOBS")] == ["finished", "finished"]


def test_text_is_read_from_a_file_or_a_pipe(jobtui: CommandLine) -> None:
    script = jobtui.home / "script.ngql"
    script.write_text("\ufeff-- all jobs\nSHOW JOBS;\n")
    output = jobtui.done("-e", "SHOW JOBS")
    assert jobtui.done("-f", script) == output
    assert jobtui.done(stdin="SHOW JOBS") == output
    assert jobtui.done("-f", "-", stdin="SHOW JOBS\n") == output


@pytest.mark.parametrize("text", ["", "  ;; -- nothing\n", "/* nothing */"])
def test_text_without_a_statement_does_nothing(jobtui: CommandLine, text: str) -> None:
    assert jobtui.done("-e", text) == ""
    assert jobtui.done(stdin=text) == ""
    assert json.loads(jobtui.done("-e", text, "--format", "json")) == []


def test_json_holds_every_statement_with_full_values(nba: CommandLine) -> None:
    ended = nba("-e", "USE nba; ADMIN COMPACT; SHOW JOBS", "--format", "json")
    use, compact, _ = json.loads(ended.stdout)
    assert use == {"statement": "USE nba", "columns": [], "rows": []}
    assert compact == {"statement": "ADMIN COMPACT", "columns": ["New Job Id"], "rows": [{"New Job Id": 1}]}
    (shown,) = json.loads(nba.done("-e", "SHOW JOB 1", "--format", "json"))
    job, *tasks = shown["rows"]
    assert (job["Status"], job["space"], job["progress"]) == ("finished", "nba", 1.0)
    assert datetime.fromisoformat(job["Start Time"]).tzinfo is not None
    assert [task["Job Id(TaskId)"] for task in tasks] == ["1-0", "1-1"]
    assert all(isinstance(task["bytes_after"], int) and task["bytes_after"] > 0 for task in tasks)


def test_json_lines_hold_a_row_each_with_its_statements_number(nba: CommandLine) -> None:
    rows = nba.rows("SHOW SPACES; USE nba; SHOW HOSTS")
    assert [(row["statement"], row.get("Name"), row.get("Host")) for row in rows] == [
        (1, "nba", None),
        (3, None, "local0"),
        (3, None, "local1"),
        (3, None, "local2"),
    ]


def test_csv_holds_one_statements_result(nba: CommandLine) -> None:
    shown = nba.done("-e", "USE nba; SHOW SPACES", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert [row["Name"] for row in rows] == ["nba"]


def test_csv_of_several_results_is_refused_before_running(nba: CommandLine) -> None:
    ended = nba("-e", "ADMIN FLUSH nba; SHOW JOBS", "--format", "csv")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--format csv holds the result of one statement" in ended.stderr
    assert nba.rows("SHOW JOBS") == []


def test_closed_pipe_is_no_error(nba: CommandLine) -> None:
    with nba.started("-e", "ADMIN FLUSH nba; SHOW JOBS; SHOW SPACES", "--quiet") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")
    assert nba.status(1) == "finished"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_unwritable_stdout_is_an_error(jobtui: CommandLine) -> None:
    with Path("/dev/full").open("wb") as full, jobtui.started("-e", "SHOW JOBS", stdout=full) as process:
        assert process.stderr is not None
        assert (process.wait(60), process.stderr.read()) == (
            1,
            b"jobtui: stdout cannot be written: No space left on device\n",
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_queued_jobs_end_if_stdout_cannot_be_written(nba: CommandLine) -> None:
    with Path("/dev/full").open("wb") as full, nba.started("-e", "ADMIN FLUSH nba", stdout=full) as process:
        assert process.stderr is not None
        assert process.wait(60) == 1
        lines = process.stderr.read().decode().splitlines()
    assert lines[0] == "jobtui: stdout cannot be written: No space left on device"
    assert lines[1].startswith("Job 1 (flush nba) finished")
    assert nba.status(1) == "finished"


def test_closed_standard_streams_are_no_error(nba: CommandLine) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *nba.words("-e", "ADMIN FLUSH nba; SHOW JOBS")]
    assert subprocess.run(closed, env=nba.environment, timeout=60).returncode == 0
    assert nba.status(1) == "finished"


def test_locale_without_utf8_prints_foreign_names_as_escapes(jobtui: CommandLine) -> None:
    jobtui.done("-e", "CREATE SPACE 图谱 ON 1 HOSTS")
    command = jobtui.words("-e", "SHOW SPACES")
    environment = jobtui.environment | {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}
    ended = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert rb"\u56fe\u8c31" in ended.stdout


# ---- exit statuses


def test_failed_statement_exits_1_and_keeps_earlier_results(nba: CommandLine) -> None:
    ended = nba("-e", "ADMIN FLUSH nba;\n SHOW JOB 99; ADMIN FLUSH nba")
    assert (ended.returncode, ended.stdout) == (1, new_job(1))
    assert ended.stderr.splitlines()[0] == "-e:2:2: Job 99 does not exist"
    assert [row["Status"] for row in nba.rows("SHOW JOBS")] == ["finished"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SHOW JOB 99", "Job 99 does not exist"),
        ("USE nbaa", "Space 'nbaa' does not exist; did you mean 'nba'?"),
        ("ADMIN FLUSH", "Space was not chosen: USE a space first, or name one: ADMIN FLUSH nba"),
        ("BACKUP JOB 22 0", "The range 22 to 0 is empty"),
    ],
)
def test_refusal_is_reported_with_its_position(nba: CommandLine, text: str, message: str) -> None:
    ended = nba("-e", text)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"-e:1:1: {message}\n")


def test_failure_is_in_the_json_too(nba: CommandLine) -> None:
    ended = nba("-e", "SHOW SPACES;\nSTOP JOB 9", "--format", "json")
    _, failed = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert failed == {
        "statement": "STOP JOB 9",
        "error": {"message": "Job 9 does not exist", "line": 2, "column": 1},
    }


def test_text_that_does_not_parse_exits_2_and_runs_nothing(nba: CommandLine) -> None:
    ended = nba("-e", "ADMIN FLUSH nba; SHOW JBO 40")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "ADMIN FLUSH nba; SHOW JBO 40\n"
        "                      ^^^ syntax error at 1:23: "
        "expected JOB, JOBS, SPACES, HOSTS, ADVICE, SCHEDULES or a status; did you mean JOB?\n"
    )
    assert nba.rows("SHOW JOBS") == []


def test_file_that_does_not_parse_is_named(jobtui: CommandLine) -> None:
    (jobtui.home / "bad.ngql").write_text("SHOW JOBS;\nSHWO JOBS\n")
    ended = jobtui("-f", "bad.ngql", "--format", "json")
    assert ended.returncode == 2
    assert ended.stderr.startswith("bad.ngql:2:1: nothing was run\nSHWO JOBS\n^^^^ syntax error at 2:1: ")
    assert json.loads(ended.stdout)[0]["error"]["line"] == 2


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("SHOW JOBS; -- c\n SHOW JBO 40 -- d\n; USE nba", "SHOW JBO 40"),
        ("ADMIN ; USE nba", "ADMIN"),
        ("; USE `nba", "USE `nba"),
    ],
)
def test_json_holds_the_whole_statement_that_does_not_parse(
    jobtui: CommandLine, text: str, statement: str
) -> None:
    ended = jobtui("-e", text, "--format", "json")
    assert [one["statement"] for one in json.loads(ended.stdout)] == [statement]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-f", "none.ngql"], "jobtui: none.ngql: No such file or directory"),
        (["-f", "/"], "jobtui: /: Is a directory"),
        (["--nonsense"], "jobtui: there is no option --nonsense"),
        (["-e", "SHOW JOBS", "--profile", "lcal"], "there is no profile 'lcal'; did you mean 'local'?"),
        (["-e", "SHOW JOBS", "--format", "xml"], "jobtui: there is no format 'xml' here"),
    ],
)
def test_usage_errors_exit_2(jobtui: CommandLine, words: list[str], message: str) -> None:
    ended = jobtui(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_bytes_that_are_no_text_exit_2(jobtui: CommandLine) -> None:
    ended = jobtui(stdin=b"SHOW JOBS;\n\xff")
    assert (ended.returncode, ended.stderr) == (2, "jobtui: stdin:2: this is not UTF-8\n")


def test_wrong_settings_exit_2_with_their_lines(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, "profle = 'x'\n[profiles.local]\nmax_running_jobs = 'four'\n")
    ended = jobtui("-e", "SHOW JOBS")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{jobtui.config}:1: there is no setting profle; did you mean 'profile'?" in ended.stderr
    assert f"{jobtui.config}:3: profiles.local.max_running_jobs must be a whole number" in ended.stderr


def test_failed_job_exits_3_with_its_reason(nba: CommandLine) -> None:
    next((nba.profile.storage / "local1").glob("*/CURRENT")).unlink()
    ended = nba("-e", "ADMIN COMPACT nba")
    assert (ended.returncode, ended.stdout) == (3, new_job(1))
    assert ended.stderr.startswith("Job 1 (compact nba) failed: local1: ")
    assert nba.status(1) == "failed"


def test_failed_statement_decides_the_status_before_a_failed_job(nba: CommandLine) -> None:
    next((nba.profile.storage / "local1").glob("*/CURRENT")).unlink()
    ended = nba("-e", "ADMIN COMPACT nba; SHOW JOB 99")
    assert ended.returncode == 1
    assert "Job 99 does not exist" in ended.stderr
    assert "Job 1 (compact nba) failed" in ended.stderr


def test_no_terminal_and_no_statements_exits_2(jobtui: CommandLine) -> None:
    master, slave = os.openpty()
    try:
        with jobtui.started(stdin=slave) as process:
            assert process.stderr is not None
            assert process.wait(60) == 2
            assert b"the dashboard needs a terminal" in process.stderr.read()
    finally:
        os.close(master)
        os.close(slave)


# ---- which jobs run, and where


def test_detached_jobs_wait_for_a_submission_to_their_space(nba: CommandLine) -> None:
    nba.done("-e", "CREATE SPACE other ON 1 HOSTS")
    assert nba.done("--detach", "-e", "ADMIN COMPACT nba") == new_job(1)
    assert nba.status(1) == "queue"
    nba.done("-e", "ADMIN FLUSH other")
    assert nba.status(1) == "queue"
    nba.done("-e", "DROP SPACE other")
    assert nba.status(1) == "queue"
    nba.done("-e", "ADMIN FLUSH nba")
    assert [row["Status"] for row in nba.rows("SHOW JOBS")] == ["finished"] * 3


def test_remark_is_printed_on_stderr(nba: CommandLine) -> None:
    ended = nba("-e", "CREATE SPACE IF NOT EXISTS nba")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "Space 'nba' exists already\n")


def test_space_of_the_dashboard_is_not_inherited(nba: CommandLine) -> None:
    nba.done("-e", "USE nba")
    assert nba("-e", "ADMIN FLUSH").returncode == 1


def test_profiles_have_jobs_and_spaces_of_their_own(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, "[profiles.prod]\nhosts = { disk0 = 'disk0' }\n")
    jobtui.done("--profile", "prod", "-e", "CREATE SPACE nba; ADMIN FLUSH nba")
    assert jobtui.rows("SHOW SPACES") == []
    assert (tmp_path / "disk0").is_dir()
    hosts = jobtui.done("--profile", "prod", "-e", "SHOW HOSTS", "--format", "csv").splitlines()
    assert [line.partition(",")[0] for line in hosts] == ["Host", "disk0"]


def test_progress_bar_is_drawn_only_on_a_terminal(nba: CommandLine) -> None:
    master, slave = os.openpty()
    try:
        with nba.started("-e", "ADMIN COMPACT nba", stderr=slave) as process:
            assert process.stdout is not None
            assert process.stdout.read().decode() == new_job(1)
            assert process.wait(60) == 0
            drawn = os.read(master, 100_000).decode()
        assert "compact nba" in drawn
        assert "finished" in drawn
    finally:
        os.close(master)
        os.close(slave)


def test_python_dash_m_and_the_command_are_the_same() -> None:
    command = Path(sys.executable).with_name("jobtui")
    if not command.exists():
        pytest.skip("jobtui is not installed next to this Python")
    runs = [[command], [sys.executable, "-m", "jobtui"]]
    first, second = (
        subprocess.run([*run, "--version"], capture_output=True, check=True).stdout for run in runs
    )
    assert first == second


def test_nothing_to_recover_is_reported_below_an_empty_box(nba: CommandLine) -> None:
    for text, of in (("RECOVER JOB", ""), ("USE nba; RECOVER JOB", " of space 'nba'")):
        ended = nba("-e", text)
        assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 3)
        assert (
            ended.stderr
            == f"Nothing to recover: no failed or stopped job{of} that has not been recovered yet\n"
        )
    assert nba("-e", "RECOVER JOB", "--quiet").stderr == ""


def test_outcome_of_a_job_is_printed_unless_quiet(nba: CommandLine) -> None:
    assert re.fullmatch(
        r"Job 1 \(compact nba\) finished in \d\.\d s, from .+ to .+\n", nba("-e", "ADMIN COMPACT nba").stderr
    )
    assert nba("-q", "-e", "ADMIN COMPACT nba").stderr == ""
