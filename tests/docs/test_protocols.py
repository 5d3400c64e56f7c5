"""The examples of docs/protocols.md are real messages, and each kind of message has one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from jobtui.engine import protocol as socket
from jobtui.storage.local import protocol as pipe

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"
EXAMPLES = re.findall(r"^\| `(\w+)` \| `(\{.*\})` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
UNIONS = (socket.RequestBody, socket.Response, pipe.WorkerCommand, pipe.WorkerMessage)
KINDS = {kind.__name__ for union in UNIONS for kind in get_args(union)}


def decoded(line: str) -> object:
    """The message in a line of either protocol, without its envelope."""
    if '"want":' in line:
        return msgspec.json.decode(line, type=socket.Request).want
    if '"command":' in line:
        return msgspec.json.decode(line, type=pipe.WorkerRequest).command
    if '"reply":' in line:
        return msgspec.json.decode(line, type=pipe.WorkerResponse).reply
    return msgspec.json.decode(line, type=socket.Response)


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_example_decodes_to_its_message(name: str, line: str) -> None:
    assert type(decoded(line)).__name__ == name


def test_each_message_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == KINDS


def test_protocol_numbers_are_the_current_ones() -> None:
    text = PAGE.read_text("utf-8")
    assert set(re.findall(r'"is":"here","protocol":(\d+)', text)) == {str(pipe.PROTOCOL)}
    assert set(re.findall(r'\},"protocol":(\d+)', text)) == {str(socket.PROTOCOL)}
