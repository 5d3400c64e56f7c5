"""From what a person filters and sorts by to the history's view of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from jobtui.engine.desk import Desk
from jobtui.engine.terms import Query, Sort, View
from jobtui.tui.filters import Filter

# jobs of a first page, and from how many on it is worth showing one
FIRST = 256
_LONG = 20_000
# jobs that the screen reads at once: their records are looked at here, so that no slow disk holds it up
_IN_SIGHT = 64


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


class Found(msgspec.Struct, frozen=True):
    """A view, and whether every place of it can be read at once or only the first ones."""

    view: View
    whole: bool


def found(view: View, first_at_once: bool) -> Iterator[Found]:
    """The view once it can be read; with `first_at_once`, a long one first as soon as its first page is there.

    Takes as long as the search: not for the screen's thread.
    """
    count = len(view)
    if first_at_once and count > _LONG and not view.ready(0, count):
        view.ids(0, FIRST)
        view.page(0, _IN_SIGHT)
        yield Found(view, whole=False)
    view.prepare()
    yield Found(view, whole=True)


def is_quick(filter: Filter, sort: str) -> bool:  # noqa: A002
    """Whether the history answers this so quickly that the screen may wait for it."""
    return filter.empty and sort == "id"
