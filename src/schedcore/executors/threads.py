"""A pool of daemon threads, started when needed and reused."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import MethodType

from schedcore.basics.atfork import Lock, call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Deadline, Waker
from schedcore.errors import is_interrupt, whole
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


class _Session:
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
        self.watcher: _Worker | None = None
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
        # If a run forks and its child returns, the child continues with the parent's session.
        for session in (getattr(self, "_session", None), *getattr(self, "_closing", ())):
            if session is not None:
                session.queue.clear()
                session.closing = True
        # Re-entrant: the garbage collector may run a finalizer here that cancels a run.
        self._lock = threading.RLock()
        self._session = _Session()
        self._pace = Pace()
        self._closing: list[_Session] = []
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
            session = self._session
            if self.max_queue is not None:
                # An idle thread or a new one takes a run out of the queue at once.
                room = self.max_queue - len(session.queue) + self._free_workers(session)
                runs, shed = runs[: max(0, room)], runs[max(0, room) :]
            for run in runs:
                run._reporter = reporter
            session.queue.extend(runs)
        for run in shed:
            reporter.shed(run)
        try:
            self._wake_worker(session)
        except RuntimeError:
            with self._lock:
                session.queue = deque(run for run in session.queue if run not in runs)
            raise

    def room(self) -> int:
        """Return how many runs can begin soon: one per free thread, and more if runs are brief."""
        session = self._session
        free = self._free_workers(session)
        soon = free + self._pace.lately(session.taken)
        if self.max_queue is not None:
            soon = min(soon, free + self.max_queue)
        return max(0, soon - len(session.queue))

    def workers_here(self) -> int | None:
        """Return the maximum number of threads, if the calling thread is one of them."""
        here = threading.current_thread()
        sessions = [self._session, *self._closing]
        with self._lock:  # a thread that was just started is in the list by then
            found = any(worker.thread is here for session in sessions for worker in session.workers)
        return self.max_workers if found else None

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def abandon(self, run: Run) -> None:
        """Replace the thread that is busy with *run*.

        Up to ten times ``max_workers`` threads may be busy with runs that were ended early but
        continue; the pool shrinks by any beyond that.
        """
        for session in (self._session, *self._closing):
            if self._abandon(session, run) and session.queue:
                self._wake_worker(session)

    def _abandon(self, session: _Session, run: Run) -> bool:
        with self._lock:
            for worker in session.workers:
                if worker.run is run:
                    if session.abandoned >= 10 * self.max_workers:
                        log.error("pool %r: too many threads are held by runs given up", self._name)
                        return False
                    session.abandoned += 1
                    worker.abandoned = True
                    session.workers.remove(worker)
                    return True
        return False

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, waiting up to *timeout* seconds (None: no limit).

        Runs that have not begun by then are dropped; threads that are busy end with their run.
        """
        with self._lock:
            session, self._session = self._session, _Session()
            self._closing.append(session)
            session.closing = True
        try:
            if timeout is not None and timeout <= 0:
                session.queue.clear()
            self._leave_pool(session)
            _wake_all(session)
            self._join_threads(session, Deadline(timeout))
        finally:
            session.queue.clear()
            self._closing.remove(session)

    def _leave_pool(self, session: _Session) -> None:
        """If a run of this pool shuts it down, have another thread execute the runs that wait."""
        me = threading.current_thread()
        with self._lock:
            for worker in session.workers:
                if worker.thread is me:
                    worker.abandoned = True
                    session.workers.remove(worker)
                    break
        if session.queue:
            self._wake_worker(session)

    def _join_threads(self, session: _Session, deadline: Deadline) -> None:
        """Wait for the threads to end; the remaining ones may start others while runs wait."""
        while busy := [
            worker.thread for worker in list(session.workers) if worker.thread.is_alive()
        ]:
            left = deadline.left()
            if left == 0:
                return
            # In slices: a run may be cancelled meanwhile, and then its thread is not awaited.
            busy[0].join(0.05 if left is None else min(left, 0.05))

    def _free_workers(self, session: _Session) -> int:
        busy = sum(worker.run is not None for worker in session.workers)
        return self.max_workers - busy

    def _wake_worker(self, session: _Session) -> None:
        """Have one more thread check the queue: wake an idle one, or start one."""
        try:
            if not _wake_idle(session) and len(session.workers) < self.max_workers:
                self._start_worker(session)
        except BaseException as error:
            if is_interrupt(error):
                _wake_all(session)
            raise

    def _start_worker(self, session: _Session, as_watcher: bool = False) -> None:
        with self._lock:
            if len(session.workers) >= self.max_workers:
                return
            worker = _Worker()
            worker.thread = threading.Thread(
                target=self._work,
                args=(session, worker),
                name=f"{self._name}-{next(self._numbers)}",
                daemon=True,
            )
            if as_watcher:
                session.watcher = worker
            try:
                worker.thread.start()
            except RuntimeError:  # the system has no more threads: continue with the existing ones
                if as_watcher:
                    session.watcher = None
                if not session.workers:
                    raise
                return
            session.workers.append(worker)

    def _work(self, session: _Session, me: _Worker) -> None:
        with self._lock:  # that whoever starts it holds
            if me not in session.workers:
                return  # Ctrl-C interrupted that, so nobody knows of it
        while not me.abandoned:
            if session.watcher is me:
                self._watch(session, me)
            try:
                run = session.queue.popleft()
            except IndexError:
                if session.closing:
                    return
                _sleep(session, me)
                continue
            job = run._job
            if job is None:
                continue  # the run was cancelled
            me.run = run
            session.taken += 1
            func = job[1]
            me.function = function = id(func.__func__ if type(func) is MethodType else func)
            if not session.queue:
                if session.leader is me:
                    session.leader = None
            elif session.watcher is None or function not in self._brief:
                self._wake_next(session, me, function)
            reporter = run._reporter
            took_us = self._execute(run, reporter)
            me.run = None
            brief = self._was_brief(function, took_us)
            if not session.queue:
                settle(reporter)
            del run, job, func, reporter  # an idle thread must not keep objects alive
            if brief and session.queue and session.leader is not me:
                self._leave_queue(session, me)
        # The runs behind this one are left to another thread.
        with self._lock:
            session.abandoned -= 1
            if session.leader is me:
                session.leader = None
            if session.watcher is me:
                session.watcher = None
        if session.queue:
            self._wake_worker(session)

    def _wake_next(self, session: _Session, me: _Worker, function: int) -> None:
        """Before *function* is called, wake another thread for the runs behind this one."""
        if function not in self._brief:
            if session.leader is me:
                session.leader = None
            self._wake_worker(session)
        elif session.watcher is None:
            with self._lock:
                watcher = None
                if session.watcher is None and session.idle:
                    watcher = session.watcher = session.idle.pop()
            if watcher is not None:
                watcher.wake()
            elif session.watcher is None and len(session.workers) < self.max_workers:
                self._start_worker(session, as_watcher=True)

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

    def _leave_queue(self, session: _Session, me: _Worker) -> None:
        """Leave a queue of brief runs to one thread (leader) and one that watches (watcher)."""
        with self._lock:
            if session.closing or me.abandoned:
                return
            if session.leader is None:
                session.leader = me
            if session.leader is me:
                return
            if session.watcher is None:
                session.watcher = me
                return
            session.idle.append(me)
        _rest(session, me)

    def _watch(self, session: _Session, me: _Worker) -> None:
        """Watch the leader while it takes runs; return once it is blocked, or no run waits."""
        seen = -1
        while session.queue and session.taken != seen and not session.closing:
            seen = session.taken
            me.sleep(WATCH_S)
        if session.queue and not session.closing:
            # Blocked: further runs of the same function will hardly be brief either.
            for worker in list(session.workers):
                self._brief.pop(worker.function, None)
        # This thread checks the queue next, so it takes runs that arrived after the last check.
        session.leader = session.watcher = None


def _sleep(session: _Session, me: _Worker) -> None:
    """Sleep until there is work, or the session is closing."""
    if session.leader is me:
        session.leader = None
    session.idle.append(me)
    if session.queue or session.closing or me.abandoned:
        # A run arrived between the check of the queue and the entry in the list.
        try:
            session.idle.remove(me)
        except ValueError:  # removed from the list by a thread that is about to wake this one
            me.sleep()
        return
    _rest(session, me)


def _rest(session: _Session, me: _Worker) -> None:
    """Sleep until woken, and be in the list of idle threads no longer."""
    me.sleep()
    try:
        session.idle.remove(me)  # woken with all others, it is still there
    except ValueError:
        return


def _wake_idle(session: _Session) -> bool:
    """Wake the thread that fell asleep last; return whether there is one."""
    if not session.idle:
        return False
    try:
        session.idle.pop().wake()
    except IndexError:  # another thread was quicker
        return False
    return True


def _wake_all(session: _Session) -> None:
    """Wake all that sleep, also one that is off the list since Ctrl-C came before its wake-up."""
    for worker in list(session.workers):
        if worker.run is None:
            worker.wake()
