"""The scheduler in a program of asyncio: its coroutines run on the program's own event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from schedcore import (
    AsyncScheduler,
    CoroutineLoop,
    InvalidOptionError,
    Outcome,
    Scheduler,
    SchedulerAlreadyRunningError,
    State,
    current_run,
)
from tests.patience import SOON

IN_MEMORY, ON_DISK = "memory", "disk"


def in_loop(main):
    """Run a coroutine to its end as a program does, watched for what asyncio warns of."""

    async def in_time():
        return await asyncio.wait_for(main, SOON)

    return asyncio.run(in_time(), debug=True)


@pytest.fixture(params=[IN_MEMORY, ON_DISK])
def scheduler(request, tmp_path):
    store = None if request.param == IN_MEMORY else f"sqlite:///{tmp_path / 'jobs.db'}"
    return AsyncScheduler(timezone="UTC", store=store)


def add(scheduler, func, **options):
    """Add a job that runs when it is asked to, and return its id."""
    return scheduler.in_thread(scheduler.add_job, func, next_run_time=None, **options)


async def run(scheduler, func, **options):
    """Run *func* once, and return the record of that."""
    job = await add(scheduler, func, **options)
    ran = await scheduler.in_thread(scheduler.run_job, job.id)
    (record,) = await scheduler.in_thread(scheduler.history, job.id)
    assert record == ran.record
    return record


seen = contextvars.ContextVar("seen", default="nothing")
SEEN = {}


async def look_around():
    SEEN.update(
        loop=asyncio.get_running_loop(),
        seen=seen.get(),
        name=asyncio.current_task().get_name(),
        job=current_run().job_id,
    )
    seen.set("by the job")
    await asyncio.sleep(0)
    return threading.current_thread() is threading.main_thread()


def test_a_coroutine_runs_on_the_programs_loop_in_a_context_of_its_own(scheduler):
    async def main():
        seen.set("by the program")
        async with scheduler:
            record = await run(scheduler, look_around, id="looks")
            assert seen.get() == "by the program"
        assert (record.outcome, record.result) == (Outcome.EXECUTED, "True")
        expected = {"loop": asyncio.get_running_loop(), "seen": "nothing", "job": "looks"}
        assert expected | {"name": "schedcore run of looks"} == SEEN

    in_loop(main())


def in_which_thread():
    return threading.current_thread().name


async def returns_late():
    await asyncio.sleep(0.001)
    return "late"


async def fails():
    raise ValueError("no")


async def leaves():
    raise SystemExit(3)


def test_other_functions_run_in_threads_and_what_is_raised_is_recorded(scheduler):
    async def main():
        async with scheduler:
            assert "schedcore-" in (await run(scheduler, in_which_thread)).result
            retry = {"count": 1, "delay": 0}
            record = await run(scheduler, fails, retry=retry)
            assert (record.outcome, record.attempt) == (Outcome.FAILED, 2)
            assert (await run(scheduler, leaves)).error_type == "SystemExit"
            assert (await run(scheduler, returns_late)).result == "'late'"

    in_loop(main())


class Held:
    """A coroutine that says when it is under way, and how it ended."""

    def __init__(self):
        self.begun, self.released = asyncio.Event(), asyncio.Event()
        self.ended = None

    async def __call__(self):
        self.begun.set()
        try:
            await self.released.wait()
            self.ended = "in order"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


@pytest.mark.parametrize("how", ["cancelled", "timed_out"])
def test_a_run_that_is_ended_early_is_cancelled_in_the_loop(how):
    async def main():
        held = Held()
        async with AsyncScheduler(timezone="UTC") as scheduler:
            timeout = 0.05 if how == "timed_out" else None
            job = scheduler.add_job(held, next_run_time=None, timeout=timeout)
            run = scheduler.run_job(job.id, wait=False)
            await held.begun.wait()
            if timeout is None:
                scheduler.cancel(run.id)
            await scheduler.in_thread(run.wait, SOON)
            assert run.outcome.value == how
            while held.ended is None:
                await asyncio.sleep(0.001)
            assert held.ended == "cancelled"

    in_loop(main())


def test_the_loop_goes_on_while_a_shutdown_waits_for_what_needs_it():
    """Both for a coroutine, and for a thread that waits for something in the loop."""

    async def main():
        held, loop = Held(), asyncio.get_running_loop()
        needs_loop = threading.Event()

        def needs():
            needs_loop.set()
            asyncio.run_coroutine_threadsafe(held.released.wait(), loop).result(SOON)

        async with AsyncScheduler(timezone="UTC") as scheduler:
            scheduler.add_job(held, id="held")
            scheduler.add_job(needs, id="needs")
            await held.begun.wait()
            await scheduler.in_thread(needs_loop.wait, SOON)
            closing = asyncio.ensure_future(scheduler.aclose(SOON))
            while scheduler.state is not State.STOPPED:
                await asyncio.sleep(0.001)
            assert not closing.done()
            held.released.set()
            assert await closing == []
        assert held.ended == "in order"
        assert scheduler.counts() == {Outcome.EXECUTED: 2}

    in_loop(main())


def test_at_the_deadline_of_a_shutdown_coroutines_are_cancelled(scheduler):
    async def main():
        held = Held()
        HELD.append(held)
        async with scheduler:
            job = await add(scheduler, hold)
            await scheduler.in_thread(scheduler.run_job, job.id, wait=False)
            await held.begun.wait()
            await scheduler.aclose(0.01)
            assert held.ended == "cancelled"
            (record,) = scheduler.history(job.id)
            assert record.outcome is Outcome.CANCELLED

    in_loop(main())


HELD = []


async def hold():
    await HELD.pop()()


def test_a_run_may_close_its_scheduler():
    async def main():
        done = asyncio.Event()

        async def closes():
            found.append(await scheduler.aclose())
            done.set()

        found = []
        async with AsyncScheduler(timezone="UTC") as scheduler:
            job = scheduler.add_job(closes)
            await done.wait()
            assert found == [[]]
            assert scheduler.state is State.STOPPED
            while not scheduler.history(job.id):
                await asyncio.sleep(0.001)
            assert scheduler.history(job.id)[0].outcome is Outcome.EXECUTED

    in_loop(main())


def test_a_shutdown_that_would_hold_up_the_loop_does_not_wait_and_says_so(caplog):
    async def main():
        held = Held()
        scheduler = AsyncScheduler(timezone="UTC")
        scheduler.start()
        job = scheduler.add_job(held)
        await held.begun.wait()
        scheduler.shutdown()
        assert "await aclose()" in caplog.text
        while held.ended is None:
            await asyncio.sleep(0.001)
        while not scheduler.history(job.id):
            await asyncio.sleep(0.001)
        assert scheduler.history(job.id)[0].outcome is Outcome.CANCELLED

    with caplog.at_level(logging.WARNING, "schedcore"):
        in_loop(main())


def test_a_run_is_not_waited_for_where_it_would_hold_up_the_loop():
    async def main():
        async with AsyncScheduler(timezone="UTC") as scheduler:
            job = scheduler.add_job(returns_late, next_run_time=None)
            with pytest.raises(InvalidOptionError, match=r"wait.*await asyncio\.to_thread"):
                scheduler.run_job(job.id)

    in_loop(main())


def test_it_starts_in_a_loop_alone_and_after_a_shutdown_in_another_one(scheduler):
    with pytest.raises(RuntimeError, match="async with AsyncScheduler"):
        scheduler.start()
    loops = []

    async def main():
        async with scheduler:
            loops.append(asyncio.get_running_loop())
            SEEN.clear()
            await run(scheduler, look_around, id=f"looks {len(loops)}")
            assert SEEN["loop"] is loops[-1]

    async def again():
        async with scheduler:
            pytest.fail("it is started")

    async def twice():
        scheduler.start()
        other = asyncio.new_event_loop()
        try:
            with pytest.raises(SchedulerAlreadyRunningError):
                await scheduler.in_thread(other.run_until_complete, again())
        finally:
            other.close()
        assert scheduler.running
        await scheduler.aclose()
        assert await scheduler.aclose() == []

    in_loop(main())
    in_loop(main())
    in_loop(twice())
    assert loops[0] is not loops[1]


def test_a_loop_that_is_closed_under_it_loses_what_ran_and_is_told():
    loop, held = asyncio.new_event_loop(), []
    executor = CoroutineLoop(loop=loop)
    scheduler = Scheduler(timezone="UTC", executors={"coroutines": executor})
    scheduler.start()

    async def main():
        held.append(Held())
        scheduler.add_job(held[0], id="held", timeout=None)
        await held[0].begun.wait()

    loop.run_until_complete(main())
    assert scheduler.health().broken == {}
    (task,) = asyncio.all_tasks(loop)
    task._log_destroy_pending = False  # that is what the program does here, and asyncio tells of it
    loop.close()
    health = scheduler.health()
    assert not health.ok
    assert "its event loop is closed" in health.broken["coroutines"]
    job = scheduler.add_job(returns_late, next_run_time=None)
    record = scheduler.run_job(job.id, timeout=SOON).record
    assert (record.outcome, record.error_type) == (Outcome.FAILED, "LoopClosedError")
    assert [record.outcome for record in scheduler.history("held")] == [Outcome.LOST]
    scheduler.shutdown(timeout=SOON)
    task.get_coro().close()


def test_what_a_loop_had_no_time_to_begin_fails_when_it_is_closed():
    loop = asyncio.new_event_loop()
    scheduler = Scheduler(timezone="UTC", executors={"coroutines": CoroutineLoop(loop=loop)})
    scheduler.start()
    job = scheduler.add_job(returns_late, next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)  # the loop does not run
    loop.close()
    assert run.wait(SOON)
    (record,) = scheduler.history(job.id)
    assert (record.outcome, record.error_type) == (Outcome.FAILED, "LoopClosedError")
    scheduler.shutdown(timeout=SOON)


def test_what_ran_on_a_loop_that_is_closed_is_lost_though_nothing_follows():
    loop = asyncio.new_event_loop()
    scheduler = Scheduler(timezone="UTC", executors={"coroutines": CoroutineLoop(loop=loop)})
    scheduler.start()
    held = []

    async def main():
        held.append(Held())
        job = scheduler.add_job(held[0], next_run_time=None)
        run = scheduler.run_job(job.id, wait=False)
        await held[0].begun.wait()
        return run

    run = loop.run_until_complete(main())
    (task,) = asyncio.all_tasks(loop)
    task._log_destroy_pending = False  # that is what the program does here, and asyncio tells of it
    loop.close()
    assert run.wait(SOON)
    assert run.outcome is Outcome.LOST
    scheduler.shutdown(timeout=SOON)
    task.get_coro().close()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_start_that_is_cancelled_however_often_leaves_nothing_started(scheduler, times):
    began, go_on = threading.Event(), threading.Event()
    real = scheduler._life.begin

    def held_up(*args):
        began.set()
        assert go_on.wait(SOON)
        return real(*args)

    scheduler._life.begin = held_up

    async def main():
        starting = asyncio.ensure_future(scheduler.__aenter__())
        await scheduler.in_thread(began.wait, SOON)
        for _ in range(times):
            starting.cancel()
            await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        while "schedcore-call" in {thread.name for thread in threading.enumerate()}:
            await asyncio.sleep(0.001)
        assert scheduler.state is State.STOPPED

    in_loop(main())


def test_a_task_that_is_cancelled_before_its_first_step_is_a_run_that_is_cancelled():
    loop = asyncio.new_event_loop()
    scheduler = Scheduler(timezone="UTC", executors={"coroutines": CoroutineLoop(loop=loop)})
    scheduler.start()
    job = scheduler.add_job(returns_late, next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)

    async def cancel():
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)

    loop.run_until_complete(cancel())
    assert run.wait(SOON)
    assert run.outcome is Outcome.CANCELLED
    scheduler.shutdown(timeout=SOON)
    loop.close()


@pytest.mark.parametrize("bad", [1, "loop", asyncio])
def test_what_is_no_loop_is_refused(bad):
    with pytest.raises(InvalidOptionError, match="get_running_loop"):
        CoroutineLoop(loop=bad)


def test_on_a_store_on_disk_the_loop_records_nothing_itself(tmp_path, monkeypatch):
    """An end takes as long as the disk does, and the loop would stand still meanwhile."""
    scheduler = AsyncScheduler(timezone="UTC", store=f"sqlite:///{tmp_path / 'jobs.db'}")
    store, threads = scheduler._engine.store, []
    for name in ("end", "retry"):
        real = getattr(store, name)

        def noting(*args, real=real):
            threads.append(threading.current_thread())
            return real(*args)

        monkeypatch.setattr(store, name, noting)

    async def main():
        async with scheduler:
            heard = []
            scheduler.add_listener(lambda event: heard.append(event.job_id))
            await run(scheduler, returns_late, id="returns")
            record = await run(scheduler, fails, id="fails", retry={"count": 1, "delay": 0})
            assert record.attempt == 2
            assert {"returns", "fails"} <= set(heard)
            scheduler.pause()
            for _ in range(2):  # also while nothing is due
                ran = await scheduler.in_thread(scheduler.run_job, "returns", timeout=SOON)
                assert ran.outcome is Outcome.EXECUTED
        assert len(threads) >= 4
        assert threading.main_thread() not in threads

    in_loop(main())


def test_a_failed_report_is_made_again(tmp_path, monkeypatch):
    scheduler = AsyncScheduler(timezone="UTC", store=f"sqlite:///{tmp_path / 'jobs.db'}")
    real, failed = scheduler._engine.store.retry, []

    def failing(*args):
        if not failed:
            failed.append(True)
            raise OSError("the disk is away")
        return real(*args)

    monkeypatch.setattr(scheduler._engine.store, "retry", failing)

    async def main():
        async with scheduler:
            job = await add(scheduler, fails, retry={"count": 1, "delay": 0})
            ran = await scheduler.in_thread(scheduler.run_job, job.id, timeout=SOON)
            assert failed
            assert (ran.outcome, ran.attempt) == (Outcome.FAILED, 2)

    in_loop(main())


# As a program


def program(text):
    """Start a program of asyncio, in which a warning is an error."""
    text = (
        """
        import asyncio, os, signal, sys
        from schedcore import AsyncScheduler
        scheduler = AsyncScheduler(timezone="UTC")
        async def held():
            print("begun", flush=True)
            try:
                await asyncio.sleep(1000)
            finally:
                print("ended", flush=True)
        """
        + text
    )
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(text)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


STOPS = """
        async def main():
            asyncio.get_running_loop().slow_callback_duration = 60  # on a busy machine
            async with scheduler:
                scheduler.add_job(held)
                left = await scheduler.run_until_stopped(timeout=0.05)
                print(len(left), scheduler.state.name)
        asyncio.run(main())
        print("over")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_in_order(number):
    with program(STOPS) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=SOON)
    assert (out, err) == ("ended\n0 STOPPED\nover\n", "")
    assert process.returncode == 0


LEAVES = """
        async def main():
            asyncio.get_running_loop().slow_callback_duration = 60
            scheduler.start()
            scheduler.add_job(held)
            while not scheduler.runs() or scheduler.runs()[0].state != "running":
                await asyncio.sleep(0.001)
        asyncio.run(main())
        print("over")
"""
EXITS = """
        async def main():
            asyncio.get_running_loop().slow_callback_duration = 60  # on a busy machine
            async with scheduler:
                scheduler.add_job(held)
                while not scheduler.runs() or scheduler.runs()[0].state != "running":
                    await asyncio.sleep(0.001)
                await scheduler.aclose(0)
                raise ValueError("the program's own")
        try:
            asyncio.run(main())
        except ValueError as error:
            print(error)
        print("over")
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [(LEAVES, "begun\nended\nover\n"), (EXITS, "begun\nended\nthe program's own\nover\n")],
)
def test_a_program_that_leaves_is_not_held_up_and_says_nothing_odd(text, said):
    with program(text) as process:
        out, err = process.communicate(timeout=SOON)
    assert (out, err) == (said, "")


def test_a_hanging_call_does_not_hold_up_the_end_of_the_program():
    text = """
        import threading
        async def main():
            asyncio.get_running_loop().slow_callback_duration = 60
            hanging = asyncio.ensure_future(scheduler.in_thread(threading.Event().wait))
            await asyncio.sleep(0)
            hanging.cancel()
        asyncio.run(main())
        print("over")
    """
    with program(text) as process:
        out, err = process.communicate(timeout=SOON)
    assert (out, err) == ("over\n", "")


def test_ctrl_c_inside_a_coroutine_ends_the_program_where_no_handler_is():
    text = """
        async def interrupted():
            raise KeyboardInterrupt
        async def main():
            async with scheduler:
                scheduler.add_job(interrupted, id="job")
                await asyncio.sleep(1000)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print(scheduler.history("job")[0].error_type)
    """
    with program(text) as process:
        out, _ = process.communicate(timeout=SOON)
    assert out == "KeyboardInterrupt\n"


def test_frozen_time_holds_nothing_up():
    import freezegun

    async def main():
        with freezegun.freeze_time("2026-03-28 12:00:00"):
            async with AsyncScheduler(timezone="UTC") as scheduler:
                done = asyncio.Event()

                async def job():
                    done.set()

                scheduler.add_job(job)
                await done.wait()

    asyncio.run(main())


def test_a_stop_iteration_in_a_thread_ends_the_wait(scheduler):
    """A future refuses to carry one, and whoever waits would wait for ever."""

    async def main():
        async with scheduler:
            with pytest.raises(RuntimeError, match="raised StopIteration"):
                await asyncio.wait_for(scheduler.in_thread(next, iter(())), SOON)

    asyncio.run(main())
