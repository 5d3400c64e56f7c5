"""The question on leaving while work is under way: wait, stop it, or stay."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from jobtui.model import Job
from jobtui.tui import units
from jobtui.tui.glyphs import status_piece
from jobtui.tui.lines import Ink, Line
from jobtui.tui.screens.dialog import Choice, Question

_NAMED = 6


class Leave(enum.Enum):
    """What to do about the work."""

    STAY = "stay"
    WAIT = "wait"
    STOP = "stop"
    NOW = "now"
    HAND_OVER = "hand over"


def quit_question(active: Sequence[Job], may_hand_over: bool, now: Callable[[Job], Job]) -> Question[Leave]:
    """Ask; to stay is the focused answer. `may_hand_over`: the work can go on without a screen. `now` tells
    what has become of a job."""

    def live() -> tuple[str, Sequence[Line]]:
        jobs = [now(job) for job in active]
        going = sum(not job.status.ended for job in jobs)
        title = f"{units.many(going, 'job')} queued or running" if going else "All jobs have ended"
        return title, _lines(jobs)

    title, lines = live()
    background = [Choice("b", "Leave; jobs go on in the background", Leave.HAND_OVER)]
    return Question(
        title,
        lines,
        [
            Choice("n", "Stay", Leave.STAY),
            Choice("w", "Wait until they have ended, then leave", Leave.WAIT),
            Choice("s", "Stop them, then leave", Leave.STOP),
            *(background if may_hand_over else ()),
            Choice("i", "Leave now; running jobs are interrupted", Leave.NOW),
        ],
        live=live,
    )


def _lines(jobs: Sequence[Job]) -> list[Line]:
    lines: list[Line] = [
        ((f"job {job.id}  ", Ink.STRONG), (f"{job.label[:50]}  ", Ink.PLAIN), status_piece(job))
        for job in jobs[:_NAMED]
    ]
    if len(jobs) > _NAMED:
        lines.append(((f"and {units.many(len(jobs) - _NAMED, 'more job')}", Ink.MUTED),))
    return lines
