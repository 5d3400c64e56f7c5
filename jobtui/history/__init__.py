"""The history: a durable store of jobs, as JSON lines on disk.

Other packages use `History` and the records that it takes and returns. `format/` reads and describes the files,
`write/` commits, seals and archives, `read/` follows a writer and answers queries. `verify` finds damage and
`repair` repairs it; `export` writes the jobs for other programs. docs/history-format.md shows each file.
"""

from jobtui.errors import StoreError, StoreFailed, StoreFull, StoreLocked, StoreTooNew
from jobtui.history.format.archive import ArchiveResult
from jobtui.history.format.quarantine import DamageNote, Health, describe_damage
from jobtui.history.history import History
from jobtui.history.read.query import Bound, Query, Sort
from jobtui.history.read.results import QueryResult

__all__ = [
    "ArchiveResult",
    "Bound",
    "DamageNote",
    "Health",
    "History",
    "Query",
    "QueryResult",
    "Sort",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreTooNew",
    "describe_damage",
]
