"""The thread that steps the engine whenever something is due, and a second one that watches it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from schedcore.clock import SECOND, Clock, SystemClock, Waker

log = logging.getLogger(__name__)

LONGEST_SLEEP_US = 2 * SECOND
"""A step of the wall clock, or a machine that was asleep, is noticed within this time."""
JUMP_US = SECOND
"""A wall clock that moved this much more or less than time passed was set, or slept."""
_NEVER = 1 << 62


class Loop:
    """Calls *step* with the time, sleeps until the time it returns, and so on.

    Whatever *step* raises is logged, and the loop goes on.  Should its thread end all the same, or
    be held up, the watching thread puts another in its place.

    Args:
        step: :meth:`Engine.step <schedcore.engine.Engine.step>`.
        moved: Called with the time and by how much the wall clock was moved, in microseconds.
        clock: Where the time comes from.
        stall_after: Seconds in one call of *step* after which the loop counts as held up.
        watch_every: Seconds between two looks of the watching thread.

    Attributes:
        paused: Whether *step* is not called at present.
        failures: How many times *step* raised.
        restarts: How many times the thread had to be replaced.
    """

    def __init__(
        self,
        step: Callable[[int], int | None],
        moved: Callable[[int, int], None],
        clock: Clock,
        stall_after: float = 30.0,
        watch_every: float = 5.0,
    ) -> None:
        self._step = step
        self._moved = moved
        self._clock = clock
        self._passing = SystemClock()  # a stall is one of real time, whatever *clock* shows
        self._stall_us = self._patience_us = round(stall_after * SECOND)
        self._watch_every = watch_every
        self._stopping = False
        self._until = _NEVER
        self._beat_us = self._passing.monotonic_us()
        self._asleep = False
        self._seen: tuple[int, int] | None = None
        self.paused = False
        self.failures = 0
        self.restarts = 0
        self._waker = Waker()
        self._watch_waker = Waker()
        self._thread = self._new_thread()
        self._watcher = threading.Thread(target=self._watch, name="schedcore-watch", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._thread.start()
        self._watcher.start()

    @property
    def alive(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    @property
    def stalled_for(self) -> float:
        """For how many seconds the thread has been held up; 0 if it is not."""
        if self._asleep:
            return 0.0
        busy_us = self._passing.monotonic_us() - self._beat_us
        return busy_us / SECOND if busy_us > self._stall_us else 0.0

    def wake(self) -> None:
        """Have the thread look again now."""
        self._waker.wake()

    def expect(self, due_us: int) -> None:
        """Have the thread look again at *due_us*, if it would not have by then."""
        # While the thread is not asleep this is _NEVER, so that no wake-up can fall in between.
        if due_us < self._until and not self.paused:
            self._waker.wake()

    def stop(self, timeout: float | None) -> None:
        """End the threads after the step under way, and wait for that unless called from it."""
        self._stopping = True
        self._waker.wake()
        self._watch_waker.wake()
        for thread in (self._watcher, self._thread):
            if threading.current_thread() is not thread:
                thread.join(timeout)

    def _new_thread(self) -> threading.Thread:
        self._waker = Waker()
        return threading.Thread(
            target=self._live, args=(self._waker,), name="schedcore-loop", daemon=True
        )

    def _live(self, waker: Waker) -> None:
        # A thread that was replaced finds another waker in the place of its own, and ends.
        while not self._stopping and waker is self._waker:
            try:
                self._turn(waker)
            except BaseException:
                self.failures += 1
                log.exception("the scheduler's loop failed; it goes on in a second")
                self._rest(waker)

    def _turn(self, waker: Waker) -> None:
        """Look once, do what is due, and sleep."""
        self._until = _NEVER
        self._beat_us = self._passing.monotonic_us()
        self._asleep = False
        now_us = self._clock.now_us()
        self._watch_clock(now_us)
        until_us = None if self.paused else self._step(now_us)
        if waker is not self._waker:
            return
        self._patience_us = self._stall_us
        if until_us is None:
            until_us = _NEVER
        if until_us > now_us:
            self._asleep = True
            self._until = until_us
            self._clock.wait(waker, until_us, LONGEST_SLEEP_US)

    def _rest(self, waker: Waker) -> None:
        self._asleep = True
        waker.sleep(1.0)

    def _watch_clock(self, now_us: int) -> None:
        """Report a wall clock that did not move as time passed."""
        passed_us = self._clock.monotonic_us()
        seen, self._seen = self._seen, (now_us, passed_us)
        if seen is None:
            return
        jump_us = (now_us - seen[0]) - (passed_us - seen[1])
        if abs(jump_us) > JUMP_US:
            log.warning("the wall clock was moved by %+.3f s", jump_us / SECOND)
            self._moved(now_us, jump_us)

    def _watch(self) -> None:
        while not self._stopping:
            self._watch_waker.sleep(self._watch_every)
            if not self._stopping:
                self._replace_if_needed()

    def _replace_if_needed(self) -> None:
        """Put another thread in the place of one that is gone or held up."""
        stalled_us = round(self.stalled_for * SECOND)
        if self.alive and stalled_us < self._patience_us:
            return
        # Should each new thread be held up as well, they come ever more seldom.
        self._patience_us = 2 * max(self._patience_us, stalled_us)
        self.restarts += 1
        log.critical(
            "the scheduler's loop %s; another thread takes its place",
            f"is held up for {stalled_us / SECOND:.0f} s" if self.alive else "is gone",
        )
        self._thread = self._new_thread()
        self._beat_us = self._passing.monotonic_us()
        self._thread.start()
