"""Keys in the order in which they were pressed, and their names.

Written for Textual 8.2.8.

Textual puts a key into the queue of the focused widget and looks for a binding when it comes back from there.
When a slow line or a script delivers many keys at once, letters typed later are in the text before an earlier
ctrl+u is handled, and a later move comes before an earlier mark. `handle_key` handles a key completely before
the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Protocol, runtime_checkable

from textual import events
from textual._keyboard_protocol import FUNCTIONAL_KEYS
from textual.app import App
from textual.keys import Keys, _character_to_key
from textual.widget import Widget

_ALT = "alt+"


@runtime_checkable
class TextEntry(Protocol):
    """A widget that the user types text into."""

    async def handle_key(self, event: events.Key) -> bool:
        """Handle a key that has a meaning in the text; return False if it may only be a binding."""
        ...

    def insert_paste(self, text: str) -> None:
        """Insert a pasted text."""
        ...


@runtime_checkable
class CursorOwner(Protocol):
    """A widget with a cursor: the keys that move it, each with the function that does."""

    moves: Mapping[str, Callable[[Any], None]]


class KeyHost(Protocol):
    """The screen that gets the keys."""

    @property
    def app(self) -> App[Any]:
        """The app, with its bindings."""
        ...

    @property
    def focused(self) -> Widget | None:
        """The widget that has the focus."""
        ...

    @property
    def is_typing(self) -> bool:
        """Whether the user types text."""
        ...

    def has_class(self, *class_names: str) -> bool:
        """Return whether the screen has these CSS classes."""
        ...

    def restore_focus(self) -> None:
        """Focus the widget that keys are for now."""
        ...

    def clear_selection(self) -> None:
        """Discard the selection made with the mouse."""
        ...


async def handle_key(host: KeyHost, event: events.Key | events.Paste, unseen: Container[str]) -> bool:
    """Handle a key or a paste completely; return False if it has no meaning here.

    Args:
        host: The screen.
        event: The key or the paste.
        unseen: The keys that are handled even while the terminal is too small to show anything.
    """
    if host.has_class("-too-small") and not _works_unseen(host, event, unseen):
        return True
    if host.focused is None:
        # the input has just ended and its message is on its way, or the terminal has become large enough again
        host.restore_focus()
    focused = host.focused
    if isinstance(event, events.Paste):
        if isinstance(focused, TextEntry):
            focused.insert_paste(event.text)
            return True
        return False
    if isinstance(focused, TextEntry):
        if await focused.handle_key(event):
            return True
    elif isinstance(focused, CursorOwner) and (move := focused.moves.get(event.key)) is not None:
        move(focused)
        return True
    if event.key == "escape":
        host.clear_selection()
    if await run_binding(host.app, event.key):
        return True
    letter = event.key.removeprefix(_ALT)
    if len(letter) == 1 and letter != event.key:
        # esc and a letter that followed so quickly that they were read as one key
        await handle_key(host, events.Key("escape", "\x1b"), unseen)
        return await handle_key(host, events.Key(letter, letter), unseen)
    return False


def normalize_early_key(event: events.Key | events.Paste) -> events.Key | events.Paste:
    """Return a key that was typed before the start as the user meant it.

    Until then the terminal turns an enter into the newline that a shell expects, which is ctrl+j here.
    """
    return events.Key("enter", "\r") if isinstance(event, events.Key) and event.key == "ctrl+j" else event


def _works_unseen(host: KeyHost, event: events.Key | events.Paste, unseen: Container[str]) -> bool:
    if isinstance(event, events.Paste) or (host.is_typing and event.is_printable):
        return False
    return event.key in unseen


async def run_binding(app: App[Any], key: str) -> bool:
    """Run the action that is bound to a key; return whether there is one.

    Private: `App._check_bindings`. Reason: Textual calls it only after the key went through a widget's queue
    (see the module), so that keys that come fast would act in another order. Gain: none in speed.
    """
    return await app._check_bindings(key, priority=True) or await app._check_bindings(key)


def key_of_character(character: str) -> str:
    """Return Textual's name of the key that types a character: `slash` for `/`.

    Private: `textual.keys._character_to_key`. Reason: the names must be those that Textual's keys have.
    """
    return _character_to_key(character)


def functional_key_names() -> frozenset[str]:
    """Return the names of the keys that type no character: `f1`, `pageup`.

    Private: `textual._keyboard_protocol.FUNCTIONAL_KEYS`. Reason: `textual.keys.Keys` lacks some of them.
    """
    names = {key.value.rpartition("+")[2] for key in Keys if key.value.isprintable()}
    names.update(FUNCTIONAL_KEYS.values())
    return frozenset(name for name in names if len(name) > 1 and name.isidentifier())
