"""A headless Chromium that shows a terminal, driven over WebDriver's HTTP interface."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

SECONDS = 30.0
KEYS = {"enter": "\ue007", "escape": "\ue00c", "down": "\ue015", "up": "\ue013", "control": "\ue009"}
needs_chromium = pytest.mark.skipif(
    shutil.which("chromedriver") is None or not (shutil.which("chromium") or shutil.which("google-chrome")),
    reason="chromium and its driver are not installed (Debian: chromium chromium-driver)",
)


class Chromium:
    """A browser with one window, whose terminal emulator draws text as elements of the page."""

    def __init__(self, home: Path) -> None:
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert self._driver.stdout is not None
            line = next(line for line in self._driver.stdout if "successfully on port" in line)
            self._port = int(re.findall(r"on port (\d+)", line)[0])
            # without WebGL the emulator draws with elements of the page
            arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-3d-apis"]
            arguments += [f"--user-data-dir={home / 'chromium'}", "--window-size=1200,700"]
            options = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}
            self._session = ""
            session = self._call("/session", capabilities={"alwaysMatch": options})
            self._session = f"/session/{session['sessionId']}"
        except BaseException:
            self._driver.kill()
            raise

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._request("DELETE", self._session, None)
        finally:
            self._driver.terminate()
            self._driver.communicate()

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def _call(self, command: str, **body: Any) -> Any:
        return self._request("POST", self._session + command, body)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Run a command of the DevTools protocol."""
        return self._call("/goog/cdp/execute", cmd=command, params=parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page and return its result; a promise is awaited."""
        return self._call("/execute/sync", script=script, args=arguments)

    def open(self, address: str) -> None:
        """Load a page."""
        self._call("/url", url=address)

    def resize(self, width: int, height: int) -> None:
        """Resize the window, in pixels."""
        self._call("/window/rect", width=width, height=height)

    def press(self, *keys: str, control: bool = False) -> None:
        """Press keys by name, or type texts."""
        held = [{"type": "keyDown", "value": KEYS["control"]}] if control else []
        released = [{"type": "keyUp", "value": KEYS["control"]}] if control else []
        strokes = [
            {"type": kind, "value": character}
            for key in keys
            for character in KEYS.get(key, key)
            for kind in ("keyDown", "keyUp")
        ]
        self._call("/actions", actions=[{"type": "key", "id": "keys", "actions": held + strokes + released}])

    @property
    def text(self) -> str:
        """Return the lines of the terminal and the text around it."""
        return str(
            self.run(
                """const rows = [...document.querySelectorAll(".xterm-rows > div")];
                const around = [...document.body.children].filter((child) => child.id !== "terminal");
                const lines = rows.map((row) => row.textContent);
                return [...lines, ...around.map((child) => child.innerText)].join("\\n");"""
            )
        )

    def shows(self, *texts: str) -> str:
        """Wait until the page contains all these texts, and return its text."""
        end = time.monotonic() + SECONDS
        while not all(text in (found := self.text) for text in texts):
            assert time.monotonic() < end, f"never shown: {texts}\n{found}"
            time.sleep(0.05)
        return found
