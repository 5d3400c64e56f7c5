"""Every column of the jobs' table can be sorted by."""

from __future__ import annotations

import pytest

from jobtui.history import Sort
from jobtui.tui.data.rows import JOB_COLUMNS
from jobtui.tui.widgets.table_layout import Column


@pytest.mark.parametrize("column", JOB_COLUMNS, ids=lambda column: column.key)
def test_every_column_of_the_table_can_be_sorted_by(column: Column) -> None:
    assert column.sorts
    assert Sort(column.key)
