"""The thread of one channel: sends its notices in order, each until it is delivered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, Deadline, Waker
from schedcore.errors import text_of
from schedcore.notices.base import Channel, RefusedError, patience_of
from schedcore.notices.data import from_text
from schedcore.notices.notice import MOST_WAITING, Notice, NoticeStore, QueuedNotice

_LONGEST_PAUSE: Final = 300.0
_LONGEST_PROBLEM: Final = 300


def pause_after(attempt: int) -> float:
    """Return the seconds between the *attempt*-th attempt (from 1) and the next one."""
    return min(_LONGEST_PAUSE, 2.0 ** min(attempt - 1, 16))


class ChannelSender:
    """Sends the notices of one channel; nothing else waits for it.

    Args:
        name: Of the channel.
        channel: Accepts the notices.
        store: Where they wait.
        clock: Tells how old they are.
        log: Logger for notices that are given up.

    Attributes:
        idle: Whether it has nothing to send, and everything it sent is removed from the store.
        held: Whether it may send; if not, it drops what it has, which the next holder sends.
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
        self._patience = patience_of(channel)
        self._queue: deque[QueuedNotice] = deque()
        self._sent: list[int] = []
        self._attempts = self._failing = 0
        self._problem: str | None = None
        self._written: str | None = None
        self._stopping = self._ended = False
        self._waker = Waker()
        self.idle = self.held = True
        self._thread: threading.Thread | None = None

    def give(self, queued: Sequence[QueuedNotice]) -> None:
        """Let it send notices; only while it is idle."""
        if not queued:
            return
        self._queue.extend(queued)
        self.idle = False
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"schedcore-notices-{self._name}", daemon=True
            )
            self._thread.start()
        self._waker.wake()

    def stop(self) -> None:
        """Let it send all that waits for its channel, up to the first failure, and end."""
        self._stopping = True
        self._waker.wake()

    def finish(self, deadline: Deadline) -> None:
        """Wait until it has ended; if it is still sending after that, that notice is its last."""
        if self._thread is threading.current_thread():
            return  # its function shuts the scheduler down, and has yet to return
        if self._thread is not None:
            self._thread.join(deadline.left())
        self.held = False
        if not self.idle:
            self._log.warning(
                "notices wait for channel %r: the next start sends them, if the store is on disk",
                self._name,
            )

    def _run(self) -> None:
        while not self._ended:
            if self.idle and not self._stopping:
                self._waker.sleep()
                continue
            try:
                pause = self._one_pass()
                self._failing = 0
            except BaseException as error:  # noqa: BLE001 — a store that is away: it goes on
                self._failing += 1
                pause = pause_after(self._failing)
                if self._failing & (self._failing - 1) == 0:  # the 1st, 2nd, 4th, 8th time
                    self._log.error("channel %r is blocked; trying again", self._name, error=error)
            if pause and self._stopping:
                return
            if pause:
                self._waker.sleep(pause)

    def _one_pass(self) -> float:
        """Send one notice; return how long to wait then."""
        self._write()
        if not self._look():
            return 0
        queued = self._queue[0]
        try:
            self._channel.send(_read(queued.text))
        except BaseException as error:  # noqa: BLE001 — a function may raise anything
            return self._failed(queued, error) if self.held else 0
        self._done(queued)
        self._problem = None
        return 0

    def _look(self) -> bool:
        """Return whether there is a notice to send."""
        stopping = self._stopping  # before the look: what was added before the stop is found
        if not self.held:
            self._queue.clear()
            self._attempts = 0
        elif stopping and not self._queue:
            # Nobody hands out what was added while it was busy.
            self._queue.extend(self._store.waiting((self._name,), MOST_WAITING))
        if not self._queue:
            self.idle, self._ended = True, stopping
        return bool(self._queue)

    def _write(self) -> None:
        """Record what was sent, and the state of the channel."""
        if self._sent:
            self._store.remove(self._sent)
            self._sent = []
        if self._problem != self._written:
            self._store.note(self._name, self._problem)
            self._written = self._problem

    def _done(self, queued: QueuedNotice) -> None:
        self._queue.popleft()
        self._sent.append(queued.seq)
        self._attempts = 0

    def _failed(self, queued: QueuedNotice, error: BaseException) -> float:
        """Give up a notice that was refused, or tried for too long; return how long to wait."""
        self._attempts += 1
        known = isinstance(error, RefusedError | OSError)
        problem = text_of(error) if known else f"{type(error).__name__}: {text_of(error)}"
        waited = (self._clock.now_us() - queued.made_us) / SECOND
        pause = pause_after(self._attempts)
        trace = None if known else error
        if isinstance(error, RefusedError) or waited + pause > self._patience:
            text, fields = _shown(queued.text)
            self._log.error(
                "a notice was given up after %d attempt(s), channel %r: %s; it was: %s",
                *(self._attempts, self._name, problem, text),
                error=trace,
                fields={**fields, "channel": self._name},
            )
            self._done(queued)
            pause = 0
        elif self._problem is None:
            self._log.error(
                "channel %r does not accept notices, and is tried again: %s",
                *(self._name, problem),
                error=trace,
                fields={"channel": self._name},
            )
        self._problem = problem[:_LONGEST_PROBLEM]
        self._write()
        return pause


def _read(text: str) -> Notice:
    try:
        return from_text(text)
    except Exception as error:
        raise RefusedError(
            f"it cannot be read: {type(error).__name__}: {text_of(error)}"
        ) from error


def _shown(text: str) -> tuple[str, dict[str, str]]:
    """Return what a log says of a notice, and its fields; it may be unreadable."""
    try:
        notice = from_text(text)
        return notice.text, {"job_id": notice.job_id}
    except Exception:  # noqa: BLE001 — it was given up for that
        return text[:_LONGEST_PROBLEM], {}
