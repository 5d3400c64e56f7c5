"""The themes: contrast, statuses that can be distinguished, the terminal's depth, and the user's own."""

from __future__ import annotations

import itertools

import pytest
from rich.color import Color as RichColor
from rich.color import ColorSystem, parse_rgb_hex
from textual.color import Color
from textual.theme import Theme

from jobtui.config.parsers import PROFILE_COLORS
from jobtui.tui.base_app import style_sheet
from jobtui.tui.terminal import ColorDepth, color_depth
from jobtui.tui.themes import ANSI, COLOR_BLIND, own_theme_problem, profile_colors, theme_name, themes_for

MIN_CONTRAST = 4.5
PAINTED = [
    pytest.param(theme, id=f"{theme.name}-{depth.name.lower()}")
    for depth in (ColorDepth.TRUE, ColorDepth.PALETTE)
    for theme in themes_for(depth)
    if not theme.ansi
]
# the colors of two terminals that have 16
SIXTEEN = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "linux": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
}
MIN_CONTRAST_OF_SIXTEEN = 3.0  # magenta has 3.3 on the Linux console, and is the darkest
# how people without one kind of cone see linear RGB (Machado, Oliveira and Fernandes, 2009)
BLINDNESS = {
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
RGB = tuple[float, float, float]


def linear(color: str) -> RGB:
    values = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    )
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    bright, dark = sorted(
        (0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in map(linear, (one, other))),
        reverse=True,
    )
    return (bright + 0.05) / (dark + 0.05)


def lab(color: RGB) -> RGB:
    """Oklab, in which equal distances look about equally different."""
    red, green, blue = (max(0.0, min(1.0, value)) for value in color)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def distance(one: RGB, other: RGB) -> float:
    return sum((a - b) ** 2 for a, b in zip(lab(one), lab(other), strict=True)) ** 0.5


def statuses(theme: Theme) -> list[str]:
    """The colors of finished, failed, stopped and running."""
    assert theme.success
    assert theme.error
    return [theme.success, theme.error, theme.variables["stopped"], theme.variables["running"]]


@pytest.mark.parametrize("theme", PAINTED)
def test_every_text_can_be_read_on_every_ground(theme: Theme) -> None:
    variables = theme.variables
    texts = [theme.foreground, theme.primary, theme.accent, theme.warning, *statuses(theme)]
    texts += [variables["queue"], variables["muted"]]
    backgrounds = [theme.background, theme.panel, variables["cursor"], variables["cursor-idle"]]
    for text, background in itertools.product(texts, backgrounds):
        assert text
        assert background
        assert contrast(text, background) >= MIN_CONTRAST, (text, background)
    selected = variables["input-selection-foreground"], variables["input-selection-background"]
    assert contrast(*selected) >= MIN_CONTRAST


@pytest.mark.parametrize("colors", SIXTEEN.values(), ids=SIXTEEN)
def test_texts_of_16_colors_can_be_read_on_black(colors: str) -> None:
    texts = [ANSI.primary, ANSI.accent, ANSI.warning, *statuses(ANSI)]
    texts += [profile_colors(color, ColorDepth.SIXTEEN)[0] for color in PROFILE_COLORS]
    for text in texts:
        assert text
        number = Color.parse(text).ansi
        assert number is not None
        assert contrast(f"#{colors.split()[number]}", "#000000") >= MIN_CONTRAST_OF_SIXTEEN, text


@pytest.mark.parametrize("theme", PAINTED)
def test_statuses_differ(theme: Theme) -> None:
    for one, other in itertools.combinations(statuses(theme), 2):
        assert distance(linear(one), linear(other)) > 0.08, (one, other)


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("depth", [ColorDepth.TRUE, ColorDepth.PALETTE])
def test_statuses_differ_for_the_color_blind(kind: str, depth: ColorDepth) -> None:
    theme = next(theme for theme in themes_for(depth) if theme.name == COLOR_BLIND.name)

    def seen(color: str) -> RGB:
        red, green, blue = (
            sum(part * value for part, value in zip(row, linear(color), strict=True)) for row in BLINDNESS[kind]
        )
        return red, green, blue

    for one, other in itertools.combinations(statuses(theme), 2):
        assert distance(seen(one), seen(other)) > 0.12, (kind, one, other)


@pytest.mark.parametrize("theme", [theme for theme in themes_for(ColorDepth.PALETTE) if not theme.ansi])
def test_256_colors_are_those_of_the_terminal(theme: Theme) -> None:
    for color in (theme.background, theme.panel, theme.foreground, *statuses(theme), *theme.variables.values()):
        assert color
        rounded = RichColor.parse(color).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
        # Rich rounds some grays to the next darker one
        step = 10 if color[1:3] == color[3:5] == color[5:7] else 0
        assert max(abs(a - b) for a, b in zip(rounded, parse_rgb_hex(color[1:]), strict=True)) <= step, color


@pytest.mark.parametrize(
    ("environ", "colors", "expected"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, None, ColorDepth.TRUE),
        ({"TERM": "xterm-256color"}, None, ColorDepth.PALETTE),
        ({"TERM": "screen-256color", "COLORTERM": "truecolor", "STY": "1.x"}, None, ColorDepth.PALETTE),
        ({"TERM": "tmux-256color", "COLORTERM": "truecolor"}, None, ColorDepth.TRUE),
        ({"TERM": "xterm-direct"}, None, ColorDepth.TRUE),
        ({"TERM": "alacritty"}, 256, ColorDepth.PALETTE),
        ({"TERM": "xterm"}, 8, ColorDepth.SIXTEEN),
        ({"TERM": "linux"}, 8, ColorDepth.SIXTEEN),
        ({"TERM": "xterm-mono"}, -1, ColorDepth.NONE),
        ({"TERM": "vt100"}, None, ColorDepth.NONE),
        ({"TERM": "dumb"}, None, ColorDepth.NONE),
        ({}, None, ColorDepth.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, None, ColorDepth.NONE),
    ],
)
def test_depth_is_known_from_the_environment(
    environ: dict[str, str], colors: int | None, expected: ColorDepth
) -> None:
    assert color_depth(environ, colors) is expected


def test_fewer_colors_are_left_to_the_terminal() -> None:
    assert themes_for(ColorDepth.SIXTEEN) == (ANSI,)
    assert theme_name("light", themes_for(ColorDepth.NONE)) == "ansi"


class TestProfileColors:
    """A profile's name on its color."""

    COLORS = (*PROFILE_COLORS, "#000000", "#777777", "#787878", "#ffffff", "#3355ff", "#0f0f0f")

    @pytest.mark.parametrize("depth", [ColorDepth.TRUE, ColorDepth.PALETTE])
    @pytest.mark.parametrize("color", COLORS)
    def test_name_can_be_read(self, color: str, depth: ColorDepth) -> None:
        background, name = profile_colors(color, depth)
        assert contrast(background, name) >= MIN_CONTRAST
        if depth is ColorDepth.PALETTE:
            rounded = RichColor.parse(background).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
            assert contrast(rounded.hex, name) >= MIN_CONTRAST

    @pytest.mark.parametrize("color", COLORS)
    def test_with_16_colors_it_is_a_color_of_the_terminal(self, color: str) -> None:
        assert profile_colors(color, ColorDepth.SIXTEEN)[0].startswith("ansi_")

    def test_no_two_names_look_the_same(self) -> None:
        for depth in (ColorDepth.TRUE, ColorDepth.PALETTE, ColorDepth.SIXTEEN):
            assert len({profile_colors(color, depth)[0] for color in PROFILE_COLORS}) == len(PROFILE_COLORS)


class TestOwn:
    def test_unset_colors_come_from_the_base(self) -> None:
        *_, mine = themes_for(ColorDepth.TRUE, {"mine": {"base": "light", "failed": "#aa0000"}})
        light = next(theme for theme in themes_for(ColorDepth.TRUE) if theme.name == "light")
        assert (mine.name, mine.error, mine.background) == ("mine", "#aa0000", light.background)
        assert not mine.dark

    @pytest.mark.parametrize(
        ("colors", "problem"),
        [
            ({"base": "drak"}, "base must be one of dark, light, high-contrast, color-blind"),
            ({"fialed": "#aa0000"}, "there is no color fialed; did you mean failed?"),
            ({"failed": "red"}, "failed must be a color like #5fafff"),
            ({"failed": "#aa0000"}, ""),
        ],
    )
    def test_mistake_in_a_theme_is_named(self, colors: dict[str, str], problem: str) -> None:
        assert own_theme_problem(colors) == problem
        assert ("mine" in [theme.name for theme in themes_for(ColorDepth.TRUE, {"mine": colors})]) is (
            not problem
        )


def test_missing_style_sheet_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"jobtui's style sheet none\.tcss is missing"):
        style_sheet("none.tcss")
