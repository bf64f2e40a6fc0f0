"""An event loop for coroutine functions: in its own thread, or the program's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from schedcore.basics.atfork import Lock, call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Deadline, Waker
from schedcore.errors import InvalidOptionError, SchedError, is_interrupt
from schedcore.executors.base import Reporter, report_lost, settle
from schedcore.run import Run, call_async, go_by_real_time, load_asyncio, loop_here, run_here

if TYPE_CHECKING:
    import asyncio


log = GuardedLogger(__name__)

CANCEL_S = 0.05
"""Seconds that cancelled tasks have to end after a deadline."""
POLL_S = 0.05
"""How often a shutdown checks whether the program's loop has ended."""
WATCH_S = 0.25
"""How often that is checked otherwise, while there are runs."""


class LoopClosedError(SchedError):
    """The event loop of a run was closed."""

    def __init__(self) -> None:
        super().__init__(
            "its event loop is closed: shut the scheduler down before that, as"
            " 'async with AsyncScheduler()' does"
        )


class EventLoop(Protocol):
    """An event loop of ``asyncio``, named here without importing that package."""

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> Any:
        """Have the loop call *callback*."""
        ...

    def is_closed(self) -> bool:
        """Return whether it is closed."""
        ...


class CoroutineLoop:
    """Executes coroutine functions concurrently on one event loop.

    A function that blocks delays all others there; use the thread pool for it.

    Args:
        name: The name of the thread of its own loop, which is started when first needed.
        loop: The program's event loop, which may start later.  Runs are tasks of it.  It is
            neither started nor closed here.

    Raises:
        InvalidOptionError: if *loop* is not an event loop.
    """

    def __init__(
        self,
        name: str = "schedcore-coroutines",
        loop: EventLoop | None = None,
    ) -> None:
        if loop is not None and not hasattr(loop, "call_soon_threadsafe"):
            expected = "an event loop of asyncio, such as asyncio.get_running_loop()"
            raise InvalidOptionError("loop", loop, expected)
        self._name = name
        self._given = self._loop = loop
        self.after_fork_in_child()
        call_in_child(self)

    def __repr__(self) -> str:
        return f"CoroutineLoop({self._name!r})"

    def after_fork_in_child(self) -> None:
        """Start empty: the event loop belongs to the parent."""
        # Re-entrant: a signal handler may shut down what this thread is about to submit to.
        self._lock = threading.RLock()
        self._running: _Tasks | None = None
        self._closing: list[_Tasks] = []

    def use(self, loop: EventLoop) -> None:
        """Execute runs after the next shutdown on *loop*, unless another one was given."""
        if self._given is None:
            self._loop = loop

    @property
    def broken(self) -> str | None:
        """Why it can no longer execute runs; None: it can."""
        closed = self._loop is not None and self._loop.is_closed()
        return str(LoopClosedError()) if closed else None

    def prepare(self) -> None:
        """Import what runs need, in a thread that may be blocked by it, and without holding a lock.

        A fork during an import leaves the import lock held in the child for ever.
        """
        load_asyncio()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution as tasks; return at once.

        Raises:
            LoopClosedError: if the program's loop is closed.
        """
        self.prepare()
        with self._lock:
            running = self._running
            if running is None:
                loop = self._loop
                running = _OwnLoop(self._name) if loop is None else _Tasks(loop)  # type: ignore[arg-type]
                self._running = running
            running.submit(runs, reporter)

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def workers_here(self) -> int | None:
        """Return 1 in the event loop's thread, and None elsewhere."""
        loops = [tasks.loop for tasks in (self._running, *self._closing) if tasks is not None]
        here = loop_here()
        return 1 if here is not None and here in (*loops, self._loop) else None

    def abandon(self, run: Run) -> None:
        """Cancel the run's task."""
        for tasks in (self._running, *self._closing):
            if tasks is not None:
                tasks.cancel(run)

    def shutdown(self, timeout: float | None) -> None:
        """Finish the tasks, waiting up to *timeout* seconds (None: no limit), then cancel them.

        Inside the event loop itself it does not wait.
        """
        deadline = Deadline(timeout)
        left = deadline.left()
        # At least a short time: a run may shut down while its own submission is just returning.
        if not self._lock.acquire(timeout=-1 if left is None else max(left, POLL_S)):
            log.error("%s: a submission is blocked; its tasks are left alone", self._name)
            return
        try:
            running, self._running = self._running, None
            if running is None:
                return
            self._closing.append(running)
        finally:
            self._lock.release()
        try:
            running.shutdown(deadline)
        finally:
            self._closing.remove(running)


class _Tasks:
    """The runs on an event loop, between two shutdowns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[Run, Reporter]] = deque()  # until the loop creates their tasks
        self._tasks: dict[asyncio.Task[None], tuple[Run, Reporter]] = {}
        self._closing = False
        self._ended = Waker()
        self._watched = False
        self._more = threading.Event()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        if self.loop.is_closed():
            self._end_all()
            raise LoopClosedError
        self._waiting.extend((run, reporter) for run in runs)
        self._call(self._start_tasks)
        self._more.set()
        if not self._watched:
            self._watched = True
            self._start_watching()

    def _start_watching(self) -> None:
        threading.Thread(target=self._watch, name="schedcore-loop-watch", daemon=True).start()

    def _watch(self) -> None:
        """End the runs of a closed loop, which does not report that it is closed."""
        while not self.loop.is_closed():
            self._more.clear()
            if self._tasks or self._waiting:
                Waker().sleep(WATCH_S)
            elif self._closing:
                return
            else:
                self._more.wait()
        self._end_all()

    def cancel(self, run: Run) -> None:
        self._call(self._cancel_task, run)

    def shutdown(self, deadline: Deadline) -> None:
        here = run_here()
        self._call(self._close)
        if deadline.left() == 0:
            self._call(self._cancel_all, here)
        if loop_here() is self.loop:
            return
        self._wait(deadline, here)
        if self._busy(here):
            self._call(self._cancel_all, here)
            # Most tasks end as soon as they are cancelled; some catch that, or block.
            self._wait(Deadline(CANCEL_S), here)
        if self.loop.is_closed():
            self._end_all()

    def _wait(self, deadline: Deadline, here: Run | None) -> None:
        """Wait until no run is left except *here*; do not wait if the loop is not running."""
        while self._busy(here) and self.loop.is_running():
            left = deadline.left()
            if left == 0:
                return
            self._ended.sleep(POLL_S if left is None else min(left, POLL_S))

    def _busy(self, here: Run | None) -> bool:
        runs = [run for run, _ in list(self._tasks.values())]
        return not self._closing or bool(self._waiting) or any(run is not here for run in runs)

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        """Call *function* in the loop's thread, unless the loop has ended by now."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *args)

    def _start_tasks(self) -> None:
        while self._waiting:
            run, reporter = self._waiting.popleft()
            # A task copies the context in which it is created: so each gets a new one, without
            # the variables of its submitter.
            coroutine = _perform(run, reporter)
            name = f"schedcore run of {run.job_id}"
            task = Context().run(self.loop.create_task, coroutine, name=name)
            self._tasks[task] = run, reporter
            task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        run, reporter = self._tasks.pop(task, (None, None))
        if not task.cancelled():
            task.exception()  # Ctrl-C, which the program gets: asyncio need not report it
        elif run is not None and reporter is not None:
            reporter.cancelled(run)  # before its first step, as when the program's loop ends
        if self._closing:
            self._ended.wake()
            self._rest()

    def _close(self) -> None:
        """Accept no more runs."""
        self._closing = True
        self._ended.wake()
        self._more.set()
        self._rest()

    def _rest(self) -> None:
        """Clean up after the last task."""

    def _cancel_all(self, here: Run | None) -> None:
        for task, (run, _) in list(self._tasks.items()):
            if run is not here:
                task.cancel()

    def _cancel_task(self, run: Run) -> None:
        for task, (its_run, _) in self._tasks.items():
            if its_run is run:
                task.cancel()

    def _end_all(self) -> None:
        """End the runs of a loop that was closed meanwhile: those that began are lost."""
        with suppress(KeyError, IndexError):  # another thread ends the rest
            while self._tasks:
                _end_closed(*self._tasks.popitem()[1])
            while self._waiting:
                _end_closed(*self._waiting.popleft())


def _end_closed(run: Run, reporter: Reporter) -> None:
    """Report a run of a closed loop: as lost, or as failed if it had not begun."""
    if run._started_us is None:
        reporter.end(run, None, LoopClosedError())
    else:
        reporter.lost(run, LoopClosedError())


class _OwnLoop(_Tasks):
    """An event loop in its own thread, which ends with the last task after a shutdown."""

    def __init__(self, name: str) -> None:
        import asyncio

        super().__init__(asyncio.new_event_loop())
        go_by_real_time(self.loop)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _start_watching(self) -> None:
        """Do nothing: no other code closes this loop."""

    def _wait(self, deadline: Deadline, here: Run | None) -> None:
        while self._thread.is_alive() and (here is None or self._busy(here)):
            left = deadline.left()
            if left == 0:
                return
            # In slices if the caller is one of the runs, which cannot wait for the thread.
            self._thread.join(
                left if here is None else min(POLL_S, POLL_S if left is None else left)
            )

    def _rest(self) -> None:
        if not self._tasks and not self._waiting:
            self.loop.stop()

    def _serve(self) -> None:
        while self._tasks or self._waiting or not self._closing:
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001 — SystemExit in a task that a job created
                log.error("a task that a coroutine started ended the event loop", error=error)
        self._end_strays()
        self.loop.close()

    def _end_strays(self) -> None:
        """Cancel tasks that runs started and did not await, and close generators."""
        import asyncio

        strays = asyncio.all_tasks(self.loop)
        for task in strays:
            task.cancel()
        try:
            if strays:
                self.loop.run_until_complete(asyncio.wait(strays, timeout=1.0))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        except BaseException as error:  # noqa: BLE001 — the loop is closed anyway
            log.error("tasks that coroutines left behind could not be ended", error=error)


async def _perform(run: Run, reporter: Reporter) -> None:
    """Execute *run* in this task and report it; raises nothing but Ctrl-C in the main thread."""
    import asyncio

    interrupt: BaseException | None = None
    try:
        if not reporter.begin(run):
            return
        try:
            value = await call_async(run)
        except asyncio.CancelledError:
            reporter.cancelled(run)
        except BaseException as error:  # noqa: BLE001 — SystemExit in a job ends only the job
            interrupt = error if is_interrupt(error) else None
            reporter.end(run, None, error)
        else:
            reporter.end(run, value, None)
        settle(reporter)
    except BaseException as error:  # noqa: BLE001 — the report failed
        report_lost(run, reporter, error)
    if interrupt is not None:  # it is meant for the program
        raise interrupt
