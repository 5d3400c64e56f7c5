"""`jobtui metrics` and `jobtui serve --metrics`, as Prometheus and its textfile collector read them."""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from tests.support.commands import CommandLine


def values(text: str) -> dict[str, list[float]]:
    return {
        family.name: [sample.value for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


@contextmanager
def serving(jobtui: CommandLine, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server, and the URL of its metrics."""
    with jobtui.started("serve", "--metrics", "127.0.0.1:0", *words) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline().decode() for _ in range(2)]
        (url,) = re.findall(r"Metrics are at (http://127\.0\.0\.1:\d+/metrics)$", lines[1], re.MULTILINE)
        yield process, url


def scraped(url: str, accept: str = "application/openmetrics-text;version=1.0.0") -> tuple[str, str]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_printed_without_an_owner(jobtui: CommandLine) -> None:
    jobtui.done("-e", "CREATE SPACE nba; ADMIN FLUSH nba")
    found = values(jobtui.done("metrics"))
    assert found["jobtui_owner_up"] == [0]
    assert 1 in found["jobtui_jobs"]
    assert "jobtui_host_up" not in found


def test_nothing_is_created(jobtui: CommandLine) -> None:
    assert values(jobtui.done("metrics"))["jobtui_history_readable"] == [1]
    assert not jobtui.data.exists()


def test_served_and_printed_while_served(jobtui: CommandLine, tmp_path: Path) -> None:
    jobtui.done("-e", "CREATE SPACE nba; ADMIN FLUSH nba")
    with serving(jobtui) as (process, url):
        kind, text = scraped(url)
        assert kind.startswith("application/openmetrics-text")
        found = values(text)
        assert found["jobtui_host_up"] == [1, 1, 1]
        assert found["jobtui_owner_up"] == found["jobtui_history_writable"] == [1]
        kind, text = scraped(url, "text/plain")
        assert kind.startswith("text/plain")
        assert [family.name for family in parse_prometheus(text)][:2] == [
            "jobtui_build_info",
            "jobtui_owner_up",
        ]
        output = tmp_path / "jobtui.prom"
        output.write_text("old")
        output.chmod(0o600)
        assert jobtui.done("metrics", "--output", output) == ""
        assert values(output.read_text()).keys() == found.keys()
        assert output.stat().st_mode & 0o777 == 0o644
        assert [path.name for path in tmp_path.glob(".jobtui.prom*")] == []
        process.terminate()
        assert process.wait(30) == 0


def test_address_in_use(jobtui: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = jobtui("serve", "--metrics", f"127.0.0.1:{port}")
    assert ended.returncode == 1
    assert f"metrics cannot be served at 127.0.0.1:{port}: Address already in use" in ended.stderr


def test_in_the_background(jobtui: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ended = jobtui("serve", "--background", "--metrics", f"127.0.0.1:{port}")
    assert ended.returncode == 0, ended.stderr
    (pid,) = re.findall(r"kill (\d+) ends it", ended.stderr)
    try:
        assert values(scraped(f"http://127.0.0.1:{port}/metrics")[1])["jobtui_owner_up"] == [1]
    finally:
        subprocess.run(["kill", pid], check=True)


def test_output_that_cannot_be_written(jobtui: CommandLine, tmp_path: Path) -> None:
    ended = jobtui("metrics", "--output", tmp_path / "none" / "jobtui.prom")
    assert ended.returncode == 1
    assert "cannot be written: No such file or directory" in ended.stderr


def test_invalid_address(jobtui: CommandLine) -> None:
    for word in ("9477", "127.0.0.1", "::1:9477", "host:port", "host:70000"):
        assert jobtui("serve", "--metrics", word).returncode == 2
