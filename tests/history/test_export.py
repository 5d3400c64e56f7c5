"""The export of jobs for other programs."""

import io
import json
from pathlib import Path

from msgspec.structs import replace

from jobtui.history import History
from jobtui.history.export import export
from jobtui.model import Job, Level, SpaceStats, Status, Task
from tests.support.clock import FakeClock


def test_estimated_entries_have_that_name_in_json_alone(tmp_path: Path) -> None:
    path, now = tmp_path / "history", FakeClock().now()
    stats = SpaceStats(levels=(Level(1, 2),), entries=704_724)
    job = Job(id=1, command="compact", space="nba", submitted=now, status=Status.FINISHED)
    task = Task(0, "local0", Status.FINISHED, before=stats, after=replace(stats, entries=None))
    history = History.open(path)
    history.commit(replace(job, id=history.new_id(), tasks=(task,))).result()
    history.close()
    out = io.StringIO()
    export(path, out, "jsonl")
    (written,) = json.loads(out.getvalue())["tasks"]
    assert written["before"] == {"levels": [[1, 2]], "entries": 704_724}
    assert "entries" not in written["after"]
    stored = "".join(file.read_text() for file in path.glob("*.jsonl"))
    assert '"keys":704724' in stored
    assert "entries" not in stored
