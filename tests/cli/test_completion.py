"""Completion: the candidates, the output for each shell, and real shells."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobtui.cli.args import VERBS, _parser
from jobtui.cli.commands.completion import _SCRIPTS, Fallback, find_candidates, quote_for_shell, split_line
from jobtui.cli.main import main
from tests.support.commands import CommandLine
from tests.support.terminal import Terminal

ROOT = Path(__file__).parents[2]
LINES = [
    ("jobtui ", ("jobtui",), "", ""),
    ("jobtui --for", ("jobtui",), "--for", ""),
    ('jobtui -e "USE n', ("jobtui", "-e"), "USE n", '"'),
    ("jobtui -e 'USE n", ("jobtui", "-e"), "USE n", "'"),
    (r"jobtui -e USE\ n", ("jobtui", "-e"), "USE n", ""),
    (r'jobtui -e "a\"b\`c\d', ("jobtui", "-e"), 'a"b`c\\d', '"'),
    ("jobtui -e 'a' -f \"\" x", ("jobtui", "-e", "a", "-f", ""), "x", ""),
    ('jobtui --data-dir="/a b"/c', ("jobtui",), "--data-dir=/a b/c", ""),
    ("", (), "", ""),
]


@pytest.mark.parametrize(("text", "words", "typed", "quote"), LINES)
def test_line_is_split_as_its_shell_splits_it(
    text: str, words: tuple[str, ...], typed: str, quote: str
) -> None:
    line = split_line(text)
    assert (line.words, line.typed, line.quote) == (words, typed, quote)


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_completed_word_is_read_back_unchanged(quote: str) -> None:
    foreign = "a b`c`$HOME \"d\" 'e' \\ é 图"
    assert split_line(f"jobtui {quote}{quote_for_shell(foreign, quote)}").typed == foreign


def texts(words: list[str], typed: str) -> list[str]:
    return [offer.text for offer in find_candidates(words, typed).found]


def test_every_verb_and_option_is_offered() -> None:
    assert texts([], "") == list(VERBS)
    offered = {option for verb in ([], *([verb] for verb in VERBS)) for option in texts(verb, "-")}
    known = {option for action in _parser()._actions for option in action.option_strings}
    assert offered == known - {"-h", "-q"}


@pytest.mark.parametrize("verb", ["config", "notify"])
def test_option_that_a_verb_refuses_is_not_offered(verb: str) -> None:
    offered = {*texts([verb], "-")}
    assert "--profile" in offered
    assert not offered & {"--nebula", "-u", "--tls"}


def test_option_that_was_given_is_not_offered_again() -> None:
    assert "--wait" in texts(["-e", "x"], "--")
    assert "--wait" not in texts(["-e", "x", "--wait"], "--")


def test_values_of_options_are_offered() -> None:
    assert texts(["-e", "x", "--format"], "j") == ["json", "jsonl"]
    assert texts(["dump", "nba", "--format"], "") == ["jsonl", "csv", "tsv"]
    assert texts([], "--format=c") == ["csv"]
    assert texts(["config"], "p") == ["print", "path"]
    assert find_candidates(["-f"], "x").fallback is Fallback.FILES
    assert find_candidates(["--data-dir"], "").fallback is Fallback.DIRECTORIES


def test_profiles_are_those_of_the_config_that_the_line_names(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[profiles.prod]\n[profiles.staging]\n")
    assert texts(["--config", str(tmp_path / "c.toml"), "--profile"], "p") == ["prod"]


def test_candidates_come_from_the_profile_on_the_line(nba: CommandLine) -> None:
    options = ["--data-dir", str(nba.data)]
    assert texts([*options, "load"], "n") == ["nba"]
    assert texts([*options, "-e"], "USE n") == ["nba"]
    assert [(one.text, one.note) for one in find_candidates([*options, "-e"], "STOP JOB ").found] == [
        ("1", "queue flush nba")
    ]
    assert texts([*options, "-e"], "RECOVER JOB ") == ["WITH "]
    assert texts([*options, "-e"], "RUN SCHEDULE ") == []
    assert nba("-e", "CREATE SCHEDULE nightly AT '@daily' DO ADMIN COMPACT nba").returncode == 0
    assert texts([*options, "-e"], "RUN SCHEDULE ") == ["nightly"]


def test_completion_with_a_broken_config_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("[")
    assert main(["__complete", "bash", f"jobtui --config {tmp_path}/c.toml --profile "]) == 0
    assert capsys.readouterr() == ("nothing\n", "")


@contextmanager
def shell(name: str, start: list[str], jobtui: CommandLine) -> Iterator[Terminal]:
    """An interactive shell that knows jobtui, with the user's data as its default, and its completion."""
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} here")
    programs = jobtui.home / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "jobtui").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobtui "$@"\n')
    (programs / "jobtui").chmod(0o755)
    data = jobtui.home / "share" / "jobtui"
    data.parent.mkdir(exist_ok=True)
    data.symlink_to(jobtui.data)
    script = jobtui.home / "completion"
    script.write_text(_SCRIPTS[name])
    environment = jobtui.environment | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_DATA_HOME": str(jobtui.home / "share"),
        "XDG_CONFIG_HOME": str(jobtui.home / "config"),
        "LC_ALL": "C.UTF-8",
        "INPUTRC": "/dev/null",
    }
    with Terminal([name, *start], environment=environment, cwd=jobtui.home, columns=120) as terminal:
        setup = {
            "bash": f"PS1='> '; . {script}",
            "zsh": f"PS1='> '; autoload -Uz compinit && compinit -u -D; . {script}",
            "fish": f"function fish_prompt; echo '> '; end; function fish_greeting; end; source {script}",
        }[name]
        terminal.press(f"{setup}; echo re''ady\r")
        terminal.shows("ready")
        yield terminal


SHELLS = [("bash", ["--norc", "--noprofile", "-i"]), ("zsh", ["-f", "-i"]), ("fish", ["--no-config", "-i"])]


@pytest.mark.parametrize(("name", "start"), SHELLS)
def test_shell_completes_verbs_and_values(name: str, start: list[str], nba: CommandLine) -> None:
    with shell(name, start, nba) as terminal:
        terminal.press("jobtui comp", "tab")
        terminal.shows("jobtui completion")
        terminal.press("f", "tab")
        terminal.shows("jobtui completion fish")


@pytest.mark.parametrize(("name", "start"), SHELLS)
def test_shell_completes_a_statement_in_quotes(name: str, start: list[str], nba: CommandLine) -> None:
    with shell(name, start, nba) as terminal:
        terminal.press('jobtui -e "USE n', "tab")
        terminal.shows('jobtui -e "USE nba')
        terminal.press("; STOP J", "tab")
        terminal.shows('jobtui -e "USE nba; STOP JOB')
        if name == "fish":
            terminal.press("escape", "\x15", 'jobtui -e "USE nba; STOP JOB ')  # its pager has the tab key now
        terminal.press("tab")
        terminal.shows('jobtui -e "USE nba; STOP JOB 1')
        terminal.press('"\r')
        terminal.shows("stop 1 jobs 2 tasks")


@pytest.mark.parametrize(("name", "start"), SHELLS)
def test_shell_begins_a_statement_with_a_quote(name: str, start: list[str], nba: CommandLine) -> None:
    with shell(name, start, nba) as terminal:
        terminal.press("jobtui -e REC", "tab")
        terminal.shows("RECOVER" if name == "fish" else 'jobtui -e "RECOVER')


@pytest.mark.parametrize(("name", "start"), SHELLS)
def test_shell_completes_the_files_of_a_load(name: str, start: list[str], nba: CommandLine) -> None:
    (nba.home / "players.csv").write_text("k,v\n")
    with shell(name, start, nba) as terminal:
        terminal.press("jobtui load n", "tab")
        terminal.shows("jobtui load nba")
        terminal.press("play", "tab")
        terminal.shows("jobtui load nba players.csv")
