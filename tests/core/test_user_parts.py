"""Stores, executors, clocks and triggers of users that break their contracts: they are named."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedcore import (
    InvalidOptionError,
    ManualClock,
    MemoryStore,
    Outcome,
    Scheduler,
    SystemClock,
    Trigger,
    simulate,
)
from schedcore.errors import StoreError
from schedcore.executors.inline import InlineExecutor
from tests.stores.plain import PlainStore

# What is given


class NoTake(PlainStore):
    take = None


class NoSteady(ManualClock):
    monotonic_us = None


@pytest.mark.parametrize(
    ("option", "value", "lack"),
    [
        ("store", object(), "it has no write()"),
        ("store", {}, "it has no write()"),
        ("store", 5, "it has no write()"),
        ("store", b"sqlite:///jobs.db", "it has no write()"),
        ("store", MemoryStore, "and not its class"),
        ("store", NoTake(), "it has no take()"),
        ("clock", object(), "it has no now_us()"),
        ("clock", NoSteady(), "it has no monotonic_us()"),
        ("clock", SystemClock, "it is a class"),
        ("clock", 0, "it has no now_us()"),
        ("random", 5, "it has no random()"),
        ("history", 1_000, "a History, or None"),
    ],
)
def test_what_is_no_such_part_is_refused_with_what_it_lacks(option, value, lack):
    with pytest.raises(InvalidOptionError) as caught:
        Scheduler(**{option: value})
    assert str(caught.value).startswith(f"{option}=")
    assert lack in str(caught.value)


# What a store returns


class Wrong(PlainStore):
    """Returns something wrong from one method."""

    def __init__(self, method, result):
        super().__init__()
        self.result = result
        setattr(self, method, lambda *_, **__: self.result)

    def __repr__(self):
        return "Wrong()"


@pytest.mark.parametrize(
    ("method", "result", "call", "expected"),
    [
        ("next_due", "soon", lambda s: s._engine.step(0), "expected int | None"),
        ("next_due", 1.5, lambda s: s._engine.step(0), "expected int | None"),
        ("take", None, lambda s: s._engine.step(0), "expected Batch"),
        ("write", True, lambda s: s.add_job(print, "interval", seconds=5), "expected Written"),
        ("write", (5, ()), lambda s: s.add_job(print, "interval", seconds=5), "expected Written"),
        ("get", None, lambda s: s.get_job("a"), "expected Entry"),
        ("entries", [None], lambda s: s.entries(), "expected list["),
        ("entries", "none", lambda s: s.entries(), "expected list["),
        ("changes", (5,), lambda s: s.entries(), "expected tuple["),
        ("changes", (5, [5]), lambda s: s.entries(), "expected tuple["),
        ("counts", {"executed": 1}, lambda s: s.counts(), "expected dict["),
        ("runs", ["a"], lambda s: s.runs(), "expected list["),
        ("audit", (), lambda s: s.audit(), "expected list["),
    ],
)
def test_a_wrong_result_of_a_store_is_an_error_that_names_it(method, result, call, expected):
    scheduler = Scheduler(store=Wrong(method, result), clock=ManualClock())
    with pytest.raises(StoreError) as caught:
        call(scheduler)
    assert str(caught.value).startswith(
        f"store Wrong(): {method}() returned {result!r}: {expected}"
    )


class HalfABatch:
    slots = ()

    def settle(self, decided, now_us):
        return None

    def give_back(self):
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_a_wrong_result_of_a_batch_is_an_error_that_names_it():
    batch = HalfABatch()
    scheduler = Scheduler(store=Wrong("take", batch), clock=ManualClock())
    assert scheduler._engine.step(0) is None
    batch.slots = ("a",)
    with pytest.raises(StoreError, match=r"take\(\).slots returned \('a',\): expected .*Slot"):
        scheduler._engine.step(0)


# What an executor reports


class Reporting(InlineExecutor):
    """Reports what a test has it report."""

    def __init__(self, report):
        super().__init__()
        self.report = report

    def submit(self, runs, reporter):
        for run in runs:
            self.report(reporter, run)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (lambda told, run: told.begin(run.id), "TypeError"),
        (lambda told, run: told.begin(None), "None was reported: expected a run"),
        (lambda told, run: told.end("a", None, None), "'a' was reported: expected a run"),
        (lambda told, run: told.cancelled("a"), "'a' was reported: expected a run"),
        (lambda told, run: told.shed("a"), "'a' was reported: expected a run"),
        (lambda told, run: told.lost("a", None), "'a' was reported: expected a run"),
        (lambda told, run: told.end(run, None, "bad"), "'odd' reported 'bad': expected an exc"),
        (lambda told, run: told.end(run, None, 5), "executor 'odd' reported 5: expected an exc"),
        (lambda told, run: told.lost(run, None), "executor 'odd' reported None: expected an exc"),
    ],
)
def test_a_wrong_report_fails_its_run_by_name_and_no_other(report, said):
    executors = {"default": InlineExecutor(), "odd": Reporting(report)}
    scheduler = Scheduler(executors=executors, clock=ManualClock(), timezone="UTC")
    scheduler.add_job(lambda: None, "interval", minutes=1, id="its own", executor="odd")
    scheduler.add_job(lambda: None, "interval", minutes=1, id="other")
    scheduler._engine.step(scheduler.clock.now_us() + 60_000_000)
    assert scheduler.counts("other") == {Outcome.EXECUTED: 1}
    (record,) = scheduler.history("its own")
    assert record.outcome in (Outcome.FAILED, Outcome.LOST)
    assert said in f"{record.error_type}: {record.error_text}"


# What a trigger gives


@pytest.mark.parametrize("given", ["soon", 10.0**15, True])
def test_a_trigger_that_gives_no_time_harms_its_own_job_only(virtual_scheduler, given):
    class Odd(Trigger):
        def next_us(self, after_us: int) -> int | None:
            return given

    with pytest.raises(TypeError, match=r"Odd> gave .* expected microseconds"):
        virtual_scheduler.add_job(lambda: None, Odd(), id="refused")
    first = virtual_scheduler.clock.now() + timedelta(seconds=30)
    virtual_scheduler.add_job(lambda: None, Odd(), id="odd", next_run_time=first)
    virtual_scheduler.add_job(lambda: None, "interval", minutes=1, id="good")
    simulate(virtual_scheduler, timedelta(minutes=2))
    assert virtual_scheduler.counts("good") == {Outcome.EXECUTED: 2}
    assert "gave" in virtual_scheduler.entry("odd").broken
