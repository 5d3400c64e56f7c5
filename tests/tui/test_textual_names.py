"""Names that Textual looks up at run time: a rename that forgets them causes no error."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import textual.app
import textual.command
from textual.message import Message
from textual.widget import Widget

from jobtui import tui
from jobtui.tui.base_app import style_sheets


def our_classes() -> Iterator[type]:
    for module in pkgutil.walk_packages(tui.__path__, f"{tui.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and value.__module__ == module.name:
                yield value
                yield from (nested for nested in vars(value).values() if inspect.isclass(nested))


def test_every_message_has_a_handler() -> None:
    classes = list(our_classes())
    handlers = {name for owner in classes for name in vars(owner) if name.startswith("on_")}
    messages = [owner for owner in classes if issubclass(owner, Message) and owner is not Message]
    assert messages
    assert [owner.__qualname__ for owner in messages if owner.handler_name not in handlers] == []


def test_every_type_selector_names_a_widget() -> None:
    known = {"App", "Vertical", "Screen", "Toast", "ToastRack"}
    known |= {name for name, value in vars(textual.command).items() if inspect.isclass(value)}
    known |= {owner.__name__ for owner in our_classes() if issubclass(owner, Widget)}
    unknown = []
    for sheet in style_sheets():
        rules = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
        for selector in re.findall(r"([^{}]*)\{", rules):
            names = re.findall(r"(?<![\w.#:$-])[A-Z]\w*", selector)
            unknown += [f"{sheet.name}: {name}" for name in names if name not in known]
    assert unknown == []
