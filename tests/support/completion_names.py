"""A provider of spaces, hosts and jobs for completion."""

from __future__ import annotations

from jobtui.language.completion import JobOperation, ids_with_prefix


class SampleNames:
    """Five spaces, three hosts, two schedules and thirty failed jobs."""

    def spaces(self) -> list[str]:
        return ["nba", "my-space", "图谱", "flush", "no.name"]

    def hosts(self) -> list[str]:
        return ["local0", "192.168.8.5", "2"]

    def schedules(self) -> list[str]:
        return ["nightly", "rate"]

    def jobs(self, kind: JobOperation, starting: str) -> list[tuple[int, str]]:
        return [(job, "failed") for job in ids_with_prefix(starting, 30)]
