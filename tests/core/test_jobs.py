"""Adding, looking at, changing and removing jobs."""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import weakref
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore import (
    EVENT_JOB_ADDED,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MODIFIED,
    EVENT_JOB_REMOVED,
    ConflictingIdError,
    CronTrigger,
    FuncRefError,
    IntervalTrigger,
    InvalidOptionError,
    InvalidTriggerError,
    JobLookupError,
    ManualClock,
    OrTrigger,
    Outcome,
    Retry,
    SchedError,
    Scheduler,
    simulate,
)
from tests.patience import examples

UTC = timezone.utc


def at(text):
    return datetime.fromisoformat(f"2000-01-01T{text}:00+00:00")


@pytest.fixture
def scheduler(virtual_scheduler):
    return virtual_scheduler


def nothing(*args, **kwargs):
    return None


# Adding


def test_many_jobs_are_added_at_once(scheduler):
    told = []
    scheduler.add_listener(told.append, EVENT_JOB_ADDED)
    first, second, third = scheduler.add_jobs(
        [
            {"func": nothing, "trigger": "cron", "hour": 3, "id": "a", "name": "A", "args": [1]},
            {"func": nothing, "trigger": {"trigger": "interval", "seconds": 5}, "coalesce": False},
            {"func": nothing, "trigger": "interval", "hours": 1, "next_run_time": None, "id": "p"},
        ]
    )
    assert (first.name, first.args, first.next_run_time) == ("A", (1,), at("03:00"))
    assert second.coalesce is False
    assert third.next_run_time is None
    assert {job.id for job in scheduler.get_jobs()} == {"a", second.id, "p"}
    assert [event.job_id for event in told] == ["a", second.id, "p"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"func": nothing, "id": "taken"}, ConflictingIdError),
        ({"func": nothing, "id": "new"}, ConflictingIdError),  # twice in one call
        ({"func": nothing, "trigger": "interval", "seconds": -1}, InvalidTriggerError),
        ({"func": nothing, "trigger": "interval", "seconds": 5, "sconds": 1}, InvalidTriggerError),
        ({"func": nothing, "coalesce": "x"}, InvalidOptionError),
        ({"func": nothing, "args": [1], "id": ""}, InvalidOptionError),
        ({"trigger": "interval", "seconds": 5}, InvalidOptionError),
    ],
)
def test_of_many_jobs_all_are_added_or_none(scheduler, bad, error):
    scheduler.add_job(nothing, "interval", hours=1, id="taken")
    told = []
    scheduler.add_listener(told.append)
    with pytest.raises(error):
        scheduler.add_jobs([{"func": nothing, "trigger": "cron", "hour": 3, "id": "new"}, bad])
    assert [job.id for job in scheduler.get_jobs()] == ["taken"]
    assert told == []


def test_many_jobs_replace_those_with_their_ids_if_that_is_asked(scheduler):
    scheduler.add_job(nothing, "interval", hours=1, id="a")
    scheduler.add_job(nothing, "interval", hours=2, id="b")
    jobs = [{"func": nothing, "trigger": "interval", "minutes": 1, "id": name} for name in "abc"]
    scheduler.add_jobs(jobs, replace_existing=True)
    assert [(j.id, j.next_run_time) for j in scheduler.get_jobs()] == [
        (name, at("00:01")) for name in "abc"
    ]


def test_no_jobs_at_all_are_added_as_well(scheduler):
    assert scheduler.add_jobs([]) == []


def test_a_job_among_many_that_are_added_wakes_the_loop(heard):
    scheduler = Scheduler(timezone="UTC")
    scheduler.start()
    ran = heard(scheduler, EVENT_JOB_EXECUTED, 2)
    scheduler.add_jobs([{"func": nothing}, {"func": nothing, "next_run_time": None}])
    scheduler.add_jobs([{"func": nothing}])
    ran()
    scheduler.shutdown()


def test_a_trigger_by_name_counts_from_the_moment_of_adding(scheduler):
    job = scheduler.add_job(nothing, "interval", minutes=10, id="tick")
    assert job.id == "tick"
    assert job.next_run_time == at("00:10")
    assert scheduler.get_job("tick") == job


def test_a_trigger_object_is_taken_as_it_is(scheduler):
    trigger = CronTrigger(hour=5, timezone="UTC")
    assert scheduler.add_job(nothing, trigger).trigger == trigger


def test_a_plain_data_trigger_is_understood(scheduler):
    job = scheduler.add_job(nothing, {"trigger": "interval", "seconds": 30})
    assert job.next_run_time == at("00:00") + timedelta(seconds=30)


def test_without_a_trigger_the_job_runs_once_as_soon_as_possible(scheduler):
    ran = []
    scheduler.add_job(ran.append, args=["now"])
    simulate(scheduler, timedelta(seconds=1))
    assert ran == ["now"]
    assert scheduler.get_jobs() == []


def test_the_options_are_kept(scheduler):
    job = scheduler.add_job(
        nothing,
        "interval",
        (1, 2),
        {"key": "value"},
        "id",
        "a name",
        60,
        False,
        3,
        at("12:00"),
        seconds=5,
        overlap="queue",
        timeout=2.5,
        retry={"count": 2, "on": ["ValueError"]},
    )
    assert (job.args, job.kwargs, job.name) == ((1, 2), {"key": "value"}, "a name")
    assert (job.misfire_grace_time, job.coalesce, job.max_instances) == (60, False, 3)
    assert job.next_run_time == at("12:00")
    definition = job.definition
    assert (definition.overlap, definition.timeout) == ("queue", 2.5)
    assert definition.retry == Retry(count=2, on=("ValueError",))


def test_nothing_is_dropped_by_default(scheduler):
    job = scheduler.add_job(nothing, "interval", seconds=5)
    assert (job.misfire_grace_time, job.coalesce, job.max_instances) == (None, True, 1)


def test_the_schedulers_defaults_apply_unless_a_job_says_otherwise(manual_clock):
    scheduler = Scheduler(
        clock=manual_clock, job_defaults={"max_instances": 4, "misfire_grace_time": 9}
    )
    job = scheduler.add_job(nothing, misfire_grace_time=None)
    assert (job.max_instances, job.misfire_grace_time) == (4, None)


def test_a_job_is_named_after_its_function(scheduler):
    assert scheduler.add_job(nothing).name == "nothing"
    assert scheduler.add_job(functools.partial(nothing, 1)).name == "nothing"


def test_next_run_time_none_adds_the_job_paused(scheduler):
    job = scheduler.add_job(nothing, "interval", seconds=5, next_run_time=None)
    assert job.next_run_time is None
    simulate(scheduler, timedelta(hours=1))
    assert scheduler.counts() == {}
    assert job.resume().next_run_time == at("01:00")  # a beat of the trigger falls on it


def test_a_first_run_time_of_ones_own_is_followed_by_the_beat(scheduler):
    ran = []
    clock = scheduler._clock
    scheduler.add_job(
        lambda: ran.append(clock.now()), "interval", minutes=10, next_run_time="2000-01-01T00:03:00"
    )
    simulate(scheduler, timedelta(minutes=21))
    assert ran == [at("00:03"), at("00:13")]


def test_a_function_can_be_given_by_reference(scheduler):
    job = scheduler.add_job("os.path:join", args=["a", "b"])
    assert job.func_ref == "os.path:join"
    simulate(scheduler, timedelta(seconds=1))
    assert scheduler.history(job.id)[0].result == "'a/b'"


def test_a_function_that_no_text_leads_to_has_no_reference(scheduler):
    assert scheduler.add_job(lambda: None).func_ref is None
    assert scheduler.add_job(Scheduler.start, args=[None]).func_ref == (
        "schedcore.scheduler:Scheduler.start"
    )


def test_a_taken_id_is_refused_unless_it_is_to_be_replaced(scheduler):
    scheduler.add_job(nothing, "interval", seconds=5, id="tick")
    with pytest.raises(ConflictingIdError, match=r"'tick' exists; pass replace_existing=True"):
        scheduler.add_job(nothing, "interval", seconds=9, id="tick")
    replaced = scheduler.add_job(nothing, "interval", seconds=9, id="tick", replace_existing=True)
    assert replaced.trigger.to_dict()["seconds"] == 9
    assert len(scheduler.get_jobs()) == 1


def test_ids_made_up_are_unique(scheduler):
    assert len({scheduler.add_job(nothing).id for _ in range(1_000)}) == 1_000


def test_a_decorated_function_is_scheduled_registered_and_unchanged(scheduler):
    @scheduler.task("interval", id="tick", seconds=5)
    def tick():
        return "tock"

    assert tick() == "tock"
    assert scheduler.get_job("tick").func is tick
    assert tick in scheduler.registered.values()


def test_ids_of_declared_jobs_that_differ_do_not_depend_on_the_others(tmp_path):
    at_nine, at_ten = CronTrigger(hour=9, timezone=UTC), CronTrigger(hour=10, timezone=UTC)
    declared = [
        {"args": iter("a")},
        {"args": ["b"]},
        {"kwargs": {"x": 1}},
        {"kwargs": {"x": 2}},
        {"trigger": at_nine},
        {"trigger": at_ten},
        {"trigger": OrTrigger([IntervalTrigger(hours=1, timezone=UTC)])},
        {},
    ]
    hourly = {"trigger": "interval", "hours": 1}
    scheduler = Scheduler(store=f"sqlite:///{tmp_path / 'jobs.db'}", timezone="UTC")
    func = "tests.core.test_jobs:nothing"
    ids = [
        scheduler.add_job(func, **(job if "trigger" in job else hourly | job)).id
        for job in declared
    ]
    scheduler.start()
    scheduler.shutdown()
    assert {each[-8:] for each in ids} == {"00000001"}, "none is the second of its kind"
    assert ids[-1] == "869dbd7fb0bcb11a3aa333b100000001", "which stores have"


def test_a_date_in_the_past_runs_at_once_since_nothing_is_dropped(scheduler):
    scheduler.add_job(nothing, "date", run_date="1999-12-31T23:00:00", id="late")
    simulate(scheduler, timedelta(seconds=1))
    (record,) = scheduler.history("late")
    assert (record.outcome, record.lateness) == (Outcome.EXECUTED, 3600)


# Bad input: one clear error, and nothing has changed


def two(a, b):
    return a, b


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trigger": "intervall", "seconds": 5}, r"trigger='intervall': .*did you mean 'interval'"),
        ({"trigger": "interval", "secnds": 5}, r"secnds=5: .*did you mean 'seconds'"),
        ({"trigger": "interval", "seconds": -5}, r"seconds=-5: expected"),
        ({"trigger": "interval", "seconds": 0}, r"seconds=0: expected"),
        ({"trigger": "cron", "minute": 99}, r"minute=99: expected .*0 to 59"),
        ({"trigger": "cron", "hour": 5, "timezone": "Mars/Base"}, r"timezone='Mars/Base'"),
        (
            {"trigger": "date", "run_date": "2026-03-29T02:30:00", "timezone": "Europe/Berlin"},
            r"run_date='2026-03-29T02:30:00': expected a time that exists in Europe/Berlin",
        ),
        ({"trigger": "cron", "month": 2, "day": 30}, r"expected"),
        ({"trigger": "interval", "seconds": 5, "end_date": "1990-01-01"}, r"fire time left"),
        ({"max_instances": 0}, r"max_instances=0: expected a whole number of 1 or more"),
        ({"max_instances": True}, r"max_instances=True: expected a whole number"),
        ({"misfire_grace_time": 0}, r"misfire_grace_time=0: expected .*greater than 0, or None"),
        ({"misfire_grace_time": float("nan")}, r"misfire_grace_time=nan: expected"),
        ({"coalesce": "yes"}, r"coalesce='yes': expected True or False"),
        ({"executor": "defualt"}, r"executor='defualt': .*did you mean 'default'"),
        ({"overlap": "skipp"}, r"overlap='skipp': .*did you mean 'skip'"),
        ({"timeout": -1}, r"timeout=-1: expected .*greater than 0"),
        ({"retry": -1}, r"retry.count=-1: expected a whole number from 1 to 1000"),
        ({"retry": {"cuont": 3}}, r"retry.cuont=3: .*did you mean 'count'"),
        ({"retry": {"delay": float("nan")}}, r"retry.delay=nan: expected a number from 0"),
        ({"retry": {"on": [3]}}, r"retry.on=.*classes of errors"),
        ({"id": ""}, r"id='': expected text of 1 to 255 characters"),
        ({"id": "x" * 256}, r"id='x.*expected text of 1 to 255 characters"),
        ({"id": 5}, r"id=5: expected text"),
        ({"id": "a\0b"}, r"id=.*expected text without NUL"),
        ({"name": 5}, r"name=5: expected text"),
        ({"args": "ab"}, r"args='ab': expected a list or tuple"),
        ({"args": [1, 2, 3]}, r"args=.*too many positional arguments"),
        ({"args": [1]}, r"args=.*missing a required argument: 'b'"),
        ({"kwargs": {"c": 1}, "args": [1, 2]}, r"args=.*unexpected keyword argument 'c'"),
        ({"kwargs": [1]}, r"kwargs=\[1\]: expected a mapping"),
        ({"next_run_time": "soon"}, r"next_run_time='soon': expected a date"),
        ({"func": "tasks"}, r"func='tasks': expected a reference such as"),
        ({"func": "no_such_module:f"}, r"func='no_such_module:f': .*importing 'no_such_module'"),
        ({"func": "os.path:jion"}, r"func='os.path:jion': .*did you mean 'join'"),
        ({"func": "os:name"}, r"func='os:name': expected a callable, not str"),
        ({"func": 5}, r"func=5: expected a callable"),
    ],
)
def test_bad_input_names_the_option_the_value_and_what_was_expected(scheduler, options, said):
    options = {"func": two, "args": [1, 2], **options}
    with pytest.raises(InvalidOptionError, match=said):
        scheduler.add_job(**options)
    assert scheduler.get_jobs() == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.history("job", "5"), "limit='5': expected a whole number of 0 or more"),
        (lambda s: s.history(limit=-1), "limit=-1: expected a whole number of 0 or more"),
        (lambda s: s.history(offset=-1), "offset=-1: expected a whole number of 0 or more"),
        (lambda s: s.history(before="5"), "before='5': expected a number, the id of a run"),
        (lambda s: s.get_run("5"), "run_id='5': expected a number, the id of a run"),
        (lambda s: s.cancel("job"), "run_id='job': expected a number, the id of a run"),
        (lambda s: s.output("job"), "run_id='job': expected a number, the id of a run"),
        (lambda s: s.run_job(s.get_job("job")), "no job with id <JobHandle .*an id is text"),
        (lambda s: s.add_jobs({"func": print}), "jobs='func': expected a list of mappings"),
        (lambda s: s.add_job(print, "interval", every=5), r"every=5: .*seconds=5, minutes=5"),
        (lambda s: s.add_job(print, "interval", milliseconds=5), "milliseconds=5: .*seconds=0.5"),
        (lambda s: s.add_job(print, "cron", at="10:30"), "at='10:30': .*hour=10, minute=30"),
    ],
)
def test_a_call_that_finds_nothing_by_what_it_is_given_says_what_to_give(started, call, said):
    started.add_job(print, "interval", hours=1, id="job")
    with pytest.raises(SchedError, match=said):
        call(started)


def test_a_trigger_with_no_fire_time_left_is_refused(scheduler):
    with pytest.raises(InvalidTriggerError, match="fire time left"):
        scheduler.add_job(nothing, "cron", hour=5, end_date="1999-12-31")


def test_a_wrong_scheduler_is_refused():
    with pytest.raises(InvalidOptionError, match=r"timezone='Nowhere'"):
        Scheduler(timezone="Nowhere")
    with pytest.raises(InvalidOptionError, match=r"max_instances=0"):
        Scheduler(job_defaults={"max_instances": 0})
    with pytest.raises(InvalidOptionError, match=r"executor='gone'"):
        Scheduler(job_defaults={"executor": "gone"})


# Changing


@pytest.fixture
def job(scheduler):
    return scheduler.add_job(nothing, "interval", minutes=10, id="tick", name="old")


def test_a_change_keeps_the_rest(scheduler, job):
    job.modify(name="new", max_instances=2)
    assert (job.name, job.max_instances, job.next_run_time) == ("new", 2, at("00:10"))


async def coroutine():
    pass


def test_a_function_of_another_kind_runs_where_that_kind_does_unless_that_was_chosen(scheduler):
    jobs = [
        scheduler.add_job(func, "interval", minutes=10, **chosen)
        for func, chosen in (
            (nothing, {}),
            (coroutine, {}),
            (nothing, {"executor": "coroutines"}),
            (coroutine, {"executor": "default"}),
        )
    ]
    for job, func in zip(jobs, (coroutine, nothing, coroutine, nothing), strict=True):
        job.modify(func=func)
    assert [job.executor for job in jobs] == ["coroutines", "default", "coroutines", "default"]


def test_a_failed_change_changes_nothing(scheduler, job):
    before = job.entry
    for changes in (
        {"name": "new", "max_instances": 0},
        {"name": "new", "nmae": "x"},
        {"name": "new", "trigger": "interval"},
        {"name": "new", "func": "gone:away"},
        {"name": "new", "id": "other"},
        {"name": "new", "next_run_time": "never"},
        {"name": "new", "executor": "gone"},
    ):
        with pytest.raises(InvalidOptionError):
            job.modify(**changes)
        assert job.entry == before


def test_a_new_trigger_counts_from_now(scheduler, job, manual_clock):
    manual_clock.set(at("00:05"))
    job.reschedule("interval", minutes=1)
    assert job.next_run_time == at("00:06")
    job.modify(trigger=IntervalTrigger(minutes=2))
    assert job.next_run_time == at("00:07")


def test_the_same_trigger_again_changes_nothing(scheduler, job, manual_clock):
    manual_clock.set(at("00:05"))
    job.modify(trigger=job.trigger.to_dict())
    assert job.next_run_time == at("00:10")


def test_a_paused_job_stays_paused_over_changes(scheduler, job):
    job.pause()
    job.reschedule("interval", minutes=1)
    job.modify(name="still paused")
    assert job.next_run_time is None


def test_pausing_and_resuming(scheduler, job, manual_clock):
    assert job.pause().next_run_time is None
    manual_clock.set(at("00:34"))
    assert job.resume().next_run_time == at("00:40")


def test_resuming_a_job_that_is_not_paused_keeps_its_due_run(scheduler, job, manual_clock):
    manual_clock.set(at("00:34"))
    assert job.resume().next_run_time == at("00:10")


def test_what_a_pause_passed_over_is_recorded(scheduler, job, manual_clock):
    job.pause()
    manual_clock.set(at("00:34"))
    job.resume()
    (record,) = scheduler.history("tick")
    assert (record.outcome, record.occurrences) == (Outcome.PAUSED, 3)
    assert record.scheduled == at("00:10")


def test_a_job_whose_trigger_has_ended_cannot_be_resumed(scheduler, manual_clock):
    job = scheduler.add_job(
        nothing, "interval", minutes=1, end_date="2000-01-01T01:00:00", id="ending"
    )
    job.pause()
    manual_clock.set(at("02:00"))
    with pytest.raises(InvalidTriggerError, match="fire time left"):
        job.resume()
    assert job.next_run_time is None


def test_removing(scheduler, job):
    job.remove()
    assert scheduler.get_job("tick") is None
    assert job.next_run_time is None
    assert job.name == "old"  # as it was when last looked at
    with pytest.raises(JobLookupError, match="'tick'"):
        job.remove()


def test_removing_all(scheduler, job):
    scheduler.add_job(nothing)
    scheduler.remove_all_jobs()
    assert scheduler.get_jobs() == []


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.modify_job("nobody", name="x"),
        lambda s: s.reschedule_job("nobody", "interval", seconds=1),
        lambda s: s.pause_job("nobody"),
        lambda s: s.resume_job("nobody"),
        lambda s: s.remove_job("nobody"),
        lambda s: s.entry("nobody"),
    ],
)
def test_a_job_that_is_not_there_is_said(scheduler, call):
    with pytest.raises(JobLookupError, match="no job with id 'nobody'"):
        call(scheduler)


def test_jobs_are_listed_by_their_next_run(scheduler):
    for minutes in (30, 10, 20):
        scheduler.add_job(nothing, "interval", minutes=minutes, id=str(minutes))
    scheduler.add_job(nothing, "interval", minutes=1, id="paused", next_run_time=None)
    assert [job.id for job in scheduler.get_jobs()] == ["10", "20", "30", "paused"]


def test_listeners_hear_of_what_they_asked_for(scheduler):
    heard = []
    scheduler.add_listener(heard.append, EVENT_JOB_ADDED | EVENT_JOB_MODIFIED | EVENT_JOB_REMOVED)
    job = scheduler.add_job(nothing, "interval", minutes=1, id="tick")
    job.pause()
    job.remove()
    scheduler.remove_listener(heard.append)
    scheduler.add_job(nothing)
    assert [(event.code, event.job_id) for event in heard] == [
        (EVENT_JOB_ADDED, "tick"),
        (EVENT_JOB_MODIFIED, "tick"),
        (EVENT_JOB_REMOVED, "tick"),
    ]


@pytest.mark.parametrize(("listener", "mask"), [(5, 1), (print, 0), (print, "x"), (print, 1 << 40)])
def test_a_listener_that_makes_no_sense_is_refused(scheduler, listener, mask):
    with pytest.raises(InvalidOptionError, match=r"(listener|mask)="):
        scheduler.add_listener(listener, mask)


def test_jitter_is_reproducible_never_early_and_never_adds_up():
    def fires(seed):
        import random

        clock = ManualClock()
        scheduler = Scheduler(clock=clock, timezone="UTC", random=random.Random(seed))
        times = []
        scheduler.add_job(lambda: times.append(clock.now()), "interval", minutes=1, jitter=30)
        simulate(scheduler, timedelta(hours=10))
        return times

    times = fires(1)
    assert times == fires(1) != fires(2)
    delays = [
        (time - at("00:00") - timedelta(minutes=n)).total_seconds()
        for n, time in enumerate(times, 1)
    ]
    assert len(times) in (599, 600)
    assert all(0 <= delay <= 30 for delay in delays)
    assert max(delays) > 25
    assert min(delays) < 5


# The list of all


ids = st.sampled_from([f"job{n}" for n in range(12)])
moments = st.integers(0, 5)
step = st.one_of(
    st.tuples(st.just("add"), ids, moments),
    st.tuples(st.just("reschedule"), ids, moments),
    st.tuples(st.sampled_from(["pause", "resume", "remove", "rename", "list"]), ids, st.just(0)),
    st.tuples(st.sampled_from(["add many", "remove all"]), ids, moments),
)


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(step, max_size=60))
def test_the_list_of_all_is_what_a_new_one_would_be(steps):
    """It is kept from one call to the next, and patched."""
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC")
    for what, job_id, moment in steps:
        known = scheduler.get_job(job_id)
        if what == "add":
            scheduler.add_job(nothing, "interval", hours=1 + moment, id=job_id, replace_existing=1)
        elif what == "add many":
            many = [{"func": nothing, "trigger": "interval", "hours": 1 + moment, "id": job_id}]
            many += [{"func": nothing, "id": f"{job_id} {n}"} for n in range(moment * 20)]
            scheduler.add_jobs(many, replace_existing=True)
        elif what == "remove all":
            scheduler.remove_all_jobs()
        elif what == "list":
            scheduler.get_jobs()
        elif known is not None and what == "rename":
            known.modify(name="new")
        elif known is not None and what == "reschedule":
            known.reschedule("interval", hours=1 + moment)
        elif known is not None:
            getattr(known, what)()
        if what != "list" and moment % 2:
            continue
        listed = [job.last_seen for job in scheduler.get_jobs()]
        fresh = scheduler._engine.store.entries()
        for found in (listed, scheduler.entries()):
            assert [entry.due_us for entry in found] == [entry.due_us for entry in fresh]
            assert {entry.job.id: entry for entry in found} == {e.job.id: e for e in fresh}


def test_the_list_of_all_is_the_callers_own(scheduler):
    scheduler.add_job(nothing, "interval", hours=1, id="job")
    scheduler.get_jobs().clear()
    assert [job.id for job in scheduler.get_jobs()] == ["job"]


def test_an_error_while_the_list_is_patched_does_not_leave_it_half_done(scheduler, monkeypatch):
    for n in range(20):
        scheduler.add_job(nothing, "interval", hours=1 + n, id=str(n))
    scheduler.get_jobs()
    for n in range(5):
        scheduler.reschedule_job(str(n), "interval", minutes=1 + n)
    shown = []

    def fails_once(entry):
        shown.append(entry)
        if len(shown) == 3:
            raise KeyboardInterrupt
        return show(entry)

    show = scheduler._handles._show
    monkeypatch.setattr(scheduler._handles, "_show", fails_once)
    with pytest.raises(KeyboardInterrupt):
        scheduler.get_jobs()
    assert [job.id for job in scheduler.get_jobs()] == [str(n) for n in range(20)]


def test_a_list_that_is_patched_while_jobs_change_shows_them_as_at_one_moment(scheduler):
    scheduler.add_job(nothing, "interval", hours=1, id="a")
    scheduler.entries()
    scheduler.add_job(nothing, "interval", hours=1, id="b")
    scheduler.remove_job("a")
    store = scheduler._engine.store
    look = store.get

    def look_and_swap(job_id):
        entry = look(job_id)
        if job_id == "b":  # of the two, there is always just one
            del store.get
            scheduler.remove_job("b")
            scheduler.add_job(nothing, "interval", hours=1, id="a")
        return entry

    store.get = look_and_swap
    assert [entry.job.id for entry in scheduler.entries()] == ["a"]


def test_a_finalizer_may_list_jobs_while_they_are_listed(scheduler, monkeypatch):
    seen = []

    def lists(entry):
        if not seen:
            seen.append(None)
            seen[0] = [job.id for job in scheduler.get_jobs()]
        return show(entry)

    show = scheduler._handles._show
    monkeypatch.setattr(scheduler._handles, "_show", lists)
    scheduler.add_job(nothing, "interval", hours=1, id="job")
    assert [job.id for job in scheduler.get_jobs()] == ["job"]
    assert seen == [["job"]]


@pytest.mark.parametrize(
    "gone", ["removed", "all removed", "ended", "replaced", "all replaced", "changed", "for a key"]
)
def test_what_is_gone_is_not_kept_alive(gone, manual_clock, virtual_scheduler):
    class Big:
        pass

    big = Big()
    there = weakref.ref(big)
    when = {"trigger": "interval", "hours": 1}
    if gone == "ended":
        when = {"trigger": "date", "run_date": "2000-01-02"}
    virtual_scheduler.add_job(nothing, args=[big], id="job", **when)
    virtual_scheduler.get_jobs()
    virtual_scheduler.entries()
    del big
    if gone == "removed":
        virtual_scheduler.remove_job("job")
    elif gone == "all removed":
        virtual_scheduler.remove_all_jobs()
    elif gone == "replaced":
        virtual_scheduler.add_job(nothing, id="job", replace_existing=True)
    elif gone == "all replaced":
        virtual_scheduler.add_jobs([{"func": nothing, "id": "job"}], replace_existing=True)
    elif gone == "changed":
        virtual_scheduler.modify_job("job", args=[])
    elif gone == "for a key":
        virtual_scheduler.start()
        virtual_scheduler.run_job("job", key="once", args=[])
        virtual_scheduler.shutdown()
        virtual_scheduler.remove_job("job")
    else:
        simulate(virtual_scheduler, timedelta(days=2))
    gc.collect()
    assert there() is None


@pytest.mark.parametrize("bad", ["k\0", "k\udcfc", "", "k" * 256, 3])
def test_a_name_that_not_every_store_accepts_is_refused(scheduler, bad):
    scheduler.add_job(print, "interval", hours=1, id="job")
    with pytest.raises(InvalidOptionError, match="key="):
        scheduler.run_job("job", key=bad)
    with pytest.raises(InvalidOptionError, match="name="):
        Scheduler(name=bad)


@pytest.mark.parametrize("strange", ["self", 3, "replace_existing"])
def test_a_strange_option_of_one_of_many_jobs_is_refused_by_name(scheduler, strange):
    good = {"func": print, "trigger": "interval", "hours": 1}
    with pytest.raises(InvalidOptionError, match=str(strange)):
        scheduler.add_jobs([good, {**good, strange: 1}])
    assert scheduler.get_jobs() == []


def test_two_of_many_jobs_with_one_id_are_refused_also_where_they_replace(scheduler):
    scheduler.add_job(nothing, "interval", hours=1, id="a")
    job = {"func": nothing, "trigger": "interval", "hours": 2, "id": "a"}
    with pytest.raises(ConflictingIdError, match="'a'"):
        scheduler.add_jobs([job, job], replace_existing=True)
    assert scheduler.get_job("a").next_run_time == at("01:00")


DECORATED = """
from schedcore import Scheduler

scheduler = Scheduler(store="sqlite:///{}", timezone="UTC")


@scheduler.task("cron", id="greet", hour=6)
def greet():
    return "good morning"
"""


def test_a_decorator_adds_to_a_store_on_disk_before_the_name_is_bound(tmp_path, monkeypatch):
    (tmp_path / "decorated_jobs.py").write_text(DECORATED.format(tmp_path / "jobs.db"))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("decorated_jobs")
    scheduler = module.scheduler
    scheduler.start()
    try:
        assert scheduler.get_job("greet").func_ref == "decorated_jobs:greet"
        assert scheduler.run_job("greet").record.result == "'good morning'"
        with pytest.raises(FuncRefError, match="its name leads back to"):
            scheduler.task("interval", hours=1)(lambda: None)
        with pytest.raises(FuncRefError, match="its name leads back to"):
            scheduler.add_job(lambda: None, "interval", hours=1)
    finally:
        scheduler.shutdown()
        del sys.modules["decorated_jobs"]
