"""The processes that are trusted at the other end of a profile's local socket."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from jobtui import errors
from jobtui.engine import owner_socket, protocol
from jobtui.engine.failover import connect_or_start
from jobtui.engine.owner_socket import SOCKET, Channel, trusted_owners
from jobtui.engine.profile import Profile
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnreachable
from tests.support.engines import WAIT, Bench, impostor

STRANGER = 54_321


class TestPeer:
    def test_kernel_names_user_at_other_end(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            assert owner_socket.peer_uid(near) == os.geteuid()

    def test_credentials_of_macos_are_read(self) -> None:
        assert owner_socket._uid_of_xucred(struct.pack("@IIh16I", 0, 501, 2, *[20] * 16)) == 501
        with pytest.raises(OSError, match="version"):
            owner_socket._uid_of_xucred(struct.pack("@IIh16I", 7, 501, 2, *[20] * 16))

    def test_socket_of_another_user_is_sent_nothing(
        self, runtime: Path, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        received: list[bytes] = []
        monkeypatch.setattr(owner_socket, "peer_uid", lambda connection: STRANGER)
        with impostor(root, lambda client: received.append(client.recv(1 << 20))):
            with pytest.raises(errors.OwnerUntrusted, match=f"user with the id {STRANGER}"):
                RemoteClient.connect(Profile("local", root))
            trusting = {"_address": root / SOCKET, "_trusted": trusted_owners(root)}
            owner_client = RemoteClient.__new__(RemoteClient)
            vars(owner_client).update(trusting)
            with pytest.raises(errors.OwnerUntrusted):
                owner_client.load("solo", [(b"key", b"secret")]).result(WAIT)
            with pytest.raises(errors.OwnerUntrusted):
                next(owner_client.dump("solo"))
        assert not any(received)

    def test_impostor_next_to_the_owner_is_reported(
        self, owner: Bench, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owner_socket, "peer_uid", lambda connection: STRANGER)
        with pytest.raises(
            OwnerUnreachable, match=f"process {os.getpid()}.* but the process that listens .* nothing was sent"
        ):
            connect_or_start(Profile("local", root))

    def test_user_trusts_own_processes_and_root(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
        assert trusted_owners(root) == {0, STRANGER}

    def test_root_trusts_owner_of_given_directory(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert trusted_owners(root) == {0, root.stat().st_uid}
        assert trusted_owners(root / "missing") == {0}

    @pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
    def test_real_socket_of_another_user_gets_no_byte(self, root: Path, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        path = Path("/tmp") / f"jobtui-test-{os.getpid()}.sock"
        child = os.fork()
        if not child:
            os.setresuid(65_534, 65_534, 65_534)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            path.chmod(0o666)
            listener.listen()
            os.write(writing, b"!")
            client, _ = listener.accept()
            os.write(writing, client.recv(1 << 20))
            os._exit(0)
        try:
            os.close(writing)
            assert os.read(reading, 1) == b"!"
            with pytest.raises(errors.OwnerUntrusted, match="the id 65534"):
                Channel.open(path, trusted_owners(root), 5.0)
            assert os.read(reading, 1 << 20) == b""
        finally:
            os.waitpid(child, 0)
            os.close(reading)
            path.unlink()


class TestPaths:
    def test_long_path_needs_paths_of_descriptors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owner_socket, "_OPEN_FILES", tmp_path / "missing")
        with (
            pytest.raises(OSError, match="this one is longer"),
            owner_socket.short_path(tmp_path / ("x" * 120)),
        ):
            pass

    def test_file_in_place_of_the_socket_is_not_connected_to(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(errors.RequestNotAccepted, match="file is not a socket"):
            Channel.open(tmp_path / "file", trusted_owners(tmp_path), 1.0)


class TestChannel:
    def test_request_that_is_too_long_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 10)
        near, far = socket.socketpair()
        with near, far:
            with pytest.raises(protocol.RequestTooLarge):
                Channel(near).send(protocol.OverviewRequest(), WAIT)
            far.setblocking(False)
            with pytest.raises(BlockingIOError):
                far.recv(1)

    def test_refusal_instead_of_accepted_is_raised(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            far.sendall(protocol.encode(protocol.ErrorResponse("no")) + b"\n")
            channel = Channel(near)
            with pytest.raises(errors.OwnerRejected, match="no"):
                channel.request(protocol.OverviewRequest(), WAIT)
            assert not channel.usable
