"""What a scheduler tells of its jobs, through functions, on every store."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from schedcore import (
    ChannelState,
    History,
    InvalidOptionError,
    ManualClock,
    MemoryStore,
    Outcome,
    Scheduler,
    StoreUnavailableError,
)
from schedcore.notices.notice import LONGEST_OUTPUT, JobChannels
from tests.patience import SOON

fails = threading.Event()
"""Set: the jobs here fail."""
may_go_on = threading.Event()


def work():
    if fails.is_set():
        raise ValueError("it broke")


def chatter():
    print("x" * 2 * LONGEST_OUTPUT)
    print("the last line")
    work_badly()


def work_badly():
    raise ValueError("it broke")


def hold():
    assert may_go_on.wait(SOON)


@pytest.fixture(autouse=True)
def _fresh():
    fails.clear()
    may_go_on.clear()


def run(scheduler, outcome, job_id="job"):
    """Run a job by hand, well or not."""
    (fails.set if outcome == "failed" else fails.clear)()
    assert scheduler.run_job(job_id, timeout=SOON).outcome is Outcome(outcome)


def add(scheduler, **options):
    scheduler.add_job(work, "interval", hours=1, id="job", replace_existing=True, **options)


def test_a_failure_is_told_once_and_so_is_the_recovery(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told})
    add(scheduler, on_failure="ops", on_recovery="ops")
    for outcome in ("executed", "failed", "failed", "executed", "executed"):
        run(scheduler, outcome)
    failure, recovery = told.next(), told.next()
    assert (failure.kind, failure.job_id, failure.count) == ("failure", "job", 1)
    assert failure.record.error_text == "it broke"
    assert failure.time_us == failure.record.ended_us
    assert (recovery.kind, recovery.count) == ("recovery", 2)
    assert recovery.since_us == failure.time_us
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []


def test_secrets_are_not_told(store, schedulers, told):
    scheduler = schedulers(
        store=store, notices={"ops": told}, capture_output=True, redact=["it (broke)"]
    )
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    failure = told.next()
    assert failure.record.error_text == "it *****"
    assert failure.output.endswith("ValueError: it *****\n")


def test_what_nobody_asked_for_is_not_told(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told})
    add(scheduler, on_recovery="ops")
    scheduler.add_job(work, "interval", hours=1, id="other")
    for job_id in ("job", "other"):
        run(scheduler, "failed", job_id)
    run(scheduler, "executed")
    assert told.next().kind == "recovery"
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []


def test_a_job_that_is_gone_after_its_only_run_is_told_as_it_said(store, schedulers, told):
    if type(store).__name__ == "PlainStore":
        pytest.skip("it remembers nothing of removed jobs")
    scheduler = schedulers(store=store, notices={"ops": told})
    fails.set()
    scheduler.add_job(work, id="once", on_failure=["ops"])
    assert told.next().job_id == "once"
    assert scheduler.get_job("once") is None


def test_what_a_job_said_holds_against_the_defaults_also_once_it_is_gone(store, schedulers, told):
    if type(store).__name__ == "PlainStore":
        pytest.skip("it remembers nothing of removed jobs")
    scheduler = schedulers(store=store, notices={"ops": told}, job_defaults={"on_failure": ["ops"]})
    fails.set()
    scheduler.add_job(work, id="silent", on_failure=[])
    scheduler.add_job(work, id="told", next_run_time="2000-01-01")
    assert told.next().job_id == "told"
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []


def test_the_defaults_hold_for_jobs_that_say_nothing(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told}, job_defaults={"on_failure": ["ops"]})
    scheduler.add_job(work, "interval", hours=1, id="job")
    scheduler.add_job(work, "interval", hours=1, id="silent", on_failure=[])
    run(scheduler, "failed", "silent")
    run(scheduler, "failed")
    assert told.next().job_id == "job"
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []


def test_each_run_is_told_if_that_is_wanted(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told})
    scheduler.add_job(hold, "interval", hours=1, id="long", on_run="ops")
    run_id = scheduler.run_job("long", wait=False).id
    started = told.next()
    assert (started.kind, started.run_id, started.record) == ("started", run_id, None)
    may_go_on.set()
    ended = told.next()
    assert (ended.kind, ended.run_id, ended.record.outcome) == ("ended", run_id, Outcome.EXECUTED)
    assert started.time_us == ended.record.started_us


def test_what_is_skipped_is_told(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told})
    scheduler.add_job(hold, "interval", seconds=0.05, id="long", on_missed="ops")
    missed = told.next()
    assert (missed.kind, missed.record.outcome) == ("missed", Outcome.SKIPPED)
    may_go_on.set()


def test_what_ended_meanwhile_is_told_after_a_restart(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told})
    if scheduler.store_info().kind not in ("sqlite", "postgresql"):
        pytest.skip("it keeps nothing")
    add(scheduler, on_failure="ops", on_recovery="ops")
    run(scheduler, "failed")
    assert told.next().kind == "failure"
    scheduler.shutdown(timeout=SOON)
    another = schedulers(store=store)  # which has no channels
    run(another, "failed")
    run(another, "executed")
    another.shutdown(timeout=SOON)
    schedulers(store=store, notices={"ops": told})
    recovery = told.next()
    assert (recovery.kind, recovery.count) == ("recovery", 2)


def test_what_ended_before_there_were_channels_is_not_told(store, schedulers, told):
    before = schedulers(store=store)
    before.add_job(work, "interval", hours=1, id="job")
    run(before, "failed")
    before.shutdown(timeout=SOON)
    scheduler = schedulers(store=store, notices={"ops": told})
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    assert told.next().count == 1
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []


def test_a_function_that_raises_is_called_again(store, schedulers, told, monkeypatch):
    monkeypatch.setattr("schedcore.notices.sender.pause_after", lambda attempt: 0.01)
    broken = iter([True, True, False])

    def tell(notice):
        if next(broken):
            raise OSError("away")
        told(notice)

    scheduler = schedulers(store=store, notices={"ops": tell})
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    assert told.next().kind == "failure"


def test_a_channel_that_hangs_holds_up_no_other_and_says_so(store, schedulers, told):
    hung = threading.Event()

    def hang(notice):
        hung.set()
        assert may_go_on.wait(SOON)

    scheduler = schedulers(store=store, notices={"slow": hang, "ops": told})
    add(scheduler, on_failure=["slow", "ops"])
    run(scheduler, "failed")
    assert told.next().kind == "failure"
    assert hung.wait(SOON)
    states = {state.name: state.waiting for state in scheduler.notice_channels()}
    assert states["slow"] == 1
    run(scheduler, "executed")
    may_go_on.set()


def test_a_channel_that_fails_can_be_seen(store, schedulers, monkeypatch):
    failed = threading.Semaphore(0)
    monkeypatch.setattr("schedcore.notices.sender.pause_after", lambda attempt: 0.01)

    def tell(notice):
        failed.release()
        raise OSError("nobody is there")

    class Patient:
        patience, send = 3600.0, staticmethod(tell)

    scheduler = schedulers(store=store, notices={"ops": Patient()})
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    for _ in range(2):  # before the second, the first was noted
        assert failed.acquire(timeout=SOON)
    (state,) = scheduler.notice_channels()
    assert (state.name, state.waiting, state.problem) == ("ops", 1, "nobody is there")
    assert state.since_us is not None


def test_jobs_name_channels_that_there_are(schedulers):
    scheduler = schedulers(notices={"ops": print, "mail": print})
    for name in ("on_failure", "on_recovery", "on_missed", "on_run"):
        with pytest.raises(InvalidOptionError, match=r"'opps'.*mail, ops.*did you mean 'ops'"):
            add(scheduler, **{name: ["opps"]})
    add(scheduler, on_failure=["ops"])
    with pytest.raises(InvalidOptionError, match="on_run='x': expected one of the channels"):
        scheduler.modify_job("job", on_run="x")
    assert scheduler.modify_job("job", on_run={"ops", "mail"}).on_run == ("mail", "ops")
    assert scheduler.modify_job("job", on_failure=None).on_failure == ()


def test_without_channels_none_can_be_named(schedulers):
    with pytest.raises(InvalidOptionError, match=r"on_failure='ops': expected no channel"):
        add(schedulers(), on_failure=["ops"])
    with pytest.raises(InvalidOptionError, match=r"on_failure='ops'"):
        schedulers(job_defaults={"on_failure": "ops"})


@pytest.mark.parametrize("value", [5, [5], [""], {"a": 1}, [f"n{n}" for n in range(17)]])
def test_what_is_no_name_is_refused(schedulers, value):
    with pytest.raises(InvalidOptionError, match=r"on_missed=.*names of up to 16 channels"):
        add(schedulers(), on_missed=value)


def test_a_job_of_another_program_may_be_changed_all_the_same(store, schedulers, told):
    with_channel = schedulers(store=store, notices={"ops": told})
    add(with_channel, on_failure="ops")
    with_channel.shutdown(timeout=SOON)
    without = schedulers(store=store)
    assert without.modify_job("job", max_instances=2).on_failure == ("ops",)


def test_channels_are_found_by_what_is_told():
    wanted = JobChannels(("a",), ("b",), ("c",), ("d",))
    kinds = ("failure", "recovery", "missed", "started", "ended")
    assert [wanted.of_kind(kind) for kind in kinds] == [("a",), ("b",), ("c",), ("d",), ("d",)]


def test_a_notice_has_the_end_of_what_its_run_printed(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told}, capture_output=True)
    scheduler.add_job(chatter, "interval", hours=1, id="job", on_failure="ops")
    scheduler.run_job("job", timeout=SOON)
    output = told.next().output
    assert len(output) == LONGEST_OUTPUT
    assert "the last line\n" in output
    assert output.endswith("ValueError: it broke\n")


def test_outcomes_that_were_cut_before_they_were_told_are_logged(schedulers, told, caplog):
    store = MemoryStore(History(overall=1))
    scheduler = schedulers(store=store, notices={"ops": told})
    scheduler.shutdown(timeout=SOON)
    other = Scheduler(store=store)
    other.start()
    other.add_job(work, "interval", hours=1, id="job")
    for _ in range(5):
        run(other, "executed")
    other.shutdown(timeout=SOON)
    scheduler.start()
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    assert told.next().kind == "failure"
    assert "outcomes left the history before notices about them were sent" in caplog.messages


def test_a_start_is_told_also_if_its_store_was_away(schedulers, told, monkeypatch):
    store = MemoryStore()
    scheduler = schedulers(store=store, notices={"ops": told})
    fail_first(monkeypatch, store.notices, "add_starts")
    scheduler.add_job(hold, "interval", hours=1, id="long", on_run="ops")
    scheduler.run_job("long", wait=False)
    assert told.next().kind == "started"
    may_go_on.set()
    assert told.next().kind == "ended"


def test_nothing_is_told_that_is_older_than_a_week(schedulers, told):
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    first = schedulers(store=store, notices={"ops": told}, clock=clock)
    add(first, on_failure="ops")
    first.shutdown(timeout=SOON)
    other = schedulers(store=store, clock=clock)
    run(other, "failed")
    other.shutdown(timeout=SOON)
    clock.advance(timedelta(days=8))
    scheduler = schedulers(store=store, notices={"ops": told}, clock=clock)  # it is overdue
    assert told.next().time_us == clock.now_us()
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []


def fail_first(monkeypatch, owner, name, times=3):
    """Have a method raise at first, as where a store is away."""
    method, left = getattr(owner, name), iter(range(times))

    def fail(*args):
        if next(left, None) is not None:
            raise StoreUnavailableError("the store", "it is away")
        return method(*args)

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize("method", ["acquire", "channels", "advance", "waiting", "remove", "note"])
def test_a_store_that_is_away_loses_nothing(schedulers, told, monkeypatch, caplog, method):
    monkeypatch.setattr("schedcore.notices.sender.pause_after", lambda attempt: 0.01)
    store = MemoryStore()
    refusals = iter([True])

    def tell(notice):
        if next(refusals, False):
            raise OSError("not now")
        told(notice)

    scheduler = schedulers(store=store, notices={"ops": tell})
    fail_first(monkeypatch, store.notices, method)
    add(scheduler, on_failure="ops", on_recovery="ops")
    for outcome in ("failed", "executed"):
        run(scheduler, outcome)
    assert [told.next().kind for _ in range(2)] == ["failure", "recovery"]
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []
    assert store.notices.states() == [ChannelState("ops", 0, None, None)]
    assert [each for each in caplog.messages if each.endswith("blocked; trying again")]


def test_how_far_outcomes_were_judged_is_kept_also_while_nothing_is_told(
    store, schedulers, told, monkeypatch
):
    monkeypatch.setattr("schedcore.notices.notifier.KEEP_US", 0)
    if not hasattr(store, "notices"):
        pytest.skip("it keeps nothing")
    scheduler = schedulers(store=store, notices={"ops": told})
    scheduler.add_job(work, "interval", hours=1, id="job")
    before = store.notices.position()
    run(scheduler, "executed")
    scheduler.shutdown(timeout=SOON)
    after = store.notices.position()
    assert [record.job_id for record in store.ended_after(before, 10)[1]] == ["job"]
    assert store.ended_after(after, 10) == (after, [])


@pytest.mark.parametrize("value", [0, 0.5, -1, True, "x", None, float("nan"), 10**9])
def test_how_often_it_is_told_again_is_a_number_of_seconds(value):
    with pytest.raises(InvalidOptionError, match=r"remind_every=.*from 1 to 2592000"):
        Scheduler(remind_every=value)
