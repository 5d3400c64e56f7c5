"""A cluster in the config: the settings that the engine gets, and those refused before anything is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import jobtui
from jobtui.cli.main import main
from jobtui.config import ConfigError, read_config
from jobtui.config.settings import cluster_profile_name
from jobtui.engine.profile import Profile
from jobtui.storage.nebula.settings import (
    Address,
    ClusterSettings,
    EnvironmentPassword,
    KeyringPassword,
    RunMode,
    Tls,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def profile_of(file: Path, text: str) -> Profile:
    file.write_text(f'[profiles.prod]\ncluster = "nebula"\n{text}')
    return read_config(file).build_profile("prod", file.parent / "data")


def cluster_of(file: Path, text: str) -> ClusterSettings:
    cluster = profile_of(file, text).cluster
    assert cluster is not None
    return cluster


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    return str(caught.value)


def test_jobs_of_a_cluster_profile_carry_its_name(file: Path) -> None:
    found = profile_of(file, 'graphd = ["a:1", "b"]\nuser = "me"\n')
    assert found.cluster == ClusterSettings(
        name="prod", addresses=(Address("a", 1), Address("b", 9669)), user="me", password=EnvironmentPassword()
    )
    assert found.root == file.parent / "data" / "prod"


def test_password_is_read_from_the_configured_source(file: Path) -> None:
    def source(settings: str) -> object:
        return cluster_of(file, f'graphd = ["a"]\npassword = "{settings}"\n').password

    assert source("env:MY_PASSWORD") == EnvironmentPassword("MY_PASSWORD")
    assert source("keyring") == KeyringPassword("jobtui prod", "root")
    assert source("keyring:our cluster") == KeyringPassword("our cluster", "root")


def test_tls_files_are_relative_to_the_config(file: Path) -> None:
    assert cluster_of(file, 'graphd = ["a"]\n').tls is None
    assert cluster_of(file, 'graphd = ["a"]\ntls = true\n').tls == Tls()
    text = (
        'graphd = ["a"]\ntls = { ca = "ca.pem", certificate = "/c.pem", key = "/k.pem", server_name = "g" }\n'
    )
    assert cluster_of(file, text).tls == Tls(file.parent / "ca.pem", Path("/c.pem"), Path("/k.pem"), "g")


def test_version_1_is_reached_host_by_host(file: Path) -> None:
    settings = 'run = "storaged"\nstoraged_port = 12000\nspaces = { nba = ["h1", "h2"] }\n'
    cluster = cluster_of(file, settings + 'storaged = { h2 = "h2:12002" }\n')
    assert (cluster.run, cluster.storaged_port) == (RunMode.STORAGED, 12000)
    assert (cluster.spaces, cluster.storaged) == ({"nba": ("h1", "h2")}, {"h2": Address("h2", 12002)})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ('password = "s3cr3t"', 'profiles.prod.password must be where the password is: "env:VARIABLE"'),
        ('password = "env:s3cr3t!"', "profiles.prod.password must be where the password is"),
        ("password = 53", "The password itself does not belong in a file"),
        ('passwd = "s3cr3t"', "there is no setting profiles.prod.passwd; did you mean 'password'?"),
        ('graphd = ["root:s3cr3t@10.0.0.1"]', "without a user's name or a password"),
        ('graphd = ["root:s3cr3t"]', "is not an address"),
        ('graphd = ["10.0.0.1"]\nuser = "root:s3cr3t"', "a user's name alone, without a password"),
        ('graphd = ["10.0.0.1:99999"]', "has a port that is not between 1 and 65535"),
        ('graphd = "10.0.0.1"', "profiles.prod.graphd must be a list of addresses"),
        ("graphd = []", "profiles.prod: the address of a graphd is missing"),
        ('graphd = ["a"]\nspaces = { nba = ["h"] }', 'spaces can be given only with run = "storaged"'),
        (
            'run = "storaged"\nspaces = { nba = [] }',
            "profiles.prod.spaces must be a table of spaces and the hosts of each",
        ),
        ('graphd = ["a"]\nrun = "both"', 'profiles.prod.run must be "cluster" or "storaged"'),
        ('graphd = ["a"]\ntls = { cert = "x" }', "there is no cert"),
        ('graphd = ["a"]\ntls = { key = "x" }', "a certificate for its key"),
        ('graphd = ["a"]\nhosts = { a = "" }', "hosts belong to embedded storage"),
    ],
)
def test_contradicting_settings_are_refused_without_password(file: Path, settings: str, reason: str) -> None:
    text = refusal(file, f'[profiles.prod]\ncluster = "nebula"\n{settings}\n')
    assert reason in text
    assert "s3cr3t" not in text


def test_cluster_settings_without_a_cluster_are_refused(file: Path) -> None:
    assert 'cluster = "nebula" is missing' in refusal(file, '[profiles.prod]\ngraphd = ["a"]\n')
    assert 'must be "nebula"' in refusal(file, '[profiles.prod]\ncluster = "mysql"\n')


def test_printed_cluster_config_reads_back_the_same(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(
        '[profiles.prod]\ncluster = "nebula"\ngraphd = ["a:1", "b"]\ntls = { ca = "ca.pem" }\n'
        '[profiles.old]\ncluster = "nebula"\nrun = "storaged"\nspaces = { "ä b" = ["h1", "h2"] }\n'
    )
    assert main(["config", "--config", str(file)]) == 0
    printed = file.with_name("printed.toml")
    printed.write_text(capsys.readouterr().out)
    assert read_config(printed).profiles == read_config(file).profiles


def test_example_of_the_documentation_is_a_config(file: Path) -> None:
    text = (Path(jobtui.__file__).parents[1] / "docs" / "nebulagraph.md").read_text()
    for example in text.split("```toml\n")[1:]:
        file.write_text(example.split("```")[0])
        cluster = read_config(file).build_profile("prod").cluster
        assert cluster is not None
        assert len(cluster.addresses) == 3


def test_unnamed_cluster_has_its_own_directory() -> None:
    assert cluster_profile_name("10.0.0.1:9669") == "nebula-10_0_0_1_9669"
    assert cluster_profile_name("../[::1]:9669") == "nebula-______1__9669"


def test_config_without_a_cluster_imports_nothing_of_clusters(file: Path) -> None:
    file.write_text("[profiles.local]\n")
    program = (
        "import sys; from pathlib import Path; from jobtui.config import read_config; "
        f"read_config(Path({str(file)!r})).build_profile('local'); "
        "print([m for m in sys.modules if 'nebula' in m or m == 'ssl'])"
    )
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert text.stdout.strip() == "[]"
