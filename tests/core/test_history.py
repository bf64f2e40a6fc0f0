"""Every due occurrence ends in exactly one recorded outcome."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schedcore import (
    EVENT_ALL,
    EVENT_JOB_CANCELLED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_SUBMITTED,
    History,
    ManualClock,
    Outcome,
    Retry,
    RunEndedError,
    RunLookupError,
    Scheduler,
    ThreadPool,
    current_run,
    simulate,
)
from schedcore.clock import from_us
from tests.patience import SOON, examples

START = datetime(2000, 1, 1, tzinfo=timezone.utc)


def outcomes(scheduler, job_id=None):
    return [record.outcome for record in scheduler.history(job_id)]


# What a record holds


def test_a_record_tells_all_about_a_run(virtual_scheduler, manual_clock):
    def job():
        manual_clock.advance(2)
        return {"answer": 42}

    manual_clock.set(START)
    virtual_scheduler.add_job(job, "date", run_date=START - timedelta(seconds=3), id="job")
    simulate(virtual_scheduler, timedelta(minutes=1))
    (record,) = virtual_scheduler.history("job")
    assert record.job_id == "job"
    assert record.scheduled == START - timedelta(seconds=3)
    assert record.started == START
    assert record.ended == START + timedelta(seconds=2)
    assert record.lateness == 3
    assert record.result == "{'answer': 42}"
    assert (record.error_type, record.attempt, record.occurrences) == (None, 1, 1)
    assert isinstance(record.run_id, int)


def test_an_error_is_kept_as_text_and_keeps_nothing_alive(virtual_scheduler):
    import gc
    import weakref

    class Big:
        pass

    kept = []

    def job():
        big = Big()
        kept.append(weakref.ref(big))
        raise ValueError("x" * 10_000)

    logging.disable()  # what pytest keeps of the log holds the error
    virtual_scheduler.add_job(job, id="job")
    simulate(virtual_scheduler, timedelta(0))
    logging.disable(logging.NOTSET)
    (record,) = virtual_scheduler.history("job")
    assert record.outcome is Outcome.FAILED
    assert record.error_type == "ValueError"
    assert record.error_text == "x" * 500
    gc.collect()
    assert kept[0]() is None


@pytest.mark.parametrize("method", ["__repr__", "__str__"])
def test_what_cannot_be_shown_harms_nobody(virtual_scheduler, method):
    def refuse(self):
        raise RuntimeError("not telling")

    shy = type("Shy", (Exception,), {method: refuse})

    def job():
        if method == "__repr__":
            return shy()
        raise shy

    virtual_scheduler.add_job(job, id="job")
    simulate(virtual_scheduler, timedelta(0))
    (record,) = virtual_scheduler.history("job")
    assert (record.result or record.error_text).startswith(
        ("<Shy instance at", "(its text is not available")
    )


def test_a_huge_result_is_shortened(virtual_scheduler):
    virtual_scheduler.add_job(lambda: [["x" * 10**6] * 100] * 100, id="job")
    simulate(virtual_scheduler, timedelta(0))
    assert len(virtual_scheduler.history("job")[0].result) == 1_000


# Bounds


def test_the_memory_is_bounded_and_the_counters_are_not():
    clock = ManualClock()
    scheduler = Scheduler(
        clock=clock, timezone="UTC", history=History(per_job=5, overall=12, removed_jobs=3)
    )
    for id_ in "abc":
        scheduler.add_job(lambda: None, "interval", minutes=1, id=id_)
    simulate(scheduler, timedelta(minutes=100))
    assert len(scheduler.history()) == 12
    assert len(scheduler.history("a")) == 5
    latest = scheduler.history("a")
    assert latest == sorted(latest, key=lambda record: record.scheduled, reverse=True)
    assert latest[0].scheduled == START + timedelta(minutes=100)
    assert scheduler.counts("a") == {Outcome.EXECUTED: 100}
    assert scheduler.counts() == {Outcome.EXECUTED: 300}


def test_the_outcomes_of_jobs_that_are_gone_stay_for_a_while():
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC", history=History(removed_jobs=3))
    for n in range(10):
        scheduler.add_job(lambda: None, id=f"j{n}")
    simulate(scheduler, timedelta(0))
    assert scheduler.get_jobs() == []
    kept = [n for n in range(10) if scheduler.history(f"j{n}")]
    assert kept == [7, 8, 9]
    assert scheduler.counts() == {Outcome.EXECUTED: 10}


def test_a_run_before_an_interval_that_has_ended_already_stands_for_no_others():
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC")
    now = clock.now()
    end, first = now + timedelta(hours=1), now - timedelta(hours=30)
    scheduler.add_job(print, "interval", hours=3, end_date=end, next_run_time=first, id="once")
    simulate(scheduler, timedelta(hours=5))
    assert scheduler.counts("once") == {Outcome.EXECUTED: 1}


def test_a_job_added_again_keeps_its_history():
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC", history=History(removed_jobs=1))
    scheduler.add_job(lambda: None, id="again")
    simulate(scheduler, timedelta(0))
    scheduler.add_job(lambda: None, "interval", hours=1, id="again")
    for n in range(5):
        scheduler.add_job(lambda: None, id=f"j{n}")
    simulate(scheduler, timedelta(0))
    assert scheduler.counts("again") == {Outcome.EXECUTED: 1}


# The law


@st.composite
def scenarios(draw):
    jobs = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "seconds": st.integers(1, 40),
                    "coalesce": st.booleans(),
                    "misfire_grace_time": st.none() | st.integers(1, 90),
                    "takes": st.sampled_from([0, 0, 0, 5, 70]),
                    "fails": st.booleans(),
                    "retry": st.none() | st.integers(1, 2),
                }
            ),
            min_size=1,
            max_size=4,
        )
    )
    acts = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["run", "sleep", "pause", "resume", "rename"]),
                st.integers(0, 3),
                st.integers(1, 120),
            ),
            max_size=9,
        )
    )
    return jobs, acts


@pytest.fixture
def silence():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(scenarios())
def test_due_occurrences_are_the_sum_of_the_outcomes(silence, scenario):
    """Whatever late, failing, slow or paused: nothing is lost and nothing counted twice."""
    jobs, acts = scenario
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC")
    for number, drawn in enumerate(jobs):
        options = dict(drawn)
        takes, fails = options.pop("takes"), options.pop("fails")
        if not options["coalesce"]:  # slower than its beat, its backlog would never end
            takes = min(takes, (options["seconds"] - 1) // 8)

        def job(takes=takes, fails=fails):
            clock.advance(takes)
            if fails:
                raise ValueError("fails")

        retry = options.pop("retry")
        scheduler.add_job(
            job,
            "interval",
            id=str(number),
            retry=Retry(count=retry, delay=0, jitter=0) if retry else None,
            **options,
        )
    for act, number, seconds in acts:
        job_id = str(number % len(jobs))
        if act == "run":
            simulate(scheduler, timedelta(seconds=seconds))
        elif act == "sleep":  # the machine, say
            clock.advance(seconds)
        elif act == "pause":
            simulate(scheduler, timedelta(0))
            scheduler.pause_job(job_id)
        elif act == "resume":
            scheduler.resume_job(job_id)
        else:
            scheduler.modify_job(job_id, name=f"renamed {seconds}")
    for number in range(len(jobs)):
        scheduler.resume_job(str(number))
    simulate(scheduler, timedelta(0))

    for number, options in enumerate(jobs):
        # Not next_run_time: a backlog that is worked off is looked at again later.
        next_fire = from_us(scheduler.entry(str(number)).fire_us)
        due = (next_fire - START) // timedelta(seconds=options["seconds"]) - 1
        under_way = sum(run.job_id == str(number) for run in scheduler.runs())
        assert sum(scheduler.counts(str(number)).values()) + under_way == due


# Each outcome, and what is told of it


def test_missed(virtual_scheduler, manual_clock):
    heard = []
    virtual_scheduler.add_listener(heard.append, EVENT_JOB_MISSED)
    virtual_scheduler.add_job(
        print, "interval", minutes=1, misfire_grace_time=10, id="job", coalesce=False
    )
    manual_clock.advance(timedelta(minutes=5, seconds=30))
    simulate(virtual_scheduler, timedelta(0))
    (record,) = virtual_scheduler.history("job")
    assert (record.outcome, record.occurrences, record.lateness) == (Outcome.MISSED, 5, 270)
    assert [(event.job_id, event.occurrences) for event in heard] == [("job", 5)]


def test_a_backlog_runs_once_or_each(virtual_scheduler, manual_clock):
    ran = []
    for coalesce in (True, False):
        virtual_scheduler.add_job(
            lambda c=coalesce: ran.append((c, current_run().scheduled.minute)),
            "interval",
            minutes=1,
            coalesce=coalesce,
            id=str(coalesce),
        )
    manual_clock.advance(timedelta(minutes=4, seconds=30))
    simulate(virtual_scheduler, timedelta(0))
    assert sorted(ran) == [(False, 1), (False, 2), (False, 3), (False, 4), (True, 1)]
    assert virtual_scheduler.counts("True") == {Outcome.EXECUTED: 1, Outcome.COALESCED: 3}


def test_a_backlog_of_any_length_is_worked_off_whole(virtual_scheduler, manual_clock):
    ran = []
    virtual_scheduler.add_job(ran.append, "interval", args=[1], seconds=1, coalesce=False, id="j")
    manual_clock.advance(1_234)
    simulate(virtual_scheduler, timedelta(seconds=60))
    assert virtual_scheduler.counts("j") == {Outcome.EXECUTED: 1_294}


def test_skipped_at_max_instances(started, gate, heard):
    job = started.add_job(gate, "interval", hours=1, id="job", next_run_time=START)
    gate.wait()
    told = heard(started, EVENT_JOB_MAX_INSTANCES)
    job.modify(next_run_time=START)
    told()
    assert Outcome.SKIPPED in outcomes(started, "job")
    gate.open()


def test_overlap_queue_lets_one_wait(virtual_scheduler, manual_clock, gate):
    virtual_scheduler.add_job(gate, "interval", minutes=1, id="job", overlap="queue")
    for _ in range(4):
        manual_clock.advance(60)
        virtual_scheduler._engine.step(manual_clock.now_us())
    gate.wait()
    assert virtual_scheduler.counts() == {Outcome.SKIPPED: 2}
    gate.open()
    gate.wait()  # the one that waited
    assert virtual_scheduler._runs.wait_until_idle(SOON)
    assert virtual_scheduler.counts() == {Outcome.SKIPPED: 2, Outcome.EXECUTED: 2}


def test_overlap_cancel_gives_up_the_one_under_way(started, gate, heard):
    seen = []

    def job():
        gate()
        seen.append(current_run().cancelled)

    cancelled = heard(started, EVENT_JOB_CANCELLED)
    done = heard(started, EVENT_JOB_EXECUTED)
    handle = started.add_job(
        job, "interval", hours=1, id="job", overlap="cancel", next_run_time=START
    )
    gate.wait()
    handle.modify(next_run_time=START)
    cancelled()
    gate.wait()
    gate.open()
    done()
    started.shutdown(timeout=SOON)
    assert started.counts("job") == {Outcome.CANCELLED: 1, Outcome.EXECUTED: 1}
    assert sorted(seen)[:1] == [False]


def test_shed_by_a_full_queue(gate, heard):
    scheduler = Scheduler(executors={"default": ThreadPool(1, max_queue=1)}, timezone="UTC")
    scheduler.add_job(gate)
    scheduler.start()
    gate.wait()
    told = heard(scheduler, EVENT_JOB_MISSED, count=3)
    scheduler.pause()
    for n in range(4):
        scheduler.add_job(print, id=f"j{n}")
    scheduler.resume()
    told()
    gate.open()
    scheduler.shutdown(timeout=SOON)
    assert scheduler.counts() == {Outcome.EXECUTED: 2, Outcome.SHED: 3}


def test_cancelling_a_run_that_waits_and_one_under_way(gate, heard):
    scheduler = Scheduler(executors={"default": ThreadPool(1)}, timezone="UTC")
    submitted = heard(scheduler, EVENT_JOB_SUBMITTED, count=2)
    scheduler.add_job(gate, id="under way")
    scheduler.start()
    gate.wait()
    scheduler.add_job(print, id="waits")
    submitted()
    runs = {run.job_id: run for run in scheduler.runs()}
    scheduler.cancel(runs["waits"].id)
    assert outcomes(scheduler, "waits") == [Outcome.CANCELLED]
    scheduler.cancel(runs["under way"].id)
    assert outcomes(scheduler, "under way") == [Outcome.CANCELLED]
    assert runs["under way"].cancelled
    assert scheduler.runs() == []
    with pytest.raises(RunEndedError, match="has ended"):
        scheduler.cancel(runs["waits"].id)
    with pytest.raises(RunLookupError, match="no run with id 5 "):
        scheduler.cancel(5)
    gate.open()
    scheduler.shutdown(timeout=SOON)
    assert scheduler.counts() == {Outcome.CANCELLED: 2}


def test_a_process_that_dies_loses_its_run(heard):
    import os
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from schedcore.executors.futures import FuturesAdapter

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        scheduler = Scheduler(executors={"default": FuturesAdapter(pool)}, timezone="UTC")
        told = heard(scheduler, EVENT_JOB_ERROR)
        scheduler.add_job(os._exit, args=[1], id="dies")
        scheduler.start()
        told()
        scheduler.shutdown(timeout=SOON)
    assert outcomes(scheduler, "dies") == [Outcome.LOST]


# Retries and time-outs


def test_a_failed_run_is_tried_again_with_growing_delays(virtual_scheduler, manual_clock):
    calls = []

    def job():
        calls.append((manual_clock.now() - START, current_run().attempt))
        if len(calls) < 4:
            raise ConnectionError("try again")
        return "done"

    virtual_scheduler.add_job(
        job, id="job", retry=Retry(count=5, delay=10, factor=3, longest=40, jitter=0)
    )
    simulate(virtual_scheduler, timedelta(hours=1))
    assert calls == [
        (timedelta(seconds=0), 1),
        (timedelta(seconds=10), 2),
        (timedelta(seconds=40), 3),
        (timedelta(seconds=80), 4),
    ]
    (record,) = virtual_scheduler.history("job")
    assert (record.outcome, record.attempt, record.result) == (Outcome.EXECUTED, 4, "'done'")


def test_retries_end_and_only_the_last_attempt_is_the_outcome(virtual_scheduler):
    heard = []
    virtual_scheduler.add_listener(heard.append, EVENT_JOB_ERROR)
    virtual_scheduler.add_job(lambda: 1 // 0, id="job", retry=2)
    simulate(virtual_scheduler, timedelta(hours=1))
    (record,) = virtual_scheduler.history("job")
    assert (record.outcome, record.attempt) == (Outcome.FAILED, 3)
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("on", "attempts"),
    [
        ("ZeroDivisionError", 2),
        ("ArithmeticError", 2),
        ("builtins:ArithmeticError", 2),
        ("builtins.ArithmeticError", 2),
        (ArithmeticError, 2),
        ([KeyError, ArithmeticError], 2),
        ("ValueError", 1),
    ],
)
def test_only_the_errors_named_are_worth_a_retry(virtual_scheduler, on, attempts):
    virtual_scheduler.add_job(lambda: 1 // 0, id="job", retry={"count": 1, "on": on})
    simulate(virtual_scheduler, timedelta(hours=1))
    assert virtual_scheduler.history("job")[0].attempt == attempts


def test_system_exit_is_not_retried_by_default(virtual_scheduler):
    def job():
        raise SystemExit(3)

    virtual_scheduler.add_job(job, id="job", retry=3)
    simulate(virtual_scheduler, timedelta(hours=1))
    assert virtual_scheduler.history("job")[0].attempt == 1


def test_a_job_that_is_between_two_attempts_keeps_its_place(virtual_scheduler):
    virtual_scheduler.add_job(
        lambda: 1 // 0,
        "interval",
        seconds=10,
        id="job",
        retry=Retry(count=1, delay=25, factor=1, jitter=0),
    )
    simulate(virtual_scheduler, timedelta(seconds=38))
    assert virtual_scheduler.counts("job") == {Outcome.SKIPPED: 2, Outcome.FAILED: 1}


def test_a_run_that_takes_too_long_is_given_up_and_its_place_is_free(gate, heard):
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC", executors={"default": ThreadPool(1)})
    noticed, told_itself = [], threading.Event()

    def job():
        run = current_run()
        gate()
        noticed.append(run.cancelled)
        told_itself.set()

    told = heard(scheduler, EVENT_JOB_ERROR)
    done = heard(scheduler, EVENT_JOB_EXECUTED)
    scheduler.add_job(job, id="hangs", timeout=30)
    scheduler.start()
    gate.wait()
    clock.advance(31)
    told()
    (record,) = scheduler.history("hangs")
    assert (record.outcome, record.ended - record.started) == (
        Outcome.TIMED_OUT,
        timedelta(seconds=31),
    )
    scheduler.add_job(lambda: None, id="next")  # the only worker is busy, and was replaced
    done()
    gate.open()
    assert told_itself.wait(SOON)
    assert noticed == [True]
    scheduler.shutdown(timeout=SOON)
    assert scheduler.counts() == {Outcome.TIMED_OUT: 1, Outcome.EXECUTED: 1}


def test_a_run_that_ends_in_time_is_not_given_up(virtual_scheduler, manual_clock, gate, heard):
    virtual_scheduler.add_job(gate, id="quick", timeout=30)
    done = heard(virtual_scheduler, EVENT_JOB_EXECUTED)
    virtual_scheduler._engine.step(manual_clock.now_us())
    gate.wait()
    manual_clock.advance(29)
    virtual_scheduler._engine.step(manual_clock.now_us())
    assert virtual_scheduler.counts() == {}
    gate.open()
    done()
    manual_clock.advance(29)
    virtual_scheduler._engine.step(manual_clock.now_us())
    assert outcomes(virtual_scheduler) == [Outcome.EXECUTED]


def test_the_current_run_tells_about_itself(virtual_scheduler, manual_clock):
    told = []

    def job():
        run = current_run()
        told.append((run.job_id, run.scheduled, run.lateness, run.attempt, run.cancelled))

    virtual_scheduler.add_job(job, "date", run_date=START, id="job")
    manual_clock.advance(7)
    simulate(virtual_scheduler, timedelta(0))
    assert told == [("job", START, 7, 1, False)]


# Overload


def test_thirty_runs_on_ten_threads_all_run(started, heard):
    """The pool is full for a while; lateness was judged when they fell due."""
    gate = threading.Barrier(10)
    done = heard(started, EVENT_JOB_EXECUTED, count=30)
    started.pause()
    for _ in range(30):
        started.add_job(lambda: gate.wait(SOON), misfire_grace_time=SOON)
    started.resume()
    done()
    assert started.counts() == {Outcome.EXECUTED: 30}


def test_a_burst_leaves_the_scheduler_answering():
    """While 20,000 due jobs are taken, get_job answers between any two batches."""
    scheduler = Scheduler(timezone="UTC")
    first = threading.Event()
    scheduler.add_listener(lambda event: first.set(), EVENT_JOB_EXECUTED)
    scheduler.add_job(print, "interval", hours=1, id="asked for")
    for _ in range(20_000):
        scheduler.add_job(_nothing)
    scheduler.start()
    assert first.wait(SOON)
    answered_during = 0
    while scheduler.counts().get(Outcome.EXECUTED, 0) < 20_000:
        assert scheduler.get_job("asked for") is not None
        answered_during += 1
    scheduler.shutdown(timeout=SOON)
    assert answered_during > 5
    assert len(scheduler.get_jobs()) == 1


def _nothing():
    return None


def test_all_events_can_be_heard(started, heard):
    codes = set()
    started.add_listener(lambda event: codes.add(event.code), EVENT_ALL)
    both = heard(started, EVENT_JOB_EXECUTED | EVENT_JOB_SUBMITTED, count=2)
    started.add_job(_nothing)
    both()
    assert {EVENT_JOB_SUBMITTED, EVENT_JOB_EXECUTED} <= codes
