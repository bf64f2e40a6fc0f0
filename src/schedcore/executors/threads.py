"""A pool of daemon threads, started when needed and reused."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import MethodType

from schedcore.basics.atfork import Lock, call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Patience, Waker
from schedcore.errors import whole
from schedcore.executors.base import Pace, Reporter, perform, settle
from schedcore.run import Run

log = GuardedLogger(__name__)


BRIEF_US = 100
"""A function that took less the last time is not expected to delay others."""
WATCH_S = 0.005
"""If it does, another thread takes over within this time, or twice this time."""
_MOST_BRIEF = 10_000


class _Worker(Waker):
    """One thread, which sleeps when it is idle."""

    __slots__ = ("abandoned", "function", "run", "thread")

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        # Identifies its function; for a method, it is the same for all objects.
        self.function = 0
        self.abandoned = False
        self.thread = threading.current_thread()


class _Crew:
    """The threads and the queue of a pool, from one start to the next shutdown."""

    def __init__(self) -> None:
        self.queue: deque[Run] = deque()
        # The thread that fell asleep last is woken first: few threads are used, with warm caches.
        self.idle: list[_Worker] = []
        self.workers: list[_Worker] = []
        self.abandoned = 0
        self.closing = False
        # The thread that executes a queue of brief runs, the one that watches it, and the number of
        # taken runs.  (A concurrent increment may be lost, which is harmless: it is polled.)
        self.leader: _Worker | None = None
        self.deputy: _Worker | None = None
        self.taken = 0


class ThreadPool:
    """Executes runs in up to *max_workers* threads.

    A thread is started only if a run waits and no thread is idle, and is then reused.  A thread
    that takes a run while more wait first wakes (or starts) the next, so that a long run delays no
    other, and a batch of any size costs its submitter one wake-up.  A run whose function took less
    than a tenth of a millisecond the last time wakes no thread, since threads that contend for the
    interpreter make brief runs slower.  One other thread then watches, and takes over within 10 ms
    if the function is not brief this time.

    Args:
        max_workers: How many runs may be active at once, 1 or more.
        max_queue: How many runs may wait for a thread; more are shed, each with a recorded
            outcome.  None: any number.
        name: Prefix of the threads' names.
        execute: Executes and reports a run; returns the same as :func:`perform`.

    Raises:
        InvalidOptionError: if a bound is not a whole number of 1 or more.
    """

    def __init__(
        self,
        max_workers: int = 10,
        max_queue: int | None = None,
        name: str = "schedcore",
        execute: Callable[[Run, Reporter], int | None] = perform,
    ) -> None:
        self._execute = execute
        self.max_workers = whole("max_workers", max_workers)
        self.max_queue = None if max_queue is None else whole("max_queue", max_queue)
        self._name = name
        self._numbers = itertools.count(1)
        self.after_fork_in_child()
        call_in_child(self)

    def __repr__(self) -> str:
        return f"ThreadPool(max_workers={self.max_workers}, max_queue={self.max_queue})"

    def after_fork_in_child(self) -> None:
        """Start empty: the threads and their runs belong to the parent."""
        # If a run forks and its child returns, the child continues with the parent's crew.
        for crew in (getattr(self, "_crew", None), *getattr(self, "_closing", ())):
            if crew is not None:
                crew.queue.clear()
                crew.closing = True
        # Re-entrant: the garbage collector may run a finalizer here that cancels a run.
        self._lock = threading.RLock()
        self._crew = _Crew()
        self._pace = Pace()
        self._closing: list[_Crew] = []
        # Functions by identity, which keeps no object alive; a wrong hint costs 5 ms at most.
        # True: it was not brief the last time, maybe because its thread was pre-empted.
        self._brief: dict[int, bool] = {}

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution; return at once.

        Raises:
            RuntimeError: if no thread at all can be started; then none of *runs* was accepted.
        """
        shed: Sequence[Run] = ()
        with self._lock:
            crew = self._crew
            if self.max_queue is not None:
                # An idle thread or a new one takes a run out of the queue at once.
                room = self.max_queue - len(crew.queue) + self._free_workers(crew)
                runs, shed = runs[: max(0, room)], runs[max(0, room) :]
            for run in runs:
                run._reporter = reporter
            crew.queue.extend(runs)
        for run in shed:
            reporter.shed(run)
        try:
            self._rouse(crew)
        except RuntimeError:
            with self._lock:
                crew.queue = deque(run for run in crew.queue if run not in runs)
            raise

    def room(self) -> int:
        """Return how many runs can begin soon: one per free thread, and more if runs are brief."""
        crew = self._crew
        free = self._free_workers(crew)
        soon = free + self._pace.lately(crew.taken)
        if self.max_queue is not None:
            soon = min(soon, free + self.max_queue)
        return max(0, soon - len(crew.queue))

    def workers_here(self) -> int | None:
        """Return the maximum number of threads, if the calling thread is one of them."""
        here = threading.current_thread()
        crews = [self._crew, *self._closing]
        with self._lock:  # a thread that was just started is in the list by then
            found = any(worker.thread is here for crew in crews for worker in crew.workers)
        return self.max_workers if found else None

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def abandon(self, run: Run) -> None:
        """Replace the thread that is busy with *run*.

        Up to ten times ``max_workers`` threads may be busy with runs that were ended early but
        continue; the pool shrinks by any beyond that.
        """
        for crew in (self._crew, *self._closing):
            if self._abandon(crew, run) and crew.queue:
                self._rouse(crew)

    def _abandon(self, crew: _Crew, run: Run) -> bool:
        with self._lock:
            for worker in crew.workers:
                if worker.run is run:
                    if crew.abandoned >= 10 * self.max_workers:
                        log.error("pool %r: too many threads are held by runs given up", self._name)
                        return False
                    crew.abandoned += 1
                    worker.abandoned = True
                    crew.workers.remove(worker)
                    return True
        return False

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, waiting up to *timeout* seconds (None: no limit).

        Runs that have not begun by then are dropped; threads that are busy end with their run.
        """
        with self._lock:
            crew, self._crew = self._crew, _Crew()
            self._closing.append(crew)
            crew.closing = True
        try:
            if timeout is not None and timeout <= 0:
                crew.queue.clear()
            self._step_aside(crew)
            _wake_all(crew)
            self._drain(crew, Patience(timeout))
        finally:
            crew.queue.clear()
            self._closing.remove(crew)

    def _step_aside(self, crew: _Crew) -> None:
        """If a run of this pool shuts it down, have another thread execute the runs that wait."""
        me = threading.current_thread()
        with self._lock:
            for worker in crew.workers:
                if worker.thread is me:
                    worker.abandoned = True
                    crew.workers.remove(worker)
                    break
        if crew.queue:
            self._rouse(crew)

    def _drain(self, crew: _Crew, patience: Patience) -> None:
        """Wait for the threads to end; the remaining ones may start others while runs wait."""
        while busy := [worker.thread for worker in list(crew.workers) if worker.thread.is_alive()]:
            left = patience.left()
            if left == 0:
                return
            # In slices: a run may be cancelled meanwhile, and then its thread is not awaited.
            busy[0].join(0.05 if left is None else min(left, 0.05))

    def _free_workers(self, crew: _Crew) -> int:
        busy = sum(worker.run is not None for worker in crew.workers)
        return self.max_workers - busy

    def _rouse(self, crew: _Crew) -> None:
        """Have one more thread check the queue: wake an idle one, or start one."""
        if crew.idle:
            try:
                crew.idle.pop().wake()
            except IndexError:  # another thread was quicker
                pass
            else:
                return
        if len(crew.workers) < self.max_workers:
            self._start_worker(crew)

    def _start_worker(self, crew: _Crew, as_deputy: bool = False) -> None:
        with self._lock:
            if len(crew.workers) >= self.max_workers:
                return
            worker = _Worker()
            worker.thread = threading.Thread(
                target=self._work,
                args=(crew, worker),
                name=f"{self._name}-{next(self._numbers)}",
                daemon=True,
            )
            if as_deputy:
                crew.deputy = worker
            try:
                worker.thread.start()
            except RuntimeError:  # the system has no more threads: continue with the existing ones
                if as_deputy:
                    crew.deputy = None
                if not crew.workers:
                    raise
                return
            crew.workers.append(worker)

    def _work(self, crew: _Crew, me: _Worker) -> None:
        while not me.abandoned:
            if crew.deputy is me:
                self._watch(crew, me)
            try:
                run = crew.queue.popleft()
            except IndexError:
                if crew.closing:
                    return
                _sleep(crew, me)
                continue
            job = run._job
            if job is None:
                continue  # the run was cancelled
            me.run = run
            crew.taken += 1
            func = job[1]
            me.function = function = id(func.__func__ if type(func) is MethodType else func)
            if not crew.queue:
                if crew.leader is me:
                    crew.leader = None
            elif crew.deputy is None or function not in self._brief:
                self._see_to_the_rest(crew, me, function)
            reporter = run._reporter
            took_us = self._execute(run, reporter)
            me.run = None
            brief = self._was_brief(function, took_us)
            if not crew.queue:
                settle(reporter)
            del run, job, func, reporter  # an idle thread must not keep objects alive
            if brief and crew.queue and crew.leader is not me:
                self._step_back(crew, me)
        # The runs behind this one are left to another thread.
        with self._lock:
            crew.abandoned -= 1
            if crew.leader is me:
                crew.leader = None
            if crew.deputy is me:
                crew.deputy = None
        if crew.queue:
            self._rouse(crew)

    def _see_to_the_rest(self, crew: _Crew, me: _Worker, function: int) -> None:
        """Before *function* is called, wake another thread for the runs behind this one."""
        if function not in self._brief:
            if crew.leader is me:
                crew.leader = None
            self._rouse(crew)
        elif crew.deputy is None:
            with self._lock:
                deputy = None
                if crew.deputy is None and crew.idle:
                    deputy = crew.deputy = crew.idle.pop()
            if deputy is not None:
                deputy.wake()
            elif crew.deputy is None and len(crew.workers) < self.max_workers:
                self._start_worker(crew, as_deputy=True)

    def _was_brief(self, function: int, took_us: int | None) -> bool:
        """Return whether a run was brief, and store that for its function."""
        if took_us is None or not 0 <= took_us <= BRIEF_US:
            # Once proves nothing: of 2,000 brief runs in a burst, one is pre-empted for 5 ms.
            if self._brief.get(function) is False:
                self._brief[function] = True
                return True
            self._brief.pop(function, None)
            return False
        if self._brief.get(function) is not False:
            if len(self._brief) >= _MOST_BRIEF:
                self._brief.clear()
            self._brief[function] = False
        return True

    def _step_back(self, crew: _Crew, me: _Worker) -> None:
        """Leave a queue of brief runs to one thread (leader) and one that watches (deputy)."""
        with self._lock:
            if crew.closing or me.abandoned:
                return
            if crew.leader is None:
                crew.leader = me
            if crew.leader is me:
                return
            if crew.deputy is None:
                crew.deputy = me
                return
            crew.idle.append(me)
        me.sleep()

    def _watch(self, crew: _Crew, me: _Worker) -> None:
        """Watch the leader while it takes runs; return once it is blocked, or no run waits."""
        seen = -1
        while crew.queue and crew.taken != seen and not crew.closing:
            seen = crew.taken
            me.sleep(WATCH_S)
        if crew.queue and not crew.closing:
            # Blocked: further runs of the same function will hardly be brief either.
            for worker in list(crew.workers):
                self._brief.pop(worker.function, None)
        # This thread checks the queue next, so it takes runs that arrived after the last check.
        crew.leader = crew.deputy = None


def _sleep(crew: _Crew, me: _Worker) -> None:
    """Sleep until there is work, or the crew is closing."""
    if crew.leader is me:
        crew.leader = None
    crew.idle.append(me)
    if crew.queue or crew.closing or me.abandoned:
        # A run arrived between the check of the queue and the entry in the list.
        try:
            crew.idle.remove(me)
        except ValueError:  # removed from the list by a thread that is about to wake this one
            me.sleep()
        return
    me.sleep()


def _wake_all(crew: _Crew) -> None:
    while crew.idle:
        try:
            crew.idle.pop().wake()
        except IndexError:  # it removed itself from the list
            return
