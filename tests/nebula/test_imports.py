"""The imports of the NebulaGraph client, and that the double matches it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from nebula3.Config import Config
from nebula3.Exception import AuthFailedException
from nebula3.gclient.net import ConnectionPool

import jobtui
from jobtui.storage.base import ClusterJobManager, TaskRunner
from jobtui.storage.nebula.job_manager import GraphdJobManager
from jobtui.storage.nebula.settings import Address, ClusterSettings
from jobtui.storage.nebula.storaged import StoragedRunner
from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import Cluster

SETTINGS = ClusterSettings(addresses=(Address("127.0.0.1", 9669),))


def test_job_manager_and_runner_implement_their_protocols() -> None:
    manager: ClusterJobManager = GraphdJobManager(SETTINGS)
    runner: TaskRunner = StoragedRunner(SETTINGS)
    for face, backend in ((ClusterJobManager, manager), (TaskRunner, runner)):
        for name in vars(face):
            assert name.startswith("_") or hasattr(backend, name)


def test_creating_a_job_manager_imports_no_client() -> None:
    program = (
        "import sys; import jobtui.storage.nebula.poller; "
        "from jobtui.storage.nebula.job_manager import GraphdJobManager; "
        "from jobtui.storage.nebula.storaged import StoragedRunner; "
        "from jobtui.storage.nebula.settings import Address, ClusterSettings; "
        "s = ClusterSettings(addresses=(Address('127.0.0.1', 9669),)); GraphdJobManager(s); StoragedRunner(s); "
        "print([m for m in ('nebula3', 'httpx', 'keyring', 'rocksdict', 'textual') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_package_alone_imports_nothing() -> None:
    program = "import sys, jobtui.storage.nebula; print([m for m in ('asyncio', 'ssl') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_one_module_alone_imports_the_client() -> None:
    root = Path(jobtui.__file__).parent
    importers = [
        str(file.relative_to(root)) for file in root.rglob("*.py") if "nebula3." in file.read_text("utf-8")
    ]
    assert importers == ["storage/nebula/thrift.py"]


def test_double_is_a_graphd_to_the_stock_client() -> None:
    with GraphdDouble(Cluster(auto=True)) as graphd:
        pool = ConnectionPool()
        config = Config()
        config.max_connection_pool_size = 2
        assert pool.init([("127.0.0.1", graphd.port)], config)
        session = pool.get_session("root", "nebula", retry_connect=False)
        submitted = session.execute("USE nba; SUBMIT JOB FLUSH")
        assert submitted.is_succeeded(), submitted.error_msg()
        assert submitted.space_name() == "nba"
        assert submitted.row_values(0)[0].as_int() == 1
        shown = session.execute("SHOW JOB 1")
        assert shown.keys()[:2] == ["Job Id(TaskId)", "Command(Dest)"]
        assert shown.row_values(0)[2].as_string() == "FINISHED"
        assert shown.row_values(0)[3].as_datetime().get_hour() == 9
        assert shown.row_values(2)[0].as_string() == "Total:1"
        refused = session.execute("SHOW JOB 2")
        assert (refused.error_code(), refused.error_msg()) == (-1005, "Job not existed in chosen space!")
        with pytest.raises(AuthFailedException):
            pool.get_session("root", "wrong")
        session.release()
        pool.close()
