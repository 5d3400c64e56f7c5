import itertools

import pytest

from jobtui.tui.commands import BY_ID, COMMANDS, SCOPE_CHAINS, KeyScope, bindings, commands
from jobtui.tui.keymap import Keymap, load_keymap, readable_key
from jobtui.tui.textual_ext.keys import key_of_character


def test_no_two_commands_of_a_view_share_a_key() -> None:
    for where in KeyScope:
        keys = list(itertools.chain.from_iterable(command.keys.split(",") for command in commands(where)))
        assert len(keys) == len(set(keys)), where


def test_no_key_conflicts_with_tmux_screen_or_alt() -> None:
    for command in COMMANDS:
        for key in command.keys.split(","):
            assert key not in ("ctrl+a", "ctrl+b", "ctrl+q")
            assert not key.startswith("alt+")


def test_every_command_has_a_description() -> None:
    for command in COMMANDS:
        assert command.title
        assert command.help[0].isupper()
        assert not command.help.endswith(".")
    assert len(BY_ID) == len(COMMANDS)


def test_outer_key_is_hidden_only_on_purpose() -> None:
    on_purpose = {
        "suspend",
        "redraw",
        "clear",
        "back",
        "leave",
        "filter_done",
        "filter_complete",
        "filter_drop",
        "open",
        "zoom",
        "send",
        "sort_tasks_next",
        "sort_tasks_previous",
        "next_failure",
        "previous_failure",
    }
    for chain in SCOPE_CHAINS:
        for inner, outer in itertools.combinations(chain, 2):
            for one, other in itertools.product(commands(inner), commands(outer)):
                shared = set(one.keys.split(",")) & set(other.keys.split(","))
                assert not shared or one.id in on_purpose, (one.id, other.id, shared)


def test_keymap_changes_the_keys_of_a_command() -> None:
    changed = load_keymap({"stop": "ctrl+s,X"})
    assert changed.problems == ()
    assert changed.keys(BY_ID["stop"]) == ("ctrl+s", "X")
    assert changed.shown(BY_ID["stop"]) == "ctrl+s"
    assert changed.keys(BY_ID["recover"]) == ("r",)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"stpo": "x"}, "there is no command stpo; did you mean stop?"),
        ({"stop": "r"}, "r for stop is taken by recover; stop keeps s"),
        ({"stop": "?"}, "? for stop is taken by help"),
        ({"help": "s"}, "s for help is taken by stop"),
        ({"stop": " , "}, "stop has no key"),
        ({"stop": "foo"}, "there is no key foo; stop keeps s"),
        ({"stop": "x,delte"}, "there is no key delte; did you mean delete?; stop keeps s"),
        ({"stop": "crtl+s"}, "there is no key crtl+s"),
        ({"stop": "ctrl+"}, "there is no key ctrl+"),
        ({"stop": "shift+s"}, "there is no key shift+s; did you mean S?"),
    ],
)
def test_impossible_change_is_named_and_skipped(wanted: dict[str, str], message: str) -> None:
    changed = load_keymap(wanted)
    assert message in changed.problems[0]
    assert changed.changes == {}


@pytest.mark.parametrize(
    ("command", "written", "key"),
    [
        ("back", "esc", "escape"),
        ("page_up", "pgup", "pageup"),
        ("mark_up", "⇧↑", "shift+up"),
        ("up", "↑", "up"),
        ("pause", "F13", "f13"),
        ("pause", "Ctrl+S", "ctrl+s"),
        ("pause", "ctrl+?", "ctrl+question_mark"),
        ("pause", "ctrl+shift+f5", "ctrl+shift+f5"),
        ("pause", "é", "é"),
        ("pause", "€", "euro_sign"),
        ("pause", "euro_sign", "euro_sign"),
        ("pause", "number_sign", "number_sign"),
        ("pause", "print_screen", "print_screen"),
    ],
)
def test_key_may_be_written_as_shown_typed_or_named(command: str, written: str, key: str) -> None:
    assert load_keymap({command: written}) == Keymap({command: key}, ())


def test_keys_that_commands_have_are_keys() -> None:
    assert not [p for one in COMMANDS for p in load_keymap({one.id: one.keys}).problems if "no key" in p]


def test_two_commands_may_change_keys_with_each_other() -> None:
    swapped = load_keymap({"recover": "ctrl+r", "stop": "r"})
    assert swapped.problems == ()
    assert swapped.keys(BY_ID["stop"]) == ("r",)


def test_bindings_carry_their_commands_ids() -> None:
    assert {binding.id for binding in bindings(KeyScope.JOBS)} == {
        command.id for command in commands(KeyScope.JOBS)
    }


def test_keys_are_shown_as_they_are_printed_on_the_keyboard() -> None:
    assert [readable_key(key) for key in ("question_mark", "escape", "ctrl+p", "s")] == [
        "?",
        "esc",
        "ctrl+p",
        "s",
    ]


def test_key_that_types_a_character_is_shown_as_that() -> None:
    names = {key for command in COMMANDS for key in command.keys.split(",")}
    typed = {key_of_character(chr(code)) for code in range(0x21, 0x7F)}
    assert {key for key in names & typed if len(readable_key(key)) > 1} == set()
