"""The cursor of a table stays on its row, whatever comes, goes or is sorted: a key hits what it shows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Hashable, Sequence

import pytest
from rich.style import Style
from textual.app import App, ComposeResult

from jobtui.tui.text.spans import Line, TextRole
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Column, Placed

COLUMNS = (Column("id", "Id", 6, 9),)
STEPS = 120


class Numbers:
    """Rows that are numbers, the newest first."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.unread = False

    def __len__(self) -> int:
        return len(self.keys)

    def key_at(self, index: int) -> Hashable:
        return 0 if self.unread else self.keys[index]

    def index_of(self, key: Hashable) -> int | None:
        return self.keys.index(key) if key in self.keys else None  # type: ignore[arg-type]  # a key of any type

    def gutter(self, key: Hashable) -> Line:
        return ((" ", TextRole.PLAIN),)

    def token(self, index: int) -> object:
        return self.keys[index]

    def cells(self, index: int, shown: Sequence[Placed]) -> list[Line | None]:
        return [((str(self.keys[index]), TextRole.PLAIN),) for _ in shown]


class TableApp(App[None]):
    def __init__(self, rows: Numbers) -> None:
        super().__init__()
        self.rows = rows
        self.table = Table(COLUMNS, rows)

    def compose(self) -> ComposeResult:
        yield self.table

    def role_style(self, role: TextRole) -> Style:
        return Style()


class Machine:
    """Does at random what can happen to a table, and checks after each step where the cursor is."""

    def __init__(self, table: Table, rows: Numbers, seed: int) -> None:
        self.table, self.rows, self.dice = table, rows, random.Random(seed)
        self.next, self.follow, self.descending = 1, False, True
        self.meant: Hashable | None = None

    def step(self) -> str:
        act = self.dice.choice(
            [self.burst, self.burst, self.leave, self.move, self.scroll, self.reverse, self.toggle, self.unread]
        )
        act()
        self.check(act.__name__)
        return act.__name__

    def check(self, what: str) -> None:
        table, rows = self.table, self.rows
        if not rows.keys:
            return
        assert table.cursor_key == rows.keys[table.cursor], what
        if self.follow:
            assert table.cursor == 0, what
        elif self.meant in rows.keys:
            assert table.cursor_key == self.meant, what
        self.meant = table.cursor_key

    def burst(self) -> None:
        for _ in range(self.dice.choice([1, 2, 30, 200])):
            self.rows.keys.append(self.next)
            self.next += 1
        self.put_in_order()

    def leave(self) -> None:
        """Some go, perhaps the one under the cursor."""
        self.rows.keys = [key for key in self.rows.keys if self.dice.random() > 0.2]
        self.put_in_order()

    def move(self) -> None:
        if self.rows.keys:
            self.table.go_to(self.dice.randrange(len(self.rows.keys)))
            self.follow = False
            self.meant = self.table.cursor_key

    def scroll(self) -> None:
        self.table.scroll_to(y=self.dice.randrange(max(1, len(self.rows.keys))), animate=False)

    def reverse(self) -> None:
        self.descending = not self.descending
        self.table.show_first_rows()  # as while a long sort goes on
        self.put_in_order()

    def toggle(self) -> None:
        self.follow = not self.follow
        self.put_in_order()

    def unread(self) -> None:
        """The rows cannot be read for a moment."""
        self.rows.unread = True
        self.table.reload_rows(follow=False)
        self.rows.unread = False
        self.put_in_order()

    def put_in_order(self) -> None:
        self.rows.keys.sort(reverse=self.descending)
        self.table.reload_rows(follow=self.follow)


@pytest.mark.parametrize("seed", range(6))
def test_the_cursor_stays_on_its_row(seed: int) -> None:
    async def run() -> None:
        app = TableApp(Numbers())
        async with app.run_test(size=(40, 12)) as pilot:
            machine = Machine(app.table, app.rows, seed)
            done = []
            for _ in range(STEPS):
                done.append(machine.step())
                if machine.dice.random() < 0.2:
                    await pilot.pause()
                    machine.check("a pause after " + " ".join(done[-4:]))

    asyncio.run(run())


def test_a_burst_moves_no_cursor_that_was_not_touched() -> None:
    async def run() -> None:
        app = TableApp(Numbers())
        async with app.run_test(size=(40, 12)) as pilot:
            app.rows.keys = [1]
            app.table.reload_rows()
            app.rows.keys = [*range(500, 0, -1)]
            app.table.reload_rows()
            await pilot.pause()
            assert (app.table.cursor_key, app.table.cursor) == (1, 499)
            assert app.table.top <= 499 < app.table.top + app.table.page

    asyncio.run(run())
