from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from jobtui.config import SETTINGS, Config, ProfileSettings, Setting
from jobtui.config.parsers import InvalidValue, parse_color
from jobtui.config.settings import TuiSettings
from jobtui.engine.notify_settings import NotifySettings

HOLDERS = {"": Config, "profiles.*": ProfileSettings, "notify": NotifySettings, "dashboard": TuiSettings}
BESIDE = {
    "path",
    "found",
    "profiles",
    "notify",
    "dashboard",
    "state_dir",
    "demo",
    "hint",
    "profile_color",
}  # not the file's to set

DECLARED = [(table, setting) for table, settings in SETTINGS.items() for setting in settings]


@pytest.mark.parametrize(("table", "setting"), DECLARED, ids=lambda part: getattr(part, "name", part))
def test_shown_default_is_the_default_used(table: str, setting: Setting) -> None:
    written = tomllib.loads(f"it = {setting.default}")["it"]
    held = HOLDERS[table](Path()) if table == "" else HOLDERS[table]()
    assert setting.parse(written, Path("/")) == getattr(held, setting.name)


@pytest.mark.parametrize("table", SETTINGS)
def test_fields_and_settings_correspond(table: str) -> None:
    fields = {field.name for field in msgspec.structs.fields(HOLDERS[table])} - BESIDE
    assert fields == {setting.name for setting in SETTINGS[table]}


@pytest.mark.parametrize(("table", "setting"), DECLARED, ids=lambda part: getattr(part, "name", part))
def test_every_setting_is_explained_in_sentences(table: str, setting: Setting) -> None:
    assert setting.meaning[0].isupper()
    assert setting.meaning.endswith((".", ")."))


def test_path_through_missing_directory_and_dotdot_resolves(tmp_path: Path) -> None:
    config = Config(Path())
    assert config.build_profile("local", tmp_path / "new" / ".." / "data").root == tmp_path / "data" / "local"
    link = tmp_path / "link"
    (tmp_path / "far" / "away").mkdir(parents=True)
    link.symlink_to(tmp_path / "far" / "away")
    assert config.build_profile("local", link / ".." / "data").root == tmp_path / "far" / "data" / "local"
    assert config.build_profile("local", link).root == link / "local"


class TestColor:
    @pytest.mark.parametrize("value", ["", "red", "purple", "#c01F3a"])
    def test_accepts_a_name_or_a_number(self, value: str) -> None:
        assert parse_color(value, Path("/")) == value

    @pytest.mark.parametrize("value", ["rad", "#fff", "#c01f3ag", 7, True])
    def test_refuses_any_other(self, value: object) -> None:
        with pytest.raises(InvalidValue, match="red, orange, yellow, "):
            parse_color(value, Path("/"))
