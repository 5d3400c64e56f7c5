"""What a desk is asked with and answers with, for the rooms above, which know no history and no storage."""

from jobtui.history import Query, Sort, View
from jobtui.storage.base import Host

__all__ = ["Host", "Query", "Sort", "View"]
