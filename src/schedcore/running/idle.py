"""Threads that wait until no run is open."""

from __future__ import annotations

from collections.abc import Callable

from schedcore.clock import Deadline, Waker


class IdleWaits:
    """The waiting threads.

    Attributes:
        wakers: Of each one; while there are any, each end is recorded at once.
    """

    def __init__(self) -> None:
        self.wakers: list[Waker] = []

    def wake(self) -> None:
        """Wake all of them."""
        while self.wakers:
            self.wakers.pop().wake()

    def wait(self, is_idle: Callable[[], bool], timeout: float | None) -> bool:
        """Block until *is_idle* is true, or *timeout* seconds have passed; return its result."""
        deadline = Deadline(timeout)
        while True:
            waker = Waker()
            self.wakers.append(waker)
            try:
                if is_idle():
                    return True
                left = deadline.left()
                if not waker.sleep(-1 if left is None else left):
                    return False
            finally:
                if waker in self.wakers:
                    self.wakers.remove(waker)
