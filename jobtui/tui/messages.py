"""What the parts of the dashboard tell each other across the screen. A widget posts up and takes data down."""

from __future__ import annotations

from textual.message import Message


class Woken(Message, bubble=False):
    """The feed has something; posted from the engine's thread, at most one until it is drained."""

    def can_replace(self, message: Message) -> bool:
        """Two of them say what one says."""
        return isinstance(message, Woken)


class Refreshed(Message, bubble=False):
    """The history that another process writes has changed; posted from the thread that looked."""

    def can_replace(self, message: Message) -> bool:
        """Two of them say what one says."""
        return isinstance(message, Refreshed)


class Seen(Message, bubble=False):
    """There is a new overview of spaces and hosts; posted from the engine's thread."""

    def can_replace(self, message: Message) -> bool:
        """Two of them say what one says."""
        return isinstance(message, Seen)
