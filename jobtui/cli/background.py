"""`jobtui serve --background`: a server of its own session, that outlives the terminal it was started from."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from jobtui.cli.asked import Serve
from jobtui.cli.exits import CommandError, Exit
from jobtui.cli.serve import SERVES, open_log
from jobtui.cli.streams import complain
from jobtui.engine.profile import Profile
from jobtui.errors import StorageError
from jobtui.formatting import to_local
from jobtui.interpreter import environment, interpreter
from jobtui.os_errors import explain

START_SECONDS = 30.0
BETWEEN_LOOKS_SECONDS = 0.05


def serve_in_background(profile: Profile, asked: Serve, log: Path) -> int:
    """Start the server, and return once it has the profile. Raises CommandError where it ends before that."""
    _must_have_its_password(profile)
    file = open_log(log)
    begin_in(file, log)
    told_before = os.fstat(file).st_size
    server = subprocess.Popen(
        [*interpreter(), "-m", "jobtui", *_place(profile, asked), "serve"],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=file,
        start_new_session=True,
        env=environment(),
    )
    os.close(file)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise CommandError(_last_words(log, told_before))
        if SERVES in log.read_bytes()[told_before:].decode(errors="replace"):
            complain(
                f"jobtui serves {profile.name} as process {server.pid} and writes {log}; "
                f"kill {server.pid} ends it"
            )
            return Exit.DONE
        time.sleep(BETWEEN_LOOKS_SECONDS)
    server.terminate()
    raise CommandError(
        f"the server did not have {profile.name} within {START_SECONDS:g} s, and was told to end; see {log}"
    )


def begin_in(file: int, log: Path) -> None:
    """Write the log's next first line: where there is no room for that, no server could tell what happens."""
    try:
        os.write(file, f"{to_local(datetime.now(UTC)).isoformat(timespec='seconds')} starting\n".encode())
    except OSError as error:
        os.close(file)
        raise CommandError(
            f"{log} can't be written: {explain(error, log)}; nothing was started. "
            "jobtui doctor tells what to do"
        ) from None


def _must_have_its_password(profile: Profile) -> None:
    """Refuse a cluster whose password is nowhere: a server in the background can ask nobody for it."""
    cluster = profile.cluster
    if cluster is None or not cluster.addresses:
        return
    try:
        cluster.password.read()
    except StorageError as error:
        raise CommandError(
            f"{error.detail}; a server in the background can't ask for it: set it, or keep it in the keyring"
        ) from None


def _place(profile: Profile, asked: Serve) -> list[str]:
    """The same profile, from wherever the server looks at it."""
    words = ["--profile", profile.name] if asked.nebula is None else ["--nebula", asked.nebula]
    if asked.user is not None:
        words += ["-u", asked.user]
    if asked.tls is not None:
        words += ["--tls", asked.tls if asked.tls == "system" else str(Path(asked.tls).absolute())]
    if asked.data_dir is not None:
        words += ["--data-dir", str(asked.data_dir.absolute())]
    if asked.config is not None:
        words += ["--config", str(asked.config.absolute())]
    return words


def _last_words(log: Path, told_before: int) -> str:
    words = log.read_bytes()[told_before:].decode(errors="replace").strip().splitlines()
    return words[-1].removeprefix("jobtui: ") if words else f"the server ended as it started; see {log}"
