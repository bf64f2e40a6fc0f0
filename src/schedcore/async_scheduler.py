"""The scheduler for asyncio programs: coroutine functions run on the program's own loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from schedcore.basics.logs import GuardedLogger
from schedcore.errors import SchedulerNotRunningError, check_timeout
from schedcore.events import EVENT_SCHEDULER_SHUTDOWN
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.job import COROUTINE_EXECUTOR
from schedcore.lifetime.health import State
from schedcore.lifetime.signals import signals_call
from schedcore.run import Run, loop_here
from schedcore.scheduler import Scheduler

P = ParamSpec("P")
T = TypeVar("T")

log = GuardedLogger(__name__)


class AsyncScheduler(Scheduler):
    """A :class:`~schedcore.Scheduler` whose coroutine functions run on the program's event loop.

    ::

        async with AsyncScheduler() as scheduler:
            scheduler.add_job(poll, "interval", seconds=10)
            await scheduler.run_until_stopped()

    It uses the loop in which it is started.  Otherwise it works like :class:`~schedcore.Scheduler`:
    plain functions run in its threads, and you can call its methods anywhere.  They block: for
    microseconds in memory, and as long as the disk or the database takes on other stores; ``await
    scheduler.in_thread(scheduler.add_job, ...)`` does not block the loop.
    """

    def start(self, paused: bool = False) -> None:
        """Start, in the event loop that will run coroutine functions; see :class:`Scheduler`.

        Raises:
            RuntimeError: if this is not called in an event loop.
            SchedulerAlreadyRunningError: if it is started.
            StoreError: if the store cannot be used.
        """
        self._use_loop()
        super().start(paused)

    def follow(self, autostart: bool = True) -> None:
        """Join the other processes on the store, as :meth:`Scheduler.follow` does.

        Raises:
            RuntimeError: if this is not called in an event loop.
            SchedulerAlreadyRunningError: if it is started.
            StoreError: if the store cannot be used.
        """
        self._use_loop()
        super().follow(autostart)

    def _use_loop(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "no event loop runs in this thread: start an AsyncScheduler in a coroutine, as"
                " 'async with AsyncScheduler()' does (a Scheduler has a loop of its own)"
            ) from None
        executor = self._executors[COROUTINE_EXECUTOR]
        if self.state is State.STOPPED and isinstance(executor, CoroutineLoop):
            executor.use(loop)

    def shutdown(
        self, wait: bool = True, timeout: float | None = None, leave: bool = True
    ) -> list[Run]:
        """Stop, as :meth:`Scheduler.shutdown` does; in the event loop, without waiting for runs.

        Runs that need the loop would never end: :meth:`aclose` waits for them.
        """
        if wait and timeout != 0 and loop_here() is not None:
            log.warning(
                "shutdown() in an event loop does not wait for runs, which may need that loop:"
                " await aclose() does"
            )
            wait = False
        return super().shutdown(wait, timeout, leave)

    # To be awaited

    async def __aenter__(self) -> AsyncScheduler:
        """Start, in the event loop that will run coroutine functions.

        If this is cancelled, nothing stays started: what was started is shut down at once.
        """
        self._use_loop()
        over = threading.Event()
        started: list[bool] = []

        def start() -> None:
            try:
                super(AsyncScheduler, self).start()
                started.append(True)
            finally:
                over.set()

        def undo() -> None:
            over.wait()
            with suppress(SchedulerNotRunningError):
                if started:
                    self.shutdown(timeout=0)

        try:
            await self.in_thread(start)
        except asyncio.CancelledError:
            await self.in_thread(undo)  # a thread does, also if this wait is cancelled again
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down, and give active runs 30 seconds to finish."""
        await self.aclose()

    async def aclose(self, timeout: float | None = 30.0) -> list[Run]:
        """Shut down, if it is started; the event loop continues while runs finish.

        Args:
            timeout: How many seconds runs have; then coroutines are cancelled.  None: no limit.

        Returns:
            The runs that did not finish, except the one that calls this.
        """
        check_timeout(timeout)
        try:
            return await self.in_thread(self.shutdown, timeout=timeout)
        except SchedulerNotRunningError:
            return []

    async def run_until_stopped(self, timeout: float | None = 30.0) -> list[Run]:
        """Start if necessary, wait for SIGINT, SIGTERM or a shutdown, and shut down.

        Signals are handled only in the main thread, and only until the shutdown begins: a second
        signal has its previous effect.

        Args:
            timeout: How many seconds the active runs have to finish; None: no limit.

        Returns:
            The runs that did not finish.
        """
        check_timeout(timeout)
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def stop(_event: object = None) -> None:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(stopped.set)

        self.add_listener(stop, EVENT_SCHEDULER_SHUTDOWN)
        try:
            with signals_call(stop):
                if self.state is State.STOPPED:
                    await self.__aenter__()
                await stopped.wait()
        finally:
            self.remove_listener(stop)
            left = await self.aclose(timeout)
        return left

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function, such as a method of this scheduler, in its own thread.

        ``await scheduler.in_thread(scheduler.run_job, "report")`` waits for a run without blocking
        the loop.  If the wait is cancelled, the function continues; it does not keep the program
        alive.

        Returns:
            What the function returns.  Its exceptions are raised, StopIteration as a RuntimeError.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        context = copy_context()  # who acts, and which run calls

        def finish(value: Any, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(value)
            elif isinstance(error, StopIteration):  # which a future refuses to carry
                stopped = RuntimeError(f"{function!r} raised StopIteration")
                stopped.__cause__ = error
                done.set_exception(stopped)
            else:
                done.set_exception(error)

        def call() -> None:
            value, error = None, None
            try:
                value = context.run(function, *args, **kwargs)
            except BaseException as raised:  # noqa: BLE001 — it comes out where it is awaited
                error = raised
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(partial(finish, value, error))

        threading.Thread(target=call, name="schedcore-call", daemon=True).start()
        return await done
