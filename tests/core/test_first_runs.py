"""``next_run_time``: when a job runs first, what follows, and that a paused one stays paused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcore import (
    AndTrigger,
    CalendarIntervalTrigger,
    DateTrigger,
    IntervalTrigger,
    InvalidOptionError,
    ManualClock,
    OrTrigger,
    Outcome,
    Scheduler,
    simulate,
)

START = datetime(2000, 1, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def nothing(*args):
    return None


def recording(**options):
    """Return a scheduler on virtual time, and the list of times at which its job runs."""
    scheduler = Scheduler(timezone="UTC", clock=ManualClock(START), **options)
    ran = []
    return scheduler, ran, lambda: ran.append(scheduler.clock.now() - START)


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize(
    "trigger",
    [
        {},
        {"trigger": "date"},
        {"trigger": DateTrigger(timezone="UTC")},
        {"trigger": {"trigger": "date", "run_date": (START + HOUR).isoformat()}},
        {"trigger": "date", "run_date": START + HOUR},
        {"trigger": "date", "run_date": START - HOUR},
        {"trigger": DateTrigger(START + 5 * MINUTE)},
    ],
    ids=str,
)
@pytest.mark.parametrize("minutes", [-90, -1, 0, 1, 5, 60, 90])
@pytest.mark.parametrize("changed", [False, True], ids=["added", "changed"])
def test_a_date_runs_once_at_the_time_given(coalesce, trigger, minutes, changed):
    scheduler, ran, func = recording(job_defaults={"coalesce": coalesce, "max_instances": 5})
    first = START + minutes * MINUTE
    if changed:
        scheduler.add_job(func, "date", id="once", run_date=START + 2 * HOUR, next_run_time=None)
        job = scheduler.add_job(
            func, **trigger, id="once", next_run_time=START + 3 * HOUR, replace_existing=True
        ).modify(next_run_time=first)
    else:
        job = scheduler.add_job(func, **trigger, id="once", next_run_time=first)
    assert job.next_run_time == first
    assert job.trigger.run_date == first
    simulate(scheduler, timedelta(hours=4))
    assert ran == [max(timedelta(), minutes * MINUTE)]
    assert scheduler.counts() == {Outcome.EXECUTED: 1}
    assert scheduler.get_jobs() == []


@given(
    every=st.integers(1, 5_000),
    ahead=st.integers(-20_000, 20_000),
    coalesce=st.booleans(),
    later=st.booleans(),
)
def test_an_interval_without_a_start_counts_on_from_the_first_run(every, ahead, coalesce, later):
    """The oracle: the first run, late where it has passed, then each beat from it that is ahead."""
    scheduler, ran, func = recording()
    first = START + timedelta(seconds=ahead)
    options = {"seconds": every, "coalesce": coalesce}
    if later:
        job = scheduler.add_job(func, "interval", **options).modify(next_run_time=first)
    else:
        job = scheduler.add_job(func, "interval", **options, next_run_time=first)
    assert job.next_run_time == START + timedelta(seconds=ahead)
    end = max(ahead, 0) + 3 * every
    simulate(scheduler, timedelta(seconds=end))
    beats = [ahead + n * every for n in range((end - ahead) // every + 1)]
    expected = [max(ahead, 0), *[beat for beat in beats[1:] if beat > 0]]
    assert ran == [timedelta(seconds=second) for second in expected]
    assert scheduler.counts() == {Outcome.EXECUTED: len(expected)}


def test_an_interval_with_a_start_keeps_its_beat():
    scheduler, ran, func = recording()
    scheduler.add_job(
        func, "interval", minutes=10, start_date=START, next_run_time=START + 3 * MINUTE
    )
    simulate(scheduler, 21 * MINUTE)
    assert ran == [3 * MINUTE, 10 * MINUTE, 20 * MINUTE]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (CalendarIntervalTrigger(days=2, hour=6, timezone="UTC"), [3, 48 + 6, 96 + 6]),
        (CalendarIntervalTrigger(days=2, hour=1, timezone="UTC"), [3, 48 + 1, 96 + 1]),
        (IntervalTrigger(days=2, timezone="UTC"), [3, 51, 99]),
        (AndTrigger([IntervalTrigger(days=2, timezone="UTC")]), [3, 51, 99]),
    ],
)
def test_all_that_counts_from_the_adding_counts_from_there(trigger, expected):
    scheduler, ran, func = recording()
    scheduler.add_job(func, trigger, next_run_time=START + 3 * HOUR)
    simulate(scheduler, timedelta(days=5))
    assert ran == [hours * HOUR for hours in expected]


def test_a_new_interval_counts_from_the_time_given_with_it():
    scheduler, ran, func = recording()
    job = scheduler.add_job(func, "interval", hours=1)
    job.modify(trigger={"trigger": "interval", "minutes": 10}, next_run_time=START + 3 * MINUTE)
    simulate(scheduler, 21 * MINUTE)
    assert ran == [3 * MINUTE, 13 * MINUTE]


# Paused jobs


CHANGES = [
    {"next_run_time": START + 30 * MINUTE},
    {"next_run_time": START - 30 * MINUTE},
    {"trigger": {"trigger": "interval", "minutes": 7}},
    {"trigger": {"trigger": "interval", "minutes": 7}, "next_run_time": START + 30 * MINUTE},
    {"trigger": {"trigger": "date", "run_date": START + HOUR}},
    {"name": "another", "next_run_time": START + 30 * MINUTE},
    {"next_run_time": None},
    {"max_instances": 3},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("paused_by", ["pausing", "adding"])
def test_no_change_resumes_a_paused_job(changes, paused_by):
    scheduler, ran, func = recording()
    options = {"next_run_time": None} if paused_by == "adding" else {}
    job = scheduler.add_job(func, "interval", minutes=10, id="p", **options)
    job.pause()
    job.modify(**changes)
    assert job.next_run_time is None
    if "trigger" in changes:
        job.reschedule("interval", minutes=9)
        assert job.next_run_time is None
    simulate(scheduler, 2 * HOUR)
    assert ran == []


@pytest.mark.parametrize("trigger", [{"trigger": "interval", "hours": 1}, {"trigger": "date"}])
def test_the_time_given_meanwhile_is_the_first_run_after_a_resume(trigger):
    scheduler, ran, func = recording()
    job = scheduler.add_job(func, **trigger, next_run_time=None)
    job.modify(next_run_time=START + 30 * MINUTE)
    simulate(scheduler, 10 * MINUTE)
    assert job.resume().next_run_time == START + 30 * MINUTE
    simulate(scheduler, 40 * MINUTE)
    assert ran == [30 * MINUTE]


def test_one_that_passed_meanwhile_is_late_for_a_date_and_gone_for_an_interval():
    scheduler, _, func = recording()
    for job_id, trigger in (("date", "date"), ("interval", {"trigger": "interval", "hours": 1})):
        job = scheduler.add_job(func, trigger, id=job_id, next_run_time=None)
        job.modify(next_run_time=START + 30 * MINUTE)
    simulate(scheduler, 45 * MINUTE)
    assert scheduler.resume_job("date").next_run_time == START + 30 * MINUTE
    assert scheduler.resume_job("interval").next_run_time == START + 90 * MINUTE


# A date among others


def resume_late(job, clock):
    job.pause()
    clock.advance(timedelta(hours=2))
    job.resume()


def with_jitter(job):
    return {**job.trigger.to_dict(), "jitter": 5}


def change_while_paused(job, clock):
    job.pause()
    job.modify(trigger=with_jitter(job))
    resume_late(job, clock)


@pytest.mark.parametrize(
    "change",
    [
        resume_late,
        change_while_paused,
        lambda job, _: job.modify(trigger=with_jitter(job)),
        lambda job, _: job.reschedule(with_jitter(job)),
        lambda job, _: job.modify(trigger=OrTrigger([job.trigger, job.trigger])),
    ],
)
def test_a_date_among_others_that_has_run_does_not_run_again(change):
    scheduler, ran, func = recording()
    date = DateTrigger(START + MINUTE)
    job = scheduler.add_job(func, OrTrigger([date, IntervalTrigger(hours=1)]))
    simulate(scheduler, 2 * MINUTE)
    change(job, scheduler.clock)
    simulate(scheduler, MINUTE)
    assert ran == [MINUTE]


def test_a_date_that_passed_during_a_pause_runs_late_and_so_does_a_new_one_that_has_passed():
    scheduler, ran, func = recording()
    dates = [DateTrigger(START + minutes * MINUTE) for minutes in (2, 3)]
    hourly = IntervalTrigger(hours=1)
    job = scheduler.add_job(func, OrTrigger([dates[0], hourly]))
    job.pause()
    simulate(scheduler, 4 * MINUTE)
    job.resume()
    simulate(scheduler, MINUTE)
    job.modify(trigger=OrTrigger([dates[1], hourly]))
    simulate(scheduler, MINUTE)
    assert ran == [4 * MINUTE, 5 * MINUTE]


# None for an option


def test_none_gives_an_option_back_its_default():
    defaults = {"coalesce": False, "max_instances": 4, "overlap": "queue"}
    scheduler = Scheduler(timezone="UTC", job_defaults=defaults)
    given = {"coalesce": True, "max_instances": 7, "overlap": "cancel", "name": "given"}
    job = scheduler.add_job(nothing, "interval", hours=1, **given)
    for option in given:
        job.modify(**{option: None})
    options = job.definition.options._asdict()
    assert {name: options[name] for name in defaults} == defaults
    assert job.name == "nothing"


def test_none_for_the_executor_is_that_of_the_function():
    from schedcore import ThreadPool

    async def coroutine():
        return None

    scheduler = Scheduler(timezone="UTC", executors={"other": ThreadPool()})
    for func, executor in ((nothing, "default"), (coroutine, "coroutines")):
        job = scheduler.add_job(func, "interval", hours=1, executor="other")
        assert job.modify(executor=None).executor == executor
        assert scheduler.add_job(func, "interval", hours=1, executor=None).executor == executor


def test_none_is_no_limit_where_it_has_always_been():
    defaults = {"misfire_grace_time": 5, "timeout": 6, "retry": 2}
    scheduler = Scheduler(timezone="UTC", job_defaults=defaults)
    job = scheduler.add_job(nothing, "interval", hours=1)
    job.modify(**dict.fromkeys(defaults))
    options = job.definition.options
    assert (options.misfire_grace_time, options.timeout, options.retry) == (None, None, None)


@pytest.mark.parametrize("name", ["", " ", "\t\n", "x" * 256, "\ud800", 5, b"x"])
def test_a_name_that_shows_nothing_is_refused(name):
    scheduler = Scheduler(timezone="UTC")
    with pytest.raises(InvalidOptionError, match="name="):
        scheduler.add_job(nothing, "interval", hours=1, name=name)
    job = scheduler.add_job(nothing, "interval", hours=1, name="before")
    with pytest.raises(InvalidOptionError, match="name="):
        job.modify(name=name)
    assert job.name == "before"
    assert len(scheduler.get_jobs()) == 1
