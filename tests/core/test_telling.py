"""What listeners and the log are told of runs."""

from __future__ import annotations

import functools
import itertools
import logging
from datetime import timedelta
from unittest.mock import AsyncMock, Mock

import pytest

from schedcore import (
    EVENT_ALL,
    EVENT_JOB_ADDED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_MODIFIED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    IntervalTrigger,
    InvalidOptionError,
    InvalidTriggerError,
    ManualClock,
    Retry,
    Scheduler,
    simulate,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def fine():
    return 5


def bad():
    raise ValueError("no")


def deep(n=5_000):
    return deep(n - 1) if n else None


class Untold(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def untold():
    raise Untold


# Events


@pytest.mark.parametrize("func", [fine, bad])
def test_each_event_says_what_it_is_about_also_when_the_job_is_gone(virtual_scheduler, func):
    told = []
    virtual_scheduler.add_listener(told.append, EVENT_ALL)
    job = virtual_scheduler.add_job(func, "date", id="once", name="a name")
    job.modify(max_instances=2)
    simulate(virtual_scheduler, SECOND)
    assert virtual_scheduler.get_job("once") is None
    codes = {EVENT_JOB_ADDED, EVENT_JOB_MODIFIED, EVENT_JOB_SUBMITTED, EVENT_JOB_REMOVED}
    assert {event.code for event in told} == codes | {
        EVENT_JOB_EXECUTED if func is fine else EVENT_JOB_ERROR
    }
    (run_id,) = {record.run_id for record in virtual_scheduler.history("once")}
    for event in told:
        assert (event.job_id, event.name) == ("once", "a name")
        assert event.func_ref == f"{__name__}:{func.__name__}"
        assert event.jobstore == "default"
        assert getattr(event, "run_id", run_id) == run_id


def test_so_do_those_of_what_did_not_run(virtual_scheduler):
    told = []
    scheduler = virtual_scheduler
    scheduler.add_listener(told.append, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
    scheduler.add_job(
        fine, "date", run_date="1999-01-01", misfire_grace_time=1, id="late", name="late one"
    )
    scheduler.add_job(
        lambda: scheduler._engine.step(scheduler.clock.now_us()),
        "interval",
        seconds=1,
        id="crowded",
    )
    clock = scheduler.clock
    scheduler._executors["default"] = Mock(spec=["submit", "abandon", "shutdown"])
    for _ in range(3):
        clock.advance(1)
        scheduler._engine.step(clock.now_us())
    assert {event.job_id: event.name for event in told} == {
        "late": "late one",
        "crowded": "test_so_do_those_of_what_did_not_run.<locals>.<lambda>",
    }


def test_an_event_has_the_traceback_as_bounded_text(virtual_scheduler):
    told = []
    virtual_scheduler.add_listener(told.append, EVENT_JOB_ERROR | EVENT_JOB_EXECUTED)
    for func in (fine, bad, deep, untold):
        virtual_scheduler.add_job(func, id=func.__name__)
    simulate(virtual_scheduler, SECOND)
    text = {event.job_id: event.traceback for event in told}
    assert text["fine"] is None
    assert text["bad"].endswith("ValueError: no\n")
    assert "in bad" in text["bad"]
    assert "RecursionError" in text["deep"]
    assert "Untold" in text["untold"]
    assert all(len(each) <= 20_000 for each in text.values() if each)


# Listeners


async def asynchronous(event):
    """Would be awaited by nobody."""


def generating(event):
    yield event


class AsynchronousCall:
    async def __call__(self, event):
        """Would be awaited by nobody."""

    async def method(self, event):
        """Would be awaited by nobody."""


@pytest.mark.parametrize(
    "listener",
    [
        asynchronous,
        functools.partial(asynchronous),
        AsynchronousCall(),
        AsynchronousCall().method,
        functools.partial(AsynchronousCall()),
        generating,
        functools.partial(generating),
        None,
        5,
    ],
)
def test_a_listener_that_would_never_run_is_refused(virtual_scheduler, listener):
    with pytest.raises(InvalidOptionError, match="listener="):
        virtual_scheduler.add_listener(listener)


def test_so_is_a_mock_of_one(virtual_scheduler):
    with pytest.raises(InvalidOptionError, match="run_coroutine_threadsafe"):
        virtual_scheduler.add_listener(AsyncMock())
    heard = Mock()
    virtual_scheduler.add_listener(heard, EVENT_JOB_EXECUTED)
    virtual_scheduler.add_job(fine)
    simulate(virtual_scheduler, SECOND)
    heard.assert_called_once()


def test_one_that_returns_a_coroutine_counts_as_failed(virtual_scheduler, caplog):
    def returns_coroutine(event):
        return asynchronous(event)

    virtual_scheduler.add_listener(returns_coroutine, EVENT_JOB_EXECUTED)
    virtual_scheduler.add_job(fine)
    simulate(virtual_scheduler, SECOND)
    assert virtual_scheduler.health().listener_failures == 1
    assert "returned a coroutine" in caplog.text


# The log


@pytest.mark.parametrize(
    ("add", "said"),
    [
        (lambda s: s.add_job(bad, "date", id="j"), "it was its last run"),
        (
            lambda s: s.add_job(bad, "interval", hours=1, id="j", next_run_time=s.clock.now()),
            "next run at 2000-01-01T01:00:00+00:00",
        ),
        (lambda s: s.add_job(lambda: pause_and_raise(s), "interval", seconds=1, id="j"), "paused"),
        (lambda s: s.add_job(lambda: remove_and_raise(s), "interval", seconds=1, id="j"), "last"),
    ],
)
def test_the_line_about_a_job_that_raised_tells_what_follows(virtual_scheduler, caplog, add, said):
    add(virtual_scheduler)
    simulate(virtual_scheduler, SECOND)
    (line,) = [each for each in caplog.messages if "raised" in each]
    assert said in line
    assert str(virtual_scheduler.history("j")[0].run_id) in line


def pause_and_raise(scheduler):
    scheduler.pause_job("j")
    raise ValueError("no")


def remove_and_raise(scheduler):
    scheduler.remove_job("j")
    raise ValueError("no")


def test_the_line_about_another_attempt_names_the_run(virtual_scheduler, caplog):
    virtual_scheduler.add_job(bad, id="j", retry=Retry(1, delay=0))
    simulate(virtual_scheduler, SECOND)
    run_id = str(virtual_scheduler.history("j")[0].run_id)
    assert [run_id in line for line in caplog.messages] == [True, True]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("skipped", {}), ("missed", {"misfire_grace_time": 0.1}), ("shed", {"max_instances": 1_000})],
)
def test_what_can_come_each_second_is_said_once_a_minute_with_a_count(caplog, kind, options):
    clock = ManualClock()
    scheduler = Scheduler(timezone="UTC", clock=clock)
    executor = Mock(spec=["submit", "abandon", "shutdown"])
    if kind == "shed":
        executor.submit.side_effect = lambda runs, to: [to.shed(run) for run in runs]
    scheduler._executors["default"] = executor
    for job_id in "ab":
        scheduler.add_job(fine, "interval", seconds=1, id=job_id, coalesce=False, **options)
    caplog.set_level(logging.WARNING)
    for _ in range(150):
        clock.advance(1)
        late_us = 500_000 if kind == "missed" else 0
        scheduler._engine.step(clock.now_us() + late_us)
    lines = [line for line in caplog.messages if kind in line and "'a'" in line]
    assert len(lines) == 3
    assert "more times" not in lines[0]
    assert all("(and 59 more times since the last such message)" in line for line in lines[1:])
    assert len([line for line in caplog.messages if "'b'" in line]) == 3


def fail_with(texts):
    """Return a function that raises one after the other of these, again and again."""
    raised = itertools.cycle(texts)

    def func():
        raise ValueError(next(raised))

    return func


def each_second(scheduler, seconds, texts, **options):
    """Run a job that raises these."""
    scheduler.add_job(fail_with(texts), "interval", seconds=1, id="j", **options)
    simulate(scheduler, timedelta(seconds=seconds))


def test_the_same_error_each_second_is_one_traceback_a_minute(virtual_scheduler, caplog):
    each_second(virtual_scheduler, 150, ["no"])
    assert [bool(record.exc_info) for record in caplog.records] == [True] * 3
    assert "more times" not in caplog.messages[0]
    assert all(
        "(and 59 more times since the last such message)" in line for line in caplog.messages[1:]
    )


def test_another_error_is_told_at_once(virtual_scheduler, caplog):
    each_second(virtual_scheduler, 50, ["no", "no", "not either"])
    assert [str(record.exc_info[1]) for record in caplog.records] == ["no", "not either"]


def test_errors_that_differ_in_numbers_are_the_same(virtual_scheduler, caplog):
    each_second(virtual_scheduler, 50, [f"at 0x7f{n}ac after {n} s" for n in range(60)])
    assert len(caplog.messages) == 1


def test_of_errors_that_differ_each_time_some_are_told(virtual_scheduler, caplog):
    texts = ["".join(pair) for pair in itertools.product("abcdefghij", repeat=2)]
    each_second(virtual_scheduler, 59, texts)
    assert len(caplog.messages) == 11
    virtual_scheduler.remove_job("j")
    each_second(virtual_scheduler, 1, texts)
    assert len(caplog.messages) == 12, "another job with the same id is another one"


def test_of_errors_that_differ_each_time_some_are_told_each_minute(virtual_scheduler, caplog):
    each_second(
        virtual_scheduler, 240, ["".join(t) for t in itertools.product("abcdefg", repeat=3)]
    )
    told = [record for record in caplog.records if record.exc_info]
    assert 40 <= len(told) <= 4 * 11
    assert any("more times" in record.getMessage() for record in told)


def test_attempts_that_follow_are_told_once_a_minute(virtual_scheduler, caplog):
    each_second(virtual_scheduler, 150, ["no"], retry=Retry(1, delay=0))
    assert len([line for line in caplog.messages if "follows" in line]) == 3


# Mistyped options


@pytest.mark.parametrize("trigger", ["interval", {"trigger": "interval"}])
@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("max_instance", "max_instances"),
        ("retries", "retry"),
        ("misfire_grace", "misfire_grace_time"),
        ("executer", "executor"),
        ("second", "seconds"),
        ("start", "start_date"),
        ("replace_existin", "replace_existing"),
    ],
)
def test_a_mistyped_option_is_looked_for_among_those_of_job_and_trigger(
    virtual_scheduler, trigger, mistyped, meant
):
    for add in (
        lambda: virtual_scheduler.add_job(fine, trigger, minutes=5, **{mistyped: 1}),
        lambda: virtual_scheduler.task(trigger, minutes=5, **{mistyped: 1})(fine),
        lambda: virtual_scheduler.add_jobs(
            [{"func": fine, "trigger": trigger, "minutes": 5, mistyped: 1}]
        ),
    ):
        with pytest.raises(InvalidTriggerError, match=f"did you mean '{meant}'"):
            add()
    assert virtual_scheduler.get_jobs() == []


@pytest.mark.parametrize(
    ("mistyped", "meant"), [("max_instance", "max_instances"), ("nam", "name")]
)
def test_so_is_one_beside_a_trigger_and_one_in_a_change(virtual_scheduler, mistyped, meant):
    with pytest.raises(InvalidTriggerError, match=f"did you mean '{meant}'"):
        virtual_scheduler.add_job(fine, IntervalTrigger(hours=1), **{mistyped: 1})
    job = virtual_scheduler.add_job(fine, "interval", hours=1)
    with pytest.raises(InvalidOptionError, match=f"did you mean '{meant}'"):
        job.modify(**{mistyped: 1})
    with pytest.raises(InvalidOptionError, match="did you mean 'next_run_time'"):
        job.modify(next_run_tim=None)
