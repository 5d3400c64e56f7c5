"""The words in which a desk's history is asked, for the rooms above the engine, which know no history."""

from jobtui.history import Query, Sort, View

__all__ = ["Query", "Sort", "View"]
