"""One event loop in a thread of its own, for coroutine functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

from schedcore.basics.atfork import Lock, call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Patience
from schedcore.executors.base import Reporter, report_lost, settle
from schedcore.run import Run, call_async, go_by_real_time, load_asyncio

if TYPE_CHECKING:
    import asyncio


log = GuardedLogger(__name__)

CANCEL_S = 0.05
"""Seconds beyond a deadline that tasks are given to end once they are cancelled."""


class CoroutineLoop:
    """Executes coroutine functions side by side on one event loop, started when first needed.

    A function that blocks holds up all others here; it belongs in the thread pool.
    """

    def __init__(self, name: str = "schedcore-coroutines") -> None:
        self._name = name
        self.after_fork_in_child()
        call_in_child(self)

    def __repr__(self) -> str:
        return f"CoroutineLoop({self._name!r})"

    def after_fork_in_child(self) -> None:
        """Start from nothing: the event loop stayed behind in the parent."""
        # Re-entrant: a signal handler may shut down what this thread is about to submit to.
        self._lock = threading.RLock()
        self._running: _Loop | None = None
        self._closing: list[_Loop] = []

    def prepare(self) -> None:
        """Import what runs need, in a thread that may be held up by it, and with no lock held.

        A fork in the middle of an import leaves its lock held in the child for ever.
        """
        load_asyncio()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run as tasks; return at once."""
        self.prepare()
        with self._lock:
            running = self._running
            if running is None:
                running = self._running = _Loop(self._name)
            running.submit(runs, reporter)

    def data_lock(self) -> Lock:
        """Return the lock that guards all of it."""
        return self._lock

    def workers_here(self) -> int | None:
        """Return 1 in the event loop's thread, and None elsewhere."""
        here = threading.current_thread()
        loops = [loop for loop in (self._running, *self._closing) if loop is not None]
        return 1 if any(loop._thread is here for loop in loops) else None

    def abandon(self, run: Run) -> None:
        """Cancel the run's task."""
        for loop in (self._running, *self._closing):
            if loop is not None:
                loop.cancel(run)

    def shutdown(self, timeout: float | None) -> None:
        """Finish the tasks, waiting up to *timeout* seconds (None: no limit), then cancel them."""
        patience = Patience(timeout)
        left = patience.left()
        if not self._lock.acquire(timeout=-1 if left is None else left):
            log.error("%s: a submission is held up; its tasks are left alone", self._name)
            return
        try:
            running, self._running = self._running, None
            if running is None:
                return
            self._closing.append(running)
        finally:
            self._lock.release()
        try:
            running.shutdown(patience.left())
        finally:
            self._closing.remove(running)


class _Loop:
    """The event loop and its thread, between two shutdowns."""

    def __init__(self, name: str) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        go_by_real_time(self._loop)
        self._tasks: dict[asyncio.Task[None], Run] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        self._loop.call_soon_threadsafe(self._start_tasks, runs, reporter)

    def cancel(self, run: Run) -> None:
        self._call(self._cancel_task, run)

    def shutdown(self, timeout: float | None) -> None:
        self._call(self._close)
        if timeout is not None and timeout <= 0:
            self._call(self._cancel_all)
        if threading.current_thread() is self._thread:
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._call(self._cancel_all)
            # Most tasks end as soon as they are cancelled; one may catch that, or block.
            self._thread.join(CANCEL_S)

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        """Call *function* in the loop's thread, unless the loop has ended by now."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    def _serve(self) -> None:
        while not (self._closing and not self._tasks):
            try:
                self._loop.run_forever()
            except BaseException as error:  # noqa: BLE001 — SystemExit in a task that a job made
                log.error("a task that a coroutine started ended the event loop", error=error)
        self._end_strays()
        self._loop.close()

    def _end_strays(self) -> None:
        """Cancel the tasks that runs started and did not wait for, and close generators."""
        import asyncio

        strays = asyncio.all_tasks(self._loop)
        for task in strays:
            task.cancel()
        try:
            if strays:
                self._loop.run_until_complete(asyncio.wait(strays, timeout=1.0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        except BaseException as error:  # noqa: BLE001 — the loop is closed all the same
            log.error("tasks that coroutines left behind could not be ended", error=error)

    def _start_tasks(self, runs: Sequence[Run], reporter: Reporter) -> None:
        for run in runs:
            # A task copies the context that it is made in: each gets one of its own, and nothing of
            # whoever submitted it.
            task = Context().run(self._loop.create_task, _perform(run, reporter))
            self._tasks[task] = run
            task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if self._closing and not self._tasks:
            self._loop.stop()

    def _close(self) -> None:
        """Stop the loop once the tasks there are have ended."""
        self._closing = True
        if not self._tasks:
            self._loop.stop()

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _cancel_task(self, run: Run) -> None:
        for task, its_run in self._tasks.items():
            if its_run is run:
                task.cancel()


async def _perform(run: Run, reporter: Reporter) -> None:
    """Execute *run* in this task and report it; raises nothing."""
    import asyncio

    try:
        if not reporter.begin(run):
            return
        try:
            value = await call_async(run)
        except asyncio.CancelledError:
            reporter.cancelled(run)
        except BaseException as error:  # noqa: BLE001 — SystemExit in a job ends the job, no more
            reporter.end(run, None, error)
        else:
            reporter.end(run, value, None)
        settle(reporter)
    except BaseException as error:  # noqa: BLE001 — the report failed
        report_lost(run, reporter, error)
