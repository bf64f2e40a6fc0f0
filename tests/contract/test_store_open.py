"""Runs that are asked for besides the schedule, many in one transaction, on every store."""

from __future__ import annotations

from schedcore.changes.audit import AuditRecord
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.run_requests import EarlierRun, RunRequest
from tests.stores.calls import add, begun, end, entry, run_now


def asked(store, *job_ids, **how):
    return [RunRequest(store.get(job_id).job, **how) for job_id in job_ids]


def test_each_is_opened_or_tells_why_not(store):
    add(store, *(entry(job_id) for job_id in "abcd"))
    busy = run_now(store, store.get("b").job, 3)
    earlier = run_now(store, store.get("c").job, 3, key="k")
    gone = entry("gone").job
    opened = store.open(
        [
            RunRequest(gone, key="k"),
            *asked(store, "d", "c", key="k"),
            *asked(store, "b", "a"),
        ],
        5,
    )
    assert opened[0] is None
    assert isinstance(opened[1], Run)
    assert opened[2] == EarlierRun(earlier.id)
    assert isinstance(opened[3], RunRecord)
    assert (opened[3].outcome, opened[3].cause) == (Outcome.SKIPPED, "manual")
    assert f"run {busy.id}" in opened[3].why()
    assert [opened[1].job_id, opened[4].job_id] == ["d", "a"]
    assert [run.due_us for run in (opened[1], opened[4])] == [5, 5]
    assert {run.id for run in store.runs()} == {busy.id, earlier.id, opened[1].id, opened[4].id}
    assert [record.job_id for record in store.records()] == ["b"]
    assert run_now(store, store.get("d").job, 6, key="k") == EarlierRun(opened[1].id)
    end(store, *begun(opened[1], opened[4]))
    assert opened[1].wait(0)


def test_the_audit_has_each_that_was_opened(store):
    add(store, entry("a"), entry("b"))
    run_now(store, store.get("a").job, 3)

    def note(job_id):
        return AuditRecord(0, 4, "alice", None, "run", job_id)

    given = [RunRequest(store.get(job_id).job, note=note(job_id)) for job_id in "ab"]
    skipped, run = store.open(given, 5)
    assert isinstance(skipped, RunRecord)
    (kept,) = store.audit(None, None, None, 10)
    assert (kept.job_id, kept.run_id, kept.verb) == ("b", run.id, "run")


def test_nothing_is_asked_for(store):
    assert store.open([], 5) == []


def test_a_thousand_at_once(store):
    names = [f"j{n:03}" for n in range(1_000)]
    add(store, *map(entry, names))
    runs = store.open([RunRequest(one.job, key="k") for one in store.entries()], 5)
    assert sorted(run.job_id for run in runs) == names
    assert len({run.id for run in runs}) == 1_000
    assert [type(each) for each in store.open([RunRequest(r._job, key="k") for r in runs], 6)] == [
        EarlierRun
    ] * 1_000
