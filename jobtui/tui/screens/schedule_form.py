"""The form for a new schedule: it writes a CREATE SCHEDULE, and shows when that would run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input
from typing_extensions import override

from jobtui.engine.schedules import Schedule, activate, upcoming_runs
from jobtui.formatting import format_duration, to_local
from jobtui.language import StatementError, parse, quote_name
from jobtui.language.ast import CreateSchedule
from jobtui.language.schedule_times import find_clock_problem
from jobtui.tui.screens.dialog import DismissOnceScreen
from jobtui.tui.text.spans import Line, TextRole, wrapped
from jobtui.tui.widgets.base import LinesView, OneLine
from jobtui.tui.widgets.filter_bar import VisibleCharacters

FIELDS: Mapping[str, tuple[str, str]] = {
    "name": ("Name", "nightly"),
    "at": ("Times", "minute hour day month weekday, or @daily"),
    "until": ("Until", "hh:mm when a run is paused; empty: never"),
    "timezone": ("Time zone", "like Europe/Berlin; empty: local time"),
    "job": ("Runs", "ADMIN COMPACT nba IF NEEDED"),
}
"""The label and an example of each field."""
_RUNS_SHOWN = 5
_DAYS = 400  # a run on February 29 may be further away
_LABEL = 11
_PREVIEW_LINES = 8


class ScheduleDraft(msgspec.Struct, frozen=True):
    """The statement that the fields make, when it would run, and what is wrong with it."""

    statement: str
    runs: Sequence[tuple[datetime, datetime | None]] = ()
    problem: str = ""


def draft_schedule(fields: Mapping[str, str], now: datetime) -> ScheduleDraft:
    """Return the draft of a schedule whose fields hold these texts."""
    texts = {name: text.strip() for name, text in fields.items()}
    for name in ("name", "at", "job"):
        if not texts[name]:
            return ScheduleDraft("", problem=f"{FIELDS[name][0]} is empty: {FIELDS[name][1]}")
    try:
        name = quote_name(texts["name"])
    except ValueError:
        return ScheduleDraft("", problem="No statement can contain this name")
    until = f' UNTIL "{texts["until"]}"' if texts["until"] else ""
    zone = f' WITH timezone = "{texts["timezone"]}"' if texts["timezone"] else ""
    text = f'CREATE SCHEDULE {name} AT "{texts["at"]}"{until}{zone} DO {texts["job"]}'
    try:
        (statement,) = parse(text)
    except StatementError as error:
        return ScheduleDraft(text, problem=error.message)
    except ValueError:
        return ScheduleDraft(text, problem="A schedule runs one statement")
    if not isinstance(statement, CreateSchedule):
        return ScheduleDraft(text, problem="A schedule runs one statement")
    made = Schedule(
        name=statement.name,
        at=statement.at,
        command=statement.statement.command,
        space=statement.statement.space or "",
        created=now,
        handled=now,
        until=statement.until,
        timezone=statement.timezone or "",
    )
    runs = upcoming_runs(activate(made, now), now, _DAYS, _RUNS_SHOWN)
    never = find_clock_problem(now) or "It never runs: there is no such time"
    return ScheduleDraft(text, runs, "" if runs else never)


def preview_lines(made: ScheduleDraft, now: datetime, width: int) -> list[Line]:
    """Return the next runs, or what is wrong, and the statement."""
    if made.problem:
        lines = wrapped(((made.problem, TextRole.FAILED),), width)[:_PREVIEW_LINES]
    else:
        lines = [_run_line(start, end, now) for start, end in made.runs]
    return [*lines, (), *wrapped(((made.statement, TextRole.MUTED),), width)]


def _run_line(start: datetime, end: datetime | None, now: datetime) -> Line:
    begin, until = to_local(start), ""
    if end is not None:
        is_next_day = to_local(end).date() != begin.date()
        until = f" to {to_local(end):{'%a %H:%M' if is_next_day else '%H:%M'}}"
    return (
        (f"{begin:%a %Y-%m-%d %H:%M}{until}", TextRole.PLAIN),
        (f"  in {format_duration((start - now).total_seconds())}", TextRole.MUTED),
    )


class _Label(OneLine):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    @override
    def line(self, width: int) -> Line:
        return ((self._text, TextRole.TITLE),)


class ScheduleForm(DismissOnceScreen[str]):
    """The form; it returns the statement, and None if the user leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False, priority=True),
        Binding("enter", "accept", show=False, priority=True),
        Binding("down,tab", "field(1)", show=False, priority=True),
        Binding("up,shift+tab", "field(-1)", show=False, priority=True),
    ]

    def __init__(self, job: str, now: Callable[[], datetime]) -> None:
        """Create the form.

        Args:
            job: The statement that the schedule runs at first.
            now: The clock that the next runs are counted from.
        """
        super().__init__()
        self._now = now
        values = {"name": "nightly", "at": "30 2 * * *", "until": "06:00", "timezone": "", "job": job}
        self._inputs = {
            name: Input(
                values[name],
                placeholder=example,
                highlighter=VisibleCharacters(),
                # the values are examples: what is typed replaces them
                select_on_focus=True,
                compact=True,
            )
            for name, (_, example) in FIELDS.items()
        }
        self._preview = LinesView(id="preview")

    @override
    def compose(self) -> ComposeResult:
        with Vertical(id="schedule-form") as form:
            form.border_title = "New schedule"
            form.border_subtitle = "↑↓ field  enter writes the statement  esc leaves"
            for name, field in self._inputs.items():
                with Horizontal():
                    yield _Label(f"{FIELDS[name][0]:<{_LABEL}}")
                    yield field
            yield self._preview

    def on_mount(self) -> None:
        """Show the first preview."""
        self._inputs["name"].focus()
        self._update()

    def on_resize(self) -> None:
        """Lay the preview out for the new width."""
        self._update()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the new preview."""
        event.stop()
        self._update()

    def _draft(self) -> ScheduleDraft:
        return draft_schedule({name: field.value for name, field in self._inputs.items()}, self._now())

    def _update(self) -> None:
        self._preview.show(preview_lines(self._draft(), self._now(), self._preview.inner_width))

    def action_field(self, by: int) -> None:
        """Go to the next field or the one before."""
        fields = list(self._inputs.values())
        at = next((index for index, field in enumerate(fields) if field.has_focus), 0)
        self.set_focus(fields[(at + by) % len(fields)])

    def action_accept(self) -> None:
        """Return the statement, unless something is wrong with it, which the preview shows."""
        made = self._draft()
        if not made.problem:
            self.dismiss(made.statement)

    def action_cancel(self) -> None:
        """Leave the form."""
        self.dismiss(None)
