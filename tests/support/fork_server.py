"""A process that has imported jobtui, and forks to run each command.

An interpreter that is started for a command imports the same hundred modules again, which takes longer than
most commands. A forked one is still a separate process: it has its own arguments, environment, directory and
pipes, and it ends as an interpreter does. With `--long` every command starts an interpreter.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import io
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LARGEST_REQUEST = 1 << 18
READ_AT_START = ("PYTHON", "LANG", "LANGUAGE", "LC_", "LD_", "TEXTUAL")
"""Prefixes of variables that a forked interpreter does not read again."""
AT_A_TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "ESCDELAY": "30"}
"""The environment of `Terminal`. Textual reads it once, when it is imported."""


class ForkedProcess:
    """A forked process, with the methods of `subprocess.Popen` that a terminal needs."""

    def __init__(self, pid: int, ended: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """Return the status that it ended with, or None while it runs."""
        return self.wait(0) if self.returncode is None else self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended, and return its status."""
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            (code,) = struct.unpack("i", os.read(self._ended, 4))
            self.returncode = os.waitstatus_to_exitcode(code)
            os.close(self._ended)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The client of the server, which starts at the first use and ends with this process."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def run(
        self, words: Sequence[str], *, stdin: bytes, env: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `jobtui` with these arguments to its end, as `subprocess.run` would with pipes."""
        (from_stdin, to_stdin), *outputs = (os.pipe() for _ in range(4))
        theirs = [from_stdin, *(writing for _, writing in outputs)]
        ours = [reading for reading, _ in outputs]
        pid = self._fork([list(words), dict(env), str(cwd), _umask(), False], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        writer = threading.Thread(target=_write, args=(to_stdin, stdin))
        writer.start()
        try:
            out, err, ended = _read(ours, timeout)
        except TimeoutError as error:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, timeout) from error
        finally:
            writer.join()
            for descriptor in ours:
                os.close(descriptor)
        (code,) = struct.unpack("i", ended)
        return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(code), out, err)

    def start(self, words: Sequence[str], *, terminal: int, env: Mapping[str, str], cwd: Path) -> ForkedProcess:
        """Start `jobtui` with these arguments in a session of its own, whose terminal this is."""
        ended, write_ended = os.pipe()
        request = [list(words), dict(env), str(cwd), _umask(), True]
        pid = self._fork(request, [terminal, terminal, terminal, write_ended])
        os.close(write_ended)
        return ForkedProcess(pid, ended)

    def _fork(self, request: Any, descriptors: Sequence[int]) -> int:
        with self._lock:
            if self._connection is None:
                self._connection = _started(self._options)
            socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
            (pid,) = struct.unpack("i", self._connection.recv(4))
        return int(pid)


SERVER = ForkServer()
DASHBOARDS = ForkServer("dashboard")
"""The server for `Terminal`, which has imported the dashboard too."""
_DISABLED = "JOBTUI_TESTS_WITHOUT_FORKS"


def disable() -> None:
    """Start an interpreter for every command of this process and of its test processes."""
    os.environ[_DISABLED] = "1"


def can_fork(env: Mapping[str, str]) -> bool:
    """Return whether a forked interpreter would behave in this environment like a new one."""
    if _DISABLED in os.environ:
        return False

    def read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith(READ_AT_START)}

    return sys.platform == "linux" and read_at_start(env) == read_at_start(os.environ)


def _started(options: Sequence[str]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, **AT_A_TERMINAL, "PYTHONPATH": str(ROOT)}
    environment.pop("NO_COLOR", None)  # the import of the dashboard would keep it
    with theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_REQUEST)
        subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.fork_server", str(theirs.fileno()), *options],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours


def _umask() -> int:
    """Return this process's umask without changing it, even briefly."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("Umask:")[1].split()[0], 8)


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb", buffering=0) as pipe:
        rest = memoryview(data)
        while rest:
            rest = rest[pipe.write(rest) :]


def _read(descriptors: Sequence[int], timeout: float) -> list[bytes]:
    """Read all pipes to their ends."""
    end = time.monotonic() + timeout
    pieces: dict[int, list[bytes]] = {descriptor: [] for descriptor in descriptors}
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(end - time.monotonic())
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                pieces[key.fd].append(piece)
                if not piece:
                    selector.unregister(key.fd)
    return [b"".join(pieces[descriptor]) for descriptor in descriptors]


# ---- the server's side


def serve(connection: socket.socket, has_dashboard: bool) -> int:
    """Fork for each request until the client exits; a forked process returns its command's status."""
    _import_jobtui()
    if has_dashboard:
        from jobtui.tui.launch import import_dashboard

        import_dashboard()
        importlib.import_module("jobtui.tui.textual_ext.driver")
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, int] = {}
    while True:
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 1 << 16)
            _report_ended(running)
        if connection.fileno() not in ready:
            continue
        request, descriptors, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 4)
        if not request:
            return 0
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (woken, wake, connection.detach(), descriptors.pop(), *running.values()):
                os.close(descriptor)
            return _run(*json.loads(request), descriptors)
        running[pid] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(struct.pack("i", pid))


def _report_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        descriptor = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, struct.pack("i", status))
        os.close(descriptor)


def _run(
    words: list[str],
    environment: dict[str, str],
    cwd: str,
    umask: int,
    has_terminal: bool,
    descriptors: list[int],
) -> int:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(cwd)
    os.umask(umask)
    sys.path[0:0] = [cwd]  # as `python -m` does
    sys.argv = [str(ROOT / "jobtui" / "__main__.py"), *words]
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if has_terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__ = _standard_streams()
    from jobtui.__main__ import main

    return main()


def _standard_streams() -> tuple[io.TextIOWrapper, io.TextIOWrapper, io.TextIOWrapper]:
    """Return standard streams like those of a new interpreter."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))

    def stream(number: int, mode: str, old: Any) -> io.TextIOWrapper:
        is_output = mode == "wb"
        raw = open(number, mode, buffering=0 if unbuffered and is_output else -1, closefd=False)  # noqa: SIM115
        return io.TextIOWrapper(
            raw,
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=is_output and (number == 2 or os.isatty(number)),
            write_through=unbuffered and is_output,
        )

    return stream(0, "rb", sys.stdin), stream(1, "wb", sys.stdout), stream(2, "wb", sys.stderr)


def _import_jobtui() -> None:
    """Import the command line and the engine; a dashboard is imported by the command that opens it."""
    for name in ("cli", "config", "engine", "history", "language", "storage.local"):
        package = importlib.import_module(f"jobtui.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith("jobtui.storage.local.worker"):
                importlib.import_module(module.name)


if __name__ == "__main__":
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1])), "dashboard" in sys.argv[2:]))
