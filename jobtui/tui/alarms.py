"""What is said under the header while something is wrong: why nothing can be written, no connection, damage."""

from __future__ import annotations

from datetime import datetime

from jobtui.tui import units
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.linking import link_alarm


def alarm(context: Context, link_told: datetime) -> tuple[str, str]:
    """The gravest of them: its kind, and in words with what to do; both "" while all is well.

    Whoever has read one wants to see no other of its kind: words that count seconds are not another alarm.
    `link_told` is when the connection to the cluster was last told of.
    """
    desk = context.desk
    if desk.trouble:
        return desk.trouble, desk.trouble
    if desk.link is not None:
        key = context.keymap.shown(BY_ID["retry"])
        said = link_alarm(desk.link, link_told, context.now(), key)
        if said:
            return f"link {desk.link.state.value}", said
    damage = _damage(context)
    return damage, damage


def _damage(context: Context) -> str:
    notes = context.desk.history.notes
    if not notes:
        return ""
    others = sorted({job for note in notes[1:] for job in note.jobs}.difference(notes[0].jobs))
    whose = f", of job {units.ids(others)}" if others else ""
    more = f" (and {len(notes) - 1} more{whose})" if len(notes) > 1 else ""
    return f"The history was damaged: {notes[0]}{more}. jobtui history verify tells all of it"
