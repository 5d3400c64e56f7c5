"""The delivery of a message to a real command and to a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtui.engine.delivery import CommandTarget, DeliveryResult, DeliveryTarget, WebHook, deliver
from jobtui.engine.notify_settings import NotifyUrl, url_problem
from tests.support.waiting import eventually
from tests.support.web_hooks import HANG, TRICKLE, WebHookServer, web_hook

SELF_SIGNED = Path(__file__).parent / "tls" / "self_signed.pem"
MESSAGE = b'{"event":"test"}\n'
LIMIT = 0.5


def sent(target: DeliveryTarget, message: bytes = MESSAGE, seconds: float | None = 20.0) -> DeliveryResult:
    return asyncio.run(deliver(target, message, seconds))


def self_signed() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SELF_SIGNED)
    return context


def post(server: WebHookServer, seconds: float | None = 20.0) -> DeliveryResult:
    return sent(WebHook(NotifyUrl(server.url), seconds), seconds=seconds)


class TestCommand:
    @pytest.fixture
    def script(self, tmp_path: Path) -> Iterator[Path]:
        path = tmp_path / "hook"
        path.touch()
        path.chmod(stat.S_IRWXU)
        return path

    def run(
        self, script: Path, text: str, *words: str, message: bytes = MESSAGE, seconds: float | None = 20.0
    ) -> DeliveryResult:
        script.write_text(f"#!/bin/sh\n{text}\n")
        return sent(CommandTarget([str(script), *words]), message, seconds)

    def test_message_is_on_stdin_and_no_shell_is_involved(self, script: Path, tmp_path: Path) -> None:
        result = self.run(script, f'cat > {tmp_path}/in; printf %s "$1" > {tmp_path}/word', "$(id); SECRET")
        assert (result.is_delivered, result.text) == (True, f"the command {script} was run")
        assert (tmp_path / "in").read_bytes() == MESSAGE
        assert (tmp_path / "word").read_text() == "$(id); SECRET"

    def test_command_that_does_not_read(self, script: Path) -> None:
        assert self.run(script, "exec true", message=b"x" * 1_000_000).is_delivered

    def test_failure_has_the_status_and_the_last_line(self, script: Path) -> None:
        result = self.run(script, "echo one >&2; printf 'no \\033[31mroute\\n' >&2; exit 3", "SECRET")
        assert not result.is_delivered
        assert not result.can_retry
        assert result.text == f"the command {script} exited with status 3: no \\x1b[31mroute"

    def test_signal_is_named(self, script: Path) -> None:
        assert self.run(script, "kill -9 $$").text.endswith("was ended by SIGKILL")

    @pytest.mark.parametrize(("mode", "why"), [(0o600, "Permission denied"), (None, "No such file")])
    def test_program_that_cannot_be_started(self, script: Path, mode: int | None, why: str) -> None:
        script.unlink() if mode is None else script.chmod(mode)
        result = sent(CommandTarget([str(script), "SECRET"]))
        assert not result.is_delivered
        assert f"could not be started: {why}" in result.text
        assert "SECRET" not in result.text

    def test_command_that_hangs_is_killed_with_its_children(self, script: Path, tmp_path: Path) -> None:
        text = f"sleep 1000 & echo $! > {tmp_path}/pid; trap '' TERM; wait"
        result = self.run(script, text, seconds=LIMIT)
        assert (result.is_delivered, result.can_retry) == (False, False)
        assert "was killed: it did not end within" in result.text
        child = int(eventually(lambda: (tmp_path / "pid").read_text().strip()))
        eventually(lambda: not is_alive(child))

    def test_orphaned_child_does_not_delay_the_result(self, script: Path, tmp_path: Path) -> None:
        result = self.run(script, f"sleep 1000 & echo $! > {tmp_path}/pid", seconds=None)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert result.is_delivered

    def test_signals_of_the_engines_thread_are_not_blocked(self, script: Path, tmp_path: Path) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        try:
            assert self.run(script, f"exec grep SigBlk /proc/self/status > {tmp_path}/mask").is_delivered
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert int((tmp_path / "mask").read_text().split()[1], 16) & (1 << signal.SIGTERM - 1) == 0


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie: nothing reaps the children of a test in a container."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestWebHook:
    def test_message_is_posted(self) -> None:
        with web_hook(204) as server:
            result = post(server)
            assert server.requests == [("/services/SECRET", json.loads(MESSAGE))]
        assert (result.is_delivered, result.text) == (
            True,
            f"{server.url.removesuffix('/services/SECRET')} answered 204",
        )

    @pytest.mark.parametrize(
        ("status", "can_retry"),
        [(400, False), (404, False), (408, True), (429, True), (500, True), (503, True)],
    )
    def test_only_statuses_that_can_pass_are_retried(self, status: int, can_retry: bool) -> None:
        with web_hook(status) as server:
            result = post(server)
        assert (result.is_delivered, result.can_retry) == (False, can_retry)
        assert f"answered {status}" in result.text
        assert "SECRET" not in result.text

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect_is_not_followed(self, status: int) -> None:
        with web_hook(status) as server:
            result = post(server)
            assert [path for path, _ in server.requests] == ["/services/SECRET"]
        assert (result.is_delivered, result.can_retry) == (False, False)
        assert "redirects are not followed" in result.text

    @pytest.mark.parametrize("answer", [HANG, TRICKLE])
    def test_slow_server_is_given_up(self, answer: int) -> None:
        with web_hook(answer) as server:
            result = post(server, LIMIT)
        assert (result.is_delivered, result.can_retry) == (False, True)
        assert "did not answer within" in result.text or "cannot be reached" in result.text
        assert "SECRET" not in result.text

    def test_server_that_is_not_there(self) -> None:
        with web_hook() as server:
            pass
        result = post(server)
        assert (result.is_delivered, result.can_retry) == (False, True)
        assert "cannot be reached: Connection refused" in result.text

    def test_self_signed_certificate_is_refused(self) -> None:
        with web_hook(tls=self_signed()) as server:
            result = post(server)
            assert server.requests == []
        assert (result.is_delivered, result.can_retry) == (False, False)
        assert "is not trusted" in result.text
        assert "nothing was sent" in result.text

    def test_certificate_that_the_user_trusts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(SELF_SIGNED))
        with web_hook(tls=self_signed()) as server:
            result = post(server)
            assert (result.is_delivered, len(server.requests)) == (True, 1), result

    def test_proxy_is_not_used_for_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with web_hook() as server:
            assert post(server).is_delivered

    @pytest.mark.parametrize("address", ["http://[::1]/", "http://127.1.2.3/"])
    def test_proxy_is_not_used_without_a_port(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with web_hook() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            sent(WebHook(NotifyUrl(address), 20.0))  # nothing need listen there
            assert not proxy.requests

    def test_url_of_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hook = WebHook(NotifyUrl(variable="JOBTUI_HOOK"), 20.0)
        monkeypatch.delenv("JOBTUI_HOOK", raising=False)
        assert sent(hook).text == "the environment variable JOBTUI_HOOK is not set"
        monkeypatch.setenv("JOBTUI_HOOK", "ftp://SECRET")
        assert "cannot be used" in sent(hook).text
        assert "SECRET" not in sent(hook).text
        with web_hook() as server:
            monkeypatch.setenv("JOBTUI_HOOK", server.url)
            assert sent(hook).is_delivered


@pytest.mark.parametrize(
    ("url", "is_valid"),
    [
        ("https://hooks.example.com/services/T0/B0", True),
        ("https://hooks.example.com:8443", True),
        ("http://localhost:9000/hook", True),
        ("http://127.0.0.1/hook", True),
        ("http://[::1]:9000/hook", True),
        ("http://hooks.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("https://user:SECRET@hooks.example.com/", False),
        ("https://hooks.example.com/SECRET with a blank", False),
        ("https:///SECRET", False),
        ("https://hooks..example.com/SECRET", False),
        (f"https://{'a' * 64}.example.com/SECRET", False),
        ("https://host:99999/SECRET", False),
        ("https://[::1/SECRET", False),
        ("file:///etc/passwd", False),
        ("SECRET", False),
        ("", False),
    ],
)
def test_urls(url: str, is_valid: bool) -> None:
    problem = url_problem(url)
    assert (problem == "") is is_valid
    assert "SECRET" not in problem


def test_url_is_not_shown_in_full() -> None:
    assert repr(NotifyUrl("https://hooks.example.com/SECRET")) == "NotifyUrl('https://hooks.example.com')"
