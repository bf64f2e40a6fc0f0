"""Many jobs at a time, on every store: all of them, or none."""

from __future__ import annotations

import pytest

from schedcore import (
    EVENT_JOB_MODIFIED,
    EVENT_JOB_REMOVED,
    ConflictingIdError,
    InvalidOptionError,
    InvalidTriggerError,
    JobChangedError,
    JobLookupError,
    MaxInstancesError,
)
from tests.stores.stepping import ByHand, Stepped, note


@pytest.fixture
def stepped(store):
    stepped = Stepped(store, ByHand())
    stepped.scheduler.add_jobs(
        {"func": note, "trigger": "interval", "seconds": 10, "id": job_id} for job_id in "abc"
    )
    return stepped


def paused(stepped):
    entries = stepped.scheduler.entries()
    return "".join(sorted(entry.job.id for entry in entries if entry.due_us is None))


def test_they_are_paused_resumed_and_removed(stepped):
    scheduler, heard = stepped.scheduler, []
    scheduler.add_listener(
        lambda event: heard.append((event.code, event.job_id)),
        EVENT_JOB_MODIFIED | EVENT_JOB_REMOVED,
    )
    handles = scheduler.pause_jobs(iter("ba"))
    assert [(job.id, job.next_run_time) for job in handles] == [("b", None), ("a", None)]
    assert paused(stepped) == "ab"
    assert [job.id for job in scheduler.resume_jobs({"a": 1, "b": 2})] == ["a", "b"]
    assert paused(stepped) == ""
    scheduler.remove_jobs(["a", "c", "a"])
    assert [job.id for job in scheduler.get_jobs()] == ["b"]
    modified, removed = EVENT_JOB_MODIFIED, EVENT_JOB_REMOVED
    assert heard == [
        *((modified, job_id) for job_id in "baab"),
        *((removed, job_id) for job_id in "ac"),
    ]


def test_what_is_so_already_stays_as_it_is(stepped):
    scheduler = stepped.scheduler
    before = scheduler.entries()
    assert [job.id for job in scheduler.resume_jobs([])] == []
    assert len(scheduler.resume_jobs(["a", "b"])) == 2
    assert scheduler.entries() == before


@pytest.mark.parametrize("method", ["pause_jobs", "resume_jobs", "remove_jobs"])
def test_an_id_that_is_nobodys_leaves_all_as_they_are(stepped, method):
    before = stepped.scheduler.entries()
    with pytest.raises(JobLookupError, match="'nobody'"):
        getattr(stepped.scheduler, method)(["a", "nobody"])
    with pytest.raises(InvalidOptionError, match="job_ids='abc': expected several ids"):
        getattr(stepped.scheduler, method)("abc")
    assert stepped.scheduler.entries() == before


def test_one_without_a_fire_time_left_keeps_all_paused_and_is_named(stepped):
    scheduler = stepped.scheduler
    scheduler.add_job(note, "interval", seconds=10, id="d", end_date=stepped.at(15))
    scheduler.pause_jobs([*"abcd"])
    stepped.step(60)
    with pytest.raises(InvalidTriggerError, match=r"^jobs\['d'\]\.trigger=.*fire time left"):
        scheduler.resume_jobs(["a", "d", "b"])
    assert paused(stepped) == "abcd"


@pytest.mark.parametrize("method", ["pause_jobs", "remove_jobs"])
def test_what_a_check_raises_leaves_all_as_they_are(stepped, method):
    def check(entry):
        if entry.job.id == "c":
            raise KeyError("not this one")

    before = stepped.scheduler.entries()
    with pytest.raises(KeyError, match="not this one"):
        getattr(stepped.scheduler, method)(["a", "b", "c"], check)
    assert stepped.scheduler.entries() == before


def test_one_that_somebody_else_changes_keeps_that_change(stepped):
    scheduler, names = stepped.scheduler, iter(["one", "two"])

    def check(entry):
        if entry.job.id == "b" and (name := next(names, None)):
            scheduler.modify_job("b", name=name)

    scheduler.pause_jobs(["a", "b", "c"], check)
    assert paused(stepped) == "abc"
    assert scheduler.get_job("b").name == "two"


@pytest.mark.parametrize(("verb", "other"), [("pause", "resume"), ("resume", "pause")])
def test_one_that_was_so_already_is_changed_too_if_somebody_else_changes_it(stepped, verb, other):
    """Otherwise two who pause and resume all at once would leave half of them paused."""
    scheduler, once = stepped.scheduler, iter([other])
    if verb == "pause":
        scheduler.pause_job("a")
    else:
        scheduler.pause_jobs(["b", "c"])

    def check(entry):
        if entry.job.id == "b" and next(once, None):
            getattr(scheduler, f"{other}_job")("a")

    getattr(scheduler, f"{verb}_jobs")(["a", "b", "c"], check)
    assert paused(stepped) == ("abc" if verb == "pause" else "")


def test_one_that_is_so_already_and_moves_on_meanwhile_stays_where_it_moved(stepped):
    scheduler = stepped.scheduler
    scheduler.pause_job("b")
    once = iter(["step"])

    def check(entry):
        if entry.job.id == "b" and next(once, None):
            stepped.step(10)

    scheduler.resume_jobs(["a", "b"], check)
    assert paused(stepped) == ""
    assert scheduler.get_job("a").next_run_time == stepped.at(20)
    told = [(record.verb, record.job_id) for record in scheduler.audit()]
    assert told.count(("resumed", "b")) == 1
    assert ("resumed", "a") not in told


def test_one_that_somebody_else_changes_each_time_leaves_all_as_they_are(stepped):
    scheduler, numbers = stepped.scheduler, iter(range(1_000))

    def check(entry):
        if entry.job.id == "b":
            scheduler.modify_job("b", name=f"changed {next(numbers)}")

    with pytest.raises(JobChangedError, match="'b'"):
        scheduler.pause_jobs(["a", "b", "c"], check)
    assert paused(stepped) == ""


def test_runs_that_have_not_begun_end_with_a_pause_of_many(stepped):
    stepped.step(10)
    assert len(stepped.scheduler.runs()) == 3
    stepped.scheduler.pause_jobs(["a", "b"])
    assert sorted(run.job_id for run in stepped.scheduler.runs()) == ["c"]
    outcomes = {(r.job_id, r.outcome.value) for r in stepped.scheduler.history()}
    assert outcomes == {("a", "paused"), ("b", "paused")}


def test_drafts_are_added_all_or_none(stepped):
    scheduler = stepped.scheduler
    drafts = [
        scheduler.draft_job(note, "interval", seconds=10, id=job_id, name="new") for job_id in "cd"
    ]
    with pytest.raises(ConflictingIdError, match="'c'"):
        scheduler.add_entries(drafts)
    assert scheduler.get_job("d") is None
    with pytest.raises(ConflictingIdError, match="'d'"):
        scheduler.add_entries([drafts[1]] * 2, replace=True)
    assert [job.name for job in scheduler.add_entries(drafts, replace=True)] == ["new", "new"]
    assert len(scheduler.get_jobs()) == 4


def test_they_are_run_and_one_that_cannot_be_keeps_no_other_from_it(stepped):
    scheduler = stepped.scheduler
    scheduler.start()
    scheduler.run_job("b", wait=False)

    def check(entry):
        if entry.job.id == "c":
            raise ConflictingIdError("c")

    came = scheduler.run_jobs(["c", "b", "a", "a"], check, key="k")
    assert [*came] == ["c", "b", "a"]
    assert isinstance(came["c"], ConflictingIdError)
    assert isinstance(came["b"], MaxInstancesError)
    assert came["a"] in stepped.hand.waiting
    assert scheduler.run_jobs(["a"], key="k")["a"].id == came["a"].id
    with pytest.raises(JobLookupError):
        scheduler.run_jobs(["c", "no"])
    with pytest.raises(InvalidOptionError, match="key"):
        scheduler.run_jobs(["c"], key="")
    assert {run.job_id for run in scheduler.runs()} == {"a", "b"}
    scheduler.shutdown(wait=False)


def test_hundreds_are_run_in_a_few_transactions(stepped, monkeypatch):
    scheduler, store, calls = stepped.scheduler, stepped.engine.store, []
    scheduler.add_jobs(
        {"func": note, "trigger": "cron", "year": 2999, "id": f"j{n}"} for n in range(700)
    )
    scheduler.start()
    opening = store.open

    def counted(asked, due_us):
        calls.append(len(asked))
        return opening(asked, due_us)

    monkeypatch.setattr(store, "open", counted)
    came = scheduler.run_jobs([f"j{n}" for n in range(700)])
    assert calls == [500, 200]
    assert [run.job_id for run in stepped.hand.waiting] == [*came]
    assert len({run.id for run in came.values()}) == 700
    scheduler.shutdown(wait=False)
