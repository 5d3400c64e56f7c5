"""How it stands with the connection to a cluster, in words: a few for the header, a sentence for the alarm."""

from __future__ import annotations

from datetime import datetime

from jobtui.model import Link, LinkState
from jobtui.tui import units
from jobtui.tui.lines import Ink, Piece

_INKS = {
    LinkState.CONNECTING: Ink.WARNING,
    LinkState.CONNECTED: Ink.FINISHED,
    LinkState.LOST: Ink.FAILED,
    LinkState.REFUSED: Ink.FAILED,
    LinkState.CLOSED: Ink.MUTED,
}
_GLYPHS = {
    LinkState.CONNECTING: "◌",
    LinkState.CONNECTED: "●",
    LinkState.LOST: "✖",
    LinkState.REFUSED: "✖",
    LinkState.CLOSED: "○",
}


def link_piece(link: Link) -> Piece:
    """`● 10.0.0.5:9669`, `◌ connecting`, `✖ lost`; `◌ 10.0.0.5:9669` where it does not answer."""
    words = link.address if link.state is LinkState.CONNECTED and link.address else link.state.value
    if link.state is LinkState.CONNECTED and link.detail:
        return f"{_GLYPHS[LinkState.CONNECTING]} {words}", _INKS[LinkState.CONNECTING]
    return f"{_GLYPHS[link.state]} {words}", _INKS[link.state]


def link_alarm(link: Link, told: datetime, now: datetime, retry_key: str) -> str:
    """What to say of a connection that is not there; "" while it is, or is just being made.

    `told` is when the link was told, which its `retry_in` counts from.
    """
    if link.state is LinkState.CONNECTED and link.detail:
        return f"{link.detail[0].upper()}{link.detail[1:]}: what is shown may be from before"
    reason = f": {link.detail}" if link.detail else ""
    if link.state is LinkState.REFUSED:
        return f"Not connected{reason}. {retry_key} tries again"
    if link.state is not LinkState.LOST:
        return ""
    if link.retry_in is None:
        again = "connecting again"
    else:
        left = max(0, round(link.retry_in - (now - told).total_seconds()))
        again = f"tries again in {left} s, {retry_key} does now"
    return f"No connection since {units.moment(link.since)}{reason}. {again[0].upper()}{again[1:]}"
