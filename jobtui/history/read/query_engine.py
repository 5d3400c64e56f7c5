"""From a query to a view: what is sealed is answered once for all who ask it, what is recent each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from weakref import WeakValueDictionary

from msgspec.structs import replace

from jobtui.history.format.archive import Archives
from jobtui.history.format.segment import Segment
from jobtui.history.format.state import State
from jobtui.history.query import Query, Sort
from jobtui.history.read.filters import counts_suffice, matcher
from jobtui.history.read.results import IdOrder, OrderedIds, View
from jobtui.model import Job, Status

Read = Callable[[int], Job | None]


class QueryEngine:
    """Answers queries. An answer over segments is kept as long as a view uses it, and used again meanwhile."""

    def __init__(self, archives: Archives, get: Read, get_archived: Read) -> None:
        self._archives, self._get, self._get_archived = archives, get, get_archived
        self._answers: WeakValueDictionary[tuple[Query, State, int], OrderedIds] = WeakValueDictionary()

    def answer(self, state: State, query: Query) -> View:
        """The view of a query at this moment. Raises OSError."""
        with state.mutex:
            segments, version, manifest = state.segments, state.sealed_version, state.manifest
            recent = () if query.archived else tuple(state.recent.values())
            tally = dict(state.tally)
        sealed = replace(query, descending=False)
        key = (sealed, state, version)
        answer = self._answers.get(key)
        if answer is None:
            if query.archived:
                segments = self._archives.all_segments(manifest)
                known = sum(map(_present, segments)) if sealed == _ALL_ARCHIVED else None
            else:
                known = _counted(query, tally, recent) if counts_suffice(query) else None
            answer = _answer(sealed, segments, known)
            self._answers[key] = answer
        found = recent if query == _ALL else tuple(filter(matcher(query), recent))
        return View(answer, found, query.descending, self._get_archived if query.archived else self._get)


_ALL = Query()
_ALL_ARCHIVED = Query(archived=True)


def _present(segment: Segment) -> int:
    return segment.entry.count - len(segment.entry.stale)


def _answer(query: Query, segments: Sequence[Segment], known: int | None) -> OrderedIds:
    if query.sort is Sort.ID:
        return IdOrder(query, segments, known)
    from jobtui.history.read.sort import KeyOrder

    return KeyOrder(query, segments, known)


def _counted(query: Query, tally: Mapping[tuple[str, Status], int], recent: Sequence[Job]) -> int:
    """How many sealed jobs the query finds: all that are counted, but the recent ones."""
    wanted = matcher(query)
    spaces, statuses = query.spaces, query.statuses
    total = sum(
        count
        for (space, status), count in tally.items()
        if (not spaces or space in spaces)
        and (not statuses or status in statuses)
        and space not in query.not_spaces
        and status not in query.not_statuses
    )
    return total - sum(map(wanted, recent))
