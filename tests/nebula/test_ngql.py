"""Every name reaches graphd as itself, and nothing in a name is ever read as a statement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtui.errors import ErrorCode, StorageError
from jobtui.storage.nebula import ngql
from tests.support.nebula_cluster import Cluster
from tests.support.nebula_records import GraphdError

# a name as graphd's scanner can hold it: no NUL, no half of a surrogate pair
names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(names)
def test_quoted_name_is_read_as_exactly_that_name(name: str) -> None:
    cluster = Cluster({name: ["10.0.0.5"]})
    session = cluster.log_in("root", "nebula")
    rows, chosen = cluster.execute(session, ngql.submit_text("flush", name))
    assert rows is not None
    assert (rows.rows, chosen) == ([[1]], name)


@pytest.mark.parametrize("name", ["nba`; DROP SPACE `nba", "nba`; STOP JOB 1", "`", "\\", "\\`; SHOW JOBS"])
def test_statement_in_a_name_is_part_of_the_name(name: str) -> None:
    cluster = Cluster({"nba": ["10.0.0.5"]})
    session = cluster.log_in("root", "nebula")
    with pytest.raises(GraphdError, match="SpaceNotFound"):
        cluster.execute(session, ngql.show_jobs_text(name))


@pytest.mark.parametrize("name", ["n\0ba", "\ud800"])
def test_name_that_no_space_can_have_is_never_sent(name: str) -> None:
    with pytest.raises(StorageError) as caught:
        ngql.quote_space(name)
    assert caught.value.code is ErrorCode.MISSING


def test_statements_name_their_space_each_time() -> None:
    assert ngql.submit_text("compact", "nba") == "USE `nba`; SUBMIT JOB COMPACT"
    assert ngql.show_jobs_text("nba") == "USE `nba`; SHOW JOBS"
    assert ngql.show_job_text("nba", 40) == "USE `nba`; SHOW JOB 40"
    assert ngql.stop_text("nba", 40) == "USE `nba`; STOP JOB 40"
    assert ngql.recover_text("nba", (40, 41)) == "USE `nba`; RECOVER JOB 40, 41"
    assert ngql.recover_text("nba", ()) == "USE `nba`; RECOVER JOB"
