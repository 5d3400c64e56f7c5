"""The themes, in palettes for 16 million and for 256 colors.

Each has a palette for terminals of 16 million colors and one of the 256 that xterm numbers: a color between
two of those would be rounded by the terminal's library, to navy and teal. With 16 colors or none, the theme
`ansi` stands for all. `tests/tui/test_themes.py` checks the contrast and that statuses can be distinguished.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from textual.theme import Theme

from jobtui.suggest import did_you_mean
from jobtui.tui.terminal import ColorDepth


def _scrollbars(ground: str, bar: str, held: str) -> dict[str, str]:
    return {
        "scrollbar": bar,
        "scrollbar-hover": held,
        "scrollbar-active": held,
        "scrollbar-background": ground,
        "scrollbar-background-hover": ground,
        "scrollbar-background-active": ground,
        "scrollbar-corner-color": ground,
    }


COLOR_NAMES = (
    "background",
    "panel",
    "cursor",
    "cursor-idle",
    "rule",
    "foreground",
    "muted",
    "primary",
    "accent",
    "queue",
    "running",
    "finished",
    "failed",
    "stopped",
    "warning",
)
"""The colors of a theme, by the names that a theme of the config file gives them."""


def _theme(name: str, colors: Mapping[str, str], dark: bool = True) -> Theme:
    ground = colors["background"]
    return Theme(
        name=name,
        primary=colors["primary"],
        secondary=colors["muted"],
        accent=colors["accent"],
        foreground=colors["foreground"],
        background=ground,
        surface=ground,
        panel=colors["panel"],
        success=colors["finished"],
        warning=colors["warning"],
        error=colors["failed"],
        dark=dark,
        variables={
            **{
                key: colors[key]
                for key in ("cursor", "cursor-idle", "queue", "running", "stopped", "muted", "rule")
            },
            # Textual's own, a lighter background, has a contrast of 3.7:1
            "input-selection-background": colors["primary"],
            "input-selection-foreground": ground,
            **_scrollbars(ground, colors["rule"], colors["primary"]),
        },
    )


def _colors(text: str) -> dict[str, str]:
    return dict(zip(COLOR_NAMES, (f"#{color}" for color in text.split()), strict=True))


# backgrounds: background, panel, cursor, idle cursor, rule; texts: foreground, muted, primary, accent;
# statuses: queue, running, finished, failed, stopped, warning
_PALETTES = {
    "dark": (
        "10141c 1b2230 22324c 1e2838 34405a d5dae3 939cad 5fafff ffb454 "
        "9aa7c7 5fc8ff 7fd88f ff6b7a c79af0 f0c05a",
        "121212 262626 303030 262626 444444 dadada 9e9e9e 5fafff ffaf5f "
        "87afd7 5fd7ff 87d787 ff8787 d7afff ffd75f",
    ),
    "light": (
        "fbfbf9 e9ebee d8e8fc e6ebf2 bcc4cf 1d2430 5d6571 0b61b8 9b5300 "
        "4f5f86 0b6aa9 1b7433 c01f3a 7a3fb0 855d00",
        "ffffff eeeeee e4e4e4 eeeeee bcbcbc 262626 626262 005faf 5f5f00 "
        "4e4e4e 005faf 005f00 af0000 5f00af 5f5f00",
    ),
    "high-contrast": (
        "000000 000000 00005f 303030 ffffff ffffff d0d0d0 ffff00 ffff00 "
        "ffffff 00ffff 00ff00 ff6767 ff87ff ffd700",
        "000000 000000 00005f 303030 ffffff ffffff d0d0d0 ffff00 ffff00 "
        "ffffff 00ffff 00ff00 ff875f ff87ff ffd700",
    ),
    # yellow, blue, orange and cyan stay apart without any one kind of cone; the test simulates each
    "color-blind": (
        "10141c 1b2230 22324c 1e2838 34405a e6e9ef 98a1b0 8ab8ff f5c04a "
        "b0b8c8 ffff5f 5fafff ff875f 87ffff ffff5f",
        "121212 262626 303030 262626 444444 eeeeee 9e9e9e 87afff ffaf5f "
        "bcbcbc ffff5f 5fafff ff875f 87ffff ffff5f",
    ),
}

DARK, LIGHT, CONTRAST, COLOR_BLIND = (
    _theme(name, _colors(true), name != "light") for name, (true, _) in _PALETTES.items()
)
# bright: the plain blue and red of the Linux console have a contrast of 1.6:1 and 2.7:1 to black
ANSI = Theme(
    name="ansi",
    primary="ansi_bright_blue",
    secondary="ansi_cyan",
    accent="ansi_yellow",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_bright_red",
    dark=True,
    ansi=True,
    variables={
        "cursor": "ansi_default",
        "cursor-idle": "ansi_default",
        "queue": "ansi_default",
        "running": "ansi_cyan",
        "stopped": "ansi_magenta",
        "muted": "ansi_default",
        "rule": "ansi_default",
        # what Textual's own ansi themes set besides the colors
        "ansi-background": "ansi_default",
        "ansi-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        **_scrollbars("ansi_default", "ansi_bright_black", "ansi_blue"),
    },
)

THEMES = (DARK, LIGHT, CONTRAST, COLOR_BLIND, ANSI)
_OF_256 = tuple(_theme(name, _colors(few), name != "light") for name, (_, few) in _PALETTES.items())
_COLOR = r"#[0-9a-fA-F]{6}"


def themes_for(depth: ColorDepth, own: Mapping[str, Mapping[str, str]] | None = None) -> tuple[Theme, ...]:
    """Return the themes that a terminal of this depth can show, the user's `own` last.

    A theme of the user's has the colors of its `base`, which is `dark` if it names none, and its own.
    """
    if depth < ColorDepth.PALETTE:
        return (ANSI,)
    themes = THEMES if depth is ColorDepth.TRUE else (*_OF_256, ANSI)
    column = 0 if depth is ColorDepth.TRUE else 1
    made = []
    for name, colors in (own or {}).items():
        if own_theme_problem(colors):
            continue  # the dashboard reports it
        base = colors.get("base", DARK.name)
        made.append(_theme(name, {**_colors(_PALETTES[base][column]), **_own_colors(colors)}, base != "light"))
    return (*themes, *made)


def _own_colors(colors: Mapping[str, str]) -> dict[str, str]:
    return {name: color for name, color in colors.items() if name in COLOR_NAMES}


def own_theme_problem(colors: Mapping[str, str]) -> str:
    """Return what is wrong with a theme of the config file, "" if nothing is."""
    for name, color in colors.items():
        if name == "base":
            if color not in _PALETTES:
                return f"base must be one of {', '.join(_PALETTES)}"
        elif name not in COLOR_NAMES:
            near = did_you_mean(name, COLOR_NAMES)
            return f"there is no color {name}; " + (f"did you mean {near}?" if near else ", ".join(COLOR_NAMES))
        elif not re.fullmatch(_COLOR, color):
            return f"{name} must be a color like #5fafff"
    return ""


# the fixed colors of xterm's 256, so that terminals of both depths show the same, and the one of the first 16
_PROFILE_COLORS = {
    "red": ("#af0000", "ansi_bright_red"),
    "orange": ("#ff8700", "ansi_yellow"),
    "yellow": ("#ffd700", "ansi_bright_yellow"),
    "green": ("#008700", "ansi_green"),
    "cyan": ("#00afaf", "ansi_cyan"),
    "blue": ("#005faf", "ansi_bright_blue"),
    "purple": ("#8700af", "ansi_magenta"),
}
_CUBE = (0, 95, 135, 175, 215, 255)


def profile_colors(color: str, depth: ColorDepth) -> tuple[str, str]:
    """Return the colors of a profile's name and its background, with a contrast of 4.5:1.

    Below 256 colors, both are the terminal's own, and the name is shown in reverse.

    Args:
        color: One of the names of the config, or like `#c01f3a`; "" for no color.
        depth: How many colors the terminal shows.
    """
    if not color:
        return "ansi_default", "ansi_default"
    ground, of_sixteen = _PROFILE_COLORS.get(color) or (color, _nearest_name(color))
    if depth < ColorDepth.PALETTE:
        return of_sixteen, "ansi_default"
    if depth is ColorDepth.PALETTE:
        ground = "#" + "".join(
            f"{min(_CUBE, key=lambda step: abs(step - part)):02x}" for part in _parts(ground)
        )
    # of black and white, one has a contrast of at least 4.58 to any color
    return ground, "#ffffff" if _luminance(ground) < 0.179 else "#000000"


def _nearest_name(color: str) -> str:
    def distance(known: str) -> int:
        return sum((a - b) ** 2 for a, b in zip(_parts(known), _parts(color), strict=True))

    return min(_PROFILE_COLORS.values(), key=lambda one: distance(one[0]))[1]


def _parts(color: str) -> list[int]:
    return [int(color[start : start + 2], 16) for start in (1, 3, 5)]


def _luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2, from 0 (black) to 1 (white)."""
    red, green, blue = (
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _parts(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def theme_name(wanted: str, themes: Sequence[Theme] = THEMES) -> str:
    """Return the name of one of the themes: the wanted one, or the first."""
    return wanted if any(theme.name == wanted for theme in themes) else themes[0].name


def theme_problem(wanted: str, own: Sequence[str] = ()) -> str:
    """Return an error message if there is no theme of this name; "" also without a name."""
    names = [*(theme.name for theme in THEMES), *own]
    if not wanted or wanted in names:
        return ""
    near = did_you_mean(wanted, names)
    hint = f"did you mean '{near}'?" if near else f"there are {', '.join(names)}"
    return f"there is no theme '{wanted}'; {hint}"


def theme_after(name: str, themes: Sequence[Theme] = THEMES) -> str:
    """Return the name of the theme after that one, the first one after the last."""
    names = [theme.name for theme in themes]
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]
