"""The settings of a cluster are consistent, and secrets stay secret."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.nebula.settings import (
    Address,
    ClusterSettings,
    EnvironmentPassword,
    KeyringPassword,
    LiteralPassword,
    RunMode,
    Secret,
    Tls,
)

GRAPHD = (Address("10.0.0.1", 9669),)
PEM = Path(__file__).parent / "tls"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:9669", Address("10.0.0.1", 9669)),
        ("graphd.example", Address("graphd.example", 9669)),
        (" graph-1:12345 ", Address("graph-1", 12345)),
        ("[::1]:9669", Address("::1", 9669)),
        ("[fe80::1%eth0]", Address("fe80::1%eth0", 9669)),
    ],
)
def test_address_is_a_host_and_perhaps_a_port(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":9669", "host:", "host:port", "a b:1", "host:0", "host:70000", "u:p@host:1"]
)
def test_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        Address.parse(text)


@pytest.mark.parametrize(
    "text", ["root:s3cr3t", "nebula://root:s3cr3t@host:9669", "root:s3cr3t@host", "s3cr3t@h i"]
)
def test_possible_password_in_an_address_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address") as caught:
        Address.parse(text)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"addresses": ()}, "address of a graphd is missing"),
        ({"name": ""}, "needs a name"),
        ({"spaces": {"nba": ("10.0.0.5",)}}, 'only with run = "storaged"'),
        ({"run": RunMode.STORAGED, "spaces": {"nba": ()}}, "'nba' needs hosts"),
        ({"run": RunMode.STORAGED, "spaces": {"nba": ("h", "h")}}, "'nba' needs hosts, each named once"),
        ({"answer_timeout": 0}, "more than 0 seconds"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(ClusterSettings(addresses=GRAPHD), **changes)


def test_1x_cluster_with_listed_spaces_needs_no_graphd() -> None:
    settings = ClusterSettings(run=RunMode.STORAGED, spaces={"nba": ("10.0.0.5",)}, storaged_port=12000)
    assert settings.addresses == ()


def test_password_is_read_from_environment_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = EnvironmentPassword("A_PASSWORD")
    monkeypatch.setenv("A_PASSWORD", "first")
    assert source.read().reveal() == "first"
    monkeypatch.setenv("A_PASSWORD", "")
    assert source.read().reveal() == ""
    monkeypatch.delenv("A_PASSWORD")
    with pytest.raises(StorageError, match="the environment variable A_PASSWORD is not set") as caught:
        source.read()
    assert caught.value.code is ErrorCode.ACCESS


def test_password_is_read_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyringError(Exception): ...

    entries = {("prod", "root"): "nebula"}
    keyring = SimpleNamespace(
        get_password=lambda service, user: entries.get((service, user)),
        errors=SimpleNamespace(KeyringError=KeyringError),
    )
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert KeyringPassword("prod", "root").read().reveal() == "nebula"
    with pytest.raises(StorageError, match="no entry for 'guest' of 'prod'"):
        KeyringPassword("prod", "guest").read()

    def locked(service: str, user: str) -> str:
        raise KeyringError("it is locked")

    keyring.get_password = locked
    with pytest.raises(StorageError, match="cannot be read: it is locked"):
        KeyringPassword("prod", "root").read()


def test_missing_keyring_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(StorageError, match="needs the package 'keyring'"):
        KeyringPassword("prod", "root").read()


def test_secret_shows_in_no_repr_and_is_not_written_down() -> None:
    settings = ClusterSettings(addresses=GRAPHD, password=LiteralPassword(Secret("s3cr3t")))
    for text in (repr(settings), str(settings), f"{settings.password}", f"{Secret('s3cr3t')}"):
        assert "s3cr3t" not in text
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(settings)


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        (Tls(ca=PEM / "nowhere.pem"), "nowhere.pem cannot be used: No such file or directory"),
        (Tls(ca=PEM / "README"), "README cannot be used"),
        (Tls(ca=PEM / "ca.pem", certificate=PEM / "ca.pem"), "ca.pem cannot be used"),
    ],
)
def test_unusable_certificate_file_is_named(tls: Tls, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught:
        tls.context()
    assert caught.value.code is ErrorCode.ACCESS
