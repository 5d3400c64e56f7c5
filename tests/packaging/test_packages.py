"""The wheel and the sdist are complete, and the command that a wheel installs works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from jobtui import __version__
from tests.support.terminal import Terminal

ROOT = Path(__file__).parents[2]
CHECKOUT = (
    *("jobtui", "styles", "tests", "benchmarks", "docs", "man"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"),
)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def virtual_environment(directory: Path) -> Path:
    """Create an environment without a pip of its own (5 CPU seconds); return its directory of programs."""
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    return directory / "bin"


def pip_install(programs: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Install into an environment with the pip of the tests' own. Modules are compiled when they are used."""
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    return subprocess.run(
        [*pip, "install", "-q", "--no-compile", *words], capture_output=True, text=True, timeout=240
    )


def copy_checkout(target: Path) -> None:
    """What a fresh clone holds."""
    target.mkdir()
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target / name)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist, built from a copy of the checkout."""
    target = tmp_path_factory.mktemp("packages")
    copy_checkout(target / "checkout")
    programs = virtual_environment(target / "builder")
    installed = pip_install(programs, "hatchling")
    if installed.returncode != 0:
        pytest.skip(f"the build needs hatchling, and pip cannot get it: {installed.stderr[-200:]}")
    run(programs / "python", "-m", "hatchling", "build", "-d", target / "dist", cwd=target / "checkout")
    return target / "dist"


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    return packages / f"jobtui-{__version__}-py3-none-any.whl"


def modules() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / "jobtui").rglob("*.py")}


def styles() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / "styles").rglob("*.tcss")}


def test_wheel_holds_every_module_the_styles_and_the_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert modules() <= names
    assert {f"jobtui/{style}" for style in styles()} <= names
    assert "jobtui/py.typed" in names
    assert f"jobtui-{__version__}.dist-info/licenses/LICENSE" in names
    assert f"jobtui-{__version__}.data/data/share/man/man1/jobtui.1" in names
    assert not {name for name in names if name.startswith(("tests", "benchmarks"))}


def test_sdist_holds_what_its_tests_need(packages: Path) -> None:
    with tarfile.open(packages / f"jobtui-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    included = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "man/jobtui.1", "tests/conftest.py"}
    assert modules() | styles() | included <= names


def test_installed_wheel_starts_and_prints_its_version(wheel: Path, tmp_path: Path, long: bool) -> None:
    programs = virtual_environment(tmp_path / "venv")
    installed = pip_install(programs, *([] if long else ["--no-deps"]), wheel)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert run(programs / "jobtui", "--version", cwd=tmp_path).startswith(f"jobtui {__version__} (Python ")
    if long:
        shown = run(programs / "jobtui", "--data-dir", tmp_path / "data", "-e", "SHOW SPACES", cwd=tmp_path)
        assert shown.splitlines()[1] == "| Name | Hosts | Size | In Memory | To Compact |"


def test_readmes_first_command_ends_in_the_dashboard(tmp_path: Path) -> None:
    copy_checkout(tmp_path / "clone")
    command = re.search(r"^python3 -m venv .* && \.venv/bin/jobtui$", (ROOT / "README.md").read_text(), re.M)
    assert command is not None
    environment = dict(os.environ) | {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    # jobtui imports a fraction of the modules that pip would compile; "0" is how pip spells "do not" here
    environment |= {"PIP_NO_COMPILE": "0"}
    with Terminal(["bash", "-c", command[0]], environment=environment, cwd=tmp_path / "clone") as terminal:
        terminal.until(lambda screen: "local[" in screen, 240)
        terminal.press("q")
        assert terminal.ended() == 0
