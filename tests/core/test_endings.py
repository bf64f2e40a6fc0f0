"""How a scheduler and its program end: what is waited for, what is said, what stays behind."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import (
    Outcome,
    Retry,
    Scheduler,
    State,
)
from tests.core.conftest import script
from tests.patience import SOON

# Until there is nothing to do


def soon(seconds=0.05):
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


def fails_once(calls=None):
    calls = []

    def job():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("once")

    return job


async def task():
    await asyncio.sleep(0.05)


IDLE = {
    "no job": (lambda s: None, {}),
    "a date": (lambda s: s.add_job(int, "date", run_date=soon()), {Outcome.EXECUTED: 1}),
    "a coroutine": (lambda s: s.add_job(task), {Outcome.EXECUTED: 1}),
    "a last one": (  # which would be gone, if it were added any later
        lambda s: s.add_job(int, "interval", days=1, start_date=(end := soon(3)), end_date=end),
        {Outcome.EXECUTED: 1},
    ),
    "a retry": (
        lambda s: s.add_job(fails_once(), retry=Retry(count=1, delay=0.1)),
        {Outcome.EXECUTED: 1},
    ),
    "a failure": (lambda s: s.add_job(lambda: 1 // 0), {Outcome.FAILED: 1}),
    "a time-out": (
        lambda s: s.add_job(lambda: threading.Event().wait(20), timeout=0.1),
        {Outcome.TIMED_OUT: 1},
    ),
    "too late": (
        lambda s: s.add_job(int, "date", run_date="2020-01-01", misfire_grace_time=1),
        {Outcome.MISSED: 1},
    ),
    "a paused one": (lambda s: s.add_job(int, "interval", hours=1, next_run_time=None), {}),
    "a job that adds another": (
        lambda s: s.add_job(lambda: s.add_job(int, "date", run_date=soon()) and None),
        {Outcome.EXECUTED: 2},
    ),
    "a job that removes the last": (
        lambda s: (
            s.add_job(int, "interval", hours=1, id="job"),
            s.add_job(lambda: s.remove_job("job"), "date", run_date=soon()),
        ),
        {Outcome.EXECUTED: 1},
    ),
    "a job that pauses itself": (
        lambda s: s.add_job(
            lambda: s.pause_job("job") and None,
            "interval",
            hours=1,  # of a shorter one more may have come before it begins
            next_run_time=soon(),
            id="job",
        ),
        {Outcome.EXECUTED: 1},
    ),
}


@pytest.mark.parametrize("jobs", IDLE)
def test_run_forever_until_idle_ends_with_the_last_job(jobs):
    add, wanted = IDLE[jobs]
    scheduler = Scheduler(timezone="UTC")
    add(scheduler)
    assert scheduler.run_forever(timeout=SOON, until_idle=True) == []
    assert scheduler.counts() == wanted
    assert scheduler.state is State.STOPPED


@pytest.mark.parametrize("ends", ["it is shut down", "its run ends"])
def test_run_forever_until_idle_goes_on_while_there_is_something_to_do(gate, ends):
    scheduler = Scheduler(timezone="UTC")
    scheduler.add_job(gate)
    if ends == "it is shut down":
        scheduler.add_job(int, "interval", hours=1)
    left = []
    running = threading.Thread(
        target=lambda: left.append(scheduler.run_forever(timeout=SOON, until_idle=True))
    )
    running.start()
    gate.wait()
    running.join(0.1)
    assert running.is_alive()
    gate.open()
    if ends == "it is shut down":
        running.join(0.1)
        assert running.is_alive()
        scheduler.shutdown()
    running.join(SOON)
    assert left == [[]]


def test_run_forever_until_idle_ends_on_a_signal_all_the_same():
    process = script(
        """
        from schedcore import Scheduler
        scheduler = Scheduler()
        scheduler.add_job(lambda: print("ran", flush=True), "interval", seconds=0.05)
        print("ended", scheduler.run_forever(until_idle=True))
        """
    )
    assert process.stdout.readline() == "ran\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=SOON)
    assert out.endswith("ended []\n")
    assert (process.returncode, err) == (0, "")


# A script that ends before anything ran

ADDED = """
    import sys, threading
    from schedcore import Scheduler
    scheduler = Scheduler()
    scheduler.add_job(int, "interval", hours=1)
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "sys.exit(3)"])
def test_a_script_that_ends_before_any_job_ran_says_so(end):
    process = script(f"{ADDED}\n    scheduler.start()\n    {end}")
    _, err = process.communicate(timeout=SOON)
    assert "1 job(s)" in err
    assert "run_forever()" in err


@pytest.mark.parametrize(
    "rest",
    [
        "scheduler.start(); scheduler.shutdown()",
        "scheduler.start(paused=True)",
        "scheduler.remove_all_jobs(); scheduler.start()",
        "scheduler.start(); scheduler.run_job(scheduler.get_jobs()[0].id)",
        "threading.Timer(0, lambda: None).start()",
        "scheduler.start(); sys.ps1 = '>>> '",
        "import os; scheduler.start(); os._exit(0)",
        "exec('scheduler.start()', {'__name__': 'app', 'scheduler': scheduler})",
    ],
)
def test_nothing_is_said_where_that_is_meant(rest):
    process = script(f"{ADDED}\n    {rest}")
    out, err = process.communicate(timeout=SOON)
    assert (process.returncode, out, err) == (0, "", "")


def test_after_an_error_only_the_error_is_said():
    process = script(f"{ADDED}\n    scheduler.start()\n    1 // 0")
    _, err = process.communicate(timeout=SOON)
    assert "ZeroDivisionError" in err
    assert "run_forever" not in err


# What a shutdown waits for


class Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.text, self.said = "", threading.Event()

    def emit(self, record):
        self.text = record.getMessage()
        self.said.set()


@pytest.fixture
def waiting_for():
    handler = Heard()
    logging.getLogger("schedcore.lifetime.exit_messages").addHandler(handler)
    yield handler
    logging.getLogger("schedcore.lifetime.exit_messages").removeHandler(handler)


def test_a_shutdown_says_at_once_what_it_waits_for(
    virtual_scheduler, manual_clock, gate, waiting_for
):
    virtual_scheduler.start()
    virtual_scheduler.add_job(gate, id="slow")
    gate.wait()
    manual_clock.advance(14)
    virtual_scheduler.add_job(gate, id="quick")
    gate.wait()
    stopping = threading.Thread(target=lambda: virtual_scheduler.shutdown(timeout=10))
    stopping.start()
    assert waiting_for.said.wait(SOON)
    assert waiting_for.text == "waiting up to 10 s for: slow (14 s), quick (0 s)"
    gate.open()
    stopping.join(SOON)
    assert not stopping.is_alive()


def test_a_shutdown_says_later_that_a_run_goes_on_that_had_just_begun(started, gate, waiting_for):
    started.add_job(gate, id="slow")
    gate.wait()
    stopping = threading.Thread(target=started.shutdown)
    stopping.start()
    assert waiting_for.said.wait(SOON)
    assert waiting_for.text.startswith("waiting for: slow (")
    gate.open()
    stopping.join(SOON)


@pytest.mark.parametrize("how", ["idle", "at once", "from its own run"])
def test_a_shutdown_that_waits_for_nothing_says_nothing(
    virtual_scheduler, manual_clock, gate, waiting_for, how
):
    done = threading.Event()

    def job():
        manual_clock.advance(14)
        if how == "from its own run":
            virtual_scheduler.shutdown(timeout=10)
            done.set()
        else:
            gate()

    virtual_scheduler.start()
    if how != "idle":
        virtual_scheduler.add_job(job)
    if how == "from its own run":
        assert done.wait(SOON)
    else:
        if how == "at once":
            gate.wait()
        virtual_scheduler.shutdown(wait=False)
    gate.open()
    assert not waiting_for.said.is_set()


# Coroutines that do not end


@pytest.mark.parametrize("timeout", [0, 0.3])
@pytest.mark.parametrize("kind", ["blocks", "swallows its cancelling"])
def test_a_shutdown_keeps_its_deadline_over_a_coroutine(started, monkeypatch, timeout, kind):
    """Judged by how long it is ready to wait, and not by how long a busy machine takes."""
    release, begun = threading.Event(), threading.Event()
    join, waits = threading.Thread.join, []

    def noted_join(thread, timeout=None):
        if thread.name == "schedcore-coroutines":
            waits.append(timeout)
        join(thread, timeout)

    async def blocks():
        begun.set()
        release.wait(SOON)

    async def swallows():
        begun.set()
        while not release.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    started.add_job(blocks if kind == "blocks" else swallows, id="job")
    assert begun.wait(SOON)
    monkeypatch.setattr(threading.Thread, "join", noted_join)
    left = started.shutdown(wait=timeout > 0, timeout=timeout or None)
    assert sum(waits) <= timeout + 0.1
    assert [run.job_id for run in left] == ["job"]
    release.set()


def test_a_shutdown_waits_no_longer_for_a_submission_that_is_held_up(started):
    executor = started._executors["coroutines"]
    held, release = threading.Event(), threading.Event()

    def hold():
        with executor._lock:
            held.set()
            release.wait(SOON)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(SOON)
    assert started.shutdown(timeout=0.1) == []
    release.set()
    holding.join(SOON)


# A fork around the first coroutine


@pytest.mark.parametrize(
    "add",
    [
        "s.add_job(co, 'interval', seconds=.2, id='co')",
        "s.add_job(co, 'interval', seconds=.2, id='co', executor='default')",
        "s.add_job(int, 'interval', seconds=.2, id='co', executor='coroutines')",
        "s.add_job(int, 'interval', seconds=.2, id='co'); s.modify_job('co', func=co)",
        "s.add_job(int, 'interval', seconds=.2, id='co');s.modify_job('co', executor='coroutines')",
        "t = Scheduler(); t.add_job(int, 'interval', seconds=.2, id='co', executor='coroutines');"
        "[sys.modules.pop(m) for m in list(sys.modules) if m.startswith('asyncio')];"
        "s = Scheduler(); s._engine.store.write(t.entries(), 0)",
    ],
)
def test_what_a_coroutine_needs_is_loaded_before_its_first_fire(add):
    """A fork while the loop's thread imports would leave the import's lock held in the child."""
    process = script(
        f"""
        import sys
        from schedcore import Scheduler
        s = Scheduler(timezone="UTC")
        async def co(): pass
        {add}
        s.start(paused=True)
        print("asyncio" in sys.modules)
        """
    )
    out, err = process.communicate(timeout=SOON)
    assert (out, err) == ("True\n", "")


def test_who_has_no_coroutine_does_not_pay_for_them():
    process = script(
        """
        import sys
        from schedcore import Scheduler
        s = Scheduler(timezone="UTC")
        s.add_job(int, "interval", seconds=.2)
        s.start(paused=True)
        print("asyncio" in sys.modules)
        """
    )
    assert process.communicate(timeout=SOON)[0] == "False\n"
