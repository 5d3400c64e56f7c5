"""The history: a store of jobs as JSON on disk, that loses nothing and never slows down.

`History` is all that other rooms need; the rest of the names are what it takes and gives.
"""

from jobtui.errors import StoreError, StoreFailed, StoreFull, StoreLocked, StoreTooNew
from jobtui.history.format.archive import ArchiveResult
from jobtui.history.format.damage import DamageNote, Health
from jobtui.history.history import History
from jobtui.history.query import Query, Sort
from jobtui.history.read.results import View

__all__ = [
    "ArchiveResult",
    "DamageNote",
    "Health",
    "History",
    "Query",
    "Sort",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreTooNew",
    "View",
]
