from __future__ import annotations

import io

import pytest
from rich.cells import cell_len

from jobtui.tui.terminal import encoder_for
from jobtui.tui.text.spans import GLYPH, MARKED, STOPPING, WATCHED


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


def written(text: str, encoding: str) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    return encoder_for(stream)(text).decode(encoding)


@pytest.mark.parametrize(
    "text", ["▇▇░ 40%", "flush 图谱 ✔", "─ job 2 · flush été ─", "😀हिन्दी", "Took▼ a → b…"]
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r", "cp437"])
def test_stand_ins_are_as_wide_as_the_missing_glyphs(text: str, encoding: str) -> None:
    shown = written(text, encoding)
    assert cell_len(shown) == cell_len(text)
    assert "\\" not in shown


def test_supported_glyphs_are_not_replaced() -> None:
    assert written("été · 图谱 ✔", "utf-8") == "été · 图谱 ✔"
    assert written("été · 图谱 ✔", "latin-1") == "été · ???? +"


def test_no_two_signs_look_alike_without_their_characters() -> None:
    signs = [*GLYPH.values(), MARKED]
    assert len({written(sign, "ascii") for sign in signs}) == len(signs)
    assert "?" not in written(f"{''.join(signs)}{STOPPING}{WATCHED}", "ascii")


class TestFonts:
    DRAWN = "│ ✔ finished ▇▇▒░ ◷ ▶ ✖ ■ ◼ ● ◉ ╭─╮ ▸ … › é"

    @pytest.mark.parametrize(
        ("term", "shown"),
        [
            ("linux", "│ + finished ##▒░ o > x # # * * +─+ > ~ > é"),
            ("linux-16color", "│ + finished ##▒░ o > x # # * * +─+ > ~ > é"),
            ("vt100", "| + finished ##:. o > x # # * * +-+ > ~ > é"),
            ("vt220", "| + finished ##:. o > x # # * * +-+ > ~ > é"),
            ("vte-256color", DRAWN),
            ("xterm-256color", DRAWN),
            ("screen", DRAWN),
        ],
    )
    def test_glyphs_that_a_font_lacks(self, term: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", term)
        assert written(self.DRAWN, "utf-8") == shown

    @pytest.mark.parametrize("term", ["linux", "vt100"])
    def test_status_signs_stay_distinct(self, term: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", term)
        signs = [*GLYPH.values(), MARKED]
        assert len({written(sign, "utf-8") for sign in signs}) == len(signs)
