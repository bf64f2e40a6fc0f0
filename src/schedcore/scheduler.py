"""The public class: builds the parts of a scheduler and connects them.

The methods for jobs (``add_job``...), runs (``run_job``...) and changes (``audit``...) are those of
its base classes, in :mod:`schedcore.methods`; start, pause and shutdown go to
:mod:`~schedcore.lifetime.lifecycle`, and everything else to the engine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import schedcore  # for hints: names that it imports only when they are asked for
from schedcore import triggers
from schedcore.basics.apscheduler_names import refuse_arguments
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Clock, Deadline, from_us
from schedcore.engine import Engine
from schedcore.errors import SchedulerNotRunningError, check_timeout
from schedcore.events import (
    EVENT_ALL,
    Listener,
    Listeners,
)
from schedcore.executors import check_store, with_defaults
from schedcore.executors.base import Executor, FuturesPool
from schedcore.history.history import History
from schedcore.job import Options, build_options
from schedcore.lifetime.exit_messages import remind_at_exit
from schedcore.lifetime.health import Health, Holder, State
from schedcore.lifetime.lifecycle import Lifecycle
from schedcore.methods.changes import ChangeMethods
from schedcore.methods.job_factory import JobFactory
from schedcore.parts import (
    capture_of,
    check_app_name,
    clock_of,
    notifier_of,
    random_of,
    redact_of,
    store_of,
)
from schedcore.retry import RandomSource
from schedcore.run import Run
from schedcore.running.nested import NestedWaits
from schedcore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from schedcore.lifetime.node import Node
    from schedcore.stores.cluster import Cluster

log = GuardedLogger(__name__)


class Scheduler(ChangeMethods):
    """Runs Python callables at dates, at intervals and on cron schedules.

    Thread-safe.  You can add jobs before it starts; they survive a shutdown and a new start.

    Args:
        timezone: Zone of wall-clock triggers and of dates without one: an IANA name or a tzinfo.
            Default: the computer's.
        job_defaults: Options for jobs that do not set them: ``misfire_grace_time`` (seconds or
            None), ``coalesce``, ``max_instances``, ``executor``, ``overlap``, ``timeout``,
            ``retry``, ``on_lost``, ``tags``, ``on_failure``, ``on_recovery``, ``on_missed``,
            ``on_run``.
        executors: Where runs are executed, by name: executors, ``concurrent.futures`` pools, or
            tables such as ``{"type": "threadpool", "max_workers": 20}`` (or ``"processpool"``).
            By default ``"default"`` is a pool of 10 threads, and ``"coroutines"`` an event loop in
            its own thread.
        store: Where jobs, open runs and outcomes are stored: a store, or the URL of one
            (``"sqlite:///jobs.db"``, ``"postgresql://..."``; see docs/reference/stores.md).
            Default: in memory.
        name: The name of this app, under which a store on disk records its declared jobs; if
            several programs share a store, each needs its own.  Default: the name of the main
            script.
        clock: Where the time comes from; default: the computer's clock.
        random: Source of jitter; pass a seeded one for reproducible runs.
        history: The history of outcomes with its limits, for the store in memory.
        notices: Channels by name, for notices about jobs: functions of one :class:`Notice`, or
            tables such as ``{"type": "webhook", "url": ...}`` (see docs/reference/notices.md).
            Jobs name them in ``on_failure`` and the like.
        remind_every: Seconds between two reminders that a job still fails.
        capture_output: Whether each run's printed and logged output is stored, for :meth:`output`.
            While the scheduler is started, this replaces ``sys.stdout`` and ``sys.stderr`` by
            wrappers.
        redact: Regular expressions for secrets to hide in output.  If one has groups, only the
            groups are hidden: ``r"password=(\\S+)"``.
        unknown: There are no others.

    Attributes:
        redact: Hides in a text what these match; None: hides nothing.

    Raises:
        InvalidOptionError: if an argument makes no sense.
    """

    def __init__(
        self,
        *,
        timezone: str | tzinfo | None = None,
        job_defaults: schedcore.JobDefaults | None = None,
        executors: Mapping[str, Executor | FuturesPool | Mapping[str, Any]] | None = None,
        store: schedcore.Store | str | None = None,
        name: str | None = None,
        clock: Clock | None = None,
        random: RandomSource | None = None,
        history: History | None = None,
        notices: Mapping[str, Any] | None = None,
        remind_every: float = 3600.0,
        capture_output: bool = False,
        redact: Sequence[str] = (),
        **unknown: NoReturn,
    ) -> None:
        refuse_arguments(unknown)
        # Each part is made of those before it: store, job factory, engine, then what starts it.
        zone = triggers.zone_of(timezone).tz
        clock = clock_of(clock)
        random = random_of(random)
        listeners = Listeners()
        kept = store_of(store, history, clock)
        self._executors = with_defaults({} if executors is None else executors)
        check_store(self._executors, kept)
        defaults = build_options(Options(), job_defaults or {})
        factory = JobFactory(zone, self._executors, defaults, clock, random)
        engine = Engine(kept, self._executors, listeners, clock, random)
        self.redact = redact_of(redact)
        self._notifier = notifier_of(notices, remind_every, engine, defaults, clock, self.redact)
        factory.channels = () if self._notifier is None else self._notifier.channels
        factory.check_options(defaults)
        engine.runs.capture = capture_of(capture_output, self.redact)
        cluster: Cluster | None = getattr(kept, "cluster", None)
        app = check_app_name(name)
        declarations = None
        if cluster is not None:
            from schedcore.changes.declaring import Declarations, SameIds  # 10 ms (hashlib, json)
            from schedcore.lifetime.node import Node

            declarations = Declarations(kept, app, clock)
        super().__init__(zone, clock, engine, factory, listeners, declarations)
        self._runs = engine.runs
        self._nested = NestedWaits(self._executors)
        engine.announce.on_removed = self._forget
        self._life = Lifecycle(engine, self._executors, listeners, clock)
        self._life.notifier = self._notifier
        self._runs.expect = self._expect = self._life.expect
        self._runs.wake = self._life.wakeup
        self._cluster = cluster
        self._node: Node | None = None
        if cluster is not None:
            factory.make_id = SameIds().job_id
            self._node = Node(cluster, app, engine, self._life, self._retire)

    def _retire(self) -> None:
        """From now on, jobs are added; jobs that are no longer declared are parked."""
        self._factory.make_id = None
        if self._declarations is not None:
            self._declarations.retire()

    def __repr__(self) -> str:
        """Show its state, how many jobs it has, and when the first is due."""
        try:
            jobs = self._engine.store.entries()
            due_us = self._engine.store.next_due()
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
        """Whether it is stopped, running, paused, or standing by for another process."""
        if self._node is not None and self._node.stands_by:
            return State.STANDBY
        return self._life.state

    def shared_state(self) -> State:
        """Return the state that all processes on the store should be in:

        RUNNING, PAUSED or STOPPED.

        Raises:
            StoreError: if the store cannot be used.
        """
        if self._cluster is None or self._node is None:  # a store of one process alone
            return self.state
        if not self._node.joined and all(node.state != "alive" for node in self.nodes()):
            return State.STOPPED
        return self._cluster.shared_state()

    @property
    def running(self) -> bool:
        """Whether it is started (paused or not), and its loop is not blocked."""
        return self._life.running

    @property
    def stalled(self) -> bool:
        """Whether it is started, but its loop has ended or hangs: only a new process fixes that.

        One consistent answer: ``state`` and ``running``, read one after the other, may belong to
        different moments while another thread starts or stops the scheduler.
        """
        return self._life.stalled

    def health(self) -> Health:
        """Return the health of the loop; see :class:`Health`."""
        return self._life.health(self.state)

    def start(self, paused: bool = False) -> None:
        """Start the loop's thread; with *paused*, nothing runs before :meth:`resume`.

        On a shared store, this starts all processes; a paused scheduler stays paused.

        Raises:
            SchedulerAlreadyRunningError: if it is started.
            StoreError: if the store cannot be used.
        """
        if sys._getframe(1).f_globals.get("__name__") == "__main__":
            remind_at_exit(self)
        state = State.PAUSED if paused else State.RUNNING
        if self._node is None:
            self._life.begin(state)
        else:
            self._node.start(state)
        self._engine.audit.note("started")

    def follow(self, autostart: bool = True) -> None:
        """Join the other processes on the store, in their current state.

        For the workers of a server: a new worker does not start a scheduler that somebody stopped.

        Args:
            autostart: Whether to start if there is no other process.

        Raises:
            SchedulerAlreadyRunningError: if it is started.
            StoreError: if the store cannot be used.
        """
        changes = autostart
        if self._node is not None:
            changes = self._node.follow(autostart)
        elif autostart:
            self._life.begin(State.RUNNING)
        if changes:
            self._engine.audit.note("started" if autostart else "stopped")

    def pause(self) -> None:
        """Submit no more runs until :meth:`resume`; active runs continue.

        On a shared store, this pauses all processes.

        Raises:
            SchedulerNotRunningError: if it is not started.
        """
        if self._node is None:
            self._life.pause()
        else:
            self._node.command(State.PAUSED)
        self._engine.audit.note("paused")

    def resume(self) -> None:
        """Continue after :meth:`pause`; fire times that became due meanwhile are late.

        Raises:
            SchedulerNotRunningError: if it is not started.
        """
        if self._node is None:
            self._life.resume()
        else:
            self._node.command(State.RUNNING)
        self._engine.audit.note("resumed")

    def wakeup(self) -> None:
        """Make the loop look for due jobs now, for instance after a test moved the clock."""
        self._life.wakeup()

    def shutdown(
        self, wait: bool = True, timeout: float | None = None, leave: bool = True
    ) -> list[Run]:
        """Stop; the jobs stay, and a new start continues with them.

        You can call it anywhere, also in a job or a listener: it never waits for the run that calls
        it.

        Args:
            wait: Whether to wait for active runs.  If not, runs that have not begun are cancelled.
            timeout: Maximum number of seconds to wait; None: until the last run ends.
            leave: Whether the other processes on the store continue.  If not, the scheduler stops
                in all of them, until one calls :meth:`start`.

        Returns:
            The runs that did not finish.  They continue in their threads, which do not keep the
            interpreter alive; coroutines are cancelled.

        Raises:
            SchedulerNotRunningError: if it is not started.
            InvalidOptionError: if *timeout* is negative.
        """
        deadline = Deadline(check_timeout(timeout) if wait else 0)
        self._interrupt_feed()
        if self._node is not None and self._node.interrupts:
            return self._node.later(partial(self.shutdown, wait=False, leave=leave))
        if self._node is not None and leave:
            return self._node.leave(deadline)
        left = self._life.end(deadline) if self._node is None else self._node.stop_all(deadline)
        self._engine.audit.note("stopped")
        return left

    def holder(self) -> schedcore.Holder | None:
        """Return the process that takes due jobs; None: none is known.

        On PostgreSQL all processes do; then it is the one that joined first.
        """
        if self._cluster is not None:
            taking = [node for node in self._cluster.nodes() if node.takes]
            if not taking:
                return None
            return Holder(taking[-1].pid, taking[-1].host, taking[-1].since_us)
        if self._life.state is State.STOPPED:
            return None
        from schedcore.stores.process import host_name  # socket: 3 ms, and seldom needed

        return Holder(os.getpid(), host_name(), self._life.since_us)

    def nodes(self) -> list[schedcore.NodeInfo]:
        """Return the processes that have joined the store; empty if it is not shared."""
        return [] if self._cluster is None else self._cluster.nodes()

    def store_info(self) -> schedcore.StoreInfo:
        """Return the kind of the store, and whether it can be reached."""
        from schedcore.stores.cluster import StoreInfo

        if self._cluster is not None:
            return self._cluster.info()
        store = self._engine.store
        kind = "memory" if isinstance(store, MemoryStore) else type(store).__name__
        return StoreInfo(kind, reachable=True)

    def forecast(self, hours: float = 24) -> schedcore.LoadForecast:
        """Return the future runs, how many of them overlap, and when these exceed the workers.

        An estimate, within a second for any number of jobs: each run, active ones included, takes
        as long as those of its job did on average. :func:`schedcore.forecast` simulates the same
        with the engine, run by run.

        Args:
            hours: How far to look ahead, at most a week.

        Raises:
            InvalidOptionError: if *hours* is not positive, or too large.
            StoreError: if the store cannot be used.
        """
        from schedcore.load_forecast import check_hours, load_ahead, mean_us

        check_hours(hours)
        entries = self._engine.store.entries()
        totals = self.totals([entry.job.id for entry in entries]).jobs
        took_us = {job_id: mean_us(ended) for job_id, ended in totals.items()}
        taking = [node.executors for node in self.nodes() if node.takes and node.state == "alive"]
        workers: dict[str, int | None] = {}
        for name, executor in self._executors.items():
            here: int | None = getattr(executor, "max_workers", None)
            workers[name] = here and here * max(1, sum(name in names for names in taking))
        now_us = self._clock.now_us()
        under_way = []
        for run in self.runs():
            end_us = (run.started_us or now_us) + (took_us.get(run.job_id) or 0)
            with suppress(LookupError):  # it has ended meanwhile
                under_way.append((run.job.executor, end_us))
        return load_ahead(entries, took_us, workers, now_us, hours, under_way)

    def notice_channels(self) -> list[schedcore.ChannelState]:
        """Return the state of the notice channels: how many notices wait, and why.

        On a shared store, the channels of all processes.

        Raises:
            StoreError: if the store cannot be used.
        """
        return [] if self._notifier is None else self._notifier.states()

    def run_forever(self, timeout: float | None = 30.0, until_idle: bool = False) -> list[Run]:
        """Start if necessary, block until SIGINT, SIGTERM or a shutdown, and shut down.

        Use it as the last line of a script.  A second signal ends the wait for active runs.

        Args:
            timeout: How many seconds active runs have to finish; None: no limit.
            until_idle: Whether to also end once no job has a future fire time and no run is open.
                A paused job has none; a job that will be tried again later does.

        Returns:
            The runs that did not finish.
        """
        from schedcore.lifetime.signals import start_and_wait  # signal takes 4 ms to import

        check_timeout(timeout)
        if until_idle:
            self._listeners.add(self._look_again)
            try:
                start_and_wait(self._start_if_stopped, self._life.ended, self._is_over)
            finally:
                self._listeners.remove(self._look_again)
        else:
            start_and_wait(self._start_if_stopped, self._life.ended)
        try:
            with suppress(SchedulerNotRunningError):  # shut down from elsewhere: inside a job, say
                return self.shutdown(timeout=timeout)
            self._runs.wait_until_idle(timeout)
        except KeyboardInterrupt:
            log.warning("interrupted again: no longer waiting for active runs")
        return self._runs.open()

    def _start_if_stopped(self) -> None:
        if self.state is State.STOPPED:
            self.start()

    def _is_over(self) -> bool:
        return self.state is not State.STANDBY and self._life.is_over()

    def _look_again(self, _event: object) -> None:
        """Make :meth:`run_forever` check whether everything is done.  A listener."""
        self._life.ended.wake()

    # Listeners

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call *callback* with each event whose code is in *mask*, in the event's own thread.

        Raises:
            InvalidOptionError: if *callback* is not callable, or *mask* names no event.
        """
        self._listeners.add(callback, mask)

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling *callback*."""
        self._listeners.remove(callback)
