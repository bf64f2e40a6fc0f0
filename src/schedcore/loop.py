"""The thread that steps the engine whenever something is due, and a second one that watches it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, Waker, is_frozen, passing_us
from schedcore.errors import StoreError, StoreUnavailableError

log = GuardedLogger(__name__)

LONGEST_SLEEP_US = 2 * SECOND
"""A step of the wall clock, or sleep of the machine, is noticed within this time."""
JUMP_US = SECOND
"""If the wall clock moved this much more or less than elapsed time, it was set, or slept."""
QUANTUM_US = 1_000
"""While due times come more than twice as often, the loop handles all due jobs once in this time.

A timed wake-up and a hand-over cost 60 us of processor time, and a run some 10 us: with 10,000 due
times a second, one pass for each would take most of a processor, which half a millisecond of
lateness saves.  At lower rates each pass comes at once.
"""
_NEVER = 1 << 62


def _why_of(error: BaseException) -> str:
    """Say what an error means, for everybody who may see the health: only a store's own words."""
    return error.problem if isinstance(error, StoreError) else type(error).__name__


def _log_failure(error: BaseException) -> None:
    text = "the scheduler's loop failed; it continues in a second"
    if isinstance(error, StoreUnavailableError):  # which says all; its traceback is always the same
        log.error(text + ": %s", error)
    else:
        log.error(text, error=error)


class Work(Protocol):
    """The interface that the loop calls; times are microseconds since the Unix epoch."""

    def step(self, now_us: int) -> int | None:
        """Do everything that is due; return when to call again."""
        ...

    def step_paused(self, now_us: int) -> int | None:
        """Do the work of a paused loop: time out runs; return when to call again."""
        ...

    def clock_moved(self, now_us: int, jump_us: int) -> None:
        """Move jobs to their new places after the wall clock was moved."""
        ...

    def take_back(self, now_us: int, hung: bool) -> None:
        """Give back the jobs of a step that hangs."""
        ...


class Loop:
    """Steps the engine, sleeps until the time it returns, and so on.

    Errors of a step are logged, and the loop continues.  If its thread ends nevertheless, or hangs,
    the watching thread replaces it.

    Args:
        work: :class:`Engine <schedcore.engine.Engine>`, or one like it.
        clock: Where the time comes from.
        stall_after: Seconds in one step after which the loop counts as blocked.
        watch_every: Seconds between two checks of the watching thread.

    Attributes:
        paused: Whether nothing may start.
        failures: How many times a step raised.
        failing: How many times in a row, up to now.
        failing_why: What the last step that raised met.
        restarts: How many times the thread had to be replaced.
    """

    def __init__(
        self,
        work: Work,
        clock: Clock,
        stall_after: float = 30.0,
        watch_every: float = 10.0,
    ) -> None:
        self._work = work
        self._clock = clock
        self._stall_us = self._replace_after_us = round(stall_after * SECOND)
        self._watch_every = watch_every
        self._started = self._stopping = False
        self._until = _NEVER
        self._pass_began_us = passing_us()
        self._asleep = False
        self._due_soon = False
        self._last_times: tuple[int, int] | None = None
        self._was_frozen = False
        self.paused = False
        self.failures = 0
        self.failing = 0
        self.failing_why = ""
        self.restarts = 0
        # Held during a step.
        self._stepping = threading.Lock()
        self._waker = Waker()
        self._watch_waker = Waker()
        self._thread = self._new_thread()
        self._watcher = threading.Thread(target=self._watch, name="schedcore-watch", daemon=True)

    def start(self) -> None:
        """Start the threads: both, or after an error none."""
        import logging  # noqa: F401 — now, and not for a first line while Python ends

        try:
            self._thread.start()
            self._started = True
            self._watcher.start()  # second: it would find the loop gone
        except BaseException:
            self.stop(None)
            raise

    @property
    def alive(self) -> bool:
        """Whether the thread is alive, or about to start: a starting loop has not died."""
        return not self._started or self._thread.is_alive()

    @property
    def stalled_for(self) -> float:
        """For how many seconds the thread has been blocked; 0 if it is not."""
        if self._asleep:
            return 0.0
        busy_us = passing_us() - self._pass_began_us
        return busy_us / SECOND if busy_us > self._stall_us else 0.0

    def wake(self) -> None:
        """Wake the thread now."""
        self._waker.wake()

    def expect(self, due_us: int) -> None:
        """Wake the thread at *due_us*, if it would sleep longer."""
        # While the thread is not asleep this is _NEVER, so that no wake-up can fall in between.
        # A paused one is woken as well: runs that begin nevertheless may time out.
        if due_us < self._until:
            self._waker.wake()

    def quiesce(self, timeout: float | None) -> None:
        """Start nothing more, and wait until the current step is over, unless called from it."""
        self.paused = True
        if threading.current_thread() is self._thread:
            return
        if self._stepping.acquire(timeout=-1 if timeout is None else timeout):
            self._stepping.release()

    def between_steps(self, check: Callable[[], bool], timeout: float) -> bool:
        """Return the result of *check* between two steps; False if a step takes too long."""
        if not self._stepping.acquire(timeout=timeout):
            return False
        try:
            return check()
        finally:
            self._stepping.release()

    def stop(self, timeout: float | None) -> None:
        """End the threads after the current step, and wait for that unless called from it."""
        self._stopping = True
        self._waker.wake()
        self._watch_waker.wake()
        for thread in (self._watcher, self._thread):
            if thread.is_alive() and threading.current_thread() is not thread:
                thread.join(timeout)

    def _new_thread(self) -> threading.Thread:
        self._waker = Waker()
        return threading.Thread(
            target=self._run, args=(self._waker,), name="schedcore-loop", daemon=True
        )

    def _run(self, waker: Waker) -> None:
        # A thread that was replaced finds another waker in the place of its own, and ends.
        while not self._stopping and waker is self._waker:
            try:
                self._one_pass(waker)
            except BaseException as error:  # noqa: BLE001 — the loop outlives any error
                self.failures += 1
                if waker is not self._waker:  # the state is its successor's
                    log.error("a thread of the scheduler failed after its replacement", error=error)
                    return
                self.failing_why = _why_of(error)
                self.failing += 1
                # A store that is down for a day fails each second: logged the 1st, 2nd, 4th, 8th...
                if self.failing & (self.failing - 1) == 0:
                    _log_failure(error)
                self._pause_after_failure(waker)

    def _one_pass(self, waker: Waker) -> None:
        """Do what is due, and sleep until more is."""
        self._until = _NEVER
        # In this order: awake since its last pass began, it would count as held up.
        self._pass_began_us = passing_us()
        self._asleep = False
        now_us = self._watch_clock()
        until_us = self._one_step(now_us)
        if waker is not self._waker or self._stopping:
            return
        self.failing = 0
        self._replace_after_us = self._stall_us
        if until_us is None:
            until_us = _NEVER
        if until_us > now_us:
            self._asleep = True
            self._until = until_us
            if not self._throttle(waker, until_us - now_us):
                self._clock.wait(waker, until_us, LONGEST_SLEEP_US)

    def _throttle(self, waker: Waker, ahead_us: int) -> bool:
        """Delay the next pass a little if due times come quickly; return whether woken.

        This uses real time, whatever clock the jobs use.
        """
        was_due_soon, self._due_soon = self._due_soon, ahead_us < QUANTUM_US // 2
        pause_us = (
            QUANTUM_US - (passing_us() - self._pass_began_us)
            if was_due_soon and self._due_soon
            else 0
        )
        return pause_us > 0 and waker.sleep(pause_us / SECOND)

    def _one_step(self, now_us: int) -> int | None:
        # A thread that is held up keeps the lock it took, and its successor has another.
        stepping = self._stepping
        with stepping:
            if self.paused:
                return self._work.step_paused(now_us)
            return self._work.step(now_us)

    def _pause_after_failure(self, waker: Waker) -> None:
        self._asleep = True
        waker.sleep(1.0)

    def _watch_clock(self) -> int:
        """Return the time; detect and handle a wall clock that was moved."""
        passed_us = self._clock.monotonic_us()
        now_us = self._clock.now_us()
        while (later_us := self._clock.monotonic_us()) - passed_us > JUMP_US:
            # Held up between the two readings, they do not belong together.
            passed_us, now_us = later_us, self._clock.now_us()
        last, was_frozen = self._last_times, self._was_frozen
        self._was_frozen = is_frozen()
        if last is not None:
            jump_us = now_us - last[0]
            if not (was_frozen or self._was_frozen):
                jump_us -= passed_us - last[1]
            elif jump_us > 0:
                jump_us = 0  # frozen time that was moved on has passed
            if abs(jump_us) > JUMP_US:
                log.warning("the wall clock was moved by %+.3f s", jump_us / SECOND)
                self._work.clock_moved(now_us, jump_us)
        self._last_times = (now_us, passed_us)
        return now_us

    def _watch(self) -> None:
        while not self._stopping:
            self._watch_waker.sleep(self._watch_every)
            try:
                if not self._stopping:
                    self._replace_if_needed()
            except BaseException as error:  # noqa: BLE001 — it watches on
                log.error("the scheduler's loop could not be replaced", error=error)

    def _replace_if_needed(self) -> None:
        """Replace the loop's thread if it has ended or hangs."""
        stalled_us = round(self.stalled_for * SECOND)
        if self.alive and stalled_us < self._replace_after_us:
            return
        what = f"has been blocked for {stalled_us / SECOND:.0f} s" if self.alive else "has ended"
        self._stepping = threading.Lock()
        self._work.take_back(self._clock.now_us(), hung=self.alive)
        # Should each new thread be held up as well, they come ever more seldom.
        self._replace_after_us = 2 * max(self._replace_after_us, stalled_us)
        thread = self._new_thread()
        self._pass_began_us = passing_us()
        thread.start()
        self._thread = thread
        self.restarts += 1
        # Not in this thread: it may be a log handler that blocks.
        text = "the scheduler's loop %s; another thread takes its place"
        threading.Thread(
            target=log.critical, args=(text, what), name="schedcore-says", daemon=True
        ).start()
