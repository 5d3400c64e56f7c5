from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from jobtui.tui.terminal import Glyphs, encoder_for, is_ascii_locale
from jobtui.tui.text.spans import GLYPH, MARKED, STOPPING, WATCHED


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def written(text: str, encoding: str, glyphs: Glyphs = Glyphs.AUTO) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    return encoder_for(stream, glyphs)(text).decode(encoding)


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
            ("linux", "│ + finished ##▒░ o > x # # * * ┌─┐ > ~ > é"),
            ("linux-16color", "│ + finished ##▒░ o > x # # * * ┌─┐ > ~ > é"),
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


class TestLocale:
    @pytest.mark.parametrize(
        ("environ", "is_ascii"),
        [
            ({"LC_ALL": "C"}, True),
            ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, True),
            ({"LC_CTYPE": "C", "LANG": "de_DE.UTF-8"}, True),
            ({"LANG": "C"}, True),
            ({"LC_ALL": "", "LANG": "C"}, True),
            ({"LC_ALL": "C.UTF-8", "LANG": "C"}, False),
            ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
            ({"LC_CTYPE": "UTF-8"}, False),
            ({"LANG": "de_DE.UTF-8"}, False),
            ({}, False),
        ],
    )
    def test_environment_decides(self, environ: dict[str, str], is_ascii: bool) -> None:
        assert is_ascii_locale(environ, environ) is is_ascii

    @pytest.mark.parametrize("started", [{"LANG": "C"}, {"LC_CTYPE": "POSIX", "LANG": "de_DE.UTF-8"}])
    def test_locale_that_python_replaced(self, started: dict[str, str]) -> None:
        assert is_ascii_locale(started | {"LC_CTYPE": "C.UTF-8"}, started)

    def test_python_without_a_locale_is_no_choice(self) -> None:
        assert not is_ascii_locale({"LC_CTYPE": "C.UTF-8"}, {})

    def test_everything_is_ascii_unless_the_setting_differs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LC_ALL", "C")
        assert written("─ ✔ été 图谱", "utf-8") == "- + ?t? ????"
        assert written("─ ✔ été 图谱", "utf-8", Glyphs.UNICODE) == "─ ✔ été 图谱"

    @pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no record of the first environment")
    def test_first_environment_is_read(self) -> None:
        code = "from jobtui.tui.terminal import is_ascii_locale; print(is_ascii_locale())"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environ | {"LANG": "C"}, capture_output=True, text=True, check=True)
        assert done.stdout == "True\n"
