"""A wall clock that is set back: elapsed time goes on, wall-clock times do not come twice."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcore import (
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    ManualClock,
    Outcome,
    Scheduler,
    SystemClock,
    Trigger,
)
from schedcore.clock import from_us, to_us
from schedcore.planning import CORRECTION_US, Place, set_back
from tests.patience import SOON

NOON = to_us(datetime(2026, 6, 15, 12, tzinfo=timezone.utc))
SECOND, HOUR = 1_000_000, 3600 * 1_000_000
STEPS = [0.5, 1, 4, 10]
"""Hours by which an operator sets the clock back."""


# The rule, as a pure function


def interval(every_s, anchor_us=NOON - 1000 * HOUR, **options):
    return IntervalTrigger(
        seconds=every_s, start_date=from_us(anchor_us), timezone="UTC", **options
    )


def cron(**fields):
    return CronTrigger(timezone="UTC", **fields)


@given(
    every=st.integers(1, 5 * 3600),
    due_for=st.integers(0, 10 * 3600 * SECOND),
    jump=st.integers(1_000_001, 12 * HOUR),
)
def test_elapsed_time_that_had_come_is_due_still_and_the_beat_goes_on(every, due_for, jump):
    """However long it was due: its backlog is as long as it was, and then comes the next beat."""
    every_us = every * SECOND
    fire = NOON - due_for // every_us * every_us
    trigger = interval(every, fire)
    now = fire + due_for - jump
    moved = set_back(Place(trigger, fire, fire, None), now, -jump)
    assert moved.due_us == now
    assert moved.trigger.next_us(moved.fire_us - 1) == moved.fire_us  # on the beat
    assert (moved.fire_us - fire) % every_us == 0
    assert moved.fire_us <= now + every_us
    backlog = 1 + due_for // every_us
    come = 1 + moved.trigger.count_us(moved.fire_us, now, 1 << 62)
    # What is short by one comes within a span, by the clock as it is now.
    assert come == backlog or (
        come == backlog - 1 and moved.trigger.next_us(max(now, moved.fire_us)) - now < 2 * every_us
    )
    assert moved.trigger.next_us(max(now, moved.fire_us)) - now <= 2 * every_us


@given(
    every=st.integers(1, 5 * 3600),
    ahead=st.integers(1, 5 * 3600 * SECOND),
    jump=st.integers(1_000_001, 12 * HOUR),
    begun=st.booleans(),
)
def test_elapsed_time_that_had_not_come_comes_within_a_span(every, ahead, jump, begun):
    """Also where the first fire time is the one that adding the job set."""
    every_us = every * SECOND
    ahead = 1 + ahead % every_us
    old_now = NOON - ahead
    trigger = interval(every, NOON - (every_us if begun else 0))
    moved = set_back(Place(trigger, NOON, NOON, None), old_now - jump, -jump)
    assert old_now - jump < moved.fire_us <= old_now - jump + every_us
    assert (moved.fire_us - NOON) % every_us == 0
    assert moved.due_us == moved.fire_us


@pytest.mark.parametrize("hours", STEPS)
@pytest.mark.parametrize("ahead_us", [-90 * SECOND, -1, 0, 1, 700_000, 90 * SECOND])
def test_a_wall_clock_time_waits_for_the_clock_unless_that_was_wrong(hours, ahead_us):
    jump = round(-hours * HOUR)
    now = NOON - ahead_us + jump
    moved = set_back(Place(cron(minute="0"), NOON, NOON, None), now, jump)
    if jump > -CORRECTION_US:
        assert (moved.fire_us, moved.due_us) == (NOON, NOON)
    else:
        assert moved.fire_us == moved.due_us == cron(minute="0").next_us(now)


class Silent(Trigger):
    """A trigger of the user's own that does not answer."""

    def next_us(self, after_us: int) -> int | None:
        raise AssertionError("it was asked")


FAR = NOON + 100 * HOUR
BEFORE = NOON - HOUR


@pytest.mark.parametrize(
    ("trigger", "place", "jump", "expected"),
    [
        # A moment of the user's own stays, on the beat or off it, until it has come.
        pytest.param(interval(7), (FAR, FAR), -HOUR, (FAR, FAR), id="put off"),
        pytest.param(cron(minute=0), (FAR, FAR), -10 * HOUR, (FAR, FAR), id="put off, wall clock"),
        pytest.param(
            cron(minute=0),
            (NOON - 5, NOON - 5),
            -10 * HOUR,
            (NOON - 5, NOON - 5),
            id="put off, and come by a clock that was wrong",
        ),
        pytest.param(
            interval(7, FAR), (FAR, FAR), -HOUR, (FAR, FAR), id="a start that is yet to come"
        ),
        pytest.param(
            DateTrigger(from_us(NOON)), (NOON, NOON), -10 * HOUR, (NOON, NOON), id="a date"
        ),
        # In its jitter: the rest of the delay is of elapsed time, or is kept for the new fire time.
        pytest.param(
            interval(60, jitter=50),
            (NOON - 60 * SECOND, NOON + 20 * SECOND),
            -HOUR,
            (NOON - 60 * SECOND - HOUR, NOON + 20 * SECOND - HOUR),
            id="nominal time come, jitter not over",
        ),
        pytest.param(
            interval(24 * 3600, jitter=50),
            (NOON - 10 * SECOND, NOON + 20 * SECOND),
            -HOUR,
            (NOON - 10 * SECOND, NOON + 20 * SECOND - HOUR),
            id="nominal time come, jitter not over, and a span longer than the step",
        ),
        pytest.param(
            cron(minute=0, jitter=50),
            (NOON, NOON + 20 * SECOND),
            -10 * HOUR,
            (NOON - 9 * HOUR, NOON - 9 * HOUR + 20 * SECOND),
            id="jitter of a corrected clock",
        ),
        # Paused: its place moves likewise, and it stays paused.
        pytest.param(
            interval(60),
            (NOON + 60 * SECOND, None),
            -HOUR,
            (NOON + 60 * SECOND - HOUR, None),
            id="paused",
        ),
        pytest.param(interval(60), (None, None), -HOUR, (None, None), id="added paused"),
        # Due by both clocks.
        pytest.param(
            cron(minute=0), (BEFORE - HOUR,) * 2, -HOUR, (BEFORE - HOUR,) * 2, id="late by both"
        ),
    ],
)
def test_where_a_job_stands_after_a_step(trigger, place, jump, expected):
    moved = set_back(Place(trigger, *place, None), NOON + jump, jump)
    assert (moved.fire_us, moved.due_us) == expected


@pytest.mark.parametrize("trigger", [interval(60), cron(minute="*"), Silent()])
def test_a_job_that_cannot_be_run_is_tried_again_as_soon_as_before(trigger):
    """The wait is of elapsed time; only a wall-clock job does not come before its time again."""
    place = Place(trigger, NOON - 60 * SECOND, NOON + 25 * SECOND, None)
    moved = set_back(place, NOON - HOUR, -HOUR, broken=True)
    wanted = NOON - 60 * SECOND if trigger == cron(minute="*") else NOON + 25 * SECOND - HOUR
    assert moved.due_us == wanted


@pytest.mark.parametrize("jump", [-HOUR, -10 * HOUR])
def test_the_rest_of_a_backlog_is_worked_off_and_the_beat_goes_on(jump):
    place = Place(interval(60), NOON - 600 * SECOND, NOON + SECOND, NOON)
    moved = set_back(place, NOON + jump, jump)
    assert moved == (
        moved.trigger, NOON - 600 * SECOND + jump, NOON + SECOND + jump, NOON + jump
    )  # fmt: skip


# The same with a clock that goes by itself, as the loop sees it


class Stepped(SystemClock):
    """Shows *start* until it is set, and goes on in real time from then on."""

    __slots__ = ("asleep", "held_us", "lost_us", "offset_us")

    def __init__(self, start_us):
        self.lost_us, self.held_us = 0, super().monotonic_us()
        self.offset_us = start_us - self.held_us
        self.asleep = threading.Semaphore(0)

    def monotonic_us(self):
        held_us = self.held_us
        return super().monotonic_us() - self.lost_us if held_us is None else held_us

    def now_us(self):
        return self.monotonic_us() + self.offset_us

    def step(self, jump_us):
        """Set the clock back, and let it go on."""
        self.offset_us -= jump_us
        self.lost_us = super().monotonic_us() - self.held_us
        self.held_us = None

    def wait(self, waker, until_us, cap_us):
        self.asleep.release()
        super().wait(waker, until_us, cap_us)


class Stand:
    """A started scheduler whose jobs fall due *phase* seconds after the clock is set back."""

    def __init__(self, phase, hours, jobs):
        self.clock = Stepped(NOON - round(phase * SECOND))
        self.scheduler = Scheduler(clock=self.clock, timezone="UTC")
        self.ran = {}
        for job_id, job in jobs.items():
            self.ran[job_id] = threading.Semaphore(0)
            self.scheduler.add_job(self.ran[job_id].release, id=job_id, **job)
        self.jump_us = round(hours * HOUR)
        self.scheduler.start()

    def step(self):
        """Set the clock back while the loop sleeps: it looks when the jobs would have been due."""
        assert self.clock.asleep.acquire(timeout=SOON)
        self.clock.step(self.jump_us)

    def next_in(self, job_id):
        """Return in how many seconds a job is to run, by the clock as it is now."""
        due_us = to_us(self.scheduler.get_job(job_id).next_run_time)
        return (due_us - self.clock.now_us()) / SECOND

    def await_notice(self):
        while self.scheduler._life._loop._last_times[0] > NOON - self.jump_us // 2:
            assert self.clock.asleep.acquire(timeout=SOON)


PHASES = [0.1, 0.5, 0.9, 1.3, 1.7, 1.9]


@pytest.fixture
def stands():
    """Return what makes a stand for each phase and step, all of them stepped."""
    made = []

    def make(steps, jobs_of_phase):
        made.extend(Stand(phase, h, jobs_of_phase(phase)) for phase in PHASES for h in steps)
        for stand in made:
            stand.step()
        return made

    yield make
    for stand in made:
        stand.scheduler.shutdown(wait=False)


def test_jobs_of_elapsed_time_go_on_whenever_the_clock_is_set_back(stands):
    beat = {"trigger": "interval", "start_date": from_us(BEFORE)}
    jobs = {
        "each second": beat | {"seconds": 1},
        "each other second": beat | {"seconds": 2},
        "with jitter": beat | {"seconds": 1, "jitter": 0.9},
        "either": {"trigger": {"trigger": "or", "triggers": [beat | {"seconds": 2}]}},
    }
    jobs["either"]["trigger"]["triggers"][0] |= {"start_date": from_us(BEFORE).isoformat()}
    for stand in stands(STEPS, lambda phase: jobs):
        for job_id, ran in stand.ran.items():
            for _ in range(2):
                assert ran.acquire(timeout=SOON), job_id
            assert stand.next_in(job_id) <= 3


def test_jobs_of_elapsed_time_that_were_just_added_go_on_too(stands):
    jobs = {"trigger": "interval", "jitter": 0.2}
    for stand in stands(STEPS, lambda phase: {"job": jobs | {"seconds": phase}}):
        for _ in range(2):
            assert stand.ran["job"].acquire(timeout=SOON)


def test_wall_clock_jobs_go_on_after_a_correction_and_wait_after_a_smaller_step(stands):
    jobs = {
        "seconds": {"trigger": "cron", "second": "*"},
        "noon": {"trigger": "cron", "hour": "*", "jitter": 0.9},
    }
    for stand in stands(STEPS, lambda phase: jobs):
        stand.await_notice()
        if stand.jump_us < CORRECTION_US:
            assert stand.next_in("seconds") > stand.jump_us / SECOND - 300
            assert stand.next_in("noon") > stand.jump_us / SECOND - 300
            assert not stand.ran["noon"].acquire(blocking=False)
        else:
            for _ in range(2):
                assert stand.ran["seconds"].acquire(timeout=SOON)
            assert stand.next_in("noon") <= 3601


class Manual(ManualClock):
    """Tells when the loop sleeps."""

    def __init__(self, start):
        super().__init__(start)
        self.asleep = threading.Semaphore(0)

    def wait(self, waker, until_us, cap_us):
        self.asleep.release()
        super().wait(waker, until_us, cap_us)


@pytest.mark.parametrize("hours", STEPS)
@pytest.mark.parametrize("coalesce", [True, False])
def test_what_came_while_the_scheduler_was_paused_runs_once_it_goes_on(hours, coalesce):
    clock = Manual(from_us(NOON))
    scheduler = Scheduler(clock=clock, timezone="UTC")
    ran = threading.Semaphore(0)
    scheduler.add_job(ran.release, "interval", minutes=1, coalesce=coalesce, id="job")
    scheduler.start(paused=True)
    for move in (clock.advance, clock.jump):
        assert clock.asleep.acquire(timeout=SOON)
        move(timedelta(minutes=3, seconds=30) if move == clock.advance else -hours * 3600)
    assert clock.asleep.acquire(timeout=SOON)
    scheduler.resume()
    for _ in range(1 if coalesce else 3):
        assert ran.acquire(timeout=SOON)
    clock.advance(60)
    assert ran.acquire(timeout=SOON)
    scheduler.shutdown(timeout=SOON)
    assert scheduler.counts()[Outcome.EXECUTED] == (2 if coalesce else 4)
