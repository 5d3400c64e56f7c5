"""What `jobtui doctor` finds out about a profile, beyond its own tests of the output."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from jobtui.engine.health import probe_storage
from jobtui.storage.base import CompactionRequest, OperationControl, ProgressCallback, TaskResult
from jobtui.storage.local.backend import LocalStorage


def test_remark_on_a_finished_job_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    compact = LocalStorage.compact

    async def remarking(
        storage: LocalStorage,
        space: str,
        host: str,
        request: CompactionRequest,
        progress: ProgressCallback,
        control: OperationControl,
    ) -> TaskResult:
        return replace(await compact(storage, space, host, request, progress, control), note="a remark")

    monkeypatch.setattr(LocalStorage, "compact", remarking)
    probe_storage()
