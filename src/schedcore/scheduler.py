"""The public face: jobs in, lifecycle, and the loop behind it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import schedcore  # for hints: names that it imports only when they are asked for
from schedcore import triggers
from schedcore.changing import Check
from schedcore.clock import SECOND, Clock, Patience, SystemClock, Waker, from_us
from schedcore.drafts import Drafts
from schedcore.engine import Engine
from schedcore.errors import (
    JobLookupError,
    MaxInstancesError,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    check_timeout,
)
from schedcore.events import (
    EVENT_ALL,
    EVENT_SCHEDULER_PAUSED,
    EVENT_SCHEDULER_RESUMED,
    EVENT_SCHEDULER_SHUTDOWN,
    EVENT_SCHEDULER_STARTED,
    Listener,
    Listeners,
)
from schedcore.executors import prepare, with_defaults
from schedcore.executors.base import Executor, FuturesPool
from schedcore.forks import held_here, tell_in_child
from schedcore.health import LONGEST_WAIT, Health, State
from schedcore.history import History
from schedcore.job import Options, build_options
from schedcore.leaving import remind_at_exit, told_what_is_waited_for
from schedcore.logs import GuardedLogger
from schedcore.loop import Loop
from schedcore.retry import RandomSource
from schedcore.run import Outcome, Run, RunRecord, run_here
from schedcore.stores.base import Store
from schedcore.stores.memory import MemoryStore
from schedcore.tracker import Tracker

if TYPE_CHECKING:
    from schedcore.leader.membership import Standing
    from schedcore.typed_calls import TypedJobBook as JobBook
else:
    from schedcore.jobbook import JobBook

log = GuardedLogger(__name__)

_LIFECYCLE = (
    EVENT_SCHEDULER_STARTED
    | EVENT_SCHEDULER_PAUSED
    | EVENT_SCHEDULER_RESUMED
    | EVENT_SCHEDULER_SHUTDOWN
)


class Scheduler(JobBook):
    """Runs Python callables at dates, at intervals and on cron schedules.

    Thread-safe.  Jobs may be added before it starts; they stay over a shutdown and a new start.

    Args:
        timezone: Zone of wall-clock triggers and of dates without one: an IANA name or a tzinfo.
            Left out, the computer's own.
        job_defaults: Options for jobs that do not give them: ``misfire_grace_time`` (seconds or
            None), ``coalesce``, ``max_instances``, ``executor``, ``overlap``, ``timeout``,
            ``retry``.
        executors: Where runs are executed, by name: executors, ``concurrent.futures`` pools, or
            tables such as ``{"type": "threadpool", "max_workers": 20}`` (or ``"processpool"``).
            ``"default"`` is a pool of 10 threads unless given, ``"coroutines"`` an event loop in a
            thread of its own.
        store: Where jobs are kept; in memory unless given.
        clock: Where the time comes from; the computer's clock unless given.
        random: Source of jitter; give a seeded one for runs that repeat exactly.
        history: Bounds of the memory of outcomes.
        election: Of the schedulers that share it, in all processes of this computer, one runs its
            jobs, and the others stand by; see docs/workers.md.

    Attributes:
        standing: Its part in the election; None: it is in none.

    Raises:
        InvalidOptionError: if an argument makes no sense.
    """

    def __init__(
        self,
        *,
        timezone: str | tzinfo | None = None,
        job_defaults: schedcore.JobDefaults | None = None,
        executors: Mapping[str, Executor | FuturesPool | Mapping[str, Any]] | None = None,
        store: Store | None = None,
        clock: Clock | None = None,
        random: RandomSource | None = None,
        history: History | None = None,
        election: schedcore.Election | None = None,
    ) -> None:
        from random import Random  # 1 ms, and not at the first fire

        zone = triggers.zone_of(timezone).tz
        clock = clock or SystemClock()
        random = random or Random()
        listeners = Listeners()
        store = store if store is not None else MemoryStore()
        if election is not None:
            # 15 ms (hashlib, json), and seldom needed
            from schedcore.leader.membership import Parts, Standing
            from schedcore.stores.recorded import RecordedStore

            in_memory = isinstance(store, MemoryStore)
            store = recorded = RecordedStore(store)
        self._executors = with_defaults({} if executors is None else executors)
        tracker = Tracker(clock, history or History(), listeners, self._executors, random)
        defaults = build_options(Options(), job_defaults or {})
        drafts = Drafts(zone, self._executors, defaults, clock, random)
        drafts.check_executor(defaults.executor)
        super().__init__(zone, clock, store, drafts, tracker, listeners)
        tracker.expect = self._expect
        tracker.teller.what_follows = self._what_follows
        self._engine = Engine(store, self._executors, tracker, listeners, random)
        self._engine.forget = self._listing.forget
        # Guards the lifecycle alone, and is never held while something is waited for.
        # Re-entrant: a signal handler may shut down in the midst of a start.
        self._lifecycle = threading.RLock()
        self._starting = False
        self._loop: Loop | None = None
        self._ended = Waker()
        self._left_behind = False
        self._shutting_down = False
        self._since_us = 0
        self.standing: Standing | None = None
        if election is not None:
            engine = (self._begin, self._end, self._loop_state)
            parts = Parts(clock, zone, recorded, drafts, tracker, in_memory, *engine)
            self.standing = Standing(election, parts)
            self.add_listener(self.standing.note_state, _LIFECYCLE)
        tell_in_child(self)

    def __repr__(self) -> str:
        """Tell what it is doing, how many jobs it has, and when the first is due."""
        try:
            jobs = self._store.entries()
            due_us = self._store.next_due()
        except Exception as error:  # noqa: BLE001 — a repr is for looking into trouble
            return f"<Scheduler {self.state.name.lower()}, its store raised {error!r}>"
        due = "none" if due_us is None else from_us(due_us, self.timezone).isoformat()
        return f"<Scheduler {self.state.name.lower()}, {len(jobs)} job(s), next run: {due}>"

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        return self._clock

    # Lifecycle

    @property
    def state(self) -> State:
        """Whether it was stopped, started, or paused last, or stands by."""
        if self.standing is not None and self.standing.stands_by:
            return State.STANDBY
        return self._loop_state()

    def _loop_state(self) -> State:
        loop = self._loop
        if loop is None:
            self._say_left_behind()
            return State.STOPPED
        return State.PAUSED if loop.paused else State.RUNNING

    @property
    def running(self) -> bool:
        """Whether it is started (paused or not), and its loop is there and not held up."""
        loop = self._loop
        if loop is None:
            self._say_left_behind()
            return False
        return loop.alive and not loop.stalled_for

    def health(self) -> Health:
        """Tell how the loop does; see :class:`Health`."""
        loop = self._loop
        if loop is None:
            state = self.state
            failures = self._listeners.failures
            return Health(state is State.STANDBY, state, 0.0, 0.0, 0, 0, 0, failures)
        waiting = self._tracker.waiting()
        too_long = any(seconds > LONGEST_WAIT for seconds in waiting.values())
        return Health(
            self.running and not loop.failing and not too_long,
            self.state,
            loop.stalled_for,
            0.0 if loop.paused else self._behind(),
            loop.failing,
            loop.failures,
            loop.restarts,
            self._listeners.failures,
            waiting,
        )

    def _behind(self) -> float:
        """Return the seconds by which the first due job is late; 0 if the store cannot tell."""
        try:
            due_us = self._store.next_due()
        except Exception as error:  # noqa: BLE001 — the loop meets it too, and is not well
            log.error("the store cannot tell what is due", error=error)
            return 0.0
        return 0.0 if due_us is None else max(0, self._clock.now_us() - due_us) / SECOND

    def start(self, paused: bool = False) -> None:
        """Start the loop's thread; with *paused*, nothing is run before :meth:`resume`.

        In an election it takes part from now on: it runs jobs once no other process does.

        Raises:
            SchedulerAlreadyRunningError: if it is started.
        """
        if sys._getframe(1).f_globals.get("__name__") == "__main__":
            remind_at_exit(self)
        state = State.PAUSED if paused else State.RUNNING
        if self.standing is not None and not self.standing.holds:
            self.standing.join(state)
        else:
            self._begin(state)

    def _begin(self, state: State) -> None:
        if state is State.STOPPED:
            return
        prepare(self._executors, self._store.entries)
        with self._lifecycle:
            if self._loop is not None or self._starting or self._shutting_down:
                raise SchedulerAlreadyRunningError
            self._starting = True
            try:
                stays = self._bring_up(paused=state is State.PAUSED)
            finally:
                self._starting = False
        if stays:
            self._tell(EVENT_SCHEDULER_STARTED)

    def _bring_up(self, paused: bool) -> bool:
        """Start the loop; return whether no signal handler shut it down meanwhile."""
        self._engine.take_back(self._clock.now_us(), hung=False)
        self._tracker.release()
        if paused:
            self._tracker.hold()
        loop = Loop(self._engine, self._clock)
        loop.paused = paused
        self._left_behind = False
        self._since_us = self._clock.now_us()
        self._ended.sleep(0)  # forget an earlier end
        # Before the loop starts: a job added at the same moment must find it.
        self._loop = loop
        try:
            loop.start()
        except BaseException:
            self._loop = None
            raise
        return self._loop is loop

    def pause(self) -> None:
        """Submit nothing more until :meth:`resume`; runs under way go on.

        Raises:
            SchedulerNotRunningError: if it is not started.
        """
        loop = self._loop_or_error()
        self._tracker.hold()
        loop.paused = True
        self._tell(EVENT_SCHEDULER_PAUSED)

    def resume(self) -> None:
        """Go on after :meth:`pause`; what fell due meanwhile is late, and run or missed as such.

        Raises:
            SchedulerNotRunningError: if it is not started.
        """
        loop = self._loop_or_error()
        self._tracker.release()
        loop.paused = False
        loop.wake()
        self._tell(EVENT_SCHEDULER_RESUMED)

    def wakeup(self) -> None:
        """Have the loop look for due jobs now: after the clock was moved by hand, for instance."""
        loop = self._loop
        if loop is not None:
            loop.wake()

    def shutdown(
        self, wait: bool = True, timeout: float | None = None, leave: bool = True
    ) -> list[Run]:
        """Stop; the jobs stay, and a new start goes on with them.

        It can be called from anywhere, also from inside a job or a listener: it never waits for
        the run that calls it.

        Args:
            wait: Whether to wait for the runs under way and those submitted.  If not, those that
                have not begun are cancelled.
            timeout: How many seconds to wait at most; None: until the last one ends.
            leave: Whether to leave the election too, so that another process goes on with the jobs.
                If not, no other runs them, and :meth:`start` starts them here.

        Returns:
            The runs that did not finish.  They go on in their threads, which do not keep the
            interpreter alive; coroutines are cancelled.

        Raises:
            SchedulerNotRunningError: if it is not started.
            InvalidOptionError: if *timeout* is negative.
        """
        patience = Patience(check_timeout(timeout) if wait else 0)
        if self.standing is not None and leave:
            return self.standing.resign(lambda: self._end(patience)) or []
        return self._end(patience)

    def _end(self, patience: Patience | None = None) -> list[Run]:
        """End the engine; None: at once."""
        patience = patience or Patience(0)
        if self._interrupts_itself():
            log.warning(
                "shutdown() interrupts another call of its own thread, in a signal handler:"
                " it does not wait, since runs may need what that call holds"
            )
            patience = Patience(0)
        with self._lifecycle:
            loop = self._loop_or_error()
            self._loop = None
            self._shutting_down = True
        try:
            # What takes too long is still given up while the executors finish.
            loop.quiesce(patience.left())
            self._tracker.close()
            with told_what_is_waited_for(self._tracker.live, run_here(), self._clock, patience):
                self._shut_executors_down(patience)
        finally:
            self._tracker.cancel_waiting()
            loop.stop(patience.left())
            self._shutting_down = False
            self._ended.wake()
        self._tell(EVENT_SCHEDULER_SHUTDOWN)
        return [run for run in self._tracker.live() if run is not run_here()]

    def _shut_executors_down(self, patience: Patience) -> None:
        for name, executor in self._executors.items():
            try:
                executor.shutdown(patience.left())
            except Exception as error:  # noqa: BLE001 — the others must be shut down too
                log.error("executor %r failed to shut down", name, error=error)

    def _interrupts_itself(self) -> bool:
        """Tell whether this is a signal handler in the midst of a call that holds a lock."""
        owners = (self._tracker, self._store, self._listeners, *self._executors.values())
        return held_here(*owners)

    def holder(self) -> schedcore.Holder | None:
        """Return which process runs the engine; None: none that is known of."""
        if self.standing is not None:
            return self.standing.holder()
        if self._loop is None:
            return None
        import socket  # 3 ms, and seldom needed; the election takes 15

        from schedcore.leader.election import Holder

        return Holder(os.getpid(), socket.gethostname(), self._since_us)

    def run_forever(self, timeout: float | None = 30.0, until_idle: bool = False) -> list[Run]:
        """Start if need be, block until SIGINT, SIGTERM or a shutdown, and shut down.

        For a plain script, as its last line.  A second signal ends the wait for running jobs.

        Args:
            timeout: How many seconds the runs under way are given to finish; None: no limit.
            until_idle: Whether to end as well once no job has a fire time to come, and no run waits
                or is under way.  A paused job has none; one that waits to be tried again has.

        Returns:
            The runs that did not finish.
        """
        from schedcore.foreground import wait_for_signal  # signal takes 4 ms to import

        check_timeout(timeout)
        if self.state is State.STOPPED:
            self.start()
        if until_idle:
            self._listeners.add(self._look_again)
            wait_for_signal(self._ended, self._is_over)
            self._listeners.remove(self._look_again)
        else:
            wait_for_signal(self._ended)
        try:
            return self.shutdown(timeout=timeout)
        except SchedulerNotRunningError:  # shut down from elsewhere, maybe from inside a job
            self._tracker.wait_until_idle(timeout)
        except KeyboardInterrupt:
            log.warning("interrupted again: not waiting any longer for running jobs")
        return self._tracker.live()

    def _look_again(self, _event: object) -> None:
        """Have :meth:`run_forever` look whether all is over.  A listener."""
        self._ended.wake()

    def _is_over(self) -> bool:
        """Tell whether it was shut down, or has nothing to do, now or later."""
        loop = self._loop
        if loop is None:
            return self.state is State.STOPPED
        return loop.between_steps(self._is_idle, timeout=1.0)

    def _is_idle(self) -> bool:
        try:
            if self._store.next_due() is not None or self._tracker.live():
                return False
            return all(entry.due_us is None for entry in self._store.entries())
        except Exception as error:  # noqa: BLE001 — a store that is down has jobs, maybe
            log.error("the store cannot tell what is due", error=error)
            return False

    # Runs

    def run_job(
        self,
        job_id: str,
        wait: bool = True,
        timeout: float | None = None,
        check: Check | None = None,
    ) -> Run:
        """Run a job now, besides its schedule and also while it is paused.

        Args:
            job_id: Which job.
            wait: Whether to wait until it has ended.
            timeout: How many seconds to wait at most; None: until it has ended.
            check: Given the job as it is at that moment, which is the one that runs; what it
                raises keeps it from running.

        Returns:
            The run; its ``record`` tells how it ended, and is None if it has not.

        Raises:
            JobLookupError: if there is no job with this id.
            MaxInstancesError: if ``max_instances`` runs of it are under way.
            SchedulerNotRunningError: if the scheduler is not started.
        """
        check_timeout(timeout)
        self._loop_or_error()
        entry = self._store.get(job_id)
        if check is not None:
            check(entry)
        job = self._engine.ready(entry.job)
        run = self._tracker.admit_now(job)
        if run is None:
            raise MaxInstancesError(job_id, job.max_instances)
        self._tracker.submit(job.options.executor, (run,))
        if wait and not self._interrupts_itself():  # its worker may need what that call holds
            run.wait(Patience(timeout).left())
        return run

    # What happened

    def history(self, job_id: str | None = None) -> list[RunRecord]:
        """Return the recorded outcomes of one job, or of all, the latest first."""
        return self._tracker.records(job_id)

    def counts(self, job_id: str | None = None) -> Mapping[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        return self._tracker.counts(job_id)

    def runs(self) -> list[Run]:
        """Return the runs that are under way, or wait: for a worker, a retry, or one another."""
        return self._tracker.live()

    def cancel(self, run_id: int) -> None:
        """Give up a run: it is recorded as cancelled and its place is free at once.

        One that waits does not begin.  A coroutine is cancelled.  A function in a thread cannot be
        stopped: it is told (``current_run().cancelled``), and what it returns is not heard.

        Raises:
            RunLookupError: if no run with this id waits or is under way.
        """
        self._tracker.cancel(run_id)

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call *callback* with each event whose code is in *mask*, in the thread it happens in.

        Raises:
            InvalidOptionError: if *callback* cannot be called, or *mask* names no event.
        """
        self._listeners.add(callback, mask)

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling *callback*."""
        self._listeners.remove(callback)

    # Inside

    def _what_follows(self, job_id: str) -> str:
        """Tell what comes after a run of a job, for the log."""
        try:
            entry = self._store.get(job_id)
        except JobLookupError:
            return "it was its last run"
        except Exception:  # noqa: BLE001 — the loop meets it too, and says so
            return "its store cannot tell when it runs next"
        if entry.due_us is None:
            return "the job is paused"
        return f"next run at {from_us(entry.due_us, entry.job.trigger.timezone).isoformat()}"

    def _expect(self, due_us: int | None) -> None:
        """See to it that the loop is awake at *due_us*."""
        loop = self._loop
        if loop is not None and due_us is not None:
            loop.expect(due_us)

    def _loop_or_error(self) -> Loop:
        loop = self._loop
        if loop is None:
            self._say_left_behind()
            raise SchedulerNotRunningError
        return loop

    def after_fork_in_child(self) -> None:
        """Be stopped: the threads stayed behind in the parent.  Called by the fork itself."""
        self._lifecycle = threading.RLock()
        self._starting = False
        self._left_behind = self._loop is not None
        self._loop = None
        self._shutting_down = False
        self._ended = Waker()
        self._engine.take_back(self._clock.now_us(), hung=False)
        self._tracker.forget_runs()

    def _say_left_behind(self) -> None:
        """Say once, in a forked child, that this scheduler does not run here."""
        if self._left_behind:
            self._left_behind = False
            log.warning(
                "the scheduler was started before this process (%d) was forked, and runs in its"
                " parent only; start() starts it here as well",
                os.getpid(),
            )
