"""The bar's history: what was sent, up and down through it, and the search of ctrl+r."""

from __future__ import annotations

from jobtui.tui.state import StateStore


class Typed:
    """Texts sent from the command bar, across starts; the draft in hand is not lost on the way up."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._texts = _once(store.read_typed())
        self._place = len(self._texts)
        self._draft = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Oldest first, each once, at the place where it was last sent."""
        return tuple(self._texts)

    def add(self, text: str) -> None:
        """A text was sent."""
        if text in self._texts:
            self._texts.remove(text)
        self._texts.append(text)
        self._store.add_typed(text)
        self.rest()

    def rest(self) -> None:
        """Back to after the newest."""
        self._place = len(self._texts)
        self._draft = ""

    def older(self, current: str) -> str | None:
        """The text sent before the one shown; None at the oldest."""
        if self._place == 0:
            return None
        if self._place == len(self._texts):
            self._draft = current
        self._place -= 1
        return self._texts[self._place]

    def newer(self) -> str | None:
        """The text sent after the one shown, at last the draft; None where the draft is shown already."""
        if self._place >= len(self._texts):
            return None
        self._place += 1
        return self._draft if self._place == len(self._texts) else self._texts[self._place]

    def search(self, words: str, skip: int = 0) -> str | None:
        """The newest text that holds `words`, in any case, after `skip` newer ones; None where none does."""
        wanted = words.casefold()
        found = [text for text in reversed(self._texts) if wanted in text.casefold()]
        return found[skip] if skip < len(found) else None

    def close(self) -> None:
        """Keep the file short."""
        self._store.trim_typed(self._texts)


def _once(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(reversed(texts)))[::-1]
