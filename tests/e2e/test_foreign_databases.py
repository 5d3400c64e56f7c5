"""The real command on databases of other programs, in all that it can do with them."""

from __future__ import annotations

import pytest

from tests.support.adoption_checks import Answer, Snapshot
from tests.support.commands import CommandLine
from tests.support.foreign_owners import owner_program

WORK = 'CREATE SPACE theirs AT "{}"; SHOW SPACES; ADMIN FLUSH theirs; ADMIN COMPACT theirs; SHOW HOSTS'


def test_command_leaves_a_database_to_its_owner(jobtui: CommandLine, pytestconfig):
    owner = owner_program(pytestconfig).of("families")
    database, twin = jobtui.home / "theirs" / "data", jobtui.home / "twin"
    for each in (database, twin):
        owner.make(each, "killed")
    snapshot = Snapshot(database)
    done = jobtui("-e", WORK.format(database))
    assert done.returncode == 0, done
    assert done.stderr.count("finished") == 2
    dumped = jobtui("dump", "theirs")
    assert dumped.stdout.count("\n") == 270
    jobtui.done("-e", "DROP SPACE theirs")
    snapshot.check(Answer())
    owner.load(database)
    assert owner.dump(database) == owner.dump(twin)


@pytest.mark.parametrize(
    ("kind", "finding", "remedy"),
    [
        ("counter0", "uses the merge operator my.Sum", "let its own program compact it"),
        ("wal_dir", "its WAL is in another directory", "state it in the setting wal_dirs"),
        ("stats_on_disk", "persist_stats_to_disk", "let its own program compact it"),
    ],
)
def test_command_refuses_with_a_remedy(jobtui: CommandLine, pytestconfig, kind, finding, remedy):
    owner = owner_program(pytestconfig).of(kind)
    database = jobtui.home / "theirs" / "data"
    owner.make(database, "killed")
    snapshot = Snapshot(database)
    done = jobtui("-e", WORK.format(database))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert finding in " ".join(done.stderr.split())
    assert remedy in " ".join(done.stderr.split())
    snapshot.check_untouched()
