"""What every store gives of its history: the part that is asked for, in the order asked for."""

from __future__ import annotations

import random

import pytest

from schedcore import Outcome, RunRecord
from schedcore.changes.audit import AuditRecord
from schedcore.history.history import TROUBLES
from schedcore.history.query import RunQuery
from schedcore.output.text import Kept
from tests.contract.conftest import STORES
from tests.stores.calls import put_records
from tests.stores.plain import PlainStore

EXECUTED, FAILED, LOST, SKIPPED = (
    *(Outcome.EXECUTED, Outcome.FAILED, Outcome.LOST),
    Outcome.SKIPPED,
)


def told(store, *rows):
    """Record outcomes, each given as its run's id, job, outcome and due time."""
    records = [RunRecord(*row) for row in rows]
    put_records(store, records)
    return records


def ids(store, **asked):
    return [record.run_id for record in store.records(RunQuery(**asked))]


@pytest.fixture
def told_six(store):
    told(
        store,
        (1, "a", EXECUTED, 10),
        (2, "b", FAILED, 60),
        (None, "a", SKIPPED, 20),
        (4, "a", FAILED, 50),
        (3, "b", LOST, 30),
        (6, "a", EXECUTED, 40),
    )
    return store


@pytest.mark.parametrize("beyond", [10**19, -(10**19)])
def test_numbers_beyond_those_of_databases_select_what_they_mean(told_six, beyond):
    everything = ids(told_six, since_us=0)
    assert ids(told_six, since_us=beyond) == ([] if beyond > 0 else everything)
    assert ids(told_six, until_us=beyond) == (everything if beyond > 0 else [])
    if beyond < 0:
        assert ids(told_six, before=beyond) == []
    else:
        assert ids(told_six, limit=beyond, since_us=0) == everything
        assert ids(told_six, offset=beyond) == []
        assert ids(told_six, limit=2**63 - 1, offset=2**63 - 1) == []
        assert told_six.kept(RunQuery(), beyond) == 6
        assert sum(told_six.tally(RunQuery(), beyond, beyond).values()) == 6
    assert told_six.find(beyond) is None
    if not isinstance(told_six, PlainStore):
        assert told_six.output(beyond) == Kept()
        told_six.note([AuditRecord(0, 7, "alice", None, "started")])
        for number, found in (({"before": beyond}, 1), ({"since_us": beyond}, -1)):
            query = {"since_us": None, "before": None, **number}
            assert len(told_six.audit(None, **query, limit=9)) == (found * beyond > 0)


@pytest.mark.parametrize("job_id", ["", "\udcfc", "a\0"])
def test_there_is_nothing_of_a_job_whose_id_no_job_can_have(told_six, job_id):
    assert ids(told_six, job_id=job_id) == ids(told_six, job_ids=[job_id]) == []
    assert told_six.kept(RunQuery(job_id), 9) == 0
    assert told_six.counts(job_id) == told_six.totals([job_id]).jobs == {}
    if not isinstance(told_six, PlainStore):
        assert told_six.audit(job_id, None, None, 9) == []


def test_those_of_some_jobs_alone(told_six):
    assert ids(told_six, job_ids={"b", "c"}) == [3, 2]
    assert ids(told_six, job_ids={"a", "b"}, outcomes=[FAILED], since_us=0) == [2, 4]
    assert ids(told_six, job_ids={"a", "b"}, job_id="b", limit=1) == [3]
    assert ids(told_six, job_ids=()) == []
    assert told_six.kept(RunQuery(job_ids={"b"}), 9) == 2


@pytest.mark.parametrize(
    ("query", "most", "expected"),
    [
        (RunQuery(), 9, "0 executed, 0 skipped, 1 executed, 1 failed, 1 lost, 2 failed"),
        (RunQuery(), 3, "1 executed, 1 failed, 2 failed"),
        (RunQuery("a", limit=1), 9, "0 executed, 0 skipped, 1 executed, 1 failed"),
        (RunQuery(outcomes=[LOST, SKIPPED], since_us=20, until_us=30), 9, "0 skipped"),
    ],
)
def test_a_tally_is_by_due_time_and_of_what_was_due_last(told_six, query, most, expected):
    tally = told_six.tally(query, 30, most)
    assert ", ".join(sorted(f"{number} {outcome.value}" for number, outcome in tally)) == expected
    assert set(tally.values()) == {1}
    assert told_six.tally(RunQuery(outcomes=[FAILED]), 1_000, 9) == {(0, FAILED): 2}


def test_the_latest_is_what_was_recorded_last(told_six):
    assert ids(told_six) == [6, 3, 4, None, 2, 1]
    assert ids(told_six, limit=2) == [6, 3]
    assert ids(told_six, limit=2, offset=1) == [3, 4]
    assert ids(told_six, offset=4) == [2, 1]
    assert ids(told_six, limit=0) == ids(told_six, offset=6) == []


def test_a_job_and_outcomes_are_asked_for(told_six):
    assert ids(told_six, job_id="a") == [6, 4, None, 1]
    assert ids(told_six, outcomes={FAILED}) == [4, 2]
    assert ids(told_six, outcomes=[FAILED, LOST, EXECUTED], limit=3) == [6, 3, 4]
    assert ids(told_six, outcomes=[LOST, SKIPPED]) == [3, None]
    assert ids(told_six, job_id="a", outcomes={EXECUTED}, limit=1, offset=1) == [1]
    assert ids(told_six, job_id="nobody") == ids(told_six, outcomes=()) == []


def test_with_a_bound_in_time_the_latest_is_what_was_due_last(told_six):
    assert ids(told_six, since_us=30) == [2, 4, 6, 3]
    assert ids(told_six, until_us=50) == [6, 3, None, 1]
    assert ids(told_six, since_us=20, until_us=50, limit=2) == [6, 3]
    assert ids(told_six, since_us=10, until_us=60, job_id="a", outcomes={FAILED, SKIPPED}) == [
        4,
        None,
    ]
    assert ids(told_six, since_us=61) == []


def test_what_was_due_at_the_same_time_is_ordered_by_when_it_was_recorded(store):
    told(store, *((n, "a", EXECUTED, 5) for n in (3, 1, 2)))
    assert ids(store, since_us=0) == [2, 1, 3]
    assert ids(store, since_us=0, before=1) == [3]


def test_what_comes_after_a_run(told_six):
    assert ids(told_six, before=4) == [None, 2, 1]
    assert ids(told_six, before=4, outcomes={FAILED}) == [2]
    assert ids(told_six, before=3, limit=1, offset=1) == [None]
    assert ids(told_six, before=4, since_us=0) == [6, 3, None, 1]
    assert ids(told_six, before=1) == []


def test_after_a_run_that_is_not_kept_comes_the_first_that_was_made_before_it(told_six):
    assert ids(told_six, before=5) == [3, 4, None, 2, 1]
    assert ids(told_six, before=10**24) == [6, 3, 4, None, 2, 1]
    assert ids(told_six, before=5, since_us=0) == [2, 4, 6, 3, None, 1]
    assert ids(told_six, before=0) == []


def test_how_many_there_are_is_counted_up_to_a_bound(told_six):
    assert told_six.kept(RunQuery(), 10) == 6
    assert told_six.kept(RunQuery(), 4) == 4
    assert told_six.kept(RunQuery("a", before=4, limit=1, offset=2), 10) == 4
    assert told_six.kept(RunQuery(outcomes={FAILED, LOST}, until_us=60), 10) == 2


def test_what_is_of_no_store_is_found_in_none(told_six):
    for number in (0, -1, 7, 2**63, 10**24):
        assert told_six.find(number) is None


@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "plain"])
def test_stores_agree_with_the_plain_one(kind):
    """On queries drawn at random: the plain store looks at all records for each."""
    draw = random.Random(15)
    plain, other = STORES["plain"](), STORES[kind]()
    rows = [
        (n if draw.random() < 0.7 else None, draw.choice("ab"), draw.choice([*Outcome]), n % 7)
        for n in draw.sample(range(1, 100), 15)
    ]
    for store in (plain, other):
        told(store, *rows)
    for _ in range(100):
        query = RunQuery(
            *(None, draw.choice([None, draw.sample([*Outcome], 4)])),
            *(draw.choice([None, 2, 5]), draw.choice([None, 4, 6])),
            *(draw.choice([None, *range(0, 100, 7)]), draw.choice([None, 1, 4])),
            draw.choice([0, 2]),
        )
        query = query._replace(job_id="a" if query.before is None and query.offset else None)
        assert other.records(query) == plain.records(query), query
        assert other.kept(query, 9) == plain.kept(query, 9), query
    plain.close()
    other.close()


def test_the_last_troubles_of_a_job_are_found_after_many_successes(store):
    for n in range(8):
        told(store, (n + 1, "a", FAILED, n))
    for n in range(60):
        told(store, (100 + n, "a", EXECUTED, n))
    assert ids(store, job_id="a", outcomes={FAILED}, limit=TROUBLES) == [8, 7, 6, 5, 4]
    assert store.find(8).outcome is FAILED
