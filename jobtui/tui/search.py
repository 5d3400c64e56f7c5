"""From what a person filters and sorts by to the history's view of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from msgspec.structs import replace

from jobtui.engine.client import Desk
from jobtui.history import Query, Sort, View
from jobtui.model import Command
from jobtui.tui.filters import Filter

# jobs of a first page, and from how many on it is worth showing one
FIRST = 256
_LONG = 20_000
# jobs that the screen reads at once: their records are looked at here, so that no slow disk holds it up
_IN_SIGHT = 64


def meant(filter: Filter, desk: Desk) -> Filter:  # noqa: A002
    """The filter with whole names of spaces, hosts and commands, where only the beginning of some was typed.

    A name that there is means itself alone; what no name begins with, in either case, stays as it is.
    """
    if filter.empty:
        return filter
    spaces = desk.history.spaces() if filter.spaces or filter.not_spaces else ()
    hosts = desk.host_names() if filter.hosts or filter.not_hosts else ()
    return replace(
        filter,
        spaces=_whole(filter.spaces, spaces),
        hosts=_whole(filter.hosts, hosts),
        commands=_whole(filter.commands, tuple(Command)),
        not_spaces=_whole(filter.not_spaces, spaces),
        not_hosts=_whole(filter.not_hosts, hosts),
        not_commands=_whole(filter.not_commands, tuple(Command)),
    )


def _whole(typed: frozenset[str], names: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for begun in typed:
        start = begun.casefold()
        longer = () if begun in names else [name for name in names if name.casefold().startswith(start)]
        found.update(longer or [begun])
    return frozenset(found)


def view_of(desk: Desk, filter: Filter, sort: str, descending: bool, archived: bool) -> View:  # noqa: A002
    """Ask the history. Without a filter and in order of id it answers at once, else within a second."""
    filter = meant(filter, desk)  # noqa: A001
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


class SearchResult(msgspec.Struct, frozen=True):
    """A view, and whether every place of it can be read at once or only the first ones."""

    view: View
    whole: bool


def found(view: View, first_at_once: bool) -> Iterator[SearchResult]:
    """The view once it can be read; with `first_at_once`, a long one first as soon as its first page is there.

    Takes as long as the search: not for the screen's thread.
    """
    count = len(view)
    if first_at_once and count > _LONG and not view.ready(0, count):
        view.ids(0, FIRST)
        view.page(0, _IN_SIGHT)
        yield SearchResult(view, whole=False)
    view.prepare()
    yield SearchResult(view, whole=True)


def is_quick(filter: Filter, sort: str) -> bool:  # noqa: A002
    """Whether the history answers this so quickly that the screen may wait for it."""
    return filter.empty and sort == "id"
