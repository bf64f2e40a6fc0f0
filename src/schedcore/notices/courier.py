"""The thread of one channel: sends its notices in their order, each until it is taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from schedcore.clock import SECOND, Clock, Patience, Waker
from schedcore.errors import text_of
from schedcore.logs import GuardedLogger
from schedcore.notice import Letter, NoticeStore
from schedcore.notice_data import from_text
from schedcore.notices.base import Channel, RefusedError

_LONGEST_PAUSE: Final = 300.0
_LONGEST_PROBLEM: Final = 300


def pause_after(attempt: int) -> float:
    """Return the seconds between the *attempt*-th attempt (from 1) and the next one."""
    return min(_LONGEST_PAUSE, 2.0 ** min(attempt - 1, 16))


class Courier:
    """Sends what waits for one channel: nothing else waits for that.

    Args:
        name: Of the channel.
        channel: Takes the notices.
        store: Where they wait.
        clock: Tells how old they are.
        log: Logger of what is given up.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        store: NoticeStore,
        clock: Clock,
        log: GuardedLogger,
    ) -> None:
        self._name, self._channel, self._store = name, channel, store
        self._clock, self._log = clock, log
        self._letters: deque[Letter] = deque()
        self._told: list[int] = []
        self._attempts = 0
        self._problem: str | None = None
        self._stopping = False
        self._waker, self._idle = Waker(), threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether it has nothing to send, and all that it sent is taken out of the store."""
        return self._idle.is_set()

    def give(self, letters: Sequence[Letter]) -> None:
        """Have it send notices; only for one that is idle."""
        if not letters:
            return
        self._letters.extend(letters)
        self._idle.clear()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._live, name=f"schedcore-notices-{self._name}", daemon=True
            )
            self._thread.start()
        self._waker.wake()

    def finish(self, patience: Patience) -> None:
        """Wait until all is sent, unless the channel is in trouble, and end."""
        here = threading.current_thread() is self._thread  # its function shuts down
        if not self._idle.wait(0 if here or self._problem is not None else patience.left()):
            self._log.warning(
                "notices wait for channel %r: the next start tells them, if the store is on disk",
                self._name,
            )
        self._stopping = True
        self._waker.wake()

    def _live(self) -> None:
        while not self._stopping:
            if self.idle:
                self._waker.sleep()
                continue
            try:
                pause = self._turn()
            except BaseException as error:  # noqa: BLE001 — a store that is away: it goes on
                self._log.error("notices of channel %r are held up", self._name, error=error)
                pause = _LONGEST_PAUSE / 10
            if pause:
                self._waker.sleep(pause)

    def _turn(self) -> float:
        """Send one notice, or note what was sent; return how long to wait then."""
        if self._told:
            self._store.remove(self._told)
            self._told = []
        if not self._letters:
            self._idle.set()
            return 0
        letter = self._letters[0]
        try:
            self._channel.send(from_text(letter.text))
        except BaseException as error:  # noqa: BLE001 — a function may raise anything
            return self._failed(letter, error)
        self._done(letter)
        self._note(None)
        return 0

    def _done(self, letter: Letter) -> None:
        self._letters.popleft()
        self._told.append(letter.seq)
        self._attempts = 0

    def _failed(self, letter: Letter, error: BaseException) -> float:
        """Give a notice up that was refused, or tried for too long; return how long to wait."""
        self._attempts += 1
        known = isinstance(error, RefusedError | OSError)
        problem = text_of(error) if known else f"{type(error).__name__}: {text_of(error)}"
        waited = (self._clock.now_us() - letter.made_us) / SECOND
        pause = pause_after(self._attempts)
        trace = None if known else error
        if isinstance(error, RefusedError) or waited + pause > self._channel.patience:
            notice = from_text(letter.text)
            self._log.error(
                "a notice is given up after %d attempt(s), channel %r: %s; it was: %s",
                *(self._attempts, self._name, problem, notice.text),
                error=trace,
                fields={"job_id": notice.job_id, "channel": self._name},
            )
            self._done(letter)
            pause = 0
        elif self._problem is None:
            self._log.error(
                "channel %r does not take notices, and is tried again: %s",
                *(self._name, problem),
                error=trace,
                fields={"channel": self._name},
            )
        self._note(problem[:_LONGEST_PROBLEM])
        return pause

    def _note(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._store.note(self._name, problem)
