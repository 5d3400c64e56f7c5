"""From what a person filters and sorts by to the history's view of it."""

from __future__ import annotations

from jobtui.engine.desk import Desk
from jobtui.engine.terms import Query, Sort, View
from jobtui.tui.filters import Filter


def view_of(desk: Desk, filter: Filter, sort: str, descending: bool, archived: bool) -> View:  # noqa: A002
    """Ask the history. Without a filter and in order of id it answers at once, else within a second."""
    return desk.history.query(
        Query(
            statuses=filter.statuses,
            spaces=filter.spaces,
            hosts=filter.hosts,
            commands=filter.commands,
            words=filter.words,
            not_statuses=filter.not_statuses,
            not_spaces=filter.not_spaces,
            not_hosts=filter.not_hosts,
            not_commands=filter.not_commands,
            not_words=filter.not_words,
            since=filter.since,
            until=filter.until,
            archived=archived,
            sort=Sort(sort),
            descending=descending,
        )
    )


def is_quick(filter: Filter, sort: str) -> bool:  # noqa: A002
    """Whether the history answers this so quickly that the screen may wait for it."""
    return filter.empty and sort == "id"
