"""The help: the keys that work now, the terms of a filter, and the statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from typing_extensions import override

from jobtui.model import Status
from jobtui.tui.commands import KeyCommand, KeyScope
from jobtui.tui.keymap import Keymap
from jobtui.tui.screens.dialog import DismissOnceScreen
from jobtui.tui.text.spans import (
    AGAIN,
    CURSOR,
    GLYPH,
    IDLE_CURSOR,
    MARKED,
    PAUSED,
    STOPPING,
    WATCHED,
    Line,
    Span,
    TextRole,
    fit,
    line_width,
    width_of,
    wrapped,
)
from jobtui.tui.widgets.base import LinesView

_MAX_KEYS, _FEW_KEYS = 14, 8
"""Cells of the column of keys at most, in a wide help and in a narrow one; longer keys reach out of it."""
_TITLE = 25
_TERM = 38
_SHORT_TERM = 14
_WIDTH_WITH_TITLES = 88
"""From this width on, a command's title is shown next to its meaning."""
_MAX_WIDTH = 130
_FILTER = (
    ("words", "jobs whose command, space, host or reason hold them all"),
    ("status:failed", "also queue, running, finished, stopped, ended, live; with commas: either"),
    ("space:nba  host:local0  cmd:compact", "of that space, host, command; the first letters suffice"),
    ("since:2h  until:2019-12-17", "submitted since, or until: s m h d w, today, or a date"),
    ("status:unrecovered", "failed or stopped, and not run again yet"),
    ("took:>10min  reclaimed:<1GiB", "longer than that, less than that"),
    ("id:40-60  reason:disk", "these numbers, a word of the reason"),
    ("by:anna  by:nightly  why:deploy", "who or which schedule requested it, a word of its reason (because)"),
    ("!status:finished  !word", "excludes these"),
)
_SIGNS = (
    (f"{GLYPH[Status.QUEUE]} {GLYPH[Status.RUNNING]}", "queued and running jobs"),
    (
        f"{GLYPH[Status.FINISHED]} {GLYPH[Status.FAILED]} {GLYPH[Status.STOPPED]}",
        "finished, failed and stopped jobs",
    ),
    (f"{STOPPING} {PAUSED}", "a job that is being stopped, a paused job"),
    (f"{AGAIN} 16", "job 16 ran this job again"),
    (f"{MARKED} {WATCHED}", "a marked job, a job that is watched"),
    (f"{CURSOR} {IDLE_CURSOR}", "the row under the cursor, with the focus and without it"),
    ("▼ ▲", "the column that the rows are sorted by, and the direction"),
)
_CHART = (
    ("Read Written", "bytes a second, with the area below the curve filled; of all hosts together, or of one"),
    ("L0 files", "files in level 0, which a compaction merges"),
    ("Free disk", "free bytes of the disk; of all hosts together, the one with the least"),
    ("┤ ┬", "the places on the axes that the figures and the times next to them belong to"),
    ("a gap", "nothing was measured, as during a pause"),
    ("▁▃▇", "in a row of the hosts: what it read and wrote; in a running job's row: its last rates"),
    ("╌ ▇", "on the timeline: a host waits, a host works"),
)
_WORDS = (
    *("job", "task", "space", "host", "flush", "memtable", "compact"),
    *("level", "l0_files", "deletions", "pending", "step", "condition", "schedule"),
)
_DASHBOARD_WORDS = (
    ("reclaimed", "How much less disk the files took after a compaction than before; negative if they grew."),
    ("adopted", "A database of another program, which jobtui works on and never deletes."),
    ("recover", "Runs a failed or stopped job again, as a new job."),
    ("archive", "Moves ended jobs out of the list; key 4 shows them."),
)


def help_lines(working: Sequence[KeyCommand], keymap: Keymap, width: int) -> list[Line]:
    """Return the help in lines of at most `width` cells: commands, filters, statements."""
    lines: list[Line] = []
    # what every table has comes last
    scopes = sorted(
        dict.fromkeys(command.where for command in working), key=lambda where: where is KeyScope.TABLE
    )
    most = _MAX_KEYS if width >= _WIDTH_WITH_TITLES else _FEW_KEYS
    keys_width = min(most, max((width_of(keymap.shown(command, 3)) + 2 for command in working), default=most))
    for where in scopes:
        lines.append(((f"{where.value.capitalize()}", TextRole.TITLE),))
        for command in working:
            if command.where is where:
                lines.extend(_command_lines(command, keymap, keys_width, width))
        lines.append(())
    if any(command.where is KeyScope.JOBS for command in working):
        lines.append((("Filter", TextRole.TITLE),))
        for words, what in _FILTER:
            lines.extend(_term_lines((words, TextRole.ACCENT), what, _TERM, width))
        lines.append(())
    # late: the language is loaded when the help is first opened
    from jobtui.language.help import TERMS

    explained = (*((word, TERMS[word]) for word in _WORDS), *_DASHBOARD_WORDS)
    for title, entries in (("Signs", _SIGNS), ("Chart and timeline", _CHART), ("Words", explained)):
        lines.append(((title, TextRole.TITLE),))
        for word, what in entries:
            head: Line = ((f"  {fit(word, _SHORT_TERM)}", TextRole.ACCENT),)
            lines.extend(wrapped((*head, (what, TextRole.MUTED)), width, hang=_SHORT_TERM + 2))
        lines.append(())
    lines.append((("Statements", TextRole.TITLE),))
    lines.extend(statement_lines(width))
    return lines


def _command_lines(command: KeyCommand, keymap: Keymap, keys_width: int, width: int) -> list[Line]:
    shown = keymap.shown(command, 3)
    keys = f"  {shown}{' ' * max(2, keys_width - width_of(shown))}"
    title: Line = ((fit(command.title, _TITLE), TextRole.STRONG),) if width >= _WIDTH_WITH_TITLES else ()
    head: Line = ((keys, TextRole.KEY), *title)
    return wrapped((*head, (command.help, TextRole.PLAIN)), width, hang=2 + keys_width + line_width(title))


def statement_lines(width: int) -> list[Line]:
    """Return the statements from the help of the language, in lines of at most `width` cells."""
    # late: the language is loaded when the help is first opened
    from jobtui.language.help import LEXICAL_RULES
    from jobtui.language.syntax import SYNTAX

    lines: list[Line] = []
    for form in SYNTAX:
        lines.extend(_term_lines((form.usage, TextRole.PLAIN), form.summary, 53, width))
    lines.append(())
    lines.extend(wrapped((("  " + LEXICAL_RULES.replace("\n", " "), TextRole.PLAIN),), width, hang=2))
    lines.append(())
    return lines


def _term_lines(term: Span, what: str, column: int, width: int) -> list[Line]:
    """Return a term and its meaning, side by side or, if that is too wide, below each other."""
    text, role = term
    if width_of(text) < column and column + width_of(what) + 2 <= width:
        return [((f"  {fit(text, column)}", role), (what, TextRole.MUTED))]
    return [
        *wrapped(((f"  {text}", role),), width, hang=4),
        *wrapped(((f"      {what}", TextRole.MUTED),), width, hang=6),
    ]


class HelpScreen(DismissOnceScreen[None]):
    """The help over the dashboard. The keys that open it also close it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,ctrl+c", "dismiss", show=False, priority=True),
        Binding("down,j", "scroll_down", show=False),
        Binding("up,k", "scroll_up", show=False),
        Binding("pagedown,space", "page_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
    ]

    def __init__(self, working: Sequence[KeyCommand], keymap: Keymap) -> None:
        super().__init__()
        self._working = tuple(working)
        self._keymap = keymap
        self._view = LinesView(id="keys-help")

    @override
    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield self._view

    def on_mount(self) -> None:
        """Show the help at an estimated width, and at the exact one when it is known."""
        self.query_one("#help").border_title = " help "
        self.query_one("#help").border_subtitle = " esc closes "
        self._show(min(_MAX_WIDTH, self.app.size.width * 96 // 100) - 6)
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        """Show the help at the new width."""
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        self._show(self._view.inner_width - 1)  # a blank before the scrollbar

    def _show(self, width: int) -> None:
        self._view.show(help_lines(self._working, self._keymap, width))

    def action_scroll_down(self) -> None:
        """Scroll a line down."""
        self._view.scroll_relative(y=1, animate=False)

    def action_scroll_up(self) -> None:
        """Scroll a line up."""
        self._view.scroll_relative(y=-1, animate=False)

    def action_page_down(self) -> None:
        """Scroll a page down."""
        self._view.scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """Scroll a page up."""
        self._view.scroll_page_up(animate=False)

    def action_scroll_home(self) -> None:
        """Scroll to the top."""
        self._view.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        """Scroll to the end."""
        self._view.scroll_end(animate=False)
