import threading
from datetime import UTC, datetime

from jobtui.model import Job, JobChanged, JobsArchived, Notice, Status, TaskProgressed
from jobtui.tui.data.feed import Feed

NOW = datetime(2019, 12, 17, tzinfo=UTC)


def job(job_id: int, status: Status = Status.RUNNING, reason: str = "") -> Job:
    return Job(job_id, "compact", "nba", NOW, status, reason=reason)


def test_burst_wakes_once_and_is_one_batch_of_newest_jobs() -> None:
    wakes: list[int] = []
    feed = Feed(lambda: wakes.append(1))
    for number in range(1000):
        feed.receive([TaskProgressed(job(1, reason=str(number)), 0, float(number))])
    feed.receive([JobChanged(job(2), None), JobChanged(job(1, Status.FINISHED), Status.RUNNING)])
    assert len(wakes) == 1
    batch = feed.drain()
    assert batch is not None
    assert batch.jobs == {1: job(1, Status.FINISHED), 2: job(2)}
    assert batch.rates == {(1, 0): 999.0}
    assert [ended.id for ended in batch.ended] == [1]
    assert batch.statuses_changed


def test_only_progress_may_wait() -> None:
    feed = Feed(lambda: None)
    assert feed.pending_progress == 0
    feed.receive([TaskProgressed(job(1), 0, 1.0), TaskProgressed(job(1), 0, 1.5)])
    assert feed.pending_progress == 2
    feed.receive([JobChanged(job(1), Status.RUNNING)])
    assert feed.pending_progress == 0
    feed.drain()
    feed.receive([TaskProgressed(job(1), 0, 2.0)])
    assert feed.pending_progress == 1


def test_feed_wakes_again_only_after_it_was_drained() -> None:
    wakes: list[int] = []
    feed = Feed(lambda: wakes.append(1))
    feed.receive([JobsArchived((1, 2))])
    feed.drain()
    feed.receive([Notice("hello")])
    assert len(wakes) == 1, "the screen looks again after a frame by itself"
    batch = feed.drain()
    assert batch is not None
    assert batch.notices == [Notice("hello")]
    assert feed.drain() is None
    feed.receive([Notice("again")])
    assert len(wakes) == 2


def test_nothing_is_lost_between_threads() -> None:
    woken = threading.Event()
    feed = Feed(woken.set)
    seen: dict[int, Job] = {}
    count = 2000

    def engine() -> None:
        for job_id in range(1, count + 1):
            feed.receive([JobChanged(job(job_id), None)])

    thread = threading.Thread(target=engine)
    thread.start()
    while thread.is_alive() or woken.is_set():
        if not woken.wait(5):
            break
        woken.clear()
        while (batch := feed.drain()) is not None:
            seen.update(batch.jobs)
    thread.join()
    assert set(seen) == set(range(1, count + 1))
