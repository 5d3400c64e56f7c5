"""Waiting for submitted jobs while the owner of the profile changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.cli import wait
from jobtui.engine.profile import Profile
from jobtui.errors import OwnerUnavailable
from jobtui.history import StoreError


class Takeover:
    """What each try to reach the next owner comes to; the last one over and over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *outcome: object) -> None:
        self.outcomes = list(outcome)
        monkeypatch.setattr(wait, "ATTEMPT_INTERVAL_SECONDS", 0.0)
        monkeypatch.setattr(wait.RemoteClient, "connect", self.connect)

    def connect(self, profile: Profile) -> object:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_history_unreadable_during_takeover_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = object()
    Takeover(monkeypatch, OwnerUnavailable("gone"), StoreError("half made"), owner)
    assert wait._connect_next_owner(Profile("local", tmp_path)) is owner


def test_history_that_stays_unreadable_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Takeover(monkeypatch, StoreError("damaged"))
    with pytest.raises(StoreError, match="damaged"):
        wait._connect_next_owner(Profile("local", tmp_path))


def test_no_endless_wait_for_an_owner_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Takeover(monkeypatch, OwnerUnavailable("gone"))
    assert wait._connect_next_owner(Profile("local", tmp_path)) is None
