"""The filter and the focus: text that is meant for the filter never becomes keys of a table.

A walk over all ways to move the focus, with a model of two facts: what the filter says, and whether it is
being typed. After each step the dashboard must agree with the model, and nothing may have been done to a job
or a space.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual import events
from textual.geometry import Size

from jobtui.config.settings import Confirm, TuiSettings
from jobtui.engine.local import LocalClient
from jobtui.tui.views.base import DashboardView, TableView
from tests.support.dashboards import DashboardBench, dashboard_bench

# s stops, r recovers, b archives, C compacts, F flushes, D drops, u chooses, n creates, a and i mark, y copies
# and says yes, q leaves, x exports
DANGEROUS = "srbCFDunaiyqxcpTtfw124?[]+-<>o "
SPACES = {"nba": ["local0"], "Dallas": ["cold0"]}


class Walk:
    """A dashboard, and what it must say by now: each view has a filter of its own."""

    def __init__(self, shown: DashboardBench) -> None:
        self.shown = shown
        self.texts: dict[DashboardView, str] = {}
        self.before = ""
        self.typing = False

    @property
    def text(self) -> str:
        """The filter of the view that is shown."""
        return self.texts.get(self.shown.dashboard.view, "")

    @text.setter
    def text(self, text: str) -> None:
        self.texts[self.shown.dashboard.view] = text

    @property
    def filter_text(self) -> str:
        view = self.shown.dashboard.view
        return view.filter_text if isinstance(view, TableView) else self.shown.dashboard.jobs.list.filter_text

    async def check(self) -> None:
        view = self.shown.dashboard.view
        await self.shown.until(lambda: self.filter_text == self.text)
        assert view.is_typing is self.typing
        assert self.shown.dashboard.is_typing is self.typing
        assert self.shown.app.screen is self.shown.dashboard
        assert not self.shown.dashboard.jobs.list.rows.marks

    def keep(self) -> None:
        self.typing = False


Step = Callable[[Walk], Awaitable[None]]


async def slash(walk: Walk) -> None:
    await walk.shown.press("slash")
    if walk.typing:
        walk.text += "/"
        return
    walk.typing, walk.before = True, walk.text
    await walk.shown.until(lambda: walk.shown.dashboard.view.is_typing)


def types(text: str) -> Step:
    async def step(walk: Walk) -> None:
        if not walk.typing:
            await slash(walk)
        await walk.shown.type(text)
        walk.text += text

    step.__name__ = f"types {text!r}"
    return step


async def tab(walk: Walk) -> None:
    await walk.shown.press("tab")
    walk.keep()


async def enter(walk: Walk) -> None:
    if walk.typing:  # else it opens the job
        await walk.shown.press("enter")
        walk.keep()


async def esc(walk: Walk) -> None:
    if walk.typing:
        walk.text, walk.typing = walk.before, False
    elif not walk.shown.dashboard.jobs.detail.body.has_focus:
        walk.text = ""
    await walk.shown.press("escape")


async def full(walk: Walk) -> None:
    if not walk.typing and walk.shown.dashboard.view is walk.shown.dashboard.jobs:
        walk.shown.dashboard.jobs._set_full(True)


async def click_row(walk: Walk) -> None:
    if walk.shown.dashboard.view is walk.shown.dashboard.jobs:
        await walk.shown.pilot.click("JobList Table", offset=(5, 1))
        if walk.shown.dashboard.jobs.list.table.display:
            walk.keep()
    else:
        # the view of this key has it
        await walk.shown.pilot.click(walk.shown.dashboard.view.table, offset=(5, 1))  # type: ignore[attr-defined]
        walk.keep()


async def click_detail(walk: Walk) -> None:
    if walk.shown.dashboard.jobs.detail.body.region.area:
        await walk.shown.pilot.click("DetailBody", offset=(3, 1))
        walk.keep()


async def click_header(walk: Walk) -> None:
    await walk.shown.pilot.click("#header", offset=(3, 0))


async def bar(walk: Walk) -> None:
    if walk.typing:
        walk.text += ":"
        await walk.shown.press("colon")
        return
    await walk.shown.press("colon")
    await walk.shown.until(lambda: walk.shown.dashboard.console.bar.is_typing)
    await walk.shown.press("escape")


async def click_bar(walk: Walk) -> None:
    await walk.shown.pilot.click("#bar", offset=(20, 0))
    await walk.shown.until(lambda: walk.shown.dashboard.console.bar.is_typing)
    await walk.shown.press("escape")
    walk.keep()


async def palette(walk: Walk) -> None:
    await walk.shown.press("ctrl+p")
    await walk.shown.until(lambda: walk.shown.app.screen is not walk.shown.dashboard)
    await walk.shown.press("escape")
    await walk.shown.until(lambda: walk.shown.app.screen is walk.shown.dashboard)


async def help_screen(walk: Walk) -> None:
    await walk.shown.press("f1")
    await walk.shown.until(lambda: walk.shown.app.screen is not walk.shown.dashboard)
    await walk.shown.press("escape")
    await walk.shown.until(lambda: walk.shown.app.screen is walk.shown.dashboard)


async def shrink(walk: Walk) -> None:
    await walk.shown.pilot.resize_terminal(30, 8)
    await walk.shown.type("syCD")  # nothing of it is seen, and nothing comes of it
    await walk.shown.pilot.resize_terminal(100, 30)


async def narrow(walk: Walk) -> None:
    await walk.shown.pilot.resize_terminal(60, 16)


async def wide(walk: Walk) -> None:
    await walk.shown.pilot.resize_terminal(170, 45)


async def window(walk: Walk) -> None:
    walk.shown.app.post_message(events.AppBlur())
    await walk.shown.until(lambda: walk.shown.dashboard.focused is None)


async def spaces(walk: Walk) -> None:
    if not walk.typing:
        await walk.shown.press("2")


async def hosts(walk: Walk) -> None:
    if not walk.typing:
        await walk.shown.press("3")


STEPS: list[Step] = [
    slash,
    tab,
    enter,
    esc,
    full,
    click_row,
    click_detail,
    click_header,
    bar,
    click_bar,
    palette,
    help_screen,
    shrink,
    narrow,
    wide,
    window,
    spaces,
    hosts,
]
steps = st.one_of(st.sampled_from(STEPS), st.text(DANGEROUS, min_size=1, max_size=5).map(types))


def test_click_on_the_filter_line_edits_the_filter(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES) as shown:
            await shown.press("slash")
            await shown.type("nba")
            await shown.press("enter")
            await shown.until(lambda: not shown.dashboard.is_typing)
            await shown.pilot.click("FilterBar", offset=(2, 0))
            await shown.until(lambda: shown.dashboard.jobs.is_typing)
            await shown.type("x")
            await shown.until(lambda: shown.dashboard.jobs.list.filter_text == "nbax")

    asyncio.run(run())


@pytest.mark.parametrize("start", [":", "/"])
def test_keys_as_a_terminal_grows_again_are_no_commands(tmp_path: Path, start: str) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, SPACES, settings=TuiSettings(confirm=Confirm.BULK)) as shown:
            shown.bench.execute("ADMIN COMPACT nba")
            await shown.shows("▶ running")
            await shown.type(start)
            await shown.until(lambda: shown.dashboard.is_typing)
            await shown.pilot.resize_terminal(30, 8)
            await shown.until(lambda: shown.dashboard.focused is None)
            large = Size(100, 30)
            shown.app.post_message(events.Resize(large, large))
            for character in "sab":
                shown.app.post_message(events.Key(character, character))
            await shown.until(lambda: not shown.dashboard.has_class("-too-small"))
            await shown.press("x")
            bar, field = shown.dashboard.console.bar, shown.dashboard.jobs.list.filter_bar
            await shown.until(lambda: ((bar._input.text if bar._input else field.text) or "").endswith("x"))
            assert not shown.dashboard.jobs.list.rows.marks
            assert shown.transcript == ""

    asyncio.run(run())


class TestWalk:
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(walked=st.lists(steps, min_size=2, max_size=14))
    def test_typed_text_reaches_the_filter_alone(
        self, tmp_path_factory: pytest.TempPathFactory, walked: list[Step]
    ) -> None:
        asyncio.run(self.walk(tmp_path_factory.mktemp("walk"), walked))

    @pytest.mark.parametrize(
        "walked",
        [
            [types("nba"), tab, types("status:failed")],
            [types("nba"), click_row, types("status:failed"), enter, esc],
            [types("nba"), click_detail, esc, esc],
            [types("a"), shrink, types("s")],
            [types("a"), window, types("s")],
            [types("a"), palette, types("s"), help_screen, types("y")],
            [full, types("sy")],
            [spaces, types("Dy")],
            [hosts, types("Cy")],
            [spaces, types("D"), enter, hosts, types("C"), esc, spaces, esc],
            [types("s"), click_header, types("y"), click_bar, types("a")],
        ],
        ids=lambda walked: " ".join(step.__name__ for step in walked),
    )
    def test_each_way_out_of_the_filter_ends_in_order(self, tmp_path: Path, walked: list[Step]) -> None:
        asyncio.run(self.walk(tmp_path, walked))

    async def walk(self, root: Path, walked: list[Step]) -> None:
        # no question comes before the effect of a key
        chosen = TuiSettings(confirm=Confirm.BULK)
        async with dashboard_bench(root, SPACES, settings=chosen) as shown:
            shown.bench.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; ADMIN COMPACT Dallas")
            await shown.shows("▶ 2 running", "◷ 1 queued")
            toasts: list[str] = []
            execute = LocalClient.execute

            def listening(engine: LocalClient, text: str, *rest: object) -> object:
                toasts.append(text)
                return execute(engine, text, *rest)  # type: ignore[arg-type]  # arguments of any kind

            # replaced for this test
            shown.bench.engine.execute = listening.__get__(shown.bench.engine)  # type: ignore[method-assign]
            walk = Walk(shown)
            for step in walked:
                await step(walk)
                await walk.check()
            assert toasts == []
            assert shown.app.is_running
            # whatever came before, the filter can be typed in and removed
            await types("x")(walk)
            await walk.check()
            await shown.press("ctrl+u", "enter")
            await shown.until(lambda: walk.filter_text == "")
            assert not shown.dashboard.is_typing
