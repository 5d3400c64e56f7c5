from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobtui.cli import help as pages
from jobtui.cli.args import VERBS, _parser, parse_arguments
from jobtui.cli.errors import Exit, UsageError
from jobtui.cli.main import main
from jobtui.cli.options import (
    CliCommand,
    ConfigCommand,
    DashboardCommand,
    DoctorCommand,
    DumpCommand,
    HelpCommand,
    HistoryCommand,
    LoadCommand,
    OpenDemo,
    RunCommand,
    ServeCommand,
    ShowCompletion,
    ShowHelp,
    ShowVersion,
    WebCommand,
)


def run(text: str | None, file: str = "-", form: str = "box", **rest: Any) -> RunCommand:
    return RunCommand(text=text, file=file, format=form, **{"detach": False, "wait": False} | rest)


UNDERSTOOD: list[tuple[list[str], CliCommand]] = [
    ([], DashboardCommand()),
    (["--profile", "prod"], DashboardCommand(profile="prod")),
    (["--data-dir=/d", "--config", "c.toml"], DashboardCommand(data_dir=Path("/d"), config=Path("c.toml"))),
    (["--demo"], OpenDemo()),
    (["-e", "SHOW JOBS"], run("SHOW JOBS")),
    (["-e", ""], run("")),
    (["-e", "-- a comment\nSHOW JOBS"], run("-- a comment\nSHOW JOBS")),
    (["-e", "SHOW JOBS", "--format", "json", "--detach"], run("SHOW JOBS", form="json", detach=True)),
    (["-f", "a.ngql", "--profile", "prod"], run(None, "a.ngql", profile="prod")),
    (["-f", "-"], run(None)),
    (["-qe", "SHOW JOBS"], run("SHOW JOBS", quiet=True)),
    (["load", "nba", "a.csv", "b"], LoadCommand(space="nba", files=("a.csv", "b"), format=None)),
    (["load", "nba", "-", "--format", "tsv"], LoadCommand(space="nba", files=("-",), format="tsv")),
    (
        ["--profile", "prod", "load", "nba", "a"],
        LoadCommand(space="nba", files=("a",), format=None, profile="prod"),
    ),
    (
        ["load", "--profile", "prod", "nba", "a"],
        LoadCommand(space="nba", files=("a",), format=None, profile="prod"),
    ),
    (["dump", "nba"], DumpCommand(space="nba", format="jsonl")),
    (["dump", "nba", "--format", "csv"], DumpCommand(space="nba", format="csv")),
    (["-e", "x", "--wait"], run("x", wait=True)),
    (["serve"], ServeCommand(background=False)),
    (["serve", "--background", "--profile", "prod"], ServeCommand(background=True, profile="prod")),
    (["web"], WebCommand(port=9478, tabs=16)),
    (["web", "--port", "0", "--writable"], WebCommand(port=0, tabs=16, writable=True)),
    (
        ["web", "--url", "https://x/y", "--read-only"],
        WebCommand(port=9478, tabs=16, url="https://x/y", read_only=True),
    ),
    (["web", "--tabs", "3"], WebCommand(port=9478, tabs=3)),
    (["config"], ConfigCommand(action="print")),
    (["config", "check", "--config", "c"], ConfigCommand(action="check", config=Path("c"))),
    (
        ["--nebula", "h:9669", "-u", "me", "--tls", "ca.pem"],
        DashboardCommand(nebula="h:9669", user="me", tls="ca.pem"),
    ),
    (["--nebula=h", "-e", "SHOW JOBS"], run("SHOW JOBS", nebula="h")),
    (["--help"], ShowHelp()),
    (["load", "--help"], ShowHelp("load")),
    (["--profile", "prod", "doctor", "-h"], ShowHelp("doctor")),
    (["--help", "load"], ShowHelp()),
    (["help"], HelpCommand(())),
    (["help", "show", "jobs"], HelpCommand(("show", "jobs"))),
    (["doctor", "--profile", "prod"], DoctorCommand(profile="prod")),
    (["completion", "zsh"], ShowCompletion("zsh")),
    (["history", "verify"], HistoryCommand(action="verify")),
    (["history", "export"], HistoryCommand(action="export", file="-")),
    (["history", "export", "--format", "csv"], HistoryCommand(action="export", format="csv")),
    (["history", "export", "jobs.jsonl"], HistoryCommand(action="export", file="jobs.jsonl")),
    (["-h", "--nonsense"], ShowHelp()),
    (["--version"], ShowVersion()),
]


@pytest.mark.parametrize(("words", "command"), UNDERSTOOD)
def test_command_line_is_understood(words: list[str], command: CliCommand) -> None:
    assert parse_arguments(words, piped=False) == command


def test_without_a_verb_statements_come_from_a_pipe() -> None:
    assert parse_arguments([], piped=True) == run(None)
    assert parse_arguments(["--format", "csv", "--detach"], piped=True) == run(None, form="csv", detach=True)
    assert parse_arguments(["-e", "SHOW JOBS"], piped=True) == run("SHOW JOBS")
    assert parse_arguments(["--demo"], piped=True) == OpenDemo()


REFUSED = [
    (["-e", "x", "-f", "y"], "-e and -f cannot be combined"),
    (["-e", "x", "-e", "y"], "-e was given twice; put the statements in one text"),
    (["--format", "-e", "SHOW JOBS"], "argument --format: expected one argument"),
    (["-e", "--wait"], "argument -e: expected one argument"),
    (["-qz", "SHOW JOBS"], "z"),
    (["-e"], "expected one argument"),
    (["--format", "json"], "--format needs statements"),
    (["--detach"], "--detach needs statements"),
    (["--wait"], "--wait needs statements"),
    (["-e", "x", "--wait", "--detach"], "--detach and --wait cannot be combined"),
    (["--wait", "serve"], "--wait cannot be used with serve"),
    (["serve", "--format", "csv"], "--format cannot be used with serve"),
    (["-e", "x", "--format", "xml"], "there is no format 'xml' here: box, json, jsonl or csv"),
    (["dump", "nba", "--format", "json"], "there is no format 'json' here: jsonl, csv or tsv"),
    (["load", "nba", "x", "--format", "box"], "there is no format 'box' here: jsonl, csv or tsv"),
    (["load", "nba"], "FILE"),
    (["load"], "SPACE"),
    (["-e", "x", "load", "nba", "y"], "-e cannot be used with load"),
    (["--detach", "dump", "nba"], "--detach cannot be used with dump"),
    (["config", "--format", "csv"], "--format cannot be used with config"),
    (["--demo", "--profile", "x"], "--profile cannot be used with --demo"),
    (["--demo", "--data-dir", "x"], "--data-dir cannot be used with --demo"),
    (["--demo", "-e", "x"], "-e cannot be used with --demo"),
    (["--nebula", "h", "--profile", "x"], "--profile cannot be used with --nebula"),
    (["--nebula", "h", "--demo"], "--demo cannot be used with --nebula"),
    (["--nebula", "h", "config"], "--nebula cannot be used with config"),
    (["-u", "me"], "-u needs a cluster: --nebula HOST:PORT"),
    (["--tls", "system", "-e", "x"], "--tls needs a cluster"),
    (["--nebula"], "expected one argument"),
    (["--nebula", "h", "-p", "s3cr3t"], "there is no option -p: a password is never an option"),
    (["--dat-dir", "x"], "there is no option --dat-dir; did you mean --data-dir?"),
    (["--data", "x"], "there is no option --data; did you mean --data-dir?"),
    (["-e", "SHOW JOBS", "--json"], "there is no option --json; did you mean --format json?"),
    (["load", "nba", "x", "-z"], "there is no option -z"),
    (["--data-dir", ""], "--data-dir"),
    (["--nonsense"], "there is no option --nonsense"),
    (["lod", "nba", "x"], "there is no command 'lod'; did you mean load?"),
    (["xyz"], "there is no command 'xyz'; there are load, dump, serve, web, config, history"),
    (["doktor"], "there is no command 'doktor'; did you mean doctor?"),
    (["history"], "verify, repair or export"),
    (["history", "verify", "--format", "csv"], "--format cannot be used with history verify"),
    (["history", "export", "--format", "tsv"], "there is no format 'tsv' here: jsonl, json or csv"),
    (["history", "verify", "x"], "history verify takes no file: 'x'"),
    (["completion", "tcsh"], "there is no 'jobtui completion tcsh'; there are bash, zsh, fish"),
    (["help", "show", "--profile", "x"], "--profile cannot be used with help"),
    (["doctor", "--format", "csv"], "--format cannot be used with doctor"),
    (["SHOW JOBS"], "there is no command 'SHOW JOBS'; statements go after -e"),
    (["show", "jobs"], "there is no command 'show'; statements go after -e"),
    (["history", "verfy"], "there is no 'jobtui history verfy'; did you mean verify?"),
    (["config", "chekc"], "there is no 'jobtui config chekc'; did you mean check?"),
    (
        ["-e", "SHOW", "JOBS"],
        "there is no command 'JOBS'; put a text of several words in quotes: -e 'SHOW JOBS'",
    ),
    (["load", "nba"], "load needs FILE (- for stdin) (see jobtui load --help)"),
    (["--data-dir", "a", "dump", "nba", "--data-dir", "b"], "--data-dir was given twice"),
    (["-q"], "--quiet needs statements"),
    (["doctor", "--quiet"], "--quiet cannot be used with doctor"),
    (["config", "print", "more"], "config takes no operand 'more'"),
    (["dump", "nba", "--delete-keys"], "--delete-keys cannot be used with dump"),
    (["--background"], "--background belongs to jobtui serve"),
    (["--port", "0"], "--port belongs to jobtui web"),
    (["serve", "--writable"], "--writable cannot be used with serve"),
    (["web", "--port", "65536"], "'65536' is not a port: a number from 0 to 65535"),
    (["web", "--port", "-1"], "--port"),
    (["web", "--writable", "--read-only"], "--writable and --read-only contradict each other"),
    (["load", "nba", "x", "--nonsense", "lod"], "there is no option --nonsense"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_ambiguous_or_meaningless_command_line_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        parse_arguments(words, piped=False)
    assert caught.value.status is Exit.USAGE


PAGES = {"": pages.HELP, **pages.VERB_HELP}


@pytest.mark.parametrize("page", PAGES)
def test_help_fits_a_small_terminal(page: str) -> None:
    lines = PAGES[page].splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_help_names_every_option_and_verb() -> None:
    everything = "\n".join(PAGES.values())
    for option in (*VERBS, *(option for action in _parser()._actions for option in action.option_strings)):
        if option != "-h":
            assert re.search(rf"(^|\W){re.escape(option)}\b", everything), option


def test_every_verb_has_its_own_help() -> None:
    assert list(pages.VERB_HELP) == list(VERBS)
    for verb, page in pages.VERB_HELP.items():
        assert page.startswith(f"jobtui {verb}")


Captured = pytest.CaptureFixture[str]


def test_help_teaches_a_statement_by_its_first_words(capsys: Captured) -> None:
    assert main(["help", "recover"]) == Exit.DONE
    assert "RECOVER JOB <id>[, …] [WITH <option>[, …]]\n" in capsys.readouterr().out
    assert main(["help", "memtable"]) == Exit.DONE
    assert "In a condition:" in capsys.readouterr().out
    assert main(["help"]) == Exit.DONE
    assert "USE <space>" in capsys.readouterr().out


def test_help_on_unknown_statement_is_usage_error_with_list(capsys: Captured) -> None:
    assert main(["help", "RECOVR", "JOB"]) == Exit.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert "Did you mean RECOVER?" in output.err


def test_help_on_a_verb_is_the_verbs_own(capsys: Captured) -> None:
    assert main(["help", "load"]) == main(["load", "--help"]) == Exit.DONE
    assert capsys.readouterr().out == pages.VERB_HELP["load"] * 2
    assert main(["help", "config", "check"]) == Exit.DONE
    assert capsys.readouterr().out == pages.VERB_HELP["config"]
