"""Unusual environments: homes, users, limits, umasks and temporary directories, each with the real command."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.commands import CommandLine
from tests.support.disks import mount, unmount
from tests.support.users import STRANGER, as_user, give, needs_root, owners

SECONDS = 60


def run(
    jobtui: CommandLine, *words: str, uid: int | None = None, shell: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user, and after a line of shell that sets up its surroundings."""
    if uid is None and not shell and cwd is None:
        return jobtui(*words)
    command = jobtui.words(*words)
    if shell:
        command = ["bash", "-c", f'{shell}; exec "$@"', "bash", *command]
    if uid is not None:
        command = as_user(uid, command)
    return subprocess.run(
        command, env=jobtui.environment, cwd=cwd or jobtui.home, capture_output=True, text=True, timeout=SECONDS
    )


def no_crash(ended: subprocess.CompletedProcess[str]) -> str:
    """Return what was printed, which holds neither a traceback nor an excuse."""
    output = ended.stdout + ended.stderr
    assert "Traceback" not in output
    assert "defect of jobtui" not in output
    return output


@pytest.fixture
def jobtui() -> Iterator[CommandLine]:
    """The command of a user whose home every user can reach, which the directories of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="jobtui-test-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        yield CommandLine(Path(home))


@needs_root
class TestNoHome:
    """A user without HOME and without an entry in the password file."""

    @pytest.fixture
    def without_home(self, jobtui: CommandLine) -> CommandLine:
        give(jobtui.home, STRANGER)
        for name in ("HOME", "USER", "LOGNAME"):
            jobtui.environment.pop(name, None)
        return jobtui

    @pytest.mark.parametrize("home", [None, "", "relative"])
    def test_data_dir_is_enough(self, without_home: CommandLine, home: str | None) -> None:
        if home is not None:
            without_home.environment["HOME"] = home
        ended = run(without_home, "-e", "CREATE SPACE nba ON 1 HOSTS; SHOW SPACES", uid=STRANGER)
        assert (ended.returncode, "nba" in ended.stdout) == (0, True), ended
        assert owners(without_home.data) == {STRANGER}
        assert run(without_home, "doctor", uid=STRANGER).returncode == 0

    @pytest.mark.parametrize("words", [("-e", "SHOW JOBS"), ("serve",), ("config",), ("config", "path")])
    def test_without_data_dir_says_what_to_set(self, without_home: CommandLine, words: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", "jobtui", *words]
        ended = subprocess.run(
            as_user(STRANGER, command),
            env=without_home.environment,
            cwd=without_home.home,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 2
        assert "set HOME, or name directories with --data-dir" in no_crash(ended)

    def test_doctor_names_the_missing_home(self, without_home: CommandLine) -> None:
        command = [sys.executable, "-m", "jobtui", "doctor"]
        ended = subprocess.run(
            as_user(STRANGER, command),
            env=without_home.environment,
            cwd=without_home.home,
            capture_output=True,
            text=True,
        )
        assert "bad   data       there is no home directory" in no_crash(ended)


@needs_root
class TestOtherUser:
    """Root and a user on one profile: no file is left that its owner cannot use."""

    @pytest.fixture
    def theirs(self, jobtui: CommandLine) -> CommandLine:
        give(jobtui.home, STRANGER)
        assert run(jobtui, "-e", "CREATE SPACE nba ON 1 HOSTS", uid=STRANGER).returncode == 0
        return jobtui

    @pytest.mark.parametrize(
        "words", [("-e", "ADMIN FLUSH nba"), ("serve",), ("serve", "--background"), ("history", "repair")]
    )
    def test_root_is_refused(self, theirs: CommandLine, words: tuple[str, ...]) -> None:
        ended = run(theirs, *words)
        assert ended.returncode == 1
        assert f"belongs to user {STRANGER}" in no_crash(ended)
        assert owners(theirs.data) == {STRANGER}

    def test_root_may_read(self, theirs: CommandLine) -> None:
        for words in (("-e", "SHOW SPACES"), ("history", "export"), ("history", "verify"), ("doctor",)):
            no_crash(run(theirs, *words))
        assert owners(theirs.data) == {STRANGER}
        assert "nba" in run(theirs, "-e", "SHOW SPACES").stdout

    def test_root_joins_the_owner_at_work(self, theirs: CommandLine) -> None:
        command = as_user(STRANGER, theirs.words("serve"))
        with subprocess.Popen(command, env=theirs.environment, stderr=subprocess.PIPE) as server:
            try:
                assert server.stderr is not None
                while b"serves" not in server.stderr.readline():
                    pass
                ended = run(theirs, "-e", "ADMIN FLUSH nba", "--wait")
            finally:
                server.send_signal(signal.SIGTERM)
        assert ended.returncode == 0, ended
        assert owners(theirs.data) == {STRANGER}

    def test_root_creates_no_profile_in_a_users_home(self, jobtui: CommandLine) -> None:
        give(jobtui.home, STRANGER)
        ended = run(jobtui, "-e", "CREATE SPACE nba")
        assert ended.returncode == 1
        assert f"{jobtui.home} belongs to user {STRANGER}" in no_crash(ended)
        assert not jobtui.data.exists()

    def test_user_creates_a_profile_in_a_shared_directory(self, jobtui: CommandLine) -> None:
        jobtui.home.chmod(0o1777)
        ended = run(jobtui, "-e", "CREATE SPACE nba", uid=STRANGER)
        assert ended.returncode == 0, ended

    def test_doctor_names_roots_files_and_the_command(self, theirs: CommandLine) -> None:
        root = theirs.profile.root
        (root / "history" / "LOCK").chmod(0o600)
        os.chown(root / "history" / "LOCK", 0, 0)
        ended = run(theirs, "-e", "ADMIN FLUSH nba", uid=STRANGER)
        assert ended.returncode == 1
        assert "jobtui doctor" in no_crash(ended)
        output = no_crash(run(theirs, "doctor", uid=STRANGER))
        assert f"LOCK belongs to root, and the profile to user {STRANGER}" in output
        assert f"sudo chown -R {STRANGER} {root}" in output

    def test_doctor_repairs_a_profile_created_by_root(self, theirs: CommandLine) -> None:
        give(theirs.profile.root, 0)
        output = no_crash(run(theirs, "doctor", uid=STRANGER))
        assert f"sudo chown -R {STRANGER} {theirs.profile.root}" in output
        give(theirs.profile.root, STRANGER)
        assert run(theirs, "-e", "ADMIN FLUSH nba", uid=STRANGER).returncode == 0


class TestTemporaryDirectory:
    """No directory for temporary files, or one that another user prepared."""

    @needs_root
    def test_everything_read_only_but_the_data(self, jobtui: CommandLine) -> None:
        if shutil.which("unshare") is None:
            pytest.skip("needs unshare")
        jobtui.environment.pop("TMPDIR", None)
        script = 'mount --bind "$0" /mnt && mount -o remount,bind,ro / && cd / && "$@"'
        words = [
            "sh",
            "-c",
            script,
            str(jobtui.home),
            sys.executable,
            "-m",
            "jobtui",
            "--data-dir",
            "/mnt/data",
        ]
        for last in (["-e", "CREATE SPACE nba; ADMIN FLUSH nba"], ["doctor"], ["history", "verify"]):
            ended = subprocess.run(
                ["unshare", "--mount", *words, *last], env=jobtui.environment, capture_output=True, text=True
            )
            if "mount:" in ended.stderr:
                pytest.skip(f"a read-only root could not be had: {ended.stderr}")
            no_crash(ended)
            assert ended.returncode == 0, ended
        assert jobtui.profile.history.exists()

    @pytest.mark.parametrize("kind", ["file", "foreign", "link"])
    def test_runtime_directory_of_another_user(self, jobtui: CommandLine, kind: str) -> None:
        temporary = jobtui.home / "tmp"
        temporary.mkdir(mode=0o1777)
        planted = temporary / f"runtime-{os.getuid()}"
        if kind == "file":
            planted.write_text("")
        elif kind == "link":
            planted.symlink_to("/")
        else:
            planted.mkdir(mode=0o755)
            if os.geteuid() == 0:
                os.chown(planted, STRANGER, STRANGER)
        jobtui.environment["TMPDIR"] = str(temporary)
        with jobtui.started("serve") as server:
            assert server.stderr is not None
            while b"serves" not in server.stderr.readline():
                pass
            jobtui.done("-e", "CREATE SPACE nba")
        assert [path.name for path in temporary.iterdir()] == [planted.name]


class TestUmask:
    """What jobtui makes is its user's alone."""

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
    @pytest.mark.parametrize(
        "words", [("serve", "--background"), ("-e", "CREATE SPACE one"), ("load", "one", "pairs.csv")]
    )
    def test_first_command(self, jobtui: CommandLine, umask: int, words: tuple[str, ...]) -> None:
        (jobtui.home / "pairs.csv").write_text("k,v\n")
        ended = run(jobtui, *words, shell=f"umask {umask:03o}")
        no_crash(ended)
        try:
            run(
                jobtui,
                "-e",
                "CREATE SPACE nba ON 1 HOSTS; ADMIN FLUSH nba",
                "--wait",
                shell=f"umask {umask:03o}",
            )
            if words[0] != "load":
                assert modes(jobtui.data) == {0o700, 0o600}
            else:  # refused, as there is no such space
                assert modes(jobtui.data) <= {0o700, 0o600}
        finally:
            end_server(ended.stderr)

    @pytest.mark.parametrize(("mode", "level", "status"), [(0o777, "bad ", 1), (0o770, "warn", 0)])
    def test_doctor_reports_a_profile_that_others_can_write(
        self, jobtui: CommandLine, mode: int, level: str, status: int
    ) -> None:
        jobtui.done("-e", "CREATE SPACE nba")
        jobtui.profile.root.chmod(mode)
        ended = jobtui("doctor")
        assert ended.returncode == status
        assert f"{level}  access     other users can write {jobtui.profile.root}" in ended.stdout
        assert f"chmod -R go-w {jobtui.profile.root}" in ended.stdout


def modes(directory: Path) -> set[int]:
    return {
        stat.S_IMODE(found.lstat().st_mode)
        for found in (directory, *directory.rglob("*"))
        if not found.is_socket()
    }


def end_server(output: str) -> None:
    """End the background server that printed this as it started, if one did."""
    _, found, rest = output.partition(" as process ")
    if found:
        os.kill(int(rest.split()[0]), signal.SIGTERM)


class TestForeignModules:
    """No process that jobtui starts imports modules from the current directory."""

    NAMES = ("msgspec", "socket", "rocksdict", "asyncio", "jobtui", "platformdirs", "sitecustomize")

    @pytest.fixture
    def trap(self, tmp_path: Path) -> Path:
        trap = tmp_path / "trap"
        trap.mkdir()
        for name in self.NAMES:
            line = f"import os; os.close(os.open({str(tmp_path / 'sprung')!r}, os.O_CREAT))\n"
            (trap / f"{name}.py").write_text(line)
        return trap

    @pytest.fixture
    def run_in(self, trap: Path, tmp_path: Path, jobtui: CommandLine) -> Iterator[CommandLine]:
        words = jobtui.words
        # replaced for this test
        jobtui.words = lambda *rest: [sys.executable, "-P", *words(*rest)[1:]]  # type: ignore[method-assign]
        yield jobtui
        assert not (tmp_path / "sprung").exists()

    def test_workers(self, run_in: CommandLine, trap: Path) -> None:
        ended = run(run_in, "-e", "CREATE SPACE nba ON 1 HOSTS; ADMIN FLUSH nba; ADMIN COMPACT nba", cwd=trap)
        assert ended.returncode == 0, ended

    def test_workers_of_adopted_databases(self, run_in: CommandLine, trap: Path) -> None:
        run(run_in, "-e", "CREATE SPACE nba ON 1 HOSTS; ADMIN FLUSH nba", cwd=trap)
        (database,) = (run_in.profile.storage).glob("local*/nba")
        shutil.copytree(database, run_in.home / "copy")
        text = f'CREATE SPACE mine AT "{run_in.home}/copy"; ADMIN FLUSH mine'
        ended = run(run_in, "-e", text, cwd=trap)
        assert ended.returncode == 0, ended

    def test_server_in_the_background(self, run_in: CommandLine, trap: Path) -> None:
        ended = run(run_in, "serve", "--background", cwd=trap)
        try:
            assert ended.returncode == 0, ended
            assert run(run_in, "-e", "CREATE SPACE nba ON 1 HOSTS", cwd=trap).returncode == 0
        finally:
            end_server(ended.stderr)

    def test_pairs_and_completion(self, run_in: CommandLine, trap: Path) -> None:
        (trap / "pairs.csv").write_text("k,v\n")
        run(run_in, "-e", "CREATE SPACE nba ON 1 HOSTS", cwd=trap)
        assert run(run_in, "load", "nba", "pairs.csv", cwd=trap).returncode == 0
        assert run(run_in, "dump", "nba", cwd=trap).returncode == 0
        assert run(run_in, "doctor", cwd=trap).returncode == 0
        command = [sys.executable, "-P", "-m", "jobtui", "__complete", "bash", "jobtui -e 'USE "]
        subprocess.run(command, env=run_in.environment, cwd=trap, check=True, capture_output=True)

    def test_relative_python_path(self, run_in: CommandLine, trap: Path) -> None:
        # only for the processes that are started: this one is found by the absolute entry
        from jobtui.interpreter import interpreter_environment

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "lib", str(run_in.home)]))
            patch.setenv("PYTHONINSPECT", "1")
            found = interpreter_environment()
        entries = found["PYTHONPATH"].split(os.pathsep)
        assert str(run_in.home) in entries
        assert all(Path(entry).is_absolute() for entry in entries)
        assert "PYTHONINSPECT" not in found

    def test_every_interpreter_is_started_by_one_module(self) -> None:
        package = Path(__file__).parents[2] / "jobtui"
        named = {path.name for path in package.rglob("*.py") if "sys.executable" in path.read_text()}
        assert named == {"interpreter.py"}
        words = ("subprocess.", "create_subprocess", "os.exec", "posix_spawn", "os.system", "multiprocessing")
        starters = {
            path.relative_to(package).as_posix()
            for path in package.rglob("*.py")
            if any(word in path.read_text() for word in words)
        }
        # the clipboard's programs and a user's command for notifications are not interpreters
        assert starters == {
            "cli/commands/serve.py",
            "cli/commands/web.py",
            "engine/delivery.py",
            "storage/local/process.py",
            "tui/terminal.py",
        }


class TestLimits:
    """A limit of the process is named with the setting that raises it, and is no failing disk."""

    def test_open_files(self, jobtui: CommandLine) -> None:
        output = no_crash(run(jobtui, "-e", "CREATE SPACE nba", shell="ulimit -n 14"))
        assert "a process may have 14 files open here; raise that limit (ulimit -n)" in output
        assert "disk" not in output

    def test_very_few_open_files(self, jobtui: CommandLine) -> None:
        ended = run(jobtui, "-e", "CREATE SPACE nba", shell="ulimit -n 8")
        assert ended.returncode == 1
        assert "(ulimit -n)" in no_crash(ended)

    def test_file_size(self, jobtui: CommandLine) -> None:
        ended = run(jobtui, "-e", "CREATE SPACE nba", shell="ulimit -f 8")
        assert ended.returncode == 1
        assert "bytes here; raise that limit (ulimit -f)" in no_crash(ended)

    def test_file_size_during_work(self, jobtui: CommandLine) -> None:
        jobtui.done("-e", "CREATE SPACE nba ON 1 HOSTS")
        (jobtui.home / "pairs.csv").write_text("".join(f"k{n},{os.urandom(500).hex()}\n" for n in range(2_000)))
        output = no_crash(run(jobtui, "load", "nba", "pairs.csv", shell="ulimit -f 800"))
        assert "raise that limit (ulimit -f)" in output
        assert "the disk or the file system failed" not in output
        jobtui.done("load", "nba", "pairs.csv")

    def test_memory(self, jobtui: CommandLine) -> None:
        ended = run(jobtui, "-e", "CREATE SPACE nba", shell="ulimit -v 200000")
        assert "ulimit -v" in no_crash(ended) or ended.returncode == 0

    @needs_root
    def test_processes(self, jobtui: CommandLine) -> None:
        give(jobtui.home, STRANGER)
        ended = run(jobtui, "-e", "CREATE SPACE nba", uid=STRANGER, shell="ulimit -u 3")
        assert ended.returncode == 1
        assert "no more threads can be started" in no_crash(ended)
        assert "(ulimit -u)" in ended.stderr

    @needs_root
    def test_inodes(self, jobtui: CommandLine) -> None:
        jobtui.data.mkdir()
        try:
            mount("-t", "tmpfs", "-o", "size=20m,nr_inodes=24", "tmpfs", jobtui.data)
        except subprocess.CalledProcessError:
            pytest.skip("a small disk could not be mounted")
        try:
            output = no_crash(run(jobtui, "-e", "CREATE SPACE nba; CREATE SPACE two"))
            for number in range(24):
                with suppress(OSError):
                    (jobtui.data / str(number)).touch()
            found = no_crash(run(jobtui, "doctor"))
            refused = no_crash(run(jobtui, "-e", "CREATE SPACE three"))
        finally:
            unmount(jobtui.data)
        assert "no free inodes (df -i shows it)" in output
        assert "the disk is full" not in output
        assert f"bad   data       {jobtui.profile.root}: the file system has no free inodes" in found
        assert "no free inodes (df -i shows it)" in refused


class TestStreams:
    """Streams, directories and variables that are not there or make no sense."""

    @pytest.mark.parametrize(
        "shell",
        [
            "exec <&-",
            "exec >&-",
            "exec 2>&-",
            "exec <&- >&- 2>&-",
            "mkdir gone; cd gone; rmdir ../gone",
            "unset TERM LANG LC_ALL; LC_ALL=C; export LC_ALL",
            "TZ=garbage/nowhere; export TZ",
            "TZ=:/etc/shadow; export TZ",
            "PATH=; export PATH",
            "PYTHONOPTIMIZE=2; PYTHONWARNINGS=error; export PYTHONOPTIMIZE PYTHONWARNINGS",
            "XDG_CONFIG_HOME=relative; XDG_DATA_HOME=.; XDG_RUNTIME_DIR=nowhere; "
            "export XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR",
            "ulimit -s 256; ulimit -c 0; ulimit -l 0",
        ],
    )
    def test_work_goes_on(self, jobtui: CommandLine, shell: str) -> None:
        ended = run(jobtui, "-e", "CREATE SPACE nba ON 1 HOSTS; ADMIN FLUSH nba", shell=shell)
        no_crash(ended)
        assert ended.returncode == 0, ended
        assert jobtui.status(1) == "finished"


def test_missing_locks_are_attributed_to_the_file_system(tmp_path: Path) -> None:
    from jobtui.history import History, StoreError
    from jobtui.history.format.disk import Disk

    class Lockless(Disk):
        def try_lock(self, file: int) -> bool:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with pytest.raises(StoreError, match="the file system has no locks"):
        History.open(tmp_path / "history", disk=Lockless())
