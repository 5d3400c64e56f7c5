"""The cursor of a table stays on its row while rows are added, removed or sorted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from jobtui.tui.text.spans import Line, TextRole
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Column, PlacedColumn

MouseEvent = TypeVar("MouseEvent", bound=events.MouseEvent)
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

    def cells(self, index: int, shown: Sequence[PlacedColumn]) -> list[Line | None]:
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
        self.table, self.rows, self.rng = table, rows, random.Random(seed)
        self.next, self.descending = 1, True
        self.meant: Hashable | None = None
        self.painted: dict[int, int] = {}

    def step(self) -> str:
        act = self.rng.choice(
            [
                self.burst,
                self.burst,
                self.leave,
                self.move,
                self.scroll,
                self.reverse,
                self.toggle,
                self.unread,
                self.click,
                self.click,
            ]
        )
        act()
        self.check(act.__name__)
        return act.__name__

    def check(self, what: str) -> None:
        table, rows = self.table, self.rows
        if not rows.keys:
            return
        assert table.cursor_key == rows.keys[table.cursor], what
        if table.is_following:
            assert table.cursor == 0, what
        elif self.meant in rows.keys:
            assert table.cursor_key == self.meant, what
        self.meant = table.cursor_key

    def burst(self) -> None:
        for _ in range(self.rng.choice([1, 2, 30, 200])):
            self.rows.keys.append(self.next)
            self.next += 1
        self.put_in_order()

    def leave(self) -> None:
        """Some go, perhaps the one under the cursor."""
        self.rows.keys = [key for key in self.rows.keys if self.rng.random() > 0.2]
        self.put_in_order()

    def move(self) -> None:
        if self.rows.keys:
            self.table.go_to(self.rng.randrange(len(self.rows.keys)))
            self.meant = self.table.cursor_key

    def click(self) -> None:
        """Click a line as it was last painted, whatever has come since."""
        if not self.painted:
            return
        line, key = self.rng.choice([*self.painted.items()])
        before = self.table.cursor_key
        click(self.table, line)
        if key in self.rows.keys:
            self.meant = key
            assert self.table.cursor_key == key
        else:
            assert self.table.cursor_key == before

    def look(self) -> None:
        """Remember what is painted."""
        shown = self.rows.keys[self.table.top :][: self.table.page]
        self.painted = dict(enumerate(shown, 1))

    def scroll(self) -> None:
        self.table.scroll_to(y=self.rng.randrange(max(1, len(self.rows.keys))), animate=False)

    def reverse(self) -> None:
        self.descending = not self.descending
        self.table.show_first_rows()  # as during a long sort
        self.put_in_order()

    def toggle(self) -> None:
        self.table.is_following = not self.table.is_following
        self.put_in_order()

    def unread(self) -> None:
        """The rows cannot be read for a moment."""
        self.rows.unread = True
        self.table.reload_rows()
        self.rows.unread = False
        self.put_in_order()

    def put_in_order(self) -> None:
        self.rows.keys.sort(reverse=self.descending)
        self.table.reload_rows()


def click(table: Table, line: int, chain: int = 1, released: int | None = None) -> None:
    """Press and release the button before anything is painted again."""
    table.on_mouse_down(mouse(events.MouseDown, table, line))
    table.on_click(mouse(events.Click, table, line if released is None else released, chain))


def mouse(kind: type[MouseEvent], table: Table, line: int, chain: int = 1) -> MouseEvent:
    event = kind(table, 3, line, 0, 0, 1, False, False, False)
    if isinstance(event, events.Click):
        event.chain = chain
    return event


@pytest.mark.parametrize("seed", range(6))
def test_cursor_stays_on_its_row(seed: int) -> None:
    async def run() -> None:
        app = TableApp(Numbers())
        async with app.run_test(size=(40, 12)) as pilot:
            machine = Machine(app.table, app.rows, seed)
            done = []
            for _ in range(STEPS):
                done.append(machine.step())
                if machine.rng.random() < 0.2:
                    await pilot.pause()
                    machine.look()
                    machine.check("a pause after " + " ".join(done[-4:]))

    asyncio.run(run())


class TestClick:
    @staticmethod
    @asynccontextmanager
    async def shown(*keys: int) -> AsyncIterator[tuple[Table, Numbers, Pilot[None], list[Hashable]]]:
        """A table with these rows on the screen, and the rows that are opened."""
        app = TableApp(Numbers())
        async with app.run_test(size=(40, 12)) as pilot:
            app.rows.keys = [*keys]
            app.table.reload_rows()
            await pilot.pause()
            opened: list[Hashable] = []
            app.table.action_open = lambda: opened.append(app.table.cursor_key)  # type: ignore[method-assign]
            yield app.table, app.rows, pilot, opened

    def test_acts_on_the_row_that_was_painted(self) -> None:
        async def run() -> None:
            async with self.shown(3, 2, 1) as (table, rows, pilot, _):
                rows.keys = [*range(9, 0, -1)]
                table.reload_rows()
                click(table, 2)
                assert table.cursor_key == 2
                await pilot.pause()
                click(table, 2)
                assert table.cursor_key == 8

        asyncio.run(run())

    def test_click_on_a_removed_row_does_nothing(self) -> None:
        async def run() -> None:
            async with self.shown(3, 2, 1) as (table, rows, _, _):
                rows.keys = [4, 3, 1]
                table.reload_rows()
                click(table, 2)
                assert table.cursor_key == 3

        asyncio.run(run())

    def test_that_is_released_on_another_line_does_nothing(self) -> None:
        async def run() -> None:
            async with self.shown(3, 2, 1) as (table, _, _, _):
                click(table, 2, released=3)
                assert table.cursor_key == 3

        asyncio.run(run())

    def test_twice_on_two_rows_opens_none(self) -> None:
        async def run() -> None:
            async with self.shown(3, 2, 1) as (table, rows, pilot, opened):
                click(table, 2)
                rows.keys = [5, 4, 3, 2, 1]
                table.reload_rows()
                await pilot.pause()
                click(table, 2, chain=2)
                assert (table.cursor_key, opened) == (4, [])
                click(table, 3)
                click(table, 3, chain=2)
                assert opened == [3]

        asyncio.run(run())

    def test_ends_following_before_the_next_rows_arrive(self) -> None:
        async def run() -> None:
            async with self.shown(3, 2, 1) as (table, rows, _, _):
                table.is_following = True
                click(table, 3)
                rows.keys = [4, 3, 2, 1]
                table.reload_rows()
                assert (table.cursor_key, table.is_following) == (1, False)

        asyncio.run(run())


def test_burst_moves_no_cursor_that_was_not_touched() -> None:
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
