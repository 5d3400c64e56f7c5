"""The pages for contributors and users: each path, link and example in them holds."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md", "tests/README.md")
ALL = ("CHANGELOG.md", *PAGES[:2], *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
TOPS = ("jobtui/", "tests/", "benchmarks", "styles", "docs/", "man/", "screenshots/", ".ci/")


def page(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_path_exists(name: str) -> None:
    named = [word for word in re.findall(r"`([^`\s*<]+)`", page(name)) if word.startswith(TOPS)]
    missing = [word for word in named if not (ROOT / word).exists() and word != "jobtui/styles/"]
    assert missing == []


@pytest.mark.parametrize("name", [*ALL, "tests/README.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page(name)) if "://" not in link]
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_readme_links_every_page() -> None:
    linked = {name for name in ALL if f"({name})" in page("README.md")}
    assert linked == set(ALL) - {"README.md"}


class TestArchitecture:
    PAGE = "docs/architecture.md"

    def test_modules_without_a_path_follow_their_package(self) -> None:
        """`args.py` after `jobtui/cli/main.py` means `jobtui/cli/args.py`."""
        package = Path("jobtui")
        missing = []
        for name in re.findall(
            r"`((?:[\w.]+/)*\w+\.py)`", page(self.PAGE).replace("`base.py`", "`storage/base.py`")
        ):
            path = Path(name) if name.startswith(("jobtui/", "tests/")) else package / name
            if not (ROOT / path).exists() and not (ROOT / "jobtui" / name).exists():
                missing.append(name)
            package = path.parent
        assert missing == []

    def test_every_class_and_table_is_defined(self) -> None:
        code = "".join(path.read_text() for path in (ROOT / "jobtui").rglob("*.py"))
        named = re.findall(r"`([A-Z]\w+)[`(]", page(self.PAGE))
        assert [
            each
            for each in named
            if not re.search(rf"^(class )?{each}\b.*[:=]", code, re.MULTILINE) and each != "Theme"
        ] == []

    def test_every_package_is_in_the_table(self) -> None:
        packages = {path.name for path in (ROOT / "jobtui").iterdir() if (path / "__init__.py").exists()}
        named = set(re.findall(r"^\| `jobtui/(\w+)/` \|", page(self.PAGE), re.MULTILINE))
        assert named == packages


class TestExamplesOfTests:
    BLOCKS = re.findall(r"^```python\n(.*?)^```", page("tests/README.md"), re.DOTALL | re.MULTILINE)

    @pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
    def test_example_passes(self, block: str, tmp_path: Path) -> None:
        names: dict[str, object] = {}
        exec(block, names)
        tests = [each for name, each in names.items() if name.startswith("test_") and inspect.isfunction(each)]
        assert tests
        for number, test in enumerate(tests):
            directory = tmp_path / str(number)
            directory.mkdir()
            test(directory)

    def test_every_helper_is_mentioned(self) -> None:
        text = page("tests/README.md")
        helpers = {path.stem for path in (ROOT / "tests" / "support").glob("*.py")} - {"__init__"}
        assert [name for name in helpers if not re.search(rf"\b{name}\b", text)] == []
