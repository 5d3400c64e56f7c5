"""`jobtui web`: access, what a browser shows, and that no process is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from jobtui.cli.main import main
from tests.support.chromium import Chromium, needs_chromium
from tests.support.commands import CommandLine
from tests.support.homes import moved_in
from tests.support.waiting import eventually

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


class WebServer:
    """A running `jobtui web`, and the address that it printed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.address = process.stdout.readline().decode().strip()
        self.report = process.stderr.readline().decode()
        self.path = "/" + self.address.rsplit("/", 2)[1] + "/"
        self.port = int(self.report.partition("port ")[2].split()[0])

    def answer(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """The status and the text of an answer to GET."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, "" if response.status == 101 else response.read().decode("latin-1")
        finally:
            connection.close()

    def open_tab(self) -> socket.socket:
        """A websocket of the page; closing it is the end of the tab."""
        before = set(self.tabs())
        connection = self.connect()
        eventually(lambda: set(self.tabs()) - before)
        received = b""
        while b"jobtui" not in received:  # the dashboard draws its header
            part = connection.recv(1 << 16)
            assert part, received
            received += part
        return connection

    def connect(self) -> socket.socket:
        """The connection on which a tab has been requested."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        headers = HANDSHAKE | {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"GET {self.path}ws HTTP/1.1\r\n{lines}\r\n".encode())
        return connection

    def tabs(self) -> list[int]:
        """The processes of the tabs."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], stdout=subprocess.PIPE, check=False
        )
        return [int(word) for word in listed.stdout.split()]


@contextmanager
def serving(jobtui: CommandLine, *options: str) -> Iterator[WebServer]:
    with jobtui.started("web", "--port", "0", *options) as process:
        yield WebServer(process)


@pytest.fixture(scope="module")
def server(with_nba: Path) -> Iterator[WebServer]:
    """A server that only answers: its tests open no tab."""
    with serving(CommandLine(with_nba), "--url", "https://ops.example.com/jobs/") as running:
        yield running


class TestAccess:
    def test_address_is_that_of_the_proxy_and_has_a_token(self, server: WebServer) -> None:
        assert server.address.startswith("https://ops.example.com/jobs/")
        assert len(server.path.strip("/")) == 43

    @pytest.mark.parametrize(
        "path", ["", "static/textual.js", "static/page.js", "static/xterm.css", "static/RobotoMono.ttf"]
    )
    def test_token_opens_the_page_and_its_files(self, server: WebServer, path: str) -> None:
        assert server.answer(server.path + path)[0] == 200

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "//",
            "/x/",
            "/{}x/",
            "/{}",
            "/static/textual.js",
            "/x/static/textual.js",
            "/ws",
            "/x/ws",
            "/download/x",
            "/x/download/x",
            "/%00/",
            "/%C3%A9/",
        ],
    )
    def test_another_token_is_forbidden(self, server: WebServer, path: str) -> None:
        path = path.replace("{}", server.path.strip("/")[:-1]).encode().decode("latin-1")
        for headers in ({}, HANDSHAKE | {"Origin": f"http://127.0.0.1:{server.port}"}):
            status, text = server.answer(path, headers)
            assert (status, server.path.strip("/") in text) == (403, False)

    @pytest.mark.parametrize(
        "path", ["static/../page.js", "static/%2e%2e/page.js", "static/page.css.py", "download/x", "x"]
    )
    def test_other_paths_are_not_found(self, server: WebServer, path: str) -> None:
        assert server.answer(server.path + path)[0] == 404

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:{}", 200),
            ("localhost:8080", 200),  # the other end of ssh -L
            ("[::1]:80", 200),
            ("ops.example.com", 200),
            ("evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("127.0.0.1@evil.example", 403),
            ("[", 403),
        ],
    )
    def test_only_names_of_this_machine_and_of_the_proxy(
        self, server: WebServer, host: str, status: int
    ) -> None:
        assert server.answer(server.path, {"Host": host.format(server.port)})[0] == status

    @pytest.mark.parametrize(
        ("origin", "host", "status"),
        [
            ("http://localhost:8080", "localhost:8080", 101),
            ("https://ops.example.com", "ops.example.com", 101),
            ("https://ops.example.com", "127.0.0.1:9478", 101),  # a proxy that does not pass Host on
            ("http://localhost:8081", "localhost:8080", 403),
            ("http://ops.example.com", "127.0.0.1:9478", 403),
            ("https://evil.example", "localhost:8080", 403),
            ("null", "localhost:8080", 403),
            (None, "localhost:8080", 403),
        ],
    )
    def test_websocket_only_from_its_own_page(
        self, server: WebServer, origin: str | None, host: str, status: int
    ) -> None:
        headers = HANDSHAKE | {"Host": host} | ({"Origin": origin} if origin else {})
        assert server.answer(server.path + "ws", headers)[0] == status

    def test_another_site_cannot_read_or_frame_the_page(self, server: WebServer) -> None:
        assert server.answer(server.path, {"Origin": "https://evil.example"})[0] == 403
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", server.path)
        headers = connection.getresponse().headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers

    def test_no_process_shows_the_token(self, server: WebServer) -> None:
        listed = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert server.path.strip("/") not in listed


@pytest.fixture(scope="module")
def shared(with_nba: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server for the tests that close their tabs themselves."""
    with serving(moved_in(tmp_path_factory.mktemp("shared"), with_nba)) as running:
        yield running


class TestProcesses:
    def test_closed_tab_leaves_none(self, shared: WebServer) -> None:
        assert "is read-only" in shared.report
        first, second = shared.open_tab(), shared.open_tab()
        assert len(shared.tabs()) == 2
        first.close()
        eventually(lambda: len(shared.tabs()) == 1)
        second.close()
        eventually(lambda: not shared.tabs())

    def test_no_more_tabs_than_allowed(self, nba: CommandLine) -> None:
        with serving(nba, "--tabs", "1") as server:
            first = server.open_tab()
            with server.connect() as second:
                received = b""
                while part := second.recv(1 << 16):
                    received += part
            assert b"jobtui: no more than 1 tab at a time: close one" in received
            assert len(server.tabs()) == 1
            first.close()
            eventually(lambda: not server.tabs())
            server.open_tab().close()

    def test_browser_that_reads_nothing_leaves_none(self, shared: WebServer) -> None:
        with shared.open_tab() as tab:
            # more than the buffers in between hold: every resize draws the screen again
            for width in (80, 300) * 200:
                send(tab, f'["resize", {{"width": {width}, "height": 90}}]')
            tab.close()
            eventually(lambda: not shared.tabs())

    def test_unknown_message_ends_the_tab(self, shared: WebServer) -> None:
        for text in ("x", "{}", '["stdin", 1]', "[" * 100_000):
            with shared.open_tab() as tab:
                send(tab, text)
                eventually(lambda: not shared.tabs())
        assert shared.answer(shared.path)[0] == 200

    def test_ctrl_z_stops_no_tab(self, shared: WebServer) -> None:
        with shared.open_tab() as tab:
            send(tab, '["stdin", "\\u001aq"]')
            eventually(lambda: not shared.tabs())

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signal_ends_all(self, nba: CommandLine, number: signal.Signals) -> None:
        with serving(nba) as server, server.open_tab(), server.open_tab():
            tabs = server.tabs()
            server.process.send_signal(number)
            assert server.process.wait(30) == 0
            assert not any(is_alive(pid) for pid in tabs)

    def test_killed_server_leaves_none(self, nba: CommandLine) -> None:
        with serving(nba) as server, server.open_tab():
            tabs = server.tabs()
            server.process.kill()
            eventually(lambda: not any(is_alive(pid) for pid in tabs))

    def test_jobs_of_a_closed_tab_continue(self, slow: CommandLine) -> None:
        with serving(slow, "--writable") as server:
            with server.open_tab() as tab:
                send(tab, '["stdin", ":ADMIN COMPACT nba\\r"]')
                eventually(lambda: slow.is_running(1))
            eventually(lambda: not server.tabs())
        owner = eventually(
            lambda: Path(slow.profile.root / "serve.log").read_text().rpartition("as process ")[2]
        )
        try:
            assert slow.is_running(1)
        finally:
            os.kill(int(owner.split()[0]), signal.SIGTERM)
            eventually(lambda: not is_alive(int(owner.split()[0])))


class TestStart:
    def test_without_the_extra(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "textual_serve", None)
        monkeypatch.delitem(sys.modules, "jobtui.cli.commands.web", raising=False)
        assert main(["web"]) == 1
        assert capsys.readouterr().err == (
            "jobtui: the Python package textual_serve is missing; pip install 'jobtui[web]' installs it "
            "(in a clone: pip install '.[web]')\n"
        )

    def test_port_in_use(self, nba: CommandLine) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = nba("web", "--port", str(port))
        assert ended.returncode == 1
        assert f"port {port} of 127.0.0.1 cannot be used: Address already in use; --port N" in ended.stderr
        assert "--port 0 a free one" in ended.stderr

    @pytest.mark.parametrize(
        "url", ["", "x", "ftp://x", "https://", "http://u@x", "http://x/?a", "http://[", "http://x:99999"]
    )
    def test_address_that_no_browser_opens(self, nba: CommandLine, url: str) -> None:
        ended = nba("web", "--url", url)
        assert ended.returncode == 2
        assert "--url must be an address" in ended.stderr

    def test_read_only_profile_stays_so(self, tmp_path: Path) -> None:
        jobtui = CommandLine(tmp_path, "[profiles.local]\nread_only = true\n")
        ended = jobtui("web", "--writable")
        assert ended.returncode == 2
        assert "is read-only" in ended.stderr

    def test_dashboard_imports_no_server(self) -> None:
        program = (
            "import sys; from jobtui.tui.launch import import_dashboard; import_dashboard(); "
            "print({'aiohttp', 'textual_serve'} & {*sys.modules})"
        )
        shown = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
        assert shown.stdout == "set()\n"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("browser")) as chromium:
        yield chromium


@needs_chromium
class TestBrowser:
    def test_read_only_table(self, nba: CommandLine, browser: Chromium) -> None:
        nba.done("-e", "ADMIN FLUSH nba; ADMIN COMPACT nba")
        with serving(nba) as server:
            browser.open(server.address)
            browser.shows("flush nba", "compact nba", "read only", "job 2 · compact nba", "✔ 2 finished")
            browser.resize(800, 500)
            browser.shows("✔ 2  ✖ 0")
            browser.press("down")
            browser.shows("job 1 · flush nba")
            browser.press(":", "ADMIN FLUSH nba", "enter")
            browser.shows("Profile 'local' is read-only")
            browser.press("escape", "escape", "q")
            browser.shows("This session has ended")
            eventually(lambda: not server.tabs())
        assert len(nba.rows("SHOW JOBS")) == 2

    def test_statement_and_the_clipboard(self, nba: CommandLine, browser: Chromium) -> None:
        browser.devtools(
            "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
        )
        with serving(nba, "--writable") as server:
            browser.open(server.address)
            browser.shows("types a statement")
            browser.devtools("Page.bringToFront")  # a page without the focus may not write to the clipboard
            browser.run("return navigator.clipboard.writeText('ADMIN FLUSH nba')")
            browser.press(":")
            browser.press("v", control=True)
            browser.shows("> ADMIN FLUSH nba")
            browser.press("enter")
            browser.shows("flush nba", "finished")
            browser.press("escape")
            browser.shows("job 1 · flush nba")
            browser.press("y")
            browser.shows("Copy")
            browser.press("s")
            eventually(lambda: "FLUSH nba" in browser.run("return navigator.clipboard.readText()"))

    def test_wrong_token(self, server: WebServer, browser: Chromium) -> None:
        browser.open(f"http://127.0.0.1:{server.port}/wrong/")
        browser.shows("403: open the address that jobtui web printed")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def send(connection: socket.socket, text: str) -> None:
    """Send a text message over a websocket, masked with zeros."""
    data = text.encode()
    if len(data) < 126:
        size = bytes([0x80 | len(data)])
    elif len(data) < 1 << 16:
        size = bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + len(data).to_bytes(8, "big")
    connection.sendall(b"\x81" + size + bytes(4) + data)
