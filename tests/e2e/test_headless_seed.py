"""The session of the original page, statement by statement, to the character.

The page's ids and hosts are reproduced (jobs 1 to 21 and 26 to 39 are made and archived first); only
its times cannot be, and stand as the day the page was written.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.support.commands import CommandLine, noise
from tests.support.waiting import eventually

HOSTS = """
[profiles.local]
compact_rate = {rate}
hosts = {{ "192.168.8.5" = "", "192.168.8.6" = "" }}
"""

ADMIN_FLUSH = """\
==============
| New Job Id |
==============
| 40         |
--------------
"""
SHOW_JOB_40 = """\
=====================================================================================
| Job Id(TaskId) | Command(Dest) | Status   | Start Time        | Stop Time         |
=====================================================================================
| 40             | flush nba     | finished | 12/17/19 17:21:30 | 12/17/19 17:21:30 |
-------------------------------------------------------------------------------------
| 40-0           | 192.168.8.5   | finished | 12/17/19 17:21:30 | 12/17/19 17:21:30 |
-------------------------------------------------------------------------------------
"""
SHOW_JOBS = """\
=============================================================================
| Job Id | Command       | Status   | Start Time        | Stop Time         |
=============================================================================
| 22     | flush test2   | failed   | 12/06/19 14:46:22 | 12/06/19 14:46:22 |
-----------------------------------------------------------------------------
| 23     | compact test2 | stopped  | 12/06/19 15:07:09 | 12/06/19 15:07:33 |
-----------------------------------------------------------------------------
| 24     | compact test2 | stopped  | 12/06/19 15:07:11 | 12/06/19 15:07:20 |
-----------------------------------------------------------------------------
| 25     | compact test2 | stopped  | 12/06/19 15:07:13 | 12/06/19 15:07:24 |
-----------------------------------------------------------------------------
"""
BACKUP_JOB = """\
=========================
| BACKUP Result         |
=========================
| backup 1 jobs 2 tasks |
-------------------------
"""
RECOVER_JOB = """\
==============
| New Job Id |
==============
| 41         |
--------------
"""


def without_times(shown: str) -> str:
    return re.sub(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d", "12/17/19 17:21:30", shown)


def test_session_of_the_page_prints_as_documented(tmp_path: Path) -> None:
    jobtui = CommandLine(tmp_path, HOSTS.format(rate=0))
    jobtui.done("-e", "CREATE SPACE nba ON 1 HOSTS; CREATE SPACE test2")
    jobtui.done("load", "test2", "-", "--format", "csv", stdin=noise())
    jobtui.done("-e", "ADMIN FLUSH nba;" * 21)
    jobtui.done("-e", "BACKUP JOB 0 21")

    fail_a_flush(jobtui)
    jobtui.config.write_text(HOSTS.format(rate=200_000))
    for job in (23, 24, 25):
        stop_a_compact(jobtui, job)
    assert without_times(jobtui.done("-e", "SHOW JOBS")) == without_times(SHOW_JOBS)
    assert jobtui.done("-e", "BACKUP JOB 0 22") == BACKUP_JOB
    archived = jobtui("-e", "SHOW JOB 22")
    assert (archived.returncode, archived.stdout, archived.stderr) == (1, "", "-e:1:1: Job 22 is archived\n")

    jobtui.config.write_text(HOSTS.format(rate=0))
    jobtui.done("-e", "ADMIN FLUSH nba;" * 14)
    assert jobtui.done("-e", "USE nba; admin flush") == ADMIN_FLUSH
    assert without_times(jobtui.done("-e", "SHOW JOB 40")) == without_times(SHOW_JOB_40)
    assert jobtui.done("-e", "RECOVER JOB 40") == RECOVER_JOB


def fail_a_flush(jobtui: CommandLine) -> None:
    """Run job 22 while one host's database lacks the file that names its parts."""
    current = max(jobtui.profile.storage.glob("*/test2/CURRENT"))
    current.rename(current.with_name("LOST"))
    assert jobtui("-e", "ADMIN FLUSH test2").returncode == 3
    current.with_name("LOST").rename(current)


def stop_a_compact(jobtui: CommandLine, job: int) -> None:
    """Interrupt a compact in the midst of its work."""
    with jobtui.started("-e", "ADMIN COMPACT test2") as process:
        eventually(lambda: jobtui.is_running(job))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
