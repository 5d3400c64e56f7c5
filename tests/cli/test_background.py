"""Starting a server in the background where its log cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobtui.cli.commands.serve import write_first_line
from jobtui.cli.errors import CommandError


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_for_the_log_is_reported_before_the_start() -> None:
    log = Path("/dev/full")
    with pytest.raises(
        CommandError, match="/dev/full cannot be written: No space left on device; nothing was started"
    ):
        write_first_line(os.open(log, os.O_WRONLY), log)


def test_log_records_the_start_of_the_server(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    write_first_line(file, log)
    os.close(file)
    assert log.read_text().endswith(" starting\n")
