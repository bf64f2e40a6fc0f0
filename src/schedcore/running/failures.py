"""Failed runs that will be retried, noted until the store has recorded that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from schedcore.basics.logs import GuardedLogger
from schedcore.run import named
from schedcore.stores.ends import End

Retry = Callable[[End, int], object]
"""Records that a run failed, and its retry: so many microseconds after its end."""


class Failures:
    """Keeps failures while the store is unreachable, as ends are kept.

    Args:
        retry: Records one.
        log: Logger of what could not be recorded.
    """

    def __init__(self, retry: Retry, log: GuardedLogger) -> None:
        self._retry = retry
        self._log = log
        self._noted: deque[tuple[End, int]] = deque()

    def retry(self, failed: End, delay_us: int) -> bool:
        """Record that a run failed; False: the store cannot do that now, so it stays noted."""
        self._noted.append((failed, delay_us))
        try:
            self.record()
        except Exception as error:  # noqa: BLE001 — a store of the user's own may raise anything
            text = "the failure of %r could not be recorded yet, so its retry waits for that: %s"
            self._log.warning(text, failed.run, error, fields=named(failed.run))
            return False
        return True

    def record(self) -> None:
        """Record noted failures; one that cannot be recorded stays noted, and raises."""
        while self._noted:
            try:
                one = self._noted.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                self._retry(*one)
            except BaseException:
                self._noted.appendleft(one)
                raise
