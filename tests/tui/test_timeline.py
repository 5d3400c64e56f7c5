"""The events of a job: that each is named, and has its time."""

from datetime import UTC, datetime, timedelta

from jobtui.formatting import DateOrder
from jobtui.model import EventKind, Job, JobEvent, Status
from jobtui.tui.tabs.timeline import event_lines
from jobtui.tui.text.spans import plain

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)


def test_every_kind_of_event_is_named() -> None:
    for kind in EventKind:
        job = Job(1, "compact", "nba", NOW, Status.RUNNING, start=NOW, events=(JobEvent(NOW, kind),))
        *_, line = event_lines(job, (), 80, NOW, DateOrder.MONTH_FIRST)
        assert plain(line).strip().endswith("note") == (kind is EventKind.NOTE)


def test_events_of_another_day_are_below_its_date() -> None:
    evening = datetime(2019, 12, 17, 23, 59).astimezone()
    events = tuple(
        JobEvent(evening + timedelta(minutes=after), kind)
        for after, kind in ((0, EventKind.SUBMITTED), (0, EventKind.STARTED), (2, EventKind.STOP_ASKED))
    )
    job = Job(1, "compact", "nba", evening, Status.RUNNING, start=evening, events=events)
    shown = [plain(line).strip() for line in event_lines(job, (), 80, evening, DateOrder.MONTH_FIRST)]
    assert shown[0] == "submitted 23:59:00"
    assert shown[3:] == ["12/18/19", "00:01:00.000  stop requested"]
