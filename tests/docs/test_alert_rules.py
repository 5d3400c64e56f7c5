"""The alert rules of docs/metrics.md, evaluated by Prometheus' own tool over simulated time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
RULES = "".join(re.findall(r"```yaml\n(groups:.*?)```", PAGE, re.DOTALL))
SUMMARIES = dict(re.findall(r"- alert: (\w+)\n(?:.+\n){1,2}?\s+annotations: \{summary: \"(.+)\"\}", RULES))

HOST = {"host": "h1"}
SPACE = {"space": "nba"}
PLACE = SPACE | HOST
SCHEDULE = {"schedule": "nightly"}
COMPACT = SPACE | {"command": "compact"}
DAY = 24 * 60
FIRING: dict[str, tuple[int, dict[str, str], tuple[tuple[str, str], ...]]] = {
    "JobtuiNoOwner": (11, {}, (("jobtui_owner_up", "0x60"),)),
    "JobtuiJobsFailed": (59, COMPACT, (("jobtui_last_failure_timestamp_seconds", "0x60"),)),
    "JobtuiNoRecentSuccess": (9 * DAY, COMPACT, (("jobtui_last_success_timestamp_seconds", "0x240"),)),
    "JobtuiQueueStuck": (7 * 60, {}, (("jobtui_queue_oldest_timestamp_seconds", "0x600"),)),
    "JobtuiQueueLong": (61, {}, (("jobtui_queue_jobs", "101x90"),)),
    "JobtuiJobForgotten": (3 * DAY + 60, {}, (("jobtui_paused_jobs", "1x100"),)),
    "JobtuiTasksWait": (61, SPACE, (("jobtui_waiting_tasks", "2x90"),)),
    "JobtuiNoProgress": (241, PLACE, (("jobtui_steps_done", "3x300"), ("jobtui_steps_planned", "64x300"))),
    "JobtuiDiskBelowReserve": (
        16,
        HOST,
        (("jobtui_disk_free_bytes", "1x60"), ("jobtui_disk_reserve_bytes", "2x60")),
    ),
    "JobtuiHostDown": (6, HOST, (("jobtui_host_up", "0x60"),)),
    "JobtuiStorageSilent": (16, {}, (("jobtui_storage_scrape_success", "0x60"),)),
    "JobtuiManyL0Files": (31, PLACE, (("jobtui_l0_files", "21x60"),)),
    "JobtuiCompactionDebt": (61, PLACE, (("jobtui_pending_compaction_bytes", "1e11x90"),)),
    "JobtuiManyDeletions": (DAY + 60, PLACE, (("jobtui_deletions_ratio", "0.6x50"),)),
    "JobtuiScheduleMissed": (1, SCHEDULE, (("jobtui_schedule_last_run_missed", "1x60"),)),
    "JobtuiScheduleLate": (1, SCHEDULE, (("jobtui_schedule_delay_seconds", "901x60"),)),
    "JobtuiNotificationsFail": (30, {}, (("jobtui_notification_failures_total", "0x10 1x60"),)),
    "JobtuiHistoryNotWritable": (1, {}, (("jobtui_history_writable", "0x60"),)),
    "JobtuiHistoryDamaged": (1, {}, (("jobtui_history_damage", "1x60"),)),
}
"""For each rule: after how many minutes it fires, the labels, and the series that make it fire."""
HEALTHY = {
    "jobtui_owner_up": ({}, "1x300"),
    "jobtui_last_failure_timestamp_seconds": (COMPACT, "0x300"),
    "jobtui_last_success_timestamp_seconds": (COMPACT, "0x300"),
    "jobtui_queue_jobs": ({}, "5x300"),
    "jobtui_queue_oldest_timestamp_seconds": ({}, "0+60x300"),
    "jobtui_paused_jobs": ({}, "0x300"),
    "jobtui_waiting_tasks": (SPACE, "0x300"),
    "jobtui_steps_done": (PLACE, "0+1x300"),
    "jobtui_steps_planned": (PLACE, "2000x300"),
    "jobtui_disk_free_bytes": (HOST, "9x300"),
    "jobtui_disk_reserve_bytes": (HOST, "2x300"),
    "jobtui_host_up": (HOST, "1x300"),
    "jobtui_storage_scrape_success": ({}, "1x300"),
    "jobtui_l0_files": (PLACE, "3x300"),
    "jobtui_pending_compaction_bytes": (PLACE, "0x300"),
    "jobtui_deletions_ratio": (PLACE, "0.1x300"),
    "jobtui_schedule_last_run_missed": (SCHEDULE, "0x300"),
    "jobtui_schedule_delay_seconds": (SCHEDULE, "2x300"),
    "jobtui_notification_failures_total": ({}, "3x300"),
    "jobtui_history_writable": ({}, "1x300"),
    "jobtui_history_readable": ({}, "1x300"),
    "jobtui_history_damage": ({}, "0x300"),
}


def series(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{shown}}}", "values": values}


def is_long(alert: str) -> bool:
    """Whether the rule takes days: it is evaluated once an hour then, as each evaluation takes its time."""
    return FIRING[alert][0] >= DAY


def firing_case(alert: str) -> dict[str, object]:
    minutes, some, made = FIRING[alert]
    labels = {"profile": "prod"} | some
    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], SUMMARIES[alert])
    expected = {"exp_labels": labels, "exp_annotations": {"summary": summary}}
    return {
        "interval": "1h" if is_long(alert) else "1m",
        "input_series": [series(name, labels, values) for name, values in made],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": [expected]}],
    }


def healthy_case() -> dict[str, object]:
    made = [series(name, {"profile": "prod"} | labels, values) for name, (labels, values) in HEALTHY.items()]
    silent = [{"eval_time": f"{minutes}m", "alertname": alert} for alert in SUMMARIES for minutes in (70, 300)]
    return {"interval": "1m", "input_series": made, "alert_rule_test": silent}


def test_each_rule_has_a_case() -> None:
    assert FIRING.keys() == SUMMARIES.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (Debian: prometheus)")
def test_rules_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    short = [firing_case(alert) for alert in FIRING if not is_long(alert)]
    long = [firing_case(alert) for alert in FIRING if is_long(alert)]
    for interval, cases in (("1m", [*short, healthy_case()]), ("1h", long)):
        checked = {"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": cases}
        (tmp_path / f"{interval}.yml").write_text(json.dumps(checked))
    command = ["promtool", "test", "rules", "1m.yml", "1h.yml"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
