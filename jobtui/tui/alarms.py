"""What is said under the header while something is wrong: why nothing can be written, no connection, damage."""

from __future__ import annotations

from datetime import datetime

from jobtui.tui import units
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.linking import link_alarm


def alarm(context: Context, link_told: datetime) -> str:
    """The gravest of them, in words and with what to do; "" while all is well.

    `link_told` is when the connection to the cluster was last told of.
    """
    desk = context.desk
    if desk.trouble:
        return desk.trouble
    if desk.link is not None:
        key = context.keymap.shown(BY_ID["retry"])
        said = link_alarm(desk.link, link_told, context.now(), key)
        if said:
            return said
    return _damage(context)


def _damage(context: Context) -> str:
    notes = context.desk.history.notes
    if not notes:
        return ""
    others = sorted({job for note in notes[1:] for job in note.jobs}.difference(notes[0].jobs))
    whose = f", of job {units.ids(others)}" if others else ""
    more = f" (and {len(notes) - 1} more{whose})" if len(notes) > 1 else ""
    return f"The history was damaged: {notes[0]}{more}. jobtui history verify tells all of it"
