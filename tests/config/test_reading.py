from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path

import pytest

from jobtui.config import Config, ConfigError, HomeError, ProfileSettings, choose_profile, loader, read_config
from jobtui.config.settings import Confirm, TuiSettings
from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notify_settings import NotifyOn, NotifySettings, NotifyUrl
from jobtui.model import DiskReserve


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def problems_of(file: Path, text: str | bytes) -> list[str]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    return [str(problem).removeprefix(f"{file}") for problem in caught.value.problems]


def read(file: Path, text: str) -> Config:
    file.write_text(text)
    return read_config(file)


def test_every_setting_is_read(file: Path) -> None:
    config = read(
        file,
        """
        profile = "prod"
        data_dir = "data"

        [profiles.prod]
        task_timeout = "15 min"
        max_running_jobs = 8
        compact_rate = "1.5 MiB"
        step_size = "64 MiB"
        min_free = "2.5%"
        advice = { gain = "12.5%", l0_files = 4, memtable = "1 GiB" }
        hosts = { "192.168.8.5" = "/disk5", local1 = "" }

        [profiles.local]
        task_timeout = 2.5
        compact_rate = 1000
        min_free = "10 GiB"

        [dashboard]
        theme = "ansi"
        confirm = "bulk"
        bell = false
        terminal_notice = true
        keep_failed = true
        mouse = false
        keymap = { stop = "s,delete" }
        """,
    )
    assert config == Config(
        file,
        found=True,
        profile="prod",
        data_dir=file.parent / "data",
        profiles={
            "local": ProfileSettings(task_timeout=2.5, compact_rate=1000, min_free=DiskReserve(bytes=10 << 30)),
            "prod": ProfileSettings(
                task_timeout=900.0,
                max_running_jobs=8,
                compact_rate=1_572_864,
                step_size=64 << 20,
                min_free=DiskReserve(share=0.025),
                advice=AdviceThresholds(gain=0.125, l0_files=4, memtable=1 << 30),
                hosts={"192.168.8.5": Path("/disk5"), "local1": None},
            ),
        },
        dashboard=TuiSettings(
            theme="ansi",
            confirm=Confirm.BULK,
            bell=False,
            terminal_notice=True,
            keep_failed=True,
            mouse=False,
            keymap={"stop": "s,delete"},
        ),
    )


def test_empty_file_leaves_the_defaults(file: Path) -> None:
    assert read(file, "\ufeff\r\n") == Config(file, found=True)


def test_usual_file_need_not_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("jobtui.config.settings.default_config", lambda: tmp_path / "none" / "config.toml")
    assert read_config() == Config(tmp_path / "none" / "config.toml")


def test_named_file_must_be_there(file: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_config(file)


def test_directory_in_place_of_the_file_is_reported(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_config(file)


PROBLEMS = [
    ("\n\nprofle = 'x'\n", [":3: there is no setting profle; did you mean 'profile'?"]),
    ("xyz = 1\n", [":1: there is no setting xyz"]),
    ("task_timeout = 1\n", [":1: there is no setting task_timeout; it belongs in [profiles.local]"]),
    (
        "[profiles.local]\n# four of them\nmax_running_jobs = 'four'\n",
        [":3: profiles.local.max_running_jobs must be a whole number from 1 to 64"],
    ),
    (
        "[profiles.local]\nmax_running_jobs = 0\ntask_timout = 1\n[dashboard]\nbell = 1\n",
        [
            ":2: profiles.local.max_running_jobs must be a whole number from 1 to 64",
            ":3: there is no setting profiles.local.task_timout; did you mean 'task_timeout'?",
            ":5: dashboard.bell must be true or false",
        ],
    ),
    ("[profiles.local]\nmax_running_jobs = true\n", [":2: profiles.local.max_running_jobs must be a whole"]),
    ("[profiles.local]\ntask_timeout = -1\n", [":2: profiles.local.task_timeout must be a number of seconds"]),
    ("[profiles.local]\ntask_timeout = nan\n", [":2: profiles.local.task_timeout must be a number of seconds"]),
    (
        "[profiles.local]\ntask_timeout = '3 y'\n",
        [":2: profiles.local.task_timeout must be a number of seconds"],
    ),
    (
        "[profiles.local]\ncompact_rate = '50 MX'\n",
        [":2: profiles.local.compact_rate must be a number of bytes"],
    ),
    (
        "[profiles.local]\nstep_size = '1 MiB'\n",
        [":2: profiles.local.step_size must be a size of at least 16 MiB"],
    ),
    ("[profiles.local]\nstep_size = 1\n", [":2: profiles.local.step_size must be a size of at least 16 MiB"]),
    (
        "[profiles.local]\nmin_free = '101%'\n",
        [":2: profiles.local.min_free must be a share of the disk or a size"],
    ),
    ("[profiles.local]\nadvice = 8\n", [":2: profiles.local.advice must be a table like { gain"]),
    (
        "[profiles.local]\nadvice = { gan = '1%' }\n",
        [":2: profiles.local.advice must be a table of gain, deletions, l0_files and"],
    ),
    (
        "[profiles.local]\nadvice = { gain = '0%' }\n",
        [":2: profiles.local.advice must be a table in which gain is a share above 0%"],
    ),
    (
        "[profiles.local]\nadvice = { l0_files = true }\n",
        [":2: profiles.local.advice must be a table in which l0_files is a whole number"],
    ),
    (
        "[profiles.local]\nadvice = { memtable = -1 }\n",
        [":2: profiles.local.advice must be a table in which memtable is a size"],
    ),
    ("[profiles.local]\n\nhosts = ['a']\n", [":3: profiles.local.hosts must be a table of hosts"]),
    (
        "[profiles.local.hosts]\n'a/b' = ''\n",
        [":1: profiles.local.hosts must be a table whose hosts are named"],
    ),
    (
        "[profiles.local.hosts]\na = 1\n",
        [":1: profiles.local.hosts must be a table in which a has a directory"],
    ),
    (
        "[profiles.local.hosts]\na = '/x'\nb = '/x'\n",
        [":1: profiles.local.hosts must be a table in which no two hosts share a directory"],
    ),
    ("notify = 1\n", [":1: notify must be a table: [notify]"]),
    ("[notify]\ncomand = 'x'\n", [":2: there is no setting notify.comand; did you mean 'command'?"]),
    ("url = 'https://host'\n", [":1: there is no setting url; it belongs in [notify]"]),
    ("[notify]\non = 'failed'\n", [':2: notify.on must be a list like ["failed", "slow"]']),
    (
        "[notify]\non = ['slow', 'faild']\n",
        [":2: notify.on must be a list of events: there is no 'faild'; did you mean 'failed'?"],
    ),
    (
        "[notify]\non = ['xyz']\n",
        [":2: notify.on must be a list of events: there is no 'xyz'; there are failed, stopped, finished, "],
    ),
    (
        "[notify]\ncommand = 'page \"SECRET'\nurl = 'https://anna:SECRET@host/'\nslow_after = 'long'\n",
        [
            ":2: notify.command must be a program and its arguments",
            ":3: notify.url must be a URL that can be used: it must not contain a user's name or a password",
            ":4: notify.slow_after must be a number of seconds",
        ],
    ),
    ("[notify]\ncommand = ['page', 3]\n", [":2: notify.command must be a program and its arguments"]),
    (
        "[notify]\nurl = 'http://host/SECRET'\n",
        [":2: notify.url must be a URL that can be used: it must begin"],
    ),
    ("[notify]\nurl = 'env:SE CRET'\n", [':2: notify.url must be a URL, or "env:" and the name of an env']),
    ("data_dir = 3\n", [":1: data_dir must be a directory in quotes"]),
    ("profiles = 3\n", [":1: profiles must be tables, like [profiles.local]"]),
    ("dashboard = ''\n", [":1: dashboard must be a table: [dashboard]"]),
    ("[dashboard]\nconfirm = 'never'\n", [':2: dashboard.confirm must be "always" or "bulk"']),
    (
        "[dashboard]\nkeymap = { stop = 1 }\n",
        [
            ':2: dashboard.keymap must be a table of commands and their keys, like { stop = "s,delete" }: '
            "'stop' is given no keys in quotes"
        ],
    ),
    ("[profiles]\nlocal = 1\n", [":2: profiles.local must be a table: [profiles.local]"]),
    ("[profiles.'../x']\n", [":1: '../x' cannot be a profile's name"]),
    ("profile = 'prod'\n[profiles.prdo]\n", [":1: there is no profile 'prod'; did you mean 'prdo'?"]),
    ("profile = 'a b'\n", [":1: profile must be the name of a profile in quotes"]),
    (
        "[profile.prod]\n",
        [":1: profile must be the name of a profile in quotes; did you mean [profiles.prod]?"],
    ),
    ("[profile]\n", [":1: profile must be the name of a profile in quotes; did you mean [profiles.NAME]?"]),
    (
        "theme = '''\n\n'''\n\nprofile = 1\n",
        [":1: there is no setting theme; it belongs in [dashboard]", ":5: profile"],
    ),
    ("a = [\n1,\n", [":2: this is not TOML: "]),
    ("a = 1\nb 2\n", [":2: this is not TOML: "]),
    ("a = 1\na = 2\n", [":2: this is not TOML: "]),
    (b"a = 1\n# \xff\n", [":2: this is not UTF-8"]),
]


@pytest.mark.parametrize(("text", "expected"), PROBLEMS)
def test_mistake_is_named_with_its_line(file: Path, text: str | bytes, expected: list[str]) -> None:
    found = problems_of(file, text)
    assert len(found) == len(expected)
    for problem, beginning in zip(found, expected, strict=True):
        assert problem.startswith(beginning)
        assert "SECRET" not in problem


def test_unknown_profile_is_refused_with_near_miss(file: Path) -> None:
    config = read(file, "[profiles.prod]\n")
    assert choose_profile(config, None) == "local"
    assert choose_profile(config, "prod") == "prod"
    with pytest.raises(ConfigError, match="there is no profile 'prdo'; did you mean 'prod'"):
        choose_profile(config, "prdo")
    with pytest.raises(ConfigError, match=r"to create it, add a line \[profiles.staging\]"):
        choose_profile(config, "staging")
    with pytest.raises(ConfigError, match="a profile is named with at most 64"):
        choose_profile(config, "../up")


def test_data_dir_option_takes_precedence_over_the_file(file: Path, tmp_path: Path) -> None:
    config = read(file, "data_dir = 'data'\n[profiles.local]\nmax_running_jobs = 2\n")
    assert config.build_profile("local", tmp_path / "said").root == tmp_path / "said" / "local"
    assert config.build_profile("local").root == tmp_path / "data" / "local"
    assert config.build_profile("local").max_running_jobs == 2


def test_thresholds_of_the_advice_reach_the_profile(file: Path, tmp_path: Path) -> None:
    config = read(file, "[profiles.local]\nadvice = { deletions = '1%' }\n")
    assert config.build_profile("local", tmp_path).advice == AdviceThresholds(deletions=0.01)


class TestNotifications:
    def test_every_profile_has_them(self, file: Path, tmp_path: Path) -> None:
        text = """
        [notify]
        on = ["slow", "failed", "slow"]
        command = "bin/page --team 'storage ops'"
        url = "https://hooks.example.com/SECRET"
        slow_after = "90 min"
        timeout = 0
        [profiles.prod]
        """
        config = read(file, text)
        expected = NotifySettings(
            on=(NotifyOn.SLOW, NotifyOn.FAILED),
            command=(str(file.parent / "bin/page"), "--team", "storage ops"),
            url=NotifyUrl("https://hooks.example.com/SECRET"),
            slow_after=5400.0,
            timeout=None,
        )
        assert config.build_profile("prod", tmp_path).notify == expected
        assert (
            config.build_cluster_profile(ProfileSettings(cluster="nebula", graphd=("h:1",)), tmp_path).notify
            == expected
        )
        assert "SECRET" not in repr(config)

    def test_program_of_the_path_and_a_list_of_words(self, file: Path) -> None:
        assert read(file, '[notify]\ncommand = "page $HOME"').notify.command == ("page", "$HOME")
        assert read(file, '[notify]\ncommand = ["page", "a b"]').notify.command == ("page", "a b")

    @pytest.mark.parametrize("text", ["", "[notify]\non = ['failed']", "[notify]\non = []\ncommand = 'page'"])
    def test_empty_notify_table_notifies_nothing(self, file: Path, tmp_path: Path, text: str) -> None:
        assert read(file, text).build_profile("local", tmp_path).notify is None


def test_home_directory_is_understood(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/somebody")
    assert read(file, "data_dir = '~/jobs'\n").data_dir == Path("/home/of/somebody/jobs")


def test_nesting_too_deep_is_a_problem_of_the_file(file: Path) -> None:
    for text in ("a = " + "[" * 50_000, 'profile = "x"\na = ' + "{ a = " * 50_000):
        assert problems_of(file, text) == [":1: its values are nested too deeply to be read"]


def test_number_too_long_is_a_problem_of_the_file(file: Path) -> None:
    for text in ("profile = ", "profile = -", "profile = [1, 2, "):
        found = problems_of(file, f"\n{text}{'9' * 5000}\n")
        assert found == [":2: it has a number with too many digits"]


class TestFileOfAnotherProgram:
    """It has a problem on every line, and is refused as soon as a config with a mistake is."""

    def test_some_problems_are_named_and_the_rest_counted(self, file: Path) -> None:
        found = problems_of(file, "".join(f"[profiles.a{n}]\nkey{n} = 1\n" for n in range(30)))
        assert found[19].startswith(":40: there is no setting profiles.a19.key19")
        assert found[20:] == [": and 10 more problems"]

    def test_hints_are_searched_for_named_problems_only(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        searched: list[str] = []
        monkeypatch.setattr(loader, "near_miss_hint", lambda word, known: searched.append(word) or "")
        problems_of(file, "".join(f"key{n} = 1\n" for n in range(100)))
        assert len(searched) == 20

    @pytest.mark.parametrize("count", [2_000, 20_000])
    def test_little_is_parsed_to_find_lines(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        parsed: list[int] = []
        loads = tomllib.loads

        def counting(text: str) -> dict[str, object]:
            parsed.append(len(text))
            return loads(text)

        monkeypatch.setattr(tomllib, "loads", counting)
        monkeypatch.setattr(loader, "_PARSED_CHARACTERS", 1 << 20)
        lines = "a\n" * count
        found = problems_of(file, f'x = """\n{lines}"""\ny = 1\n')
        assert found == [": there is no setting x", ": there is no setting y"]
        assert sum(parsed) < (1 << 20) + 2 * len(lines) + 100


class TestOtherThanAFile:
    """What is no file is refused at once, and read no further than a config can be long."""

    def test_pipe(self, file: Path) -> None:
        os.mkfifo(file)
        with pytest.raises(ConfigError, match="it is a pipe, not a file"):
            read_config(file)

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/dev/tty", "/dev/full"])
    def test_device(self, device: str) -> None:
        with pytest.raises(ConfigError, match=r"it is a device|cannot be read"):
            read_config(Path(device))

    def test_null_device_has_no_settings(self) -> None:
        assert read_config(Path(os.devnull)) == Config(Path(os.devnull), found=True)

    def test_huge_file(self, file: Path) -> None:
        with file.open("wb") as out:
            out.truncate(1 << 40)
        with pytest.raises(ConfigError, match="it is larger than 1 MiB"):
            read_config(file)

    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("config.toml")
            with pytest.raises(ConfigError, match="cannot be read"):
                read_config(tmp_path / "config.toml")

    def test_link_that_leads_to_itself(self, file: Path) -> None:
        file.symlink_to(file)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_config(file)

    @pytest.mark.parametrize("home", ["~", "~/.config"])
    def test_no_home(self, home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import platformdirs

        # as its versions before 4.14 have it
        monkeypatch.setattr(platformdirs, "user_config_path", lambda *_, **__: Path(home))
        monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: Path(home))
        config = read_config()
        assert not config.found
        assert config.build_profile("local", tmp_path).root == tmp_path / "local"
        with pytest.raises(HomeError, match="set HOME"):
            config.build_profile("local")
