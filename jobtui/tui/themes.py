"""The themes: dark, light, high contrast, and one that leaves all colors to the terminal."""

from __future__ import annotations

from textual.theme import Theme

from jobtui.suggest import did_you_mean


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


DARK = Theme(
    name="dark",
    primary="#5fafff",
    secondary="#7a88a8",
    accent="#ffb454",
    foreground="#d5dae3",
    background="#10141c",
    surface="#10141c",
    panel="#1b2230",
    success="#7fd88f",
    warning="#f0c05a",
    error="#ff6b7a",
    dark=True,
    variables={
        "cursor": "#2a3d5c",
        "cursor-idle": "#1e2838",
        "queue": "#9aa7c7",
        "running": "#5fc8ff",
        "stopped": "#c79af0",
        "muted": "#7d889c",
        "rule": "#34405a",
        **_scrollbars("#10141c", "#34405a", "#5fafff"),
    },
)
LIGHT = Theme(
    name="light",
    primary="#0b61b8",
    secondary="#56617a",
    accent="#a85a00",
    foreground="#1d2430",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#e9ebee",
    success="#1c7a36",
    warning="#8f6400",
    error="#c01f3a",
    dark=False,
    variables={
        "cursor": "#cfe2fb",
        "cursor-idle": "#e6ebf2",
        "queue": "#4f5f86",
        "running": "#0b6fb0",
        "stopped": "#7a3fb0",
        "muted": "#69727f",
        "rule": "#bcc4cf",
        **_scrollbars("#fbfbf9", "#bcc4cf", "#0b61b8"),
    },
)
CONTRAST = Theme(
    name="high-contrast",
    primary="#ffff00",
    secondary="#ffffff",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    success="#00ff00",
    warning="#ffd700",
    error="#ff5f5f",
    dark=True,
    variables={
        "cursor": "#0000d7",
        "cursor-idle": "#3a3a3a",
        "queue": "#ffffff",
        "running": "#00ffff",
        "stopped": "#ff87ff",
        "muted": "#d0d0d0",
        "rule": "#ffffff",
        **_scrollbars("#000000", "#d0d0d0", "#ffff00"),
    },
)
ANSI = Theme(
    name="ansi",
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_yellow",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
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

THEMES = (DARK, LIGHT, CONTRAST, ANSI)


def theme_name(wanted: str) -> str:
    """Return the name of an existing theme: the wanted one, or the dark one."""
    return wanted if any(theme.name == wanted for theme in THEMES) else DARK.name


def theme_problem(wanted: str) -> str:
    """Return an error message if there is no theme of this name; "" if there is, or no name is given."""
    names = [theme.name for theme in THEMES]
    if not wanted or wanted in names:
        return ""
    near = did_you_mean(wanted, names)
    hint = f"did you mean '{near}'?" if near else f"there are {', '.join(names)}"
    return f"there is no theme '{wanted}'; {hint}"


def theme_after(name: str) -> str:
    """Return the name of the theme after that one, the first one after the last."""
    names = [theme.name for theme in THEMES]
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]
