from jobtui.tui.widgets.table_layout import GAP, Column, place_columns

COLUMNS = (
    Column("id", "Job Id", 7, 9),
    Column("command", "Command", 12, 40),
    Column("status", "Status", 10, 15),
    Column("start", "Start Time", 17, 17, hide_order=2),
    Column("reason", "Reason", 10, 60, hide_order=1, fills=True),
)
WANTED = [7, 14, 12, 17, 80]


def keys(width: int) -> list[str]:
    return [placed.column.key for placed in place_columns(COLUMNS, WANTED, width)]


def test_all_columns_are_shown_where_there_is_room() -> None:
    assert keys(200) == ["id", "command", "status", "start", "reason"]


def test_least_needed_columns_are_hidden_first() -> None:
    seen = {tuple(keys(width)) for width in range(20, 200)}
    assert seen == {
        ("id", "command", "status", "start", "reason"),
        ("id", "command", "status", "reason"),
        ("id", "command", "status"),
    }


def test_no_width_makes_columns_overlap_or_leave_the_room() -> None:
    for width in range(1, 300):
        end = 0
        for placed in place_columns(COLUMNS, WANTED, width):
            assert placed.x >= end
            end = placed.x + placed.width
            assert placed.x + placed.width <= width or placed.width == 0
            end += GAP


def test_columns_fit_their_cells_and_the_last_fills() -> None:
    widths = {placed.column.key: placed.width for placed in place_columns(COLUMNS, WANTED, 150)}
    assert widths["command"] == 14
    assert widths["reason"] == 150 - 7 - 14 - 12 - 17 - 4 * GAP
