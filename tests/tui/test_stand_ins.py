from __future__ import annotations

import io

import pytest
from rich.cells import cell_len

from jobtui.tui.glyphs import GLYPH, MARKED, STOPPING, WATCHED
from jobtui.tui.stand_ins import stand_in_for_what_is_missing


def written(text: str, encoding: str) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    stand_in_for_what_is_missing(stream)
    stream.write(text)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize(
    "text", ["▇▇░ 40%", "flush 图谱 ✔", "─ job 2 · flush été ─", "😀हिन्दी", "Took▼ a → b…"]
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r", "cp437"])
def test_what_stands_in_is_as_wide_as_what_is_missing(text: str, encoding: str) -> None:
    shown = written(text, encoding)
    assert cell_len(shown) == cell_len(text)
    assert "\\" not in shown


def test_what_the_terminal_has_stays_as_it_is() -> None:
    assert written("été · 图谱 ✔", "utf-8") == "été · 图谱 ✔"
    assert written("été · 图谱 ✔", "latin-1") == "été · ???? +"


def test_no_two_signs_look_alike_without_their_characters() -> None:
    signs = [*GLYPH.values(), MARKED]
    assert len({written(sign, "ascii") for sign in signs}) == len(signs)
    assert "?" not in written(f"{''.join(signs)}{STOPPING}{WATCHED}", "ascii")
