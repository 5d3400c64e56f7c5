from hypothesis import given
from hypothesis import strategies as st

from jobtui.tui.data.job_rows import MarkedJobs

IDS = st.lists(st.integers(1, 500))


@given(st.lists(st.tuples(st.sampled_from(["toggle", "add", "drop", "invert"]), IDS)))
def test_marks_are_a_set_of_ids(actions: list[tuple[str, list[int]]]) -> None:
    marks, expected = MarkedJobs(), set()
    for what, ids in actions:
        if what == "toggle":
            for job_id in ids:
                marks.toggle(job_id)
                expected ^= {job_id}
        elif what == "invert":
            distinct = list(dict.fromkeys(ids))
            marks.invert(distinct)
            expected ^= set(distinct)
        elif what == "add":
            marks.add(ids)
            expected |= set(ids)
        else:
            marks.drop(ids)
            expected -= set(ids)
        assert list(marks) == sorted(expected)
        assert len(marks) == len(expected)
        assert all((job_id in marks) == (job_id in expected) for job_id in range(505))


def test_cleared_marks_are_empty() -> None:
    marks = MarkedJobs()
    marks.add(range(1, 100_001))
    assert len(marks) == 100_000
    marks.clear()
    assert not marks
    assert 5 not in marks
