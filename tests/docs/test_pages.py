"""What the pages for contributors name is there, so that they stay as true as the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")
ALL = ("CHANGELOG.md", *PAGES[:2], *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
TOPS = ("jobtui/", "tests/", "benchmarks", "styles", "docs/", "man/", "screenshots/", ".ci/")


def page(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_path_that_is_named_is_there(name: str) -> None:
    named = [word for word in re.findall(r"`([^`\s*<]+)`", page(name)) if word.startswith(TOPS)]
    missing = [word for word in named if not (ROOT / word).exists() and word != "jobtui/styles/"]
    assert missing == []


@pytest.mark.parametrize("name", ALL)
def test_every_link_leads_to_a_file(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page(name)) if "://" not in link]
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_every_page_of_the_docs_is_reached_from_the_readme() -> None:
    linked = {name for name in ALL if f"({name})" in page("README.md")}
    assert linked == set(ALL) - {"README.md"}


def test_every_bare_module_is_in_a_room() -> None:
    modules = {path.name for path in (ROOT / "jobtui").rglob("*.py")} | {
        path.name for path in (ROOT / "tests" / "support").glob("*.py")
    }
    named = re.findall(r"`(?:\w+/)*(\w+\.py)`", page("docs/architecture.md") + page("CONTRIBUTING.md"))
    assert [name for name in named if name not in modules] == []


def test_every_name_in_capitals_that_is_to_be_added_to_is_there() -> None:
    code = "".join(path.read_text() for path in (ROOT / "jobtui").rglob("*.py"))
    for name in ("SYNTAX", "READ_ONLY", "JOB_COLUMNS", "THEMES", "SETTINGS"):
        assert f"`{name}`" in page("docs/architecture.md")
        assert re.search(rf"^{name}\b.*=", code, re.MULTILINE), name


def test_the_rooms_are_all_in_the_table() -> None:
    rooms = {path.name for path in (ROOT / "jobtui").iterdir() if (path / "__init__.py").exists()}
    named = set(re.findall(r"^\| `jobtui/(\w+)/` \|", page("docs/architecture.md"), re.MULTILINE))
    assert named == rooms
