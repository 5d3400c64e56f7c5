"""The real command in its own process, with a home, a config and data for one test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.model import Status
from tests.support import fork_server

COMMAND = (sys.executable, "-m", "jobtui")
SECONDS = 60
WENT_WELL = re.compile(
    r"^(Job \d+ \(.*\) finished.*|[\d,]+ pairs? loaded into .*|Jobs? .* submitted to process .*"
    r"|No jobtui runs this profile: .* left in the queue, .*"
    r"|Schedule '.*' runs next at .*|No jobtui runs this profile, so no schedule will start: .*"
    # the answer to SHOW JOB; after a failure of the command's own job the status is not 0
    r"|Job \d+ \(.*\) (failed: |stopped by |paused by |paused: ).*)\n",
    re.MULTILINE,
)
NEW_JOB = """\
==============
| New Job Id |
==============
| {} |
--------------
"""


def new_job(job: int) -> str:
    """Return the output for a job that was queued."""
    return NEW_JOB.format(str(job).ljust(10))


def noise(pairs: int = 10_000) -> str:
    """Return incompressible CSV with 600 bytes a pair."""
    hexadecimal = os.urandom(pairs * 300).hex()
    return "".join(f"k{n},{hexadecimal[n * 600 : n * 600 + 600]}\n" for n in range(pairs))


class CommandLine:
    """The command `jobtui` of one user. `config` is the text of the config file, "" for none."""

    def __init__(self, home: Path, config: str = "") -> None:
        self.home = home
        self.data = home / "data"
        self.config = home / "config.toml"
        if config:
            self.config.write_text(config)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "JOBTUI_"))}
        self.environment = kept | {"HOME": str(home), "COLUMNS": "80", "TZ": "UTC"}

    @property
    def profile(self) -> Profile:
        """The directory of the default profile."""
        return Profile("local", self.data / "local")

    def words(self, *words: str | Path) -> list[str]:
        """Return the whole command line."""
        settings = ("--config", str(self.config)) if self.config.exists() else ()
        data = () if "--demo" in words else ("--data-dir", str(self.data))  # the demo has its own data
        return [*COMMAND, *settings, *data, *map(str, words)]

    def __call__(self, *words: str | Path, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        raw = stdin if isinstance(stdin, bytes) else stdin.encode()
        done = self._run(self.words(*words), raw)
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def _run(self, command: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        options: Any = {"env": self.environment, "cwd": self.home, "timeout": SECONDS}
        if tuple(command[: len(COMMAND)]) == COMMAND and fork_server.can_fork(self.environment):
            return fork_server.SERVER.run(command[len(COMMAND) :], stdin=stdin, **options)
        return subprocess.run(command, input=stdin, capture_output=True, **options)

    def done(self, *words: str | Path, stdin: str | bytes = "") -> str:
        """Run a command that must succeed, and return its stdout."""
        ended = self(*words, stdin=stdin)
        assert (ended.returncode, WENT_WELL.sub("", ended.stderr)) == (0, ""), ended
        return ended.stdout

    def rows(self, text: str) -> list[dict[str, Any]]:
        """Run statements that must succeed, and return the rows with full values."""
        return [json.loads(line) for line in self.done("-e", text, "--format", "jsonl").splitlines()]

    def status(self, job: int) -> str:
        """Return the job's status in the result of SHOW JOB."""
        return str(self.rows(f"SHOW JOB {job}")[0]["Status"])

    def is_running(self, job: int) -> bool:
        """Return whether the job is running, as read from disk while another process runs it."""
        reader = ReadOnlyClient.open(self.profile)
        try:
            found = reader.job(job)
            return found is not None and found.status is Status.RUNNING
        finally:
            reader.close()

    @contextmanager
    def started(self, *words: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Start the command in its own process group; it is killed at the end of the block."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            self.words(*words), env=self.environment, cwd=self.home, start_new_session=True, **pipes | options
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.communicate()
