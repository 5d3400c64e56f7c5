"""Private names of Textual: that they are what `jobtui.tui.textual_ext` relies on, and used nowhere else."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from functools import cache
from importlib.metadata import version
from typing import Any

import pytest
from textual._compositor import Compositor
from textual._keyboard_protocol import FUNCTIONAL_KEYS
from textual._styles_cache import StylesCache
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.command import CommandPalette
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import _character_to_key
from textual.screen import Screen
from textual.scrollbar import ScrollBar
from textual.widget import Widget
from textual.widgets import Input, TextArea
from textual.widgets._toast import ToastRack

from jobtui import tui
from jobtui.tui import textual_ext

OUTSIDE = [
    module.name
    for module in pkgutil.walk_packages(tui.__path__, f"{tui.__name__}.")
    if not module.name.startswith(textual_ext.__name__)
]

SIGNATURES: dict[Any, str] = {
    App._check_bindings: "self, key, priority",
    App._fatal_error: "self",
    App._close_messages_no_wait: "self",
    App._refresh_notifications: "self",
    App._start_widget: "self, parent, widget",
    App._unnotify: "self, notification, refresh",
    ToastRack._toast_id: "notification",
    CommandPalette._on_message: "self, message",
    CommandPalette._action_command_list: "self, action",
    CommandPalette._watch__list_visible: "self",
    CommandPalette._watch__show_busy: "self",
    inspect.unwrap(CommandPalette._gather_commands): "self, search_value",
    Compositor._get_renders: "self, crop",
    Compositor.render_partial_update: "self",
    StylesCache.render_line: (
        "self, styles, y, size, content_size, padding, base_background, background, render_content_line, "
        "border_title, border_subtitle, opacity, ansi_theme, native_ansi"
    ),
    StylesCache.get_inner_outer: "cls, base_background, background",
    ScrollBar.validate_position: "self, position",
    XTermParser.__init__: "self, debug",
    XTermParser.feed: "self, data",
    XTermParser.tick: "self",
    XTermParser._sequence_to_key_events: "self, sequence, alt",
    WriterThread.__init__: "self, file",
    WriterThread.write: "self, text",
    WriterThread.run: "self",
    WriterThread.stop: "self",
    LinuxDriver._get_terminal_size: "self",
    LinuxDriver._sigcont_application: "self, _",
    LinuxDriver.start_application_mode: "self",
    LinuxDriver.stop_application_mode: "self",
    LinuxDriver.run_input_thread: "self",
    _character_to_key: "character",
}

ATTRIBUTES: dict[type, tuple[str, ...]] = {
    App: ("_exit", "_driver", "_clipboard", "_filters", "_exception", "_exit_renderables", "_notifications"),
    Screen: ("_compositor",),
    Widget: ("_styles_cache", "_vertical_scrollbar"),
    Compositor: ("_dirty_regions",),
    TextArea: ("_line_cache",),
    WriterThread: ("_queue",),
    LinuxDriver: (
        "_writer_thread", "_in_band_window_resize", "_app", "_debug", "_loop", "_key_thread",
        "_must_signal_resume",
    ),
}  # fmt: skip


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def own_names(definition: ast.ClassDef) -> set[str]:
    """Return the private names that a class defines, or reads from its own objects."""
    names = set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return set(filter(is_private, names))


def foreign_names(tree: ast.AST) -> set[str]:
    """Return the private names that a module reads from anything but `self`: other objects, or `super()`."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }


def textual_names(cls: type) -> set[str]:
    """Return the private names that a class and its bases in Textual define, in the class or by assignment."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("textual")]
    return set().union(*map(defined_names, bases))


@cache
def defined_names(cls: type) -> frozenset[str]:
    names = set(vars(cls))
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls)))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return frozenset(filter(is_private, names))


class TestUses:
    @pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
    def test_signature(self, function: Any) -> None:
        assert ", ".join(inspect.signature(function).parameters) == SIGNATURES[function]

    @pytest.mark.parametrize("owner", ATTRIBUTES)
    def test_attributes(self, owner: type) -> None:
        assert set(ATTRIBUTES[owner]) - textual_names(owner) == set()

    def test_driver_makes_its_writer_by_the_patched_name(self) -> None:
        assert "WriterThread(self._file)" in inspect.getsource(LinuxDriver.start_application_mode)
        assert hasattr(linux_driver, "WriterThread")

    def test_names_of_functional_keys(self) -> None:
        assert "escape" in FUNCTIONAL_KEYS.values()
        assert all(isinstance(name, str) for name in FUNCTIONAL_KEYS.values())

    def test_version_is_the_stated_one(self) -> None:
        assert f"Textual {version('textual')}" in (textual_ext.__doc__ or "")


class TestBorder:
    @pytest.mark.parametrize("name", OUTSIDE)
    def test_no_private_name_outside(self, name: str) -> None:
        module = importlib.import_module(name)
        tree = ast.parse(inspect.getsource(module))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                assert own_names(node) & textual_names(getattr(module, node.name)) == set(), node.name
        held = (App, Screen, TextArea, Input, LinuxDriver, CommandPalette, ScrollBar)
        assert foreign_names(tree) & set().union(*map(textual_names, held)) == set()

    @pytest.mark.parametrize("name", OUTSIDE)
    def test_no_private_import_outside(self, name: str) -> None:
        tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        imported = [
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "textual"
            for alias in node.names
        ]
        assert [each for each in imported if "._" in each] == []
