"""The address of a profile's owner: where it listens, and how another process of the profile finds it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.engine.owner_socket import (
    MAX_PATH_BYTES,
    SOCKET,
    bind_socket,
    candidate_addresses,
    recorded_address,
)
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerRejected
from jobtui.history.format.codec import frame_line
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import MAX_ADDRESS_BYTES, Lock, WriterWatcher
from jobtui.model import Notice
from tests.support.commands import CommandLine
from tests.support.engines import WAIT, open_bench
from tests.support.scripted import ScriptedStorage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")


def connects(root: Path) -> bool:
    RemoteClient.connect(Profile("local", root)).close()
    return True


class TestChoice:
    """Which socket the owner listens at."""

    def test_profile_directory_is_first(self, root: Path) -> None:
        with open_bench(root, ScriptedStorage({})):
            assert recorded_address(root) == root / SOCKET
            assert stat.S_IMODE((root / SOCKET).stat().st_mode) == 0o600
        assert recorded_address(root) is None

    def test_address_in_the_profile_is_relative(self, root: Path) -> None:
        with open_bench(root, ScriptedStorage({})):
            watch = WriterWatcher(Disk(), root / "history")
            mark = watch.read_status()
            watch.close()
        assert mark is not None
        assert mark.address == SOCKET

    def test_profile_path_longer_than_a_socket_address(self, tmp_path: Path) -> None:
        root = tmp_path / ("long" * 30) / ("longer" * 30)
        assert len(str(root / SOCKET)) > MAX_PATH_BYTES
        with open_bench(root, ScriptedStorage({})):
            assert recorded_address(root) == root / SOCKET
            assert connects(root)
        assert not (root / SOCKET).exists()

    def test_long_path_without_proc_takes_the_runtime_directory(
        self, tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobtui.engine.owner_socket._OPEN_FILES", tmp_path / "no-proc")
        root = tmp_path / ("long" * 30)
        with open_bench(root, ScriptedStorage({})):
            address = recorded_address(root)
            assert address is not None
            assert address.parent == runtime / "jobtui"
            assert connects(root)

    def test_something_else_at_the_socket_path_is_kept(self, root: Path, runtime: Path) -> None:
        root.mkdir()
        (root / SOCKET).write_text("mine")
        with open_bench(root, ScriptedStorage({})):
            address = recorded_address(root)
            assert address is not None
            assert address.parent == runtime / "jobtui"
        assert (root / SOCKET).read_text() == "mine"

    @pytest.mark.parametrize("value", ["", "relative/runtime", "bad\udcff", "/" + "long/" * 60, '/quo"te'])
    def test_unusable_runtime_directory_is_skipped(
        self, root: Path, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        found = [path for path, _ in candidate_addresses(root)]
        assert [path.parent.name for path in found] == [root.name, f"jobtui-{os.getuid()}"]


class TestPrivacy:
    """A directory in which another user could replace the socket is not used."""

    def test_directory_that_others_can_write(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        with pytest.raises(PermissionError, match="other users can write it"):
            bind_socket(tmp_path / SOCKET)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
    def test_directory_of_another_user(self, tmp_path: Path) -> None:
        (tmp_path / "runtime").mkdir(mode=0o700)
        os.chown(tmp_path / "runtime", 65534, 65534)
        with pytest.raises(PermissionError, match="belongs to another user"):
            bind_socket(tmp_path / "runtime" / SOCKET)

    def test_link_to_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir(mode=0o755)
        (tmp_path / "link").symlink_to("there")
        with pytest.raises(NotADirectoryError):
            bind_socket(tmp_path / "link" / SOCKET)
        assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o755

    def test_every_candidate_refused_is_reported_with_reasons(
        self, root: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> socket.socket:
            raise PermissionError(1, "no sockets here")

        monkeypatch.setattr("jobtui.engine.server.bind_socket", refuse)
        with open_bench(root, ScriptedStorage({})) as bench:
            bench.events.until_published(Notice, text="cannot submit work here")
            (text,) = bench.events.notices
        assert f"{root}: no sockets here" in text
        assert f"{runtime}/jobtui: no sockets here" in text


class TestMark:
    """The address in LOCK."""

    def test_longest_address_fits(self, tmp_path: Path) -> None:
        disk = Disk()
        lock = Lock.take(disk, tmp_path)
        address = "/" + "a" * (MAX_ADDRESS_BYTES - 1)
        lock.set_address(address)
        lock.write_status(10**18, 10**18, 10**18, 10**18)
        mark = lock.read_status()
        assert mark is not None
        assert mark.address == address
        lock.release()

    def test_closed_mark_has_no_address(self, tmp_path: Path) -> None:
        lock = Lock.take(Disk(), tmp_path)
        lock.set_address("/run/owner.sock")
        lock.write_status(1, 1, 1, 1, closed=True)
        mark = lock.read_status()
        assert mark is not None
        assert mark.address == ""
        lock.release()

    def test_owner_of_an_earlier_version_is_named(self, root: Path) -> None:
        (root / "history").mkdir(parents=True)
        old = b'{"pid":4711,"journal":1,"durable":0,"next_id":1,"generation":0,"closed":false}'
        (root / "history" / "LOCK").write_bytes(frame_line(old).ljust(512))
        with pytest.raises(OwnerRejected, match=r"jobtui 0\.1, .* end it \(kill 4711\)"):
            RemoteClient.connect(Profile("local", root))

    def test_closed_mark_of_an_earlier_version(self, root: Path) -> None:
        (root / "history").mkdir(parents=True)
        old = b'{"pid":4711,"journal":1,"durable":0,"next_id":1,"generation":0,"closed":true}'
        (root / "history" / "LOCK").write_bytes(frame_line(old).ljust(512))
        assert recorded_address(root) is None


class TestEnvironments:
    """Processes of one profile with different environments."""

    @pytest.fixture
    def served(self, jobtui: CommandLine) -> Iterator[CommandLine]:
        (jobtui.home / "login").mkdir(mode=0o700)
        jobtui.environment["XDG_RUNTIME_DIR"] = str(jobtui.home / "login")
        with jobtui.started("serve") as server:
            assert server.stderr is not None
            while b"serves" not in server.stderr.readline():
                pass
            yield jobtui
            server.send_signal(signal.SIGTERM)
            server.wait(WAIT)

    def test_other_runtime_and_temporary_directories(self, served: CommandLine) -> None:
        del served.environment["XDG_RUNTIME_DIR"]
        for name in ("TMPDIR", "TEMP", "TMP"):
            served.environment[name] = str(served.home)
        served.done("-e", "CREATE SPACE nba")
        found = served("doctor").stdout
        assert "owns this profile, and answers" in found
        assert "kill" not in found

    def test_runtime_directory_goes_with_the_session(self, served: CommandLine) -> None:
        subprocess.run(["rm", "-rf", str(served.home / "login")], check=True)
        served.done("-e", "CREATE SPACE nba")

    def test_profile_reached_by_another_path(self, served: CommandLine) -> None:
        (served.home / "elsewhere").symlink_to(served.data)
        served.data = served.home / "elsewhere"
        served.done("-e", "CREATE SPACE nba")

    def test_owner_without_a_socket_is_not_to_be_killed(self, served: CommandLine) -> None:
        (served.profile.root / SOCKET).unlink()
        found = served("doctor").stdout
        assert "no jobtui answers at" in found
        assert "kill" not in found
