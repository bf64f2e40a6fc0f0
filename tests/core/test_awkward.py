"""Errors and shutdowns at the most awkward moments: nothing is half done, nothing hangs."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import freezegun
import pytest

from schedcore import (
    EVENT_JOB_CANCELLED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    EVENT_SCHEDULER_SHUTDOWN,
    History,
    InvalidOptionError,
    ManualClock,
    Outcome,
    Retry,
    Scheduler,
    SchedulerAlreadyRunningError,
    State,
    ThreadPool,
    Trigger,
    simulate,
)
from schedcore.executors.futures import FuturesAdapter
from schedcore.executors.inline import InlineExecutor
from schedcore.loop import Loop
from tests.patience import SOON

START = datetime(2000, 1, 1, tzinfo=timezone.utc)


# Errors that cannot even be told


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def test_a_trigger_whose_error_has_no_text_costs_its_own_job_only(virtual_scheduler):
    class Rude(Trigger):
        def next_us(self, after_us: int) -> int | None:
            raise Unspeakable

    virtual_scheduler.add_job(lambda: None, Rude(), id="rude", next_run_time=START)
    virtual_scheduler.add_job(lambda: None, "interval", seconds=10, id="good")
    simulate(virtual_scheduler, timedelta(seconds=50))
    assert virtual_scheduler.counts("good") == {Outcome.EXECUTED: 5}
    assert virtual_scheduler.entry("rude").broken.startswith(
        "Unspeakable: (its text is not available"
    )


@pytest.mark.parametrize("retry", [None, Retry(count=1, delay=0)])
def test_logging_that_raises_costs_no_run(virtual_scheduler, monkeypatch, retry):
    broken = logging.Filter()
    broken.filter = lambda record: 1 // 0
    for name in ("tracker", "engine", "events"):
        monkeypatch.setattr(logging.getLogger(f"schedcore.{name}"), "filters", [broken])
    virtual_scheduler.add_job(lambda: 1 // 0, "interval", seconds=10, id="bad", retry=retry)
    virtual_scheduler.add_job(lambda: None, "interval", seconds=10, id="good")
    virtual_scheduler.add_listener(lambda event: 1 // 0)
    simulate(virtual_scheduler, timedelta(seconds=50))
    assert virtual_scheduler.counts("bad") == {Outcome.FAILED: 5}
    assert virtual_scheduler.counts("good") == {Outcome.EXECUTED: 5}


def test_a_clock_that_fails_under_a_worker_costs_no_worker(heard):
    class Clock(ManualClock):
        fails = False

        def now_us(self):
            if self.fails and threading.current_thread().name.startswith("worker"):
                raise OSError("no time")
            return super().now_us()

    clock = Clock()
    scheduler = Scheduler(
        clock=clock, timezone="UTC", executors={"default": ThreadPool(1, name="worker")}
    )
    done = heard(scheduler, EVENT_JOB_EXECUTED)
    scheduler.add_job(lambda: None, "interval", seconds=10, id="job")
    scheduler.start()
    for clock.fails in (True, False, True):
        clock.advance(10)
        done()
    scheduler.shutdown(timeout=SOON)
    assert scheduler.counts() == {Outcome.EXECUTED: 3}


def test_a_child_task_that_exits_leaves_the_event_loop_running(started, heard):
    errors, done = heard(started, EVENT_JOB_ERROR | EVENT_JOB_CANCELLED), heard(started, 1 << 12)

    async def child():
        sys.exit(3)

    async def bad():
        await asyncio.gather(child())

    async def good():
        return None

    started.add_job(bad, id="bad")
    errors()
    started.add_job(good, id="good")
    done()
    assert started.counts("good") == {Outcome.EXECUTED: 1}


# Clocks


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_retries_and_time_outs_are_of_elapsed_time(jump):
    """A wall clock that is set neither delays a retry nor gives up a run that is on time."""
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC", executors={"default": InlineExecutor()})
    calls = []

    def job():
        calls.append(clock.monotonic_us())
        if len(calls) == 1:
            raise ValueError("once")

    scheduler.add_job(job, id="job", retry=Retry(count=1, delay=10, jitter=0), timeout=60)
    scheduler._engine.step(clock.now_us())
    clock.jump(jump)
    next_us = scheduler._engine.step(clock.now_us())
    assert next_us - clock.now_us() == 10_000_000
    clock.advance(10)
    scheduler._engine.step(clock.now_us())
    assert calls[1] - calls[0] == 10_000_000
    assert scheduler.counts() == {Outcome.EXECUTED: 1}


def test_a_time_out_holds_while_the_scheduler_is_paused(
    virtual_scheduler, manual_clock, gate, heard
):
    virtual_scheduler.add_job(gate, id="hangs", timeout=30)
    errors = heard(virtual_scheduler, EVENT_JOB_ERROR)
    virtual_scheduler.start()
    gate.wait()
    virtual_scheduler.pause()
    manual_clock.advance(31)
    errors()
    assert virtual_scheduler.counts() == {Outcome.TIMED_OUT: 1}
    gate.open()


def test_two_readings_of_the_clock_that_do_not_belong_together_are_no_jump(caplog):
    """A machine that sleeps between them woke with both clocks apart."""

    class Clock(ManualClock):
        torn = False

        def now_us(self):
            if self.torn:
                self.torn = False
                self.advance(3600)
            return super().now_us()

    clock = Clock()
    loop = Loop(None, clock)
    loop._watch_clock()
    clock.torn = True
    loop._watch_clock()
    loop._watch_clock()
    assert caplog.records == []


def test_under_freezegun_a_shutdown_keeps_its_deadline(gate):
    with freezegun.freeze_time("2026-01-01"):
        scheduler = Scheduler(timezone="UTC")
        scheduler.add_job(gate)
        scheduler.start()
        gate.wait()
        assert len(scheduler.shutdown(timeout=0.05)) == 1
    gate.open()


# Shutting down


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True])
@pytest.mark.parametrize("call", ["shutdown", "run_forever"])
def test_a_time_out_that_makes_no_sense_changes_nothing(started, call, timeout):
    with pytest.raises(InvalidOptionError, match=r"timeout=.*0 or more"):
        getattr(started, call)(timeout=timeout)
    assert started.running


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_a_time_out_beyond_all_limits_is_none(started, timeout):
    assert started.shutdown(timeout=timeout) == []


def test_what_waits_behind_a_run_does_not_begin_after_shutdown(
    virtual_scheduler, manual_clock, gate, heard
):
    virtual_scheduler.add_job(gate, "interval", seconds=10, id="job", coalesce=False)
    manual_clock.advance(30)
    virtual_scheduler.start()
    gate.wait()
    cancelled = heard(virtual_scheduler, EVENT_JOB_CANCELLED)
    stopping = threading.Thread(target=virtual_scheduler.shutdown)
    stopping.start()
    for _ in range(2):
        cancelled()
    gate.open()
    stopping.join(SOON)
    assert virtual_scheduler.counts() == {Outcome.EXECUTED: 1, Outcome.CANCELLED: 2}
    assert virtual_scheduler.runs() == []


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_run_can_be_cancelled_while_shutdown_waits_for_it(started, coroutine, gate):
    begun = threading.Event()

    async def hang():
        begun.set()
        await asyncio.sleep(3600)

    started.add_job(hang if coroutine else gate, id="hangs")
    if coroutine:
        assert begun.wait(SOON)
    else:
        gate.wait()
    (run,) = started.runs()
    stopping = threading.Thread(target=started.shutdown)
    stopping.start()
    while started.state is not State.STOPPED:
        pass
    started.cancel(run.id)
    stopping.join(SOON)
    assert not stopping.is_alive()
    gate.open()
    assert started.counts() == {Outcome.CANCELLED: 1}


def test_a_time_out_holds_while_shutdown_waits(started, gate):
    started.add_job(gate, id="hangs", timeout=0.2)
    gate.wait()
    assert started.shutdown() == []
    assert started.counts() == {Outcome.TIMED_OUT: 1}
    gate.open()


def test_a_job_that_fails_while_shutdown_waits_is_not_tried_again(started, gate):

    def job():
        gate()
        raise ValueError("no")

    started.add_job(job, id="job", retry=Retry(count=3, delay=0))
    gate.wait()
    stopping = threading.Thread(target=started.shutdown)
    stopping.start()
    while started.state is not State.STOPPED:
        pass
    while not started._runs.closing:
        pass
    gate.open()
    stopping.join(SOON)
    assert started.counts() == {Outcome.FAILED: 1}


def test_start_while_a_shutdown_is_under_way_is_refused(started, gate):
    started.add_job(gate)
    gate.wait()
    stopping = threading.Thread(target=started.shutdown)
    stopping.start()
    while started.state is not State.STOPPED:
        pass
    with pytest.raises(SchedulerAlreadyRunningError, match="until it returns"):
        started.start()
    gate.open()
    stopping.join(SOON)
    started.start()
    assert started.running


def test_an_executor_that_fails_to_shut_down_does_not_keep_the_others(caplog, gate, heard):
    class Bad(InlineExecutor):
        def shutdown(self, timeout):
            raise OSError("no")

    scheduler = Scheduler(executors={"a bad one": Bad()}, timezone="UTC")
    told = heard(scheduler, EVENT_SCHEDULER_SHUTDOWN)
    scheduler.add_job(gate)
    scheduler.start()
    gate.wait()
    gate.open()
    assert scheduler.shutdown(timeout=SOON) == []
    told()
    assert any("a bad one" in record.getMessage() for record in caplog.records)


def test_a_job_on_the_only_worker_that_shuts_down_lets_the_others_finish(gate, heard):
    scheduler = Scheduler(executors={"default": ThreadPool(1)}, timezone="UTC")
    submitted, done = heard(scheduler, EVENT_JOB_SUBMITTED), heard(scheduler, EVENT_JOB_EXECUTED)
    ran = []

    def stopper():
        gate()
        scheduler.shutdown()

    scheduler.add_job(stopper, id="stopper")
    scheduler.start()
    gate.wait()
    for n in range(3):
        scheduler.add_job(ran.append, args=[n])
    for _ in range(4):
        submitted()
    gate.open()
    for _ in range(4):
        done()
    assert ran == [0, 1, 2]


def test_a_listener_that_stops_when_the_last_job_is_gone_does_not_cost_its_run(started, heard):
    done = heard(started, EVENT_JOB_EXECUTED)
    started.add_listener(lambda event: started.shutdown(), EVENT_JOB_REMOVED)
    started.add_job(lambda: None, id="last")
    done()
    assert started.counts() == {Outcome.EXECUTED: 1}


def test_a_second_interrupt_ends_the_wait_and_nothing_begins_after_it():
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import logging, signal, threading
                logging.disable()
                # A shell's background job has it ignored, and Python then leaves it so.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                from schedcore import Scheduler, ThreadPool
                scheduler = Scheduler(executors={"default": ThreadPool(1)})
                def hang():
                    print("hangs", flush=True)
                    threading.Event().wait()
                submitted = threading.Semaphore(0)
                scheduler.add_listener(lambda event: submitted.release(), 1 << 15)
                scheduler.add_job(hang, id="hangs")
                scheduler.start()
                submitted.acquire()
                scheduler.add_job(print, args=["began"], id="waits")
                submitted.acquire()
                scheduler.add_listener(lambda e: print("stopping", flush=True), 1 << 17)
                real = scheduler._executors["default"].shutdown
                def shutdown(timeout):
                    print("waiting", flush=True)
                    real(timeout)
                scheduler._executors["default"].shutdown = shutdown
                def tell_when_listening():
                    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                        pass
                    print("ready", flush=True)
                threading.Thread(target=tell_when_listening, daemon=True).start()
                left = scheduler.run_forever(timeout=None)
                print([run.job_id for run in left], dict(scheduler.counts()))
                """
            ),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = iter(process.stdout.readline, "")
    assert "ready\n" in lines
    process.send_signal(signal.SIGINT)
    assert "waiting\n" in lines
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SOON)
    assert "['hangs'] {<Outcome.CANCELLED: 'cancelled'>: 1}" in out
    assert "began" not in out
    assert err == ""


def test_start_that_fails_starts_nothing(monkeypatch, heard):
    scheduler = Scheduler(timezone="UTC")
    ran = []
    scheduler.add_job(ran.append, "interval", seconds=0.01, args=[1])
    real = threading.Thread.start

    def start(thread):
        if thread.name == "schedcore-loop":
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        scheduler.start()
    assert scheduler.state is State.STOPPED
    monkeypatch.undo()
    done = heard(scheduler, EVENT_JOB_EXECUTED)
    scheduler.start()
    done()
    scheduler.shutdown(timeout=SOON)


# Pools of the user's own


def test_shutdown_inside_a_job_of_a_users_pool_does_not_wait_for_itself():
    with ThreadPoolExecutor(2) as pool:
        scheduler = Scheduler(executors={"default": FuturesAdapter(pool)}, timezone="UTC")
        done = threading.Event()
        scheduler.add_job(lambda: (scheduler.shutdown(), done.set()))
        scheduler.start()
        assert done.wait(SOON)


def test_runs_that_a_users_pool_drops_are_recorded(gate, heard):
    pool = ThreadPoolExecutor(1)
    scheduler = Scheduler(executors={"default": FuturesAdapter(pool)}, timezone="UTC")
    submitted = heard(scheduler, EVENT_JOB_SUBMITTED)
    scheduler.add_job(gate, id="first")
    scheduler.start()
    gate.wait()
    scheduler.add_job(print, id="dropped")
    for _ in range(2):
        submitted()
    pool.shutdown(wait=False, cancel_futures=True)
    gate.open()
    scheduler.shutdown(timeout=SOON)
    assert scheduler.counts("dropped") == {Outcome.CANCELLED: 1}


# The history


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda s: s.reschedule_job("job", "interval", hours=1), Outcome.CANCELLED),
        (lambda s: s.modify_job("job", next_run_time="2001-01-01"), Outcome.CANCELLED),
        (lambda s: s.remove_job("job"), Outcome.CANCELLED),
        (lambda s: s.remove_all_jobs(), Outcome.CANCELLED),
        (
            lambda s: s.add_job(print, "interval", hours=1, id="job", replace_existing=True),
            Outcome.CANCELLED,
        ),
    ],
)
@pytest.mark.parametrize("paused", [False, True])
def test_fire_times_that_a_change_takes_away_are_recorded(
    virtual_scheduler, manual_clock, change, outcome, paused
):
    job = virtual_scheduler.add_job(print, "interval", minutes=1, id="job")
    if paused:
        job.pause()
    manual_clock.advance(timedelta(minutes=10, seconds=5))
    change(virtual_scheduler)
    assert virtual_scheduler.counts() == {Outcome.PAUSED if paused else outcome: 10}


@pytest.mark.parametrize("stop", ["pause", "pause_job", "remove_job"])
def test_a_backlog_that_is_worked_off_stops_with_its_job(
    virtual_scheduler, manual_clock, stop, heard
):
    gate, begun = threading.Semaphore(0), threading.Semaphore(0)

    def job():
        begun.release()
        assert gate.acquire(timeout=SOON)

    virtual_scheduler.add_job(job, "interval", seconds=10, id="job", coalesce=False)
    manual_clock.advance(100)
    done = heard(virtual_scheduler, EVENT_JOB_EXECUTED)
    virtual_scheduler.start()
    assert begun.acquire(timeout=SOON)
    getattr(virtual_scheduler, stop)(*([] if stop == "pause" else ["job"]))
    gate.release()
    done()
    assert not begun.acquire(blocking=False)
    if stop == "pause":
        virtual_scheduler.resume()
        for _ in range(9):
            gate.release()
            done()
        assert virtual_scheduler.counts() == {Outcome.EXECUTED: 10}
    else:
        assert sum(virtual_scheduler.counts().values()) == 10
    for _ in range(20):
        gate.release()


def test_a_backlog_uses_all_the_places_that_there_are(virtual_scheduler, manual_clock, heard):
    together = threading.Barrier(3)
    virtual_scheduler.add_job(
        lambda: together.wait(SOON), "interval", seconds=10, coalesce=False, max_instances=3
    )
    manual_clock.advance(60)
    done = heard(virtual_scheduler, EVENT_JOB_EXECUTED)
    virtual_scheduler.start()
    for _ in range(6):
        done()


def test_a_first_run_put_off_on_the_beat_stays_put_off_when_the_clock_is_set_back():
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC")
    scheduler.add_job(
        print, "interval", minutes=1, start_date="2000-01-01", id="job", next_run_time="2000-12-01"
    )
    clock.jump(-1.5)
    scheduler._engine.clock_moved(clock.now_us(), -1_500_000)
    assert scheduler.get_job("job").next_run_time.month == 12


@pytest.mark.parametrize("change", [{"name": "new"}, {"max_instances": 1}, {"args": []}])
def test_a_change_while_a_backlog_is_worked_off_does_not_judge_the_rest_again(
    virtual_scheduler, manual_clock, gate, heard, change
):
    """Each of 150 fire times was within the grace when they were found due, all at once."""
    ran = heard(virtual_scheduler, EVENT_JOB_EXECUTED, 150)
    virtual_scheduler.add_job(
        gate, "interval", seconds=10, id="job", coalesce=False, misfire_grace_time=1500
    )
    manual_clock.advance(1500)
    virtual_scheduler.start()
    gate.wait()
    manual_clock.advance(5)  # the loop looks at the rest, and holds it
    virtual_scheduler.modify_job("job", **change)
    manual_clock.jump(3000)  # the rest is now older than the grace
    gate.open()
    for _ in range(149):
        manual_clock.advance(2)
        gate.wait()
    ran()
    virtual_scheduler.shutdown()
    missed = [r.scheduled for r in virtual_scheduler.history() if r.outcome is Outcome.MISSED]
    # Those that came later may be late, by the clock that was moved.
    assert [moment for moment in missed if moment <= START + timedelta(seconds=1500)] == []


def test_overlap_cancel_over_a_backlog_of_which_each_runs(virtual_scheduler, manual_clock, gate):
    """The rest waits for the one under way, as without overlap; none is lost."""
    virtual_scheduler.add_job(
        gate, "interval", seconds=10, id="job", coalesce=False, overlap="cancel"
    )
    manual_clock.advance(30)
    virtual_scheduler.start()
    gate.wait()
    gate.open()
    for _ in range(2):
        gate.wait()
    virtual_scheduler.shutdown(timeout=SOON)
    assert virtual_scheduler.counts() == {Outcome.EXECUTED: 3}


def test_an_id_added_again_while_its_last_run_is_under_way_keeps_its_history(started, gate):
    started.add_job(gate, id="job")  # once: it is gone as soon as it is taken
    gate.wait()
    assert started.get_job("job") is None
    started.add_job(print, "interval", hours=1, id="job")
    gate.open()
    started.shutdown(timeout=SOON)
    assert [record.outcome for record in started.history("job")] == [Outcome.EXECUTED]
    assert started.get_job("job") is not None


def test_a_shutdown_says_once_how_many_runs_it_cancelled(caplog, gate):
    scheduler = Scheduler(executors={"default": ThreadPool(1)}, timezone="UTC")
    scheduler.add_jobs([{"func": gate, "id": str(n)} for n in range(50)])
    scheduler.start()
    gate.wait()
    scheduler.pause()
    scheduler.shutdown(wait=False)
    gate.open()
    said = [record.getMessage() for record in caplog.records]
    assert said == ["49 run(s) that had not begun were cancelled"]
    assert scheduler.counts()[Outcome.CANCELLED] == 49


@pytest.mark.parametrize("bound", ["per_job", "overall", "removed_jobs"])
@pytest.mark.parametrize("value", [0, -1, "x", True])
def test_a_history_of_no_size_is_refused(bound, value):
    with pytest.raises(InvalidOptionError, match=f"{bound}=.*whole number of 1 or more"):
        History(**{bound: value})


def test_a_finalizer_that_calls_back_does_not_deadlock(virtual_scheduler):
    class CallsBack:
        def __del__(self):
            virtual_scheduler.get_jobs()
            virtual_scheduler.history()

    virtual_scheduler.add_job(print, "interval", hours=1, id="job", args=[CallsBack()])
    virtual_scheduler.add_job(print, "interval", hours=1, id="job", replace_existing=True)
    assert len(virtual_scheduler.get_jobs()) == 1


def test_what_a_listener_fails_on_is_not_logged_whole(virtual_scheduler, caplog):
    virtual_scheduler.add_listener(lambda event: 1 // 0, EVENT_JOB_EXECUTED)
    virtual_scheduler.add_job(lambda: "x" * 1_000_000, id="big")
    simulate(virtual_scheduler, timedelta(0))
    assert all(len(record.getMessage()) < 500 for record in caplog.records)
    assert any("'big'" in record.getMessage() for record in caplog.records)


def test_a_function_that_cannot_be_registered_is_not_scheduled_either(virtual_scheduler):
    import functools

    with pytest.raises(InvalidOptionError, match="func="):
        virtual_scheduler.task("interval", seconds=5)(functools.partial(print))
    assert virtual_scheduler.get_jobs() == []


def test_a_stopped_and_continued_process_runs_once_and_keeps_its_beat():
    """SIGSTOP, as a laptop's lid: what was passed over is one run."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import threading
                from schedcore import EVENT_JOB_EXECUTED, Outcome, Scheduler
                scheduler = Scheduler()
                ran = threading.Semaphore(0)
                scheduler.add_job(ran.release, "interval", seconds=0.05, id="beat")
                scheduler.start()
                ran.acquire()
                print("running", flush=True)
                while Outcome.COALESCED not in scheduler.counts() or not scheduler.running:
                    ran.acquire()
                for _ in range(3):
                    ran.acquire()
                print("on the beat", flush=True)
                scheduler.shutdown()
                """
            ),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(0.3)  # not to synchronise: time has to pass for it
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "on the beat\n"
        assert process.wait(SOON) == 0
