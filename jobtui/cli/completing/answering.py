"""The hidden verb that the scripts call at each tab: the line up to the cursor in, the shell's answer out.

The first line of an answer is what the shell shall offer by itself where nothing follows: `nothing`,
`files` or `directories`. Then a line an offer:

    bash    the rest of readline's word, as it is written; when it only lists, the offer and its note
    zsh     the whole word as it is written, a tab, what is shown
    fish    the whole word without its quotes, a tab, the note

A word that goes on is never offered alone: bash and fish would close its quote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobtui.cli.completing.line import Line, read_line
from jobtui.cli.completing.offers import Offer, Offers, offers
from jobtui.cli.exits import CommandError, Exit
from jobtui.cli.streams import Output

VERB = "__complete"
LISTING = "list"
_BREAKS = "=:"


def answer(words: Sequence[str]) -> int:
    """`__complete SHELL LINE [list]`. A tab says nothing of what is wrong: it offers nothing then."""
    from jobtui.errors import StorageError
    from jobtui.history import StoreError

    shell, text, *rest = words
    line = read_line(text)
    try:
        found = offers(line.words[1:], line.typed)
    except (CommandError, StoreError, StorageError, OSError):
        found = Offers()
    output = Output()
    output.write("".join(f"{one}\n" for one in _lines(shell, line, found, listing=LISTING in rest)))
    output.flush()
    return Exit.DONE


def _lines(shell: str, line: Line, found: Offers, *, listing: bool) -> Iterator[str]:
    yield found.fallback
    for offer in found.found:
        note = " ".join(offer.note.split())
        match shell:
            case "bash" if listing and len(found.found) > 1:
                yield f"{offer.text.strip()}  {note}".rstrip()
            case "bash":
                yield _for_readline(line, offer)
                if offer.goes_on and len(found.found) == 1:
                    yield f"{_for_readline(line, offer)} "
            case "zsh":
                shown = f"{offer.text.strip()} -- {note}" if note else offer.text.strip()
                yield f"{_in_quotes(line, offer)}\t{shown}"
            case _:
                yield f"{line.typed[: offer.start]}{offer.text}\t{note}"
                if offer.goes_on and len(found.found) == 1:
                    end = " " if offer.text.endswith(" ") else ";"
                    yield f"{line.typed[: offer.start]}{offer.text}{end}\t"


def _in_quotes(line: Line, offer: Offer) -> str:
    """The whole word; a statement that begins without a quote gets one, for blanks will follow."""
    if offer.goes_on and not line.quote and line.raw == line.typed:
        return f'"{line.typed[: offer.start]}{Line((), "", "", (0,), chr(34)).with_word(0, offer.text)}'
    whole = line.with_word(offer.start, offer.text)
    return whole if offer.goes_on or line.quote else f"{whole} "


def _for_readline(line: Line, offer: Offer) -> str:
    """The same from where readline has the word begin: behind the open quote, or the last `=` or `:`."""
    whole = _in_quotes(line, offer)
    if line.quote:
        return whole[line.raw.rindex(line.quote, 0, line.places[0] + 1) + 1 :] if line.raw else whole
    end = max((line.raw.rfind(one) for one in _BREAKS), default=-1)
    return whole[end + 1 :]
