"""Starting, pausing, resuming, shutting down: from anywhere, in any order, with real threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import timedelta

import freezegun
import pytest

from schedcore import (
    EVENT_SCHEDULER_PAUSED,
    EVENT_SCHEDULER_RESUMED,
    EVENT_SCHEDULER_SHUTDOWN,
    EVENT_SCHEDULER_STARTED,
    InvalidOptionError,
    JobLookupError,
    MaxInstancesError,
    Outcome,
    Scheduler,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    State,
    SystemClock,
    ThreadPool,
    current_run,
)
from schedcore.clock import passing_us
from schedcore.loop import QUANTUM_US, Loop
from tests.core.conftest import script
from tests.patience import SOON

"""Seconds after which a wait is a failure; no test takes that long."""


@pytest.fixture
def scheduler():
    scheduler = Scheduler(timezone="UTC")
    yield scheduler
    if scheduler.state is not State.STOPPED:
        scheduler.shutdown(timeout=SOON)


def test_a_job_runs_again_and_again(scheduler):
    ran = threading.Semaphore(0)
    scheduler.add_job(ran.release, "interval", seconds=0.01)
    scheduler.start()
    for _ in range(5):
        assert ran.acquire(timeout=SOON)


def test_a_job_added_while_the_loop_sleeps_wakes_it(scheduler):
    ran = threading.Event()
    scheduler.start()
    scheduler.add_job(ran.set)
    assert ran.wait(SOON)


def test_a_job_moved_nearer_wakes_the_loop(scheduler):
    ran = threading.Event()
    job = scheduler.add_job(ran.set, "interval", hours=1)
    scheduler.start()
    job.modify(next_run_time="2020-01-01")
    assert ran.wait(SOON)


def test_states(scheduler):
    heard = []
    scheduler.add_listener(lambda event: heard.append(event.code))
    assert (scheduler.state, scheduler.running) == (State.STOPPED, False)
    scheduler.start()
    assert (scheduler.state, scheduler.running) == (State.RUNNING, True)
    scheduler.pause()
    assert (scheduler.state, scheduler.running) == (State.PAUSED, True)
    scheduler.resume()
    assert scheduler.state is State.RUNNING
    assert scheduler.shutdown() == []
    assert (scheduler.state, scheduler.running) == (State.STOPPED, False)
    assert heard == [
        EVENT_SCHEDULER_STARTED,
        EVENT_SCHEDULER_PAUSED,
        EVENT_SCHEDULER_RESUMED,
        EVENT_SCHEDULER_SHUTDOWN,
    ]


def test_a_scheduler_that_starts_or_stops_is_never_seen_as_stalled(scheduler, monkeypatch):
    """Others may look at any moment: here, whenever a thread is started or waited for."""
    seen = []

    def looking(act):
        def look(thread, *args):
            before = (scheduler.state is not State.STOPPED, scheduler.running, scheduler.stalled)
            act(thread, *args)
            after = (scheduler.state is not State.STOPPED, scheduler.running, scheduler.stalled)
            seen.extend((before, after))

        return look

    monkeypatch.setattr(threading.Thread, "start", looking(threading.Thread.start))
    monkeypatch.setattr(threading.Thread, "join", looking(threading.Thread.join))
    scheduler.start()
    scheduler.shutdown()
    assert set(seen) == {(True, True, False), (False, False, False)}


def test_calls_out_of_order_are_said(scheduler):
    for call in (scheduler.pause, scheduler.resume, scheduler.shutdown):
        with pytest.raises(SchedulerNotRunningError, match=r"not running; start\(\) starts it"):
            call()
    scheduler.add_job(print, id="job")
    with pytest.raises(SchedulerNotRunningError):
        scheduler.run_job("job")
    scheduler.start(paused=True)
    with pytest.raises(SchedulerAlreadyRunningError, match="running already"):
        scheduler.start()
    with pytest.raises(InvalidOptionError, match="timeout=-1"):
        scheduler.shutdown(timeout=-1)
    scheduler.shutdown()
    with pytest.raises(SchedulerNotRunningError):
        scheduler.shutdown()


def test_started_paused_nothing_runs_before_resume():
    ran = threading.Event()
    # Asleep, the loop has looked at the store, where the job was due from the start.
    looked = threading.Event()

    class Clock(SystemClock):
        def wait(self, waker, until_us, cap_us):
            looked.set()
            super().wait(waker, until_us, cap_us)

    scheduler = Scheduler(timezone="UTC", clock=Clock())
    scheduler.add_job(ran.set, id="job")
    scheduler.start(paused=True)
    assert looked.wait(SOON)
    scheduler.run_job("job")
    assert scheduler.entry("job").due_us is not None  # run by hand, and still to come
    ran.clear()
    scheduler.resume()
    assert ran.wait(SOON)
    scheduler.shutdown(timeout=SOON)


def test_the_jobs_stay_over_a_shutdown_and_a_new_start(scheduler):
    ran = threading.Semaphore(0)
    scheduler.add_job(ran.release, "interval", seconds=0.01, id="tick")
    for _ in range(3):
        scheduler.start()
        assert ran.acquire(timeout=SOON)
        scheduler.shutdown()
        assert scheduler.get_job("tick") is not None


def test_shutdown_waits_for_runs_under_way_and_queued():
    scheduler = Scheduler(executors={"default": ThreadPool(1)}, timezone="UTC")
    started, release, ran = threading.Event(), threading.Event(), []

    def first():
        started.set()
        release.wait(SOON)
        ran.append("first")

    scheduler.add_job(first)
    scheduler.start()
    assert started.wait(SOON)
    submitted = threading.Event()
    scheduler.add_listener(lambda event: submitted.set(), 1 << 15)
    scheduler.add_job(ran.append, args=["second"])
    assert submitted.wait(SOON)
    left = []
    stopping = threading.Thread(target=lambda: left.append(scheduler.shutdown()))
    stopping.start()
    stopping.join(0.2)
    assert stopping.is_alive()  # however long it takes
    release.set()
    stopping.join(SOON)
    assert left == [[]]
    assert ran == ["first", "second"]


def test_shutdown_returns_what_did_not_finish_and_cancels_what_did_not_begin():
    scheduler = Scheduler(executors={"default": ThreadPool(1)}, timezone="UTC")
    started, release = threading.Event(), threading.Event()
    scheduler.add_job(lambda: (started.set(), release.wait(SOON)), id="hangs")
    scheduler.start()
    assert started.wait(SOON)
    submitted = threading.Event()
    # That of the job that hangs may come after its function began.
    scheduler.add_listener(lambda e: e.job_id == "waits" and submitted.set(), 1 << 15)
    scheduler.add_job(print, id="waits")
    assert submitted.wait(SOON)
    unfinished = scheduler.shutdown(timeout=0.01)
    assert [run.job_id for run in unfinished] == ["hangs"]
    assert scheduler.history("waits")[0].outcome is Outcome.CANCELLED
    release.set()
    assert scheduler._runs.wait_until_idle(SOON)
    assert scheduler.history("hangs")[0].outcome is Outcome.EXECUTED


def test_shutdown_without_waiting_returns_at_once(scheduler):
    started, release = threading.Event(), threading.Event()
    scheduler.add_job(lambda: (started.set(), release.wait(SOON)), id="hangs")
    scheduler.start()
    assert started.wait(SOON)
    (run,) = scheduler.shutdown(wait=False)
    assert run.job_id == "hangs"
    scheduler.cancel(run.id)
    assert run.why().endswith("since the scheduler was shut down")
    release.set()


def test_shutdown_from_inside_a_job(scheduler):
    done = threading.Event()
    found = []

    def job():
        found.append(scheduler.shutdown())
        done.set()

    scheduler.add_job(job)
    scheduler.start()
    assert done.wait(SOON)
    assert found == [[]]
    assert scheduler.state is State.STOPPED


def test_shutdown_from_inside_a_coroutine(scheduler):
    done = threading.Event()

    async def job():
        scheduler.shutdown()
        done.set()

    scheduler.add_job(job)
    scheduler.start()
    assert done.wait(SOON)
    assert scheduler.state is State.STOPPED


def test_shutdown_from_inside_a_listener_of_the_loops_own_thread(scheduler):
    done = threading.Event()

    def listener(event):
        scheduler.shutdown()
        done.set()

    scheduler.add_listener(listener, 1 << 15)
    scheduler.add_job(lambda: None)
    scheduler.start()
    assert done.wait(SOON)
    assert scheduler.state is State.STOPPED


def test_two_shutdowns_at_once_are_one(scheduler):
    scheduler.start()
    outcomes = []
    barrier = threading.Barrier(8)

    def stop():
        barrier.wait(SOON)
        try:
            outcomes.append(scheduler.shutdown())
        except SchedulerNotRunningError:
            outcomes.append("was stopped")

    threads = [threading.Thread(target=stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(map(str, outcomes)) == ["[]"] + ["was stopped"] * 7


def test_no_thread_is_left_after_shutdown(scheduler):
    before = set(threading.enumerate())

    async def coroutine():
        return None

    scheduler.add_job(coroutine)
    ran = threading.Event()
    scheduler.add_job(ran.set)
    scheduler.start()
    assert ran.wait(SOON)
    scheduler.shutdown(timeout=SOON)
    assert set(threading.enumerate()) <= before  # threads of other tests may have ended


# Runs by hand


def test_a_run_by_hand_is_waited_for_and_recorded(scheduler):
    scheduler.add_job(lambda: current_run().job_id, "interval", hours=1, id="job")
    scheduler.start(paused=True)
    run = scheduler.run_job("job")
    assert (run.record.outcome, run.record.result) == (Outcome.EXECUTED, "'job'")
    assert scheduler.history("job") == [run.record]


def test_a_run_by_hand_that_raises_says_so(scheduler):
    scheduler.add_job(lambda: 1 // 0, "interval", hours=1, id="job")
    scheduler.start()
    record = scheduler.run_job("job").record
    assert (record.outcome, record.error_type) == (Outcome.FAILED, "ZeroDivisionError")


def test_a_run_by_hand_beyond_max_instances_is_refused(scheduler):
    started, release = threading.Event(), threading.Event()
    scheduler.add_job(lambda: (started.set(), release.wait(SOON)), "interval", hours=1, id="job")
    scheduler.start()
    run = scheduler.run_job("job", wait=False)
    assert started.wait(SOON)
    with pytest.raises(MaxInstancesError, match=r"'job'.*max_instances"):
        scheduler.run_job("job")
    assert not run.wait(0)
    release.set()
    assert run.wait(SOON)
    assert scheduler.counts("job") == {Outcome.SKIPPED: 1, Outcome.EXECUTED: 1}


def test_a_run_by_hand_of_no_job_is_said(scheduler):
    scheduler.start()
    with pytest.raises(JobLookupError):
        scheduler.run_job("nobody")


# Time that a user freezes


def test_with_freezegun_a_ticked_clock_runs_the_job():
    ran = threading.Event()
    with freezegun.freeze_time("2026-03-28 12:00:00") as frozen:
        scheduler = Scheduler(timezone="Europe/Berlin")
        job = scheduler.add_job(ran.set, "cron", hour=2, minute=30)
        assert job.next_run_time.isoformat() == "2026-03-29T03:00:00+02:00"  # 02:30 is skipped
        scheduler.start()
        frozen.tick(timedelta(hours=13))
        scheduler.wakeup()
        assert ran.wait(SOON)
        scheduler.shutdown()
    assert scheduler.history(job.id)[0].scheduled.isoformat() == "2026-03-29T01:00:00+00:00"


def test_on_a_manual_clock_a_started_scheduler_runs_what_comes_due(virtual_scheduler, manual_clock):
    ran = threading.Semaphore(0)
    virtual_scheduler.add_job(ran.release, "interval", minutes=10)
    virtual_scheduler.start()
    for _ in range(3):
        manual_clock.advance(timedelta(minutes=10))
        assert ran.acquire(timeout=SOON)
    assert not ran.acquire(blocking=False)


# Whole processes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_forever_ends_well_on_a_signal(number):
    process = script(
        """
        import signal
        from schedcore import Scheduler
        scheduler = Scheduler()
        def tell():
            if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # and SIGINT was before it
                print("ran", flush=True)
        scheduler.add_job(tell, "interval", seconds=0.05, max_instances=1000)
        unfinished = scheduler.run_forever()
        print("ended", unfinished, scheduler.running)
        """
    )
    assert process.stdout.readline() == "ran\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=SOON)
    assert out.endswith("ended [] False\n")
    assert (process.returncode, err) == (0, "")


def test_run_forever_ends_when_a_job_shuts_the_scheduler_down():
    process = script(
        """
        from schedcore import Scheduler
        scheduler = Scheduler()
        def job():
            scheduler.shutdown()
            print("the job goes on to its end", flush=True)
        scheduler.add_job(job)
        print(scheduler.run_forever())
        """
    )
    out, err = process.communicate(timeout=SOON)
    assert (out, err) == ("the job goes on to its end\n[]\n", "")


def test_run_forever_that_waits_for_a_run_after_anothers_shutdown_ends_on_ctrl_c():
    process = script(
        """
        import logging, signal, threading
        logging.disable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from schedcore import Scheduler
        scheduler = Scheduler()
        real = scheduler._runs.wait_until_idle
        def wait_until_idle(timeout):
            print("waiting", flush=True)
            return real(timeout)
        scheduler._runs.wait_until_idle = wait_until_idle
        def hang():
            scheduler.shutdown(wait=False)
            threading.Event().wait()
        scheduler.add_job(hang, id="hangs")
        print([run.job_id for run in scheduler.run_forever(timeout=None)])
        """
    )
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SOON)
    assert (out, err) == ("['hangs']\n", "")


def test_the_interpreter_exits_at_once_with_nothing_printed_while_a_job_hangs():
    process = script(
        """
        import threading
        from schedcore import Scheduler
        scheduler = Scheduler()
        started = threading.Event()
        def hang():
            started.set()
            threading.Event().wait()
        async def hang_too():
            import asyncio
            await asyncio.Event().wait()
        scheduler.add_job(hang)
        scheduler.add_job(hang_too)
        scheduler.start()
        started.wait(60)
        """
    )
    out, err = process.communicate(timeout=SOON)  # it would hang for ever otherwise
    assert (process.returncode, out, err) == (0, "", "")


def test_a_forked_child_is_not_running_says_so_once_and_can_be_started():
    process = script(
        """
        import logging, os, sys, threading
        logging.basicConfig(format="%(message)s")
        from schedcore import Scheduler
        scheduler = Scheduler()
        ran = threading.Event()
        scheduler.add_job(ran.set, "interval", seconds=0.01, id="tick")
        scheduler.start()
        ran.wait(60)
        import warnings
        warnings.simplefilter("ignore")  # newer Pythons warn of any fork with threads
        if os.fork() == 0:
            print(scheduler.running, scheduler.running, scheduler.state.name)
            ran.clear()
            scheduler.start()
            print(ran.wait(60), scheduler.running)
            scheduler.shutdown(timeout=10)
            sys.stdout.flush()
            os._exit(0)
        os.wait()
        print("parent", scheduler.running)
        scheduler.shutdown()
        """
    )
    out, err = process.communicate(timeout=SOON)
    assert out == "False False STOPPED\nTrue True\nparent True\n"
    assert err.count("runs in its parent only") == 1
    assert "start() starts it here" in err


def test_forks_under_load_find_no_lock_held():
    """A child made at any moment can use the scheduler: no lock was copied while it was held."""
    process = script(
        """
        import logging, os, threading, warnings
        warnings.simplefilter("ignore")
        logging.disable()  # a busy machine skips runs, and says so
        from schedcore import Scheduler
        scheduler = Scheduler()
        for n in range(20):
            scheduler.add_job(lambda: None, "interval", seconds=0.001)
        scheduler.start()
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                scheduler.add_job(lambda: None, "interval", hours=1).remove()
        threads = [threading.Thread(target=churn) for _ in range(2)]
        for thread in threads: thread.start()
        for n in range(30):
            child = os.fork()
            if child == 0:
                scheduler.add_job(lambda: None, "interval", hours=1)
                scheduler.history(), scheduler.get_jobs()
                scheduler.start(); scheduler.shutdown(timeout=5)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads: thread.join()
        scheduler.shutdown()
        print("fine")
        """
    )
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("fine\n", "")


class Hurried:
    """Work that is due again a microsecond later, always."""

    def __init__(self, passes):
        self.at_us, self.passes, self.done = [], passes, threading.Event()

    def step(self, now_us):
        self.at_us.append(passing_us())
        if len(self.at_us) >= self.passes:
            self.done.set()
        return now_us + 1

    step_paused = step

    def clock_moved(self, now_us, jump_us):
        raise AssertionError("it was not")

    def take_back(self, now_us, hung):
        raise AssertionError("nothing is held up")


def test_due_times_that_come_thick_and_fast_are_taken_together():
    """Each pass costs two wake-ups, so there is but one in a millisecond."""
    work = Hurried(100)
    loop = Loop(work, SystemClock())
    loop.start()
    assert work.done.wait(SOON)
    loop.stop(20)
    # A pass is never early; how late they are depends on the machine.
    assert work.at_us[99] - work.at_us[4] >= 95 * QUANTUM_US * 0.9


@pytest.mark.parametrize("until_idle", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_run_forever_starts_ends_it_well(number, until_idle):
    script = f"""
import os
from schedcore import EVENT_SCHEDULER_STARTED, Scheduler

scheduler = Scheduler(timezone="UTC")
scheduler.add_job(print, "interval", hours=1)
scheduler.add_listener(lambda event: os.kill(os.getpid(), {number}), EVENT_SCHEDULER_STARTED)
print(scheduler.run_forever(until_idle={until_idle}), scheduler.state.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] STOPPED\n", "")
