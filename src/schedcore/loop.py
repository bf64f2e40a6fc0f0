"""The thread that steps the engine whenever something is due, and survives whatever is raised."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from schedcore.clock import SECOND, Clock, Waker

log = logging.getLogger(__name__)

LONGEST_SLEEP_US = 2 * SECOND
"""A step of the wall clock, or a machine that was asleep, is noticed within this time."""
JUMP_US = SECOND
"""A wall clock that moved this much more or less than time passed was set, or slept."""
_NEVER = 1 << 62


class Loop:
    """Calls *step* with the time, sleeps until the time it returns, and so on.

    Args:
        step: :meth:`Engine.step <schedcore.engine.Engine.step>`.
        jumped: Called with the time and by how much the wall clock was moved, in microseconds.
        clock: Where the time comes from.
        name: The thread's name.
    """

    def __init__(
        self,
        step: Callable[[int], int | None],
        jumped: Callable[[int, int], None],
        clock: Clock,
        name: str,
    ) -> None:
        self._step = step
        self._jumped = jumped
        self._clock = clock
        self._waker = Waker()
        self._stopping = False
        self._until = _NEVER
        self._seen: tuple[int, int] | None = None
        self.paused = False
        self.failures = 0
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Have the thread look again now."""
        self._waker.wake()

    def expect(self, due_us: int) -> None:
        """Have the thread look again at *due_us*, if it would not have by then."""
        # While the thread is not asleep this is _NEVER, so that no wake-up can fall in between.
        if due_us < self._until:
            self._waker.wake()

    def stop(self, timeout: float | None) -> None:
        """End the thread after the step under way, and wait for that unless called from it."""
        self._stopping = True
        self._waker.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _live(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except BaseException:
                self.failures += 1
                log.exception("the scheduler's loop failed; it goes on in a second")
                self._waker.sleep(1.0)

    def _turn(self) -> None:
        """Look once, do what is due, and sleep."""
        self._until = _NEVER
        now_us = self._clock.now_us()
        self._watch_clock(now_us)
        until_us = None if self.paused else self._step(now_us)
        if until_us is None:
            until_us = _NEVER
        if until_us > now_us:
            self._until = until_us
            self._clock.wait(self._waker, until_us, LONGEST_SLEEP_US)

    def _watch_clock(self, now_us: int) -> None:
        """Report a wall clock that did not move as time passed."""
        passed_us = self._clock.monotonic_us()
        seen, self._seen = self._seen, (now_us, passed_us)
        if seen is None:
            return
        jump_us = (now_us - seen[0]) - (passed_us - seen[1])
        if abs(jump_us) > JUMP_US:
            log.warning("the wall clock was moved by %+.3f s", jump_us / SECOND)
            self._jumped(now_us, jump_us)
