from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.files import (
    foreign_owner,
    open_new,
    open_to_append,
    others_can_write,
    publish_file,
    read_regular,
    replace_file,
    temporary_parent,
    user_name,
    write_atomically,
)
from tests.support.users import STRANGER, needs_root


class TestOpenNew:
    def test_link_is_replaced_and_its_target_kept(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("precious")
        (tmp_path / "link").symlink_to("target")
        os.close(open_new(tmp_path / "link"))
        assert (tmp_path / "target").read_text() == "precious"
        assert not (tmp_path / "link").is_symlink()

    def test_hard_link_to_another_file_is_removed(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("precious")
        (tmp_path / "link").hardlink_to(tmp_path / "target")
        os.close(open_new(tmp_path / "link"))
        assert (tmp_path / "target").read_text() == "precious"

    def test_file_is_private_under_any_umask(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            os.close(open_new(tmp_path / "file"))
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


class TestOpenToAppend:
    def test_file_is_created_and_appended_to(self, tmp_path: Path) -> None:
        for word in (b"one ", b"two"):
            file = open_to_append(tmp_path / "log")
            os.write(file, word)
            os.close(file)
        assert (tmp_path / "log").read_text() == "one two"

    @pytest.mark.parametrize("target", ["there", "nowhere"])
    def test_link_is_refused(self, tmp_path: Path, target: str) -> None:
        (tmp_path / "there").write_text("")
        (tmp_path / "log").symlink_to(target)
        with pytest.raises(OSError, match="it is a symbolic link"):
            open_to_append(tmp_path / "log")
        assert not (tmp_path / "nowhere").exists()

    def test_pipe_is_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "log")
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):  # it has no reader
            open_to_append(tmp_path / "log")
        reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
        with pytest.raises(OSError, match="it is not a regular file"):
            open_to_append(tmp_path / "log")
        os.close(reader)


class TestReadRegular:
    @pytest.mark.parametrize(
        ("kind", "message"), [("pipe", "a pipe"), ("device", "a device"), ("dir", "a directory")]
    )
    def test_other_file_types_are_refused_at_once(self, tmp_path: Path, kind: str, message: str) -> None:
        path = tmp_path / "file"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "dir":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(OSError, match=f"it is {message}"):
            read_regular(path)


class TestPublishFile:
    def test_others_can_read_the_new_content(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics"
        for data in (b"old", b"new"):
            publish_file(path, data)
        assert path.read_bytes() == b"new"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    @pytest.mark.parametrize("target", ["/dev/null", "there", "nowhere"])
    def test_links_stay(self, tmp_path: Path, target: str) -> None:
        (tmp_path / "there").touch()
        path = tmp_path / "link"
        path.symlink_to(target)
        with pytest.raises(OSError, match="it is a link, not a file"):
            publish_file(path, b"")
        assert path.is_symlink()

    def test_pipes_stay(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="it is a pipe, not a file"):
            publish_file(tmp_path / "pipe", b"")
        assert (tmp_path / "pipe").is_fifo()


class TestOwners:
    def test_own_directory(self, tmp_path: Path) -> None:
        assert foreign_owner(tmp_path) == ""
        assert foreign_owner(tmp_path / "not" / "there") == ""

    @needs_root
    def test_directory_of_another_user(self, tmp_path: Path) -> None:
        os.chown(tmp_path, STRANGER, STRANGER)
        for directory in (tmp_path, tmp_path / "not" / "there"):
            assert f"{tmp_path} belongs to user {STRANGER}" in foreign_owner(directory)
        assert list(tmp_path.iterdir()) == []

    @needs_root
    def test_file_system_that_gives_files_to_the_directory_owner(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Given:
            """A file as vfat or a mapped mount has it: the mount's owner's."""

            def __init__(self, **_options: object) -> None:
                self._file = os.open(tmp_path / "probe", os.O_CREAT)
                os.fchown(self._file, STRANGER, STRANGER)

            def __enter__(self) -> Given:
                return self

            def __exit__(self, *_: object) -> None:
                os.close(self._file)

            def fileno(self) -> int:
                return self._file

        os.chown(tmp_path, STRANGER, STRANGER)
        monkeypatch.setattr(tempfile, "TemporaryFile", Given)
        assert foreign_owner(tmp_path) == ""

    def test_user_without_a_name(self) -> None:
        assert user_name(STRANGER) == f"user {STRANGER}"

    @pytest.mark.parametrize(
        ("mode", "open_"), [(0o700, False), (0o755, False), (0o770, True), (0o1777, False)]
    )
    def test_others_can_write(self, tmp_path: Path, mode: int, open_: bool) -> None:
        tmp_path.chmod(mode)
        assert others_can_write(tmp_path) is open_


class TestTemporaryParent:
    def test_fallback_that_can_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none() -> str:
            raise FileNotFoundError(2, "No usable temporary directory found")

        monkeypatch.setattr(tempfile, "gettempdir", none)
        assert temporary_parent(tmp_path / "missing", tmp_path) == tmp_path
        with pytest.raises(FileNotFoundError, match="set TMPDIR"):
            temporary_parent(tmp_path / "missing")


class TestReplaceFile:
    """A reader sees the old content or the new."""

    @pytest.mark.parametrize("write", [replace_file, write_atomically])
    def test_replaces_the_whole_file(self, tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"a longer text")
        write(path, b"new")
        assert path.read_bytes() == b"new"
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("write", [replace_file, write_atomically])
    def test_failure_leaves_no_draft(self, tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
        (tmp_path / "file").mkdir()
        with pytest.raises(OSError, match="directory"):
            write(tmp_path / "file", b"new")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
