"""The states of a scheduler: its loop is started, paused, resumed and shut down; its health."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from schedcore.basics.atfork import call_in_child, held_here
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, Deadline, Waker
from schedcore.engine import Engine
from schedcore.errors import SchedulerAlreadyRunningError, SchedulerNotRunningError
from schedcore.events import (
    EVENT_SCHEDULER_PAUSED,
    EVENT_SCHEDULER_RESUMED,
    EVENT_SCHEDULER_SHUTDOWN,
    EVENT_SCHEDULER_STARTED,
    Listeners,
    SchedulerEvent,
)
from schedcore.executors import prepare
from schedcore.executors.base import Executor
from schedcore.lifetime.exit_messages import logging_the_wait
from schedcore.lifetime.health import LONGEST_WAIT, Health, State
from schedcore.loop import Loop
from schedcore.run import Run, run_here

if TYPE_CHECKING:
    from schedcore.notices.notifier import Notifier

log = GuardedLogger(__name__)


def _is_stalled(loop: Loop) -> bool:
    return not loop.alive or loop.stalled_for > 0


class Lifecycle:
    """Starts, pauses and ends the loop of one scheduler.  Thread-safe, also in signal handlers.

    Args:
        engine: What the loop steps.
        executors: Shut down with it, by name.
        listeners: Receive the events.
        clock: Where the time comes from.

    Attributes:
        ended: Woken by each shutdown.
        notifier: Sends notices while the loop is started; None: there are none.
        since_us: When the loop was last started, in microseconds since the Unix epoch.
    """

    def __init__(
        self, engine: Engine, executors: Mapping[str, Executor], listeners: Listeners, clock: Clock
    ) -> None:
        self._engine = engine
        self._executors = executors
        self._listeners = listeners
        self._clock = clock
        self.since_us = 0
        self.notifier: Notifier | None = None
        self._left_behind = False
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        # Never held while something is waited for.
        # Re-entrant: a signal handler may shut down while its thread is inside a start.
        self._lock = threading.RLock()
        self._starting = self._shutting_down = False
        self._loop: Loop | None = None
        # The loop that was started last: a shutdown waits while its thread still times out runs.
        self._last_loop: Loop | None = None
        self.ended = Waker()

    def after_fork_in_child(self) -> None:
        """Become stopped: the threads stayed behind in the parent.  The fork itself calls this."""
        self._left_behind = self._loop is not None
        self._begin_anew()
        self._engine.after_fork_in_child()

    @property
    def state(self) -> State:
        """The last ordered state of the loop: stopped, started, or paused."""
        loop = self._loop
        if loop is None:
            self._log_left_behind()
            return State.STOPPED
        return State.PAUSED if loop.paused else State.RUNNING

    @property
    def running(self) -> bool:
        """Whether the loop is started (paused or not), and not stalled."""
        loop = self._loop
        if loop is None:
            self._log_left_behind()
            return False
        return not _is_stalled(loop)

    @property
    def stalled(self) -> bool:
        """Whether the loop is started, but has ended or is blocked."""
        loop = self._loop
        return loop is not None and _is_stalled(loop)

    def health(self, state: State) -> Health:
        """Return the health of the loop, for a scheduler in this state."""
        loop, failures = self._loop, self._listeners.failures
        if loop is None:
            return Health(False, state, 0.0, 0.0, 0, 0, 0, failures)
        waiting, reachable = self._waiting()
        too_long = any(seconds > LONGEST_WAIT for seconds in waiting.values())
        broken = {
            name: str(why)
            for name, executor in self._executors.items()
            if (why := getattr(executor, "broken", None))
        }
        return Health(
            self.running and reachable and not (loop.failing or too_long or broken),
            state,
            loop.stalled_for,
            0.0 if loop.paused else self._behind(),
            loop.failing,
            loop.failures,
            loop.restarts,
            failures,
            waiting,
            broken,
            loop.failing_why if loop.failing else None,
        )

    def _waiting(self) -> tuple[dict[str, float], bool]:
        """Return how long runs wait, and whether the store could be read."""
        try:
            return self._engine.waiting(), True
        except Exception as error:  # noqa: BLE001 — what is asked how it does has to answer
            log.error("the store cannot tell which runs are open", error=error)
            return {}, False

    def _behind(self) -> float:
        """Return how late the first due job is, in seconds; 0 if the store cannot be read."""
        try:
            due_us = self._engine.store.next_due(self._executors.keys())
        except Exception as error:  # noqa: BLE001 — the loop meets it too, and is not well
            log.error("the store cannot tell what is due", error=error)
            return 0.0
        return 0.0 if due_us is None else max(0, self._clock.now_us() - due_us) / SECOND

    def begin(self, state: State) -> None:
        """Start the loop in this state; if it is stopped, do nothing.

        Raises:
            SchedulerAlreadyRunningError: if it is started.
        """
        if state is State.STOPPED:
            return
        worker = sys.modules.get("schedcore.executors.worker")
        if worker is not None and worker.importing_main.is_set():
            raise SchedulerAlreadyRunningError(
                "this is one of its worker processes, which imports the script that started it:"
                " start the scheduler below if __name__ == '__main__'"
            )
        prepare(self._executors, self._engine.store.entries)
        with self._lock:
            if self._loop is not None or self._starting or self._shutting_down:
                raise SchedulerAlreadyRunningError
            self._starting = True
            try:
                stays = self._start_loop(paused=state is State.PAUSED)
            finally:
                self._starting = False
        if stays:
            self._listeners.emit(SchedulerEvent(EVENT_SCHEDULER_STARTED))

    def _start_loop(self, paused: bool) -> bool:
        """Start the loop; return whether no signal handler shut it down meanwhile."""
        self._engine.take_back(self._clock.now_us(), hung=False)
        self._engine.runs.reopen(held=paused)
        self._engine.runs.promote()
        loop = Loop(self._engine, self._clock)
        loop.paused = paused
        self._left_behind = False
        self.since_us = self._clock.now_us()
        self.ended.sleep(0)  # forget an earlier end
        # Before the loop starts: a job added at the same moment must find it.
        self._loop = self._last_loop = loop
        capture = self._engine.runs.capture
        try:
            if self.notifier is not None:
                self.notifier.start()
            if capture is not None:
                capture.start()
            loop.start()
        except BaseException:
            self._loop = None
            self._stop_capture()
            if self.notifier is not None:
                self.notifier.stop(Deadline(0))
            raise
        return self._loop is loop

    def pause(self) -> None:
        """Submit no more runs; active runs continue.

        Raises:
            SchedulerNotRunningError: if the loop is not started.
        """
        loop = self.loop_or_error()
        with self._lock:
            self._engine.runs.hold()
            loop.paused = True
        self._listeners.emit(SchedulerEvent(EVENT_SCHEDULER_PAUSED))

    def resume(self) -> None:
        """Resume after :meth:`pause`.

        Raises:
            SchedulerNotRunningError: if the loop is not started.
        """
        loop = self.loop_or_error()
        with self._lock:
            self._engine.runs.reopen()
            loop.paused = False
        self._engine.runs.promote()
        loop.wake()
        self._listeners.emit(SchedulerEvent(EVENT_SCHEDULER_RESUMED))

    def wakeup(self) -> None:
        """Make the loop look for due jobs now."""
        loop = self._last_loop
        if loop is not None:
            loop.wake()

    def end(
        self,
        deadline: Deadline,
        quiet: Callable[[], object] = lambda: None,
        over: Callable[[], object] = lambda: None,
    ) -> list[Run]:
        """End the loop and shut the executors down.

        Args:
            deadline: How long to wait for runs.
            quiet: Called once the loop takes no more jobs, before waiting for runs.
            over: Called when all has ended, before the event.

        Returns:
            The runs that did not finish, except the one that calls this.

        Raises:
            SchedulerNotRunningError: if the loop is not started.
            StoreError: if the store cannot be used; all has ended nevertheless.
        """
        if self.interrupts_itself():
            log.warning(
                "shutdown() interrupts another call of its own thread, in a signal handler:"
                " it does not wait, since runs may need what that call holds"
            )
            deadline = Deadline(0)
        with self._lock:
            loop = self.loop_or_error()
            self._loop = None
            self._shutting_down = True
        left: list[Run] = []
        with ExitStack() as steps:  # all are made, from the last to the first, also if one raises
            steps.callback(self._listeners.emit, SchedulerEvent(EVENT_SCHEDULER_SHUTDOWN))
            steps.callback(over)
            steps.callback(self._note_left, left)
            steps.callback(self._over)
            steps.callback(self._stop_threads, loop, deadline)
            steps.callback(self._engine.runs.cancel_waiting)
            steps.callback(self._shut_executors_down, deadline)
            # Time-outs still hold while the executors finish.
            loop.quiesce(deadline.left())
            quiet()
            self._engine.runs.close()
        return left

    def _note_left(self, left: list[Run]) -> None:
        left += [run for run in self._engine.runs.here() if run is not run_here()]

    def _stop_threads(self, loop: Loop, deadline: Deadline) -> None:
        loop.stop(deadline.left())
        if self.notifier is not None:
            self.notifier.stop(deadline)
        self._stop_capture()

    def _over(self) -> None:
        self._shutting_down = False
        self.ended.wake()

    def _stop_capture(self) -> None:
        if self._engine.runs.capture is not None:
            self._engine.runs.capture.stop()

    def _shut_executors_down(self, deadline: Deadline) -> None:
        with logging_the_wait(self._runs_to_log, run_here(), self._clock, deadline):
            for name, executor in self._executors.items():
                try:
                    executor.shutdown(deadline.left())
                except Exception as error:  # noqa: BLE001 — the others must be shut down too
                    log.error("executor %r failed to shut down", name, error=error)

    def _runs_to_log(self) -> list[Run]:
        try:
            return self._engine.runs.here()
        except Exception as error:  # noqa: BLE001 — a store that is away: it is shut down anyway
            log.error("the store cannot tell which runs are open", error=error)
            return []

    def interrupts_itself(self) -> bool:
        """Return whether this is a signal handler that interrupted a call which holds a lock."""
        owners = (self._engine.runs, self._engine.store, self._listeners, *self._executors.values())
        return held_here(*owners)

    def is_over(self) -> bool:
        """Return whether it was shut down, or has nothing to do now or later."""
        loop = self._loop
        if loop is None:
            return self.state is State.STOPPED
        return loop.between_steps(self._is_idle, timeout=1.0)

    def _is_idle(self) -> bool:
        try:
            if self._engine.store.next_due() is not None or self._engine.runs.open():
                return False
            return all(entry.due_us is None for entry in self._engine.store.entries())
        except Exception as error:  # noqa: BLE001 — a store that is down has jobs, maybe
            log.error("the store cannot tell what is due", error=error)
            return False

    def expect(self, due_us: int | None) -> None:
        """Make the loop wake up at *due_us*."""
        loop = self._last_loop
        if loop is not None and due_us is not None:
            loop.expect(due_us)

    def loop_or_error(self) -> Loop:
        """Return the loop.

        Raises:
            SchedulerNotRunningError: if it is not started.
        """
        loop = self._loop
        if loop is None:
            self._log_left_behind()
            raise SchedulerNotRunningError
        return loop

    def _log_left_behind(self) -> None:
        """Log once, in a forked child, that this scheduler does not run here."""
        if self._left_behind:
            self._left_behind = False
            log.warning(
                "the scheduler was started before this process (%d) was forked, and runs in its"
                " parent only; start() starts it here as well",
                os.getpid(),
            )
