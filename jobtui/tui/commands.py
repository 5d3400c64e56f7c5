"""The table of everything a key can do.

The key bindings, the palette, the help and the footer come from the table. A command is named by its id, also
in the config's keymap. It works in a `KeyScope`, whose widget has `bindings(scope)` as its key bindings. No key
needs ctrl+a, ctrl+b or ctrl+q, which tmux and screen use, or alt alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from textual.binding import Binding

from jobtui.tui.key_command import KeyCommand, KeyScope
from jobtui.tui.key_command import key_command as _c
from jobtui.tui.key_command import sort_commands as _sorting

__all__ = [
    "BY_ID",
    "COMMANDS",
    "LOOK_COMMANDS",
    "SCOPE_CHAINS",
    "SEARCH_KEYS",
    "SIDEWAYS_KEYS",
    "KeyCommand",
    "KeyScope",
    "bindings",
    "commands",
]

_D, _T, _J, _P, _S, _H, _G, _L, _O, _B, _F = (
    KeyScope.DASHBOARD,
    KeyScope.TABLE,
    KeyScope.JOBS,
    KeyScope.DETAIL,
    KeyScope.SPACES,
    KeyScope.HOSTS,
    KeyScope.SCHEDULES,
    KeyScope.LOG,
    KeyScope.OVERVIEW,
    KeyScope.BAR,
    KeyScope.FILTER,
)


def _view(name: str, key: str, title: str, help: str) -> KeyCommand:  # noqa: A002
    """Return the command that shows a view."""
    return _c(_D, f"show_{name}", key, title, help, action=f"show('{name}')")


def _filtering(where: KeyScope, id: str, rows: str) -> KeyCommand:  # noqa: A002
    """Return the command that filters a table of `rows`."""
    text = f"Filter the {rows}: words, column:word, ! negates one"
    return _c(where, id, "slash", "filter", text, 50, action="filter")


def _scrolling(where: KeyScope, prefix: str) -> tuple[KeyCommand, KeyCommand]:
    """Return the commands that scroll the pane below a table."""
    down, up = f"{prefix}_pane_down", f"{prefix}_pane_up"
    text = "Scroll the pane below the table"
    return (
        _c(where, down, "shift+down,ctrl+d", "pane down", text, action="scroll_pane(3)", palette=False),
        _c(where, up, "shift+up,ctrl+u", "pane up", f"{text} up", action="scroll_pane(-3)", palette=False),
    )


_JOB_SORTS = {
    "id": "I",
    "command": "M",
    "status": "S",
    "progress": "Q",
    "took": "O",
    "start": "A",
    "stop": "E",
    "space": "Z",
    "hosts": "H",
    "reclaimed": "B",
    "origin": "Y",
    "requester": "U",
    "because": "W",
    "reason": "D",
}
_SPACE_SORTS = {"name": "N", "hosts": "H", "size": "S", "memory": "M", "pending": "P", "jobs": "J"}
_ADVICE_SORTS = {
    "space": "N",
    "verdict": "A",
    "gain": "B",
    "share": "S",
    "deletions": "D",
    "l0": "L",
    "memory": "M",
}
_HOST_SORTS = {"name": "N", "status": "A", "spaces": "P", "size": "S", "free": "E"}


COMMANDS: tuple[KeyCommand, ...] = (
    # everywhere
    _c(_D, "bar", "colon", "command", "Go to the command bar", 70, priority=True),
    _c(_D, "help", "question_mark,f1", "help", "The keys that work here and now", 80),
    _c(_D, "palette", "ctrl+p", "palette", "Find any command by its name", palette=False),
    _view("jobs", "1", "jobs", "The jobs"),
    _view("spaces", "2", "spaces", "The spaces: their sizes, and how much there is to compact"),
    _view("hosts", "3", "hosts", "The storage hosts: whether they answer, and their free space"),
    _view("archive", "4", "archived jobs", "The archived jobs, to look at, recover or restore"),
    _view("advice", "5", "advice", "Which spaces need a compaction, and what it would give back"),
    _view("schedules", "6", "schedules", "The schedules: their next runs"),
    _view("overview", "7", "overview", "A card for each space, the most urgent first"),
    _view("log", "l", "log", "The dashboard's messages, and the storage's log lines"),
    _c(_D, "transcript", "t", "transcript", "Show or hide the results of the command bar"),
    _c(_D, "pause", "p", "pause", "Freeze the screen; later changes are shown when it continues"),
    _c(
        _D,
        "profile",
        "at",
        "switch profile",
        "Leave this profile and open another, after the question about jobs",
    ),
    _c(_D, "theme", "T", "theme", "The next theme"),
    _c(_D, "retry", "R", "connect now", "Try to connect to the cluster now"),
    _c(_D, "redraw", "ctrl+l", "redraw", "Paint the whole screen again"),
    _c(_D, "suspend", "ctrl+z", "suspend", "Back to the shell; fg returns", priority=True),
    _c(_D, "back", "escape", "back", "Back to where you came from: one step at a time", 95, palette=False),
    _c(_D, "quit", "q", "quit", "Leave; asks first if jobs are active", 90),
    _c(
        _D,
        "interrupt",
        "ctrl+c",
        "copy or quit",
        "Copy the selected text; otherwise leave",
        palette=False,
        priority=True,
    ),
    # every table
    _c(_T, "up", "up,k", "up", "A row up", action="move(-1)", palette=False),
    _c(_T, "down", "down,j", "down", "A row down", action="move(1)", palette=False),
    _c(_T, "page_up", "pageup", "page up", "A page up", action="page(-1)", palette=False),
    _c(_T, "page_down", "pagedown", "page down", "A page down", action="page(1)", palette=False),
    _c(_T, "first", "home,g", "first", "The first row", palette=False),
    _c(_T, "last", "end,G", "last", "The last row", palette=False),
    _c(_T, "open", "enter", "open", "Open what is under the cursor", 60),
    # advice
    _c(
        KeyScope.ADVICE,
        "advice_compact",
        "C",
        "compact",
        "Compact or flush the space, as advised",
        10,
        action="compact",
    ),
    _c(KeyScope.ADVICE, "advice_refresh", "u", "measure again", "Measure again", 20, action="refresh"),
    *_sorting(KeyScope.ADVICE, _ADVICE_SORTS, "advice_"),
    _filtering(KeyScope.ADVICE, "advice_filter", "spaces"),
    *_scrolling(KeyScope.ADVICE, "advice"),
    # jobs and archive
    _c(_J, "stop", "s", "stop", "Stop the marked jobs, or the one under the cursor", 10),
    _c(
        _J,
        "hold",
        "P",
        "pause job",
        "Pause the marked jobs, or the one under the cursor; resume paused ones",
        15,
    ),
    _c(_J, "recover", "r", "recover", "Run the marked jobs, or the one under the cursor, again", 20),
    _c(
        _J,
        "archive",
        "b",
        "archive",
        "Archive the marked jobs, or the one under the cursor; in the archive, bring them back",
        30,
    ),
    _c(_J, "flush", "F", "flush", "Flush the space of the job under the cursor, or the chosen one"),
    _c(_J, "compact", "C", "compact", "Compact the space of the job under the cursor, or the chosen one"),
    _c(
        _J,
        "filter",
        "slash",
        "filter",
        "Filter: words, status: space: host: cmd: since: took: id: reason: reclaimed: by: why:, ! negates one",
        50,
        priority=True,
    ),
    _c(_J, "mark", "space", "mark", "Mark the job under the cursor, and move to the next"),
    _c(
        _J,
        "mark_up",
        "shift+up,K",
        "mark upwards",
        "Mark a range upwards",
        action="mark_range(-1)",
        palette=False,
    ),
    _c(
        _J,
        "mark_down",
        "shift+down,J",
        "mark downwards",
        "Mark a range downwards",
        action="mark_range(1)",
        palette=False,
    ),
    _c(_J, "mark_all", "a", "mark all", "Mark every job in view"),
    _c(_J, "invert", "i", "invert marks", "Invert the marks in view"),
    _c(_J, "unmark", "u", "unmark all", "Remove all marks"),
    *_sorting(_J, _JOB_SORTS),
    _c(
        _J,
        "next_match",
        "n",
        "next failed",
        "The next job that passes the filter; without a filter, the next failed one not run again yet",
        55,
        action="next_match(1)",
    ),
    _c(_J, "previous_match", "N", "previous failed", "The one before", action="next_match(-1)"),
    _c(_J, "columns", "c", "columns", "Choose the columns"),
    _c(_J, "follow", "f", "follow", "Keep the cursor on the newest job"),
    _c(_J, "watch", "w", "watch", "Notify when the job under the cursor ends"),
    _c(_J, "copy", "y", "copy", "Copy the job's id, row, reason or statement"),
    _c(_J, "export", "x", "export", "Write the jobs in view to a file, CSV or JSON"),
    _c(
        _J,
        "next_tab",
        "right_square_bracket",
        "next tab",
        "The next tab of the detail",
        65,
        action="turn_tab(1)",
    ),
    _c(_J, "previous_tab", "left_square_bracket", "previous tab", "The previous tab", action="turn_tab(-1)"),
    _c(_J, "other_pane", "tab,shift+tab", "other pane", "Between the table and the detail", palette=False),
    _c(
        _J,
        "grow",
        "plus",
        "larger detail",
        "Give the detail more room; in the detail: double the job's write limit",
        action="split(1)",
    ),
    _c(
        _J,
        "shrink",
        "minus",
        "smaller detail",
        "Give the detail less room; in the detail: halve the job's write limit",
        action="split(-1)",
    ),
    _c(_J, "look", "L", "look", "Look into an adopted space's storage (opening it writes there)", 5),
    # detail
    _c(_P, "detail_right", "right", "next tab", "The next tab", action="turn(1)", palette=False),
    _c(_P, "detail_left", "left", "previous tab", "The previous tab", action="turn(-1)", palette=False),
    _c(_P, "detail_up", "up,k", "up", "A host or a line up", action="line(-1)", palette=False),
    _c(_P, "detail_down", "down,j", "down", "A host or a line down", action="line(1)", palette=False),
    _c(_P, "detail_page_up", "pageup", "page up", "A page up", action="page_up", palette=False),
    _c(_P, "detail_page_down", "pagedown", "page down", "A page down", action="page_down", palette=False),
    _c(_P, "detail_first", "home,g", "top", "The first line", action="scroll_home", palette=False),
    _c(_P, "detail_last", "end,G", "end", "The last line", action="scroll_end", palette=False),
    _c(_P, "next_failure", "n", "next failure", "The next host that failed", 15, action="next_failure(1)"),
    _c(
        _P,
        "previous_failure",
        "N",
        "previous failure",
        "The host before that failed",
        action="next_failure(-1)",
    ),
    _c(
        _P,
        "sort_tasks_next",
        "greater_than_sign",
        "sort hosts",
        "Sort the hosts by status, name, size, time or reclaimed bytes",
        action="sort_tasks(1)",
    ),
    _c(
        _P,
        "sort_tasks_previous",
        "less_than_sign",
        "sort hosts back",
        "The order of the hosts before",
        action="sort_tasks(-1)",
    ),
    _c(_P, "zoom", "enter", "full", "The detail over the whole screen, and back", palette=False),
    # spaces
    _c(_S, "space_flush", "F", "flush", "Flush the space under the cursor", 10, action="flush"),
    _c(_S, "space_compact", "C", "compact", "Compact the space under the cursor", 20, action="compact"),
    _c(_S, "space_use", "u", "use", "Choose the space for the command bar", 35, action="use"),
    _c(_S, "space_new", "n", "new", "Write a CREATE SPACE in the command bar", 25, action="new"),
    _c(_S, "space_drop", "D", "drop", "Drop the space under the cursor", action="drop"),
    _c(
        _S, "space_look", "L", "look", "Look into an adopted space (opening it writes there)", 30, action="look"
    ),
    *_sorting(_S, _SPACE_SORTS, "space_"),
    _filtering(_S, "space_filter", "spaces"),
    *_scrolling(_S, "space"),
    # hosts
    _c(_H, "host_flush", "F", "flush", "Flush a space of the host under the cursor", 10, action="flush"),
    _c(
        _H, "host_compact", "C", "compact", "Compact a space of the host under the cursor", 20, action="compact"
    ),
    _c(
        _H,
        "host_look",
        "L",
        "look",
        "Look into the host's adopted spaces (opening them writes there)",
        30,
        action="look",
    ),
    *_sorting(_H, _HOST_SORTS, "host_"),
    _filtering(_H, "host_filter", "hosts"),
    *_scrolling(_H, "host"),
    # schedules
    _c(_G, "schedule_new", "n", "new", "Fill in a form that writes a CREATE SCHEDULE", 10, action="new"),
    _c(
        _G,
        "schedule_pause",
        "s",
        "pause or resume",
        "Pause the schedule under the cursor, or resume it",
        20,
        action="pause_or_resume",
    ),
    _c(_G, "schedule_run", "r", "run", "Run the schedule under the cursor now", 30, action="run"),
    _c(_G, "schedule_drop", "D", "drop", "Drop the schedule under the cursor", 40, action="drop"),
    _filtering(_G, "schedule_filter", "schedules"),
    *_scrolling(_G, "schedule"),
    # log
    _c(_L, "log_copy", "y", "copy", "Copy the log", 10, action="copy_log"),
    _c(_L, "log_up", "up,k", "up", "A line up", action="line(-1)", palette=False),
    _c(_L, "log_down", "down,j", "down", "A line down", action="line(1)", palette=False),
    _c(_L, "log_page_up", "pageup", "page up", "A page up", action="page_up", palette=False),
    _c(_L, "log_page_down", "pagedown", "page down", "A page down", action="page_down", palette=False),
    _c(_L, "log_first", "home,g", "top", "The oldest entry", action="scroll_home", palette=False),
    _c(_L, "log_last", "end,G", "end", "The newest entry", action="scroll_end", palette=False),
    # overview
    _c(_O, "card_open", "enter", "jobs", "The jobs of the space", 10, action="open_card"),
    _c(_O, "card_compact", "C", "compact", "Compact the space", 20, action="compact_card"),
    _c(_O, "card_measure", "u", "measure", "Measure the advice of all spaces again", 30, action="measure"),
    _c(_O, "card_left", "left,h", "left", "The card at the left", action="move_card(-1, 0)", palette=False),
    _c(_O, "card_right", "right", "right", "The card at the right", action="move_card(1, 0)", palette=False),
    _c(_O, "card_up", "up,k", "up", "The card above", action="move_card(0, -1)", palette=False),
    _c(_O, "card_down", "down,j", "down", "The card below", action="move_card(0, 1)", palette=False),
    _c(_O, "card_first", "home,g", "first", "The first card", action="move_card(0, -9999)", palette=False),
    _c(_O, "card_last", "end,G", "last", "The last card", action="move_card(0, 9999)", palette=False),
    # command bar
    _c(
        _B,
        "send",
        "enter",
        "run",
        "Run what is typed; the cursor goes to the job that it submits",
        10,
        palette=False,
    ),
    _c(_B, "newline", "ctrl+j,shift+enter", "new line", "A line break", palette=False),
    _c(_B, "complete", "tab", "complete", "Take the completion chosen in the list", 20, palette=False),
    _c(_B, "older", "up", "older", "The completion above; else the text sent before", palette=False),
    _c(_B, "newer", "down", "newer", "The completion below; else the text sent after", palette=False),
    _c(_B, "search", "ctrl+r", "search", "Search what was sent before", 30, palette=False),
    _c(
        _B,
        "transcript_up",
        "pageup",
        "scroll up",
        "Scroll the results up",
        action="scroll_results(-1)",
        palette=False,
    ),
    _c(
        _B,
        "transcript_down",
        "pagedown",
        "scroll down",
        "Scroll down",
        action="scroll_results(1)",
        palette=False,
    ),
    _c(
        _B,
        "sideways_left",
        "left",
        "to the left",
        "With nothing typed: scroll the results to the left; else a character back",
        action="sideways(-1)",
        palette=False,
    ),
    _c(
        _B,
        "sideways_right",
        "right",
        "to the right",
        "With nothing typed: scroll the results to the right; else a character on",
        action="sideways(1)",
        palette=False,
    ),
    _c(_B, "clear", "ctrl+l", "clear", "Clear the results", palette=False),
    _c(_B, "leave", "escape", "leave", "Close the list; leave the bar", 40, palette=False),
    # filter
    _c(
        _F,
        "filter_done",
        "enter,shift+tab",
        "done",
        "Keep the filter and go to the table",
        10,
        action="done",
        palette=False,
    ),
    _c(
        _F,
        "filter_complete",
        "tab",
        "complete",
        "Complete the last term; if nothing completes it, go to the table",
        15,
        action="complete",
        palette=False,
    ),
    _c(_F, "filter_older", "up", "older", "The filter used before", 30, action="recall(-1)", palette=False),
    _c(
        _F,
        "filter_newer",
        "down",
        "newer",
        "The filter used after; at the newest, go to the table",
        action="recall(1)",
        palette=False,
    ),
    _c(
        _F,
        "filter_drop",
        "escape",
        "drop",
        "Drop the change and go to the table",
        20,
        action="drop",
        palette=False,
    ),
)

BY_ID: Mapping[str, KeyCommand] = {command.id: command for command in COMMANDS}

# the scopes that are active at the same time, the innermost first
SCOPE_CHAINS: tuple[tuple[KeyScope, ...], ...] = (
    (KeyScope.TABLE, KeyScope.JOBS, KeyScope.DASHBOARD),
    (KeyScope.DETAIL, KeyScope.JOBS, KeyScope.DASHBOARD),
    (KeyScope.TABLE, KeyScope.SPACES, KeyScope.DASHBOARD),
    (KeyScope.TABLE, KeyScope.HOSTS, KeyScope.DASHBOARD),
    (KeyScope.TABLE, KeyScope.ADVICE, KeyScope.DASHBOARD),
    (KeyScope.TABLE, KeyScope.SCHEDULES, KeyScope.DASHBOARD),
    (KeyScope.LOG, KeyScope.DASHBOARD),
    (KeyScope.OVERVIEW, KeyScope.DASHBOARD),
    (KeyScope.BAR, KeyScope.DASHBOARD),
    (KeyScope.FILTER, KeyScope.JOBS, KeyScope.DASHBOARD),
)


def commands(where: KeyScope) -> tuple[KeyCommand, ...]:
    """Return the commands of a scope, in the table's order."""
    return tuple(command for command in COMMANDS if command.where is where)


# the footer's commands during a search in the command bar, and next to results that are wider than the screen
SEARCH_KEYS: tuple[KeyCommand, ...] = (
    msgspec.structs.replace(BY_ID["send"], footer=10),
    msgspec.structs.replace(BY_ID["search"], title="the one before", footer=20),
    msgspec.structs.replace(BY_ID["leave"], title="end the search", footer=30),
)
SIDEWAYS_KEYS: tuple[KeyCommand, ...] = (
    msgspec.structs.replace(BY_ID["sideways_left"], title="", footer=5),
    msgspec.structs.replace(BY_ID["sideways_right"], title="scroll", footer=6),
)
# these are in the footer only if they have an effect
LOOK_COMMANDS = ("look", "space_look", "host_look")


def bindings(where: KeyScope) -> list[Binding]:
    """Return the key bindings of a scope; the keymap changes them by the commands' ids."""
    return [
        Binding(
            command.keys, command.action, command.title, id=command.id, show=False, priority=command.priority
        )
        for command in commands(where)
    ]
