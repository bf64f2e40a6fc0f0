"""This process as one of several on a store: it joins, follows the others, and leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from schedcore.basics.atfork import call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Deadline, Waker
from schedcore.engine import Engine
from schedcore.errors import SchedulerAlreadyRunningError, SchedulerNotRunningError
from schedcore.lifetime.health import State
from schedcore.lifetime.lifecycle import Lifecycle
from schedcore.run import Run
from schedcore.stores.cluster import Cluster, PollResult

log = GuardedLogger(__name__)

POLL_EVERY = 0.1
"""Seconds between two polls of the store: the maximum delay of changes by other processes."""


class Node:
    """Takes part in a shared store with one scheduler.  Thread-safe.

    All processes on a store have one state: running, paused or stopped.  A change is written into
    the store, and the other processes follow within :data:`POLL_EVERY`.

    Args:
        cluster: The nodes of the store.
        app: The name of the app that this process declares jobs for.
        engine: Its engine.
        life: Its loop.
        retire: Called when it joins: parks jobs that the app no longer declares.
    """

    def __init__(
        self,
        cluster: Cluster,
        app: str,
        engine: Engine,
        life: Lifecycle,
        retire: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._app = app
        self._engine = engine
        self._life = life
        self._retire = retire
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        # Held while this process changes its state, or follows: one after the other.
        self._mutex = threading.RLock()
        self._waker = Waker()
        self._failing = 0
        self._leaving = False
        self.joined = False

    def after_fork_in_child(self) -> None:
        """Take no part: the threads stayed behind in the parent."""
        self._begin_anew()

    @property
    def stands_by(self) -> bool:
        """Whether it runs, and another process takes due jobs."""
        return self.joined and self._life.state is State.RUNNING and not self._cluster.takes

    @property
    def interrupts(self) -> bool:
        """Whether the caller interrupts the use of the store by its own thread: a signal handler.

        It must not wait for another thread, which may wait for that call.
        """
        return bool(getattr(self._engine.store, "is_used_here", bool)())

    def _turn(self) -> AbstractContextManager[Any]:
        """Return the lock for an order; raise StoreUnavailableError if it may never be free."""
        getattr(self._engine.store, "check_free", bool)()
        return self._mutex

    def catch_up(self) -> None:
        """Follow another process's order at once, so that two orders apply one after the other."""
        with self._turn():
            if self.joined:
                self._act_on(self._cluster.poll(at_once=True))

    # Orders

    def start(self, state: State) -> None:
        """Join, and start all processes; a paused scheduler stays paused.

        Raises:
            SchedulerAlreadyRunningError: if this process is started.
        """
        with self._turn(), self._leaving_again():
            self.catch_up()
            if self._life.state is not State.STOPPED:
                raise SchedulerAlreadyRunningError
            self._join()
            shared = self._cluster.shared_state()
            if state is State.PAUSED or shared is State.STOPPED:
                self._cluster.set_shared_state(state)
            elif shared is State.PAUSED:
                log.warning("the scheduler was paused before, and stays paused until resume()")
                state = State.PAUSED
            self._life.begin(state)

    def follow(self, autostart: bool) -> bool:
        """Join in the state of the others; if there are none, start if *autostart* is true.

        Returns:
            Whether that differs from the state of the last process.

        Raises:
            SchedulerAlreadyRunningError: if this process is started.
        """
        with self._turn(), self._leaving_again():
            if self._life.state is not State.STOPPED:
                raise SchedulerAlreadyRunningError
            alone = self._join()
            shared = self._cluster.shared_state()
            changes = alone and autostart != (shared is not State.STOPPED)
            if changes:
                shared = State.RUNNING if autostart else State.STOPPED
                self._cluster.set_shared_state(shared)
            self._reach(shared)
            return changes

    def command(self, state: State) -> None:
        """Set the state of all nodes: RUNNING or PAUSED.

        Raises:
            SchedulerNotRunningError: if this process is not started.
        """
        with self._turn():
            self.catch_up()
            self._life.loop_or_error()
            self._cluster.set_shared_state(state)
            (self._life.pause if state is State.PAUSED else self._life.resume)()

    def stop_all(self, deadline: Deadline) -> list[Run]:
        """Stop the scheduler in all processes, which stay joined.

        Returns:
            The runs of this process that did not finish.

        Raises:
            SchedulerNotRunningError: if this process is not started.
        """
        with self._turn():
            self.catch_up()
            self._life.loop_or_error()
            self._cluster.set_shared_state(State.STOPPED)
        return self._life.end(deadline, self._cluster.resign)

    def leave(self, deadline: Deadline) -> list[Run]:
        """Stop this process, and let the others continue.

        Returns:
            The runs that did not finish.

        Raises:
            SchedulerNotRunningError: if this process is not started.
        """
        with self._mutex:
            self._leaving = True  # what others do is not followed any more
        try:
            if self._life.state is not State.STOPPED or not self.joined:
                return self._life.end(deadline, self._cluster.resign, self._leave)
        finally:
            if self._leaving:
                self._leave()
        return []

    def _leave(self) -> None:
        with self._mutex:
            self._leaving = False
            if self.joined:
                self.joined = False
                self._waker.wake()
                self._cluster.leave()

    def later(self, order: Callable[[], object]) -> list[Run]:
        """Let another thread shut down, once the call continues that the caller interrupts.

        Returns:
            No run: that is not known yet.

        Raises:
            SchedulerNotRunningError: if this process is not started.
        """
        self._life.loop_or_error()
        log.warning(
            "shutdown() interrupts a call of its own thread that uses the store, in a signal"
            " handler: another thread shuts down, and does not wait for runs"
        )
        # Not a daemon: Python waits for it when it ends.
        threading.Thread(target=_carry_out, args=(order,), name="schedcore-shutdown").start()
        return []

    @contextmanager
    def _leaving_again(self) -> Iterator[None]:
        """Leave if the block joins and raises: its thread would start the loop later."""
        stays = self.joined
        try:
            yield
        except BaseException:
            if not stays:
                self.joined = False
                self._waker.wake()
                try:
                    self._cluster.leave()
                except Exception as error:  # noqa: BLE001 — why it did not start counts more
                    log.error("cannot leave the store after a start that failed", error=error)
            raise

    def _join(self) -> bool:
        """Join, if that has not been done; return whether this is the only node."""
        alone = self._cluster.join(self._app, self._engine.executors)
        self._retire()
        if not self.joined:
            self.joined = True
            self._waker = waker = Waker()
            self._cluster.woken = waker.wake
            threading.Thread(
                target=self._run, args=(waker,), name="schedcore-node", daemon=True
            ).start()
        return alone

    # The thread

    def _run(self, waker: Waker) -> None:
        while waker is self._waker and self.joined:
            try:
                with self._mutex:
                    if waker is self._waker and self.joined:
                        self._act_on(self._cluster.poll())
                self._failing = 0
            except BaseException as error:  # noqa: BLE001 — it looks again
                self._failing += 1
                if self._failing & (self._failing - 1) == 0:  # the 1st, 2nd, 4th, 8th time
                    log.error(
                        "cannot read the state of the other processes on the store; trying again",
                        error=error,
                    )
            waker.sleep(POLL_EVERY)

    def _act_on(self, result: PollResult) -> None:
        self._engine.runs.dropped(result.dropped)
        for record in result.lost:
            log.error(
                "run %s of job %r is lost: %s", record.run_id, record.job_id, record.error_text
            )
        self._engine.runs.begin_kept()
        if not self._leaving and result.state is not self._life.state:
            log.info("the scheduler is %s, like the others on its store", result.state.name.lower())
            self._reach(result.state)
        if result.changed and self._life.state is State.RUNNING:
            if self._cluster.takes:
                self._engine.runs.promote()
            self._life.wakeup()

    def _reach(self, shared: State) -> None:
        """Change to the state that all nodes should be in."""
        state = self._life.state
        if state is shared:
            return
        if shared is State.STOPPED:
            self._life.end(Deadline(0), self._cluster.resign)
        elif state is State.STOPPED:
            self._cluster.join(self._app, self._engine.executors)
            self._life.begin(shared)
        elif shared is State.PAUSED:
            self._life.pause()
        else:
            self._life.resume()


def _carry_out(order: Callable[[], object]) -> None:
    try:
        order()
    except SchedulerNotRunningError:
        return  # somebody was quicker
    except Exception as error:  # noqa: BLE001 — nobody else would see it
        log.error("the scheduler could not be shut down", error=error)
