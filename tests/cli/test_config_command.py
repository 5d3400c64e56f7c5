from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobtui.cli.main import main
from jobtui.config import SETTINGS, read_config

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the usual config file would be."""
    usual = tmp_path / "home" / "config.toml"
    monkeypatch.setattr("jobtui.config.settings.default_config", lambda: usual)
    monkeypatch.setattr("jobtui.config.settings.default_data_dir", lambda: tmp_path / "data")
    return usual


FULL = """
profile = "prod"
data_dir = 'C:\\odd "place"'

[profiles.prod]
task_timeout = "15 min"
compact_rate = "50 MiB"
advice = { gain = "12.5%", l0_files = 4 }
hosts = { "192.168.8.5" = "/disk\\u00e9", local1 = "" }

[dashboard]
confirm = "bulk"
bell = false
keymap = { stop = "s,delete" }
"""


def test_prints_every_setting_with_default_and_meaning(capsys: Captured, directory: Path) -> None:
    assert main(["config"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"# {directory} (does not exist: these are the defaults)\n")
    flat = re.sub(r"\n# ", " ", shown)
    for settings in SETTINGS.values():
        for setting in settings:
            assert f"{setting.meaning}\n{setting.name} = {setting.default}\n" in flat


def test_printed_settings_are_an_equivalent_config_file(
    capsys: Captured, tmp_path: Path, directory: Path
) -> None:
    (tmp_path / "full.toml").write_text(FULL)
    assert main(["config", "--config", str(tmp_path / "full.toml")]) == 0
    shown = capsys.readouterr().out
    (tmp_path / "printed.toml").write_text(shown)
    before, after = read_config(tmp_path / "full.toml"), read_config(tmp_path / "printed.toml")
    assert before.profiles == after.profiles
    assert before.dashboard == after.dashboard
    assert (before.profile, before.data_dir) == (after.profile, after.data_dir)
    assert "task_timeout = 900  # default: 0" in shown


def test_missing_file_is_reported_with_its_path(capsys: Captured, directory: Path) -> None:
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{directory}\n"


def test_file_is_checked(capsys: Captured, tmp_path: Path, directory: Path) -> None:
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == f"{directory}: does not exist; the defaults are used\n"
    directory.parent.mkdir()
    directory.write_text("[dashboard]\nbell = 3\n")
    assert main(["config", "check"]) == 2
    assert capsys.readouterr().err == f"jobtui: {directory}:2: dashboard.bell must be true or false\n"
    directory.write_text("[dashboard]\nbell = true\n")
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == f"{directory}: no problems found\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('theme = "darkk"\n', ":2: there is no theme 'darkk'; did you mean 'dark'?"),
        (
            'bell = true\ntheme = "x"\n',
            ":3: there is no theme 'x'; there are dark, light, high-contrast, color-blind, ansi",
        ),
        (
            '[dashboard.keymap]\nquit = "f12"\nstop = "ctrl+sx"\n',
            ":4: keymap: there is no key ctrl+sx; stop keeps s",
        ),
        ('keymap = { stopp = "s" }\n', ":2: keymap: there is no command stopp; did you mean stop?"),
        (
            'mouse = true\n[dashboard.keymap]\nstop = "q"\n',
            ":4: keymap: q for stop is taken by quit; stop keeps s",
        ),
        (
            'mouse = true\n[dashboard.views]\n"mine" = "status:foo"\n',
            ":4: view mine: no status foo: there is queue, running, finished, failed, stopped",
        ),
        (
            '[dashboard.themes.mine]\nbase = "brown"\n',
            ":2: theme mine: base must be one of dark, light, high-contrast, color-blind",
        ),
    ],
)
def test_check_includes_settings_of_the_dashboard(
    capsys: Captured, directory: Path, written: str, expected: str
) -> None:
    directory.parent.mkdir()
    directory.write_text(f"[dashboard]\n{written}")
    assert main(["config", "check"]) == 2
    assert capsys.readouterr().err == f"jobtui: {directory}{expected}\n"


def test_example_keymap_can_be_used(capsys: Captured, directory: Path) -> None:
    assert main(["config"]) == 0
    example = re.search(r"Other keys for commands, like (\{.*\})\.", capsys.readouterr().out)
    assert example is not None
    directory.parent.mkdir()
    directory.write_text(f"[dashboard]\nkeymap = {example[1]}\n")
    assert main(["config", "check"]) == 0


def test_tilde_of_an_unknown_user_is_refused(capsys: Captured, directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text('data_dir = "~no-such-user/x"\n')
    assert main(["config", "check"]) == 2
    assert ":1: data_dir must be a directory that can be found" in capsys.readouterr().err


def test_foreign_text_in_a_problem_is_escaped(capsys: Captured, directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text('"\\u001b[2J" = 1\n')
    assert main(["config"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert r"\x1b[2J" in err
    directory.write_text('"a\\nb" = 1\n')
    assert main(["config"]) == 2
    assert capsys.readouterr().err == f"jobtui: {directory}:1: there is no setting 'a\\nb'\n"
