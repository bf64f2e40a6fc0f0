"""A pool of threads: started lazily, reused, daemonic, named."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Sequence

from schedcore.clock import Patience, Waker
from schedcore.errors import InvalidOptionError
from schedcore.executors.base import Reporter, perform
from schedcore.run import Run


class _Crew:
    """The threads and the queue between two shutdowns."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.queue: deque[tuple[Run, Reporter]] = deque()
        # The last to fall asleep is woken first: few threads, and those with warm caches.
        self.idle: list[Waker] = []
        self.threads: list[threading.Thread] = []
        self.closing = False


class ThreadPool:
    """Executes runs in up to *max_workers* threads.

    A thread is started only when work waits and no thread is idle, and then kept.
    One that takes a run while more wait first wakes (or starts) the next, so that a long run holds
    nobody up, and a batch costs its submitter one wake-up however large it is.

    Args:
        max_workers: How many runs may be under way at once, 1 or more.
        name: What the threads' names begin with.

    Raises:
        InvalidOptionError: if *max_workers* is not a whole number of 1 or more.
    """

    def __init__(self, max_workers: int = 10, name: str = "schedcore") -> None:
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise InvalidOptionError("max_workers", max_workers, "a whole number of 1 or more")
        self.max_workers = max_workers
        self._name = name
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._crew = _Crew()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run; return at once.

        Raises:
            RuntimeError: if no thread at all can be started.
        """
        with self._lock:
            if self._crew.pid != os.getpid():  # the threads stayed behind in the parent
                self._crew = _Crew()
            crew = self._crew
            crew.queue.extend([(run, reporter) for run in runs])
        try:
            self._rouse(crew)
        except RuntimeError:
            with self._lock:
                crew.queue = deque(item for item in crew.queue if item[0] not in runs)
            raise

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, waiting up to *timeout* seconds (None: no limit).

        Runs that have not begun by then are dropped; threads that are busy end with their run.
        """
        with self._lock:
            crew, self._crew = self._crew, _Crew()
        if crew.pid != os.getpid():
            return
        crew.closing = True
        if timeout is not None and timeout <= 0:
            crew.queue.clear()
        _wake_all(crew)
        _join(crew, timeout)
        crew.queue.clear()

    def _rouse(self, crew: _Crew) -> None:
        """Get one more thread to look at the queue, if there is one or one may be started."""
        try:
            crew.idle.pop().wake()
        except IndexError:
            if len(crew.threads) < self.max_workers:
                self._start_thread(crew)

    def _start_thread(self, crew: _Crew) -> None:
        with self._lock:
            if len(crew.threads) >= self.max_workers:
                return
            thread = threading.Thread(
                target=self._work,
                args=(crew,),
                name=f"{self._name}-{next(self._numbers)}",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads: the ones there are must do
                if not crew.threads:
                    raise
                return
            crew.threads.append(thread)

    def _work(self, crew: _Crew) -> None:
        me = Waker()
        while True:
            try:
                run, reporter = crew.queue.popleft()
            except IndexError:
                if crew.closing:
                    return
                _sleep(crew, me)
                continue
            if crew.queue:
                self._rouse(crew)
            perform(run, reporter)
            del run, reporter  # an idle thread keeps nothing alive


def _sleep(crew: _Crew, me: Waker) -> None:
    """Sleep until there is work, or the crew is closing."""
    crew.idle.append(me)
    if crew.queue or crew.closing:
        # Something came between the look at the queue and getting listed.
        try:
            crew.idle.remove(me)
        except ValueError:  # taken off the list by whoever is about to wake this thread
            me.sleep()
        return
    me.sleep()


def _wake_all(crew: _Crew) -> None:
    while crew.idle:
        try:
            crew.idle.pop().wake()
        except IndexError:  # it took itself off the list
            return


def _join(crew: _Crew, timeout: float | None) -> None:
    """Wait for the threads to end, but for the one that calls this."""
    patience = Patience(timeout)
    for thread in list(crew.threads):
        if thread is not threading.current_thread():
            thread.join(patience.left())
