from datetime import UTC, datetime

from jobtui.model import Job, Status
from jobtui.tui.actions.jobs import archive_statements, recover_statements, stop_statements
from jobtui.tui.actions.selection import select_archivable, select_recoverable, select_stoppable

NOW = datetime(2019, 12, 17, tzinfo=UTC)


def job(job_id: int, status: Status, stopping: bool = False) -> Job:
    return Job(job_id, "compact", "nba", NOW, status, stopping=stopping)


ACTIVE = {
    5: job(5, Status.RUNNING),
    6: job(6, Status.QUEUE),
    7: job(7, Status.RUNNING, stopping=True),
}


def test_stop_selects_queued_and_running_jobs_only() -> None:
    selection = select_stoppable([9, 7, 6, 5], ACTIVE)
    assert selection.touched == (5, 6)
    assert selection.skipped == {"already stopping": (7,), "already ended": (9,)}
    assert selection.skipped_text == "skipped: jobs 7 (already stopping), 9 (already ended)"


def test_recovery_selects_ended_jobs() -> None:
    selection = select_recoverable([1, 2, 5, 6], ACTIVE, lambda job_id: job_id == 2)
    assert selection.touched == (1,)
    assert selection.skipped == {"archived": (2,), "still running": (5,), "still queued": (6,)}


def test_archiving_names_exactly_the_selected_jobs() -> None:
    selection = select_archivable([1, 2, 3, 5, 8], ACTIVE, lambda job_id: False)
    assert selection.touched == (1, 2, 3, 8)
    assert [batch.text for batch in archive_statements(selection.touched)] == ["BACKUP JOB 1 3; BACKUP JOB 8 8"]


def test_very_many_jobs_need_several_statements() -> None:
    ids = tuple(range(1, 1201))
    batches = list(stop_statements(ids))
    assert [len(batch.ids) for batch in batches] == [500, 500, 200]
    assert batches[0].text.startswith("STOP JOB 1, 2, 3")
    assert next(recover_statements((4,))).text == "RECOVER JOB 4"
    every_other = tuple(range(1, 1000, 2))
    assert [batch.text.count("BACKUP") for batch in archive_statements(every_other)] == [100] * 5
