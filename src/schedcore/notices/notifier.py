"""The thread that reads outcomes, and hands the notices that they need to channels."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from schedcore.basics.atfork import call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, Deadline, Waker, passing_us
from schedcore.engine import Engine
from schedcore.history.record import recorded_us
from schedcore.job import Job, Options
from schedcore.notices.base import Channel
from schedcore.notices.data import to_text
from schedcore.notices.notice import (
    LONGEST_OUTPUT,
    NOTHING,
    OLDEST_US,
    ChannelState,
    JobChannels,
    Notice,
    NoticeReason,
    NoticeState,
    NoticeStore,
    evaluate,
    is_run,
)
from schedcore.notices.sender import ChannelSender
from schedcore.output.redacting import in_record
from schedcore.output.text import Kept, Redact
from schedcore.run import Run, RunRecord
from schedcore.stores.memory_notices import MemoryNotices

log = GuardedLogger(__name__)

POLL_EVERY: Final = 0.5
"""Seconds between two polls for new outcomes."""
AT_ONCE: Final = 1_000
"""Number of outcomes that are evaluated at a time; and of notices that a channel gets at a time."""
LAST_WAIT: Final = 5.0
"""Maximum number of seconds that a shutdown waits for notices."""
KEEP_US: Final = 30 * SECOND
"""How often the position of evaluated outcomes is recorded, while none needs a notice."""
_MOST_STARTS: Final = 10_000
_EVALUATION: Final = ""


class OutcomesRead(NamedTuple):
    """How outcomes are read, as of a :class:`~schedcore.stores.contract.Store`."""

    ended_after: Callable[[str | None, int], tuple[str, Sequence[RunRecord]]]
    keeps_after: Callable[[str], bool]
    output: Callable[[int], Kept]
    """Returns a run's output."""


class Notifier:
    """Sends the notices that jobs ask for, while its scheduler is started.  Thread-safe.

    No run waits for it: it reads outcomes from the store.  If several processes share a store, one
    of them evaluates outcomes, and one sends through each channel.

    Args:
        channels: By name.
        store: Where notices wait until they are sent.
        outcomes: Reads them.
        defaults: The channels of jobs that are no longer known.
        again: Seconds after which a failure that lasts is notified again.
        clock: Gives the present.

    Attributes:
        channels: The names of the channels.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        store: NoticeStore,
        outcomes: OutcomesRead,
        defaults: JobChannels,
        again: float,
        clock: Clock,
    ) -> None:
        self._channels, self._store, self._outcomes = channels, store, outcomes
        self._defaults, self._again_us, self._clock = defaults, round(again * SECOND), clock
        self.channels: Collection[str] = channels.keys()
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._starts: deque[tuple[Run, Notice, tuple[str, ...]]] = deque(maxlen=_MOST_STARTS)
        self._senders: dict[str, ChannelSender] = {}
        self._thread: threading.Thread | None = None
        self._waker = Waker()
        self._evaluates = self._stopping = False
        self._position: str | None = None
        self._kept: str | None = None
        self._kept_us = 0
        self._failing = self._gaps = 0

    def after_fork_in_child(self) -> None:
        """Send nothing: the threads stayed behind in the parent."""
        self._begin_anew()

    # Called by the scheduler

    def start(self) -> None:
        """Send notices from now on; on a store on disk, also about outcomes since the last stop.

        Raises:
            StoreError: if the store cannot be used.
        """
        for sender in self._senders.values():  # one may still be busy, since before the last stop
            sender.held = False
        self._begin_anew()
        if self._store.position() is None:
            # Now, and not in the thread: what ends from here on is notified.
            position, _ = self._outcomes.ended_after(None, 0)
            self._store.advance(None, position, {}, (), self._clock.now_us())
        self._senders = {
            name: ChannelSender(name, channel, self._store, self._clock, log)
            for name, channel in self._channels.items()
        }
        self._thread = threading.Thread(
            target=self._run, args=(self._waker,), name="schedcore-notices", daemon=True
        )
        self._thread.start()

    def stop(self, deadline: Deadline) -> None:
        """Send notices about everything that has ended, within *deadline*, and stop."""
        thread, left = self._thread, deadline.left()
        if thread is None:
            return
        self._thread = None
        wait = Deadline(LAST_WAIT if left is None else min(left, LAST_WAIT))
        self._stopping = True
        self._waker.wake()
        if threading.current_thread() is not thread:
            thread.join(wait.left())
            if thread.is_alive() or self._failing:
                log.warning(
                    "the last outcomes were not notified: the next start does, "
                    "if the store is on disk"
                )
        for sender in self._senders.values():
            sender.stop()
        for sender in self._senders.values():
            sender.finish(wait)

    def begun(self, run: Run, job: Job) -> None:
        """Send a notice that a run has begun, if it is still open then.  Called in its thread."""
        notice = Notice("started", run._job_id, run._started_us or 0, run._id, None)
        self._starts.append((run, notice, job.options.on_run))

    def states(self) -> list[ChannelState]:
        """Return the states of channels: of this process, and others with waiting notices.

        Raises:
            StoreError: if the store cannot be used.
        """
        known = {
            state.name: state
            for state in self._store.states()
            if state.waiting or state.name in self._channels
        }
        new = [ChannelState(name, 0, None, None) for name in self._channels if name not in known]
        return sorted([*known.values(), *new])

    # The thread

    def _run(self, waker: Waker) -> None:
        while waker is self._waker:
            stopping = self._stopping
            try:
                self._poll()
                self._failing = 0
            except BaseException as error:  # noqa: BLE001 — it looks again
                self._failing += 1
                if self._failing & (self._failing - 1) == 0:  # the 1st, 2nd, 4th, 8th time
                    log.error("notices are blocked; trying again", error=error)
            if stopping:
                return
            waker.sleep(POLL_EVERY)

    def _poll(self) -> None:
        held = self._store.acquire((_EVALUATION, *self._channels))
        for name, sender in self._senders.items():
            sender.held = name in held
        self._add_starts()
        if _EVALUATION in held:
            if not self._evaluates:
                self._continue_from(self._store.position())
            while self._evaluate_some():
                self._check_whole()
        else:
            self._evaluates = False
        self._hand_out([name for name in self._channels if name in held])

    def _continue_from(self, position: str | None) -> None:
        """Evaluate outcomes after a position; others have evaluated the earlier ones."""
        self._position = self._kept = position
        self._kept_us = passing_us()
        self._check_whole()
        self._evaluates = True

    def _check_whole(self) -> None:
        """Log if outcomes were deleted before they were evaluated."""
        if self._position is not None and not self._outcomes.keeps_after(self._position):
            self._gaps += 1
            if self._gaps & (self._gaps - 1) == 0:  # the 1st, 2nd, 4th, 8th time
                log.error("outcomes left the history before notices about them were sent")

    def _add_starts(self) -> None:
        """Send notices of runs that have begun and not ended."""
        starts = [self._starts.popleft() for _ in range(len(self._starts))]
        starts = [
            (run, notice if notice.id else notice._replace(id=_new_id()), channels)
            for run, notice, channels in starts
            if run.outcome is None
        ]
        notices = [
            (run.id, channel, to_text(notice))
            for run, notice, channels in starts
            for channel in channels
        ]
        if not notices:
            return
        try:
            self._store.add_starts(notices, self._clock.now_us())
        except BaseException:
            self._starts.extendleft(reversed(starts))  # the next poll adds them
            raise

    def _evaluate_some(self) -> bool:
        """Evaluate the next outcomes; return whether there may be more."""
        position, records = self._outcomes.ended_after(self._position, AT_ONCE)
        states: dict[str, NoticeState] = {}
        notices: list[tuple[str, str]] = []
        if records:
            job_ids = {record.job_id for record in records}
            channels = self._channels_of(job_ids)
            before = dict(self._store.job_states(job_ids))
            now = dict(before)
            for record in records:
                if channels[record.job_id] != NOTHING:
                    notices += self._notices_for(record, channels[record.job_id], now)
            states = {job_id: each for job_id, each in now.items() if before.get(job_id) != each}
        due = passing_us() - self._kept_us >= KEEP_US and position != self._kept
        if states or notices or due:
            if not self._store.advance(self._kept, position, states, notices, self._clock.now_us()):
                log.warning("another process has handled the same outcomes: its notices count")
                self._evaluates = False
                return False
            self._kept, self._kept_us = position, passing_us()
        self._position = position
        return len(records) >= AT_ONCE

    def _channels_of(self, job_ids: Collection[str]) -> Mapping[str, JobChannels]:
        """Return the channels of jobs; the defaults for jobs that are no longer known."""
        known = self._store.channels(job_ids)
        return {job_id: known.get(job_id, self._defaults) for job_id in job_ids}

    def _notices_for(
        self, record: RunRecord, channels: JobChannels, states: dict[str, NoticeState]
    ) -> list[tuple[str, str]]:
        """Return the notices for one outcome by channel, and update the notice state of its job."""
        before = states.get(record.job_id, _NO_STATE)
        after, reason = evaluate(before, record, self._again_us)
        if after != before:
            states[record.job_id] = after
        if (
            self._clock.now_us() - recorded_us(record) > OLDEST_US
        ):  # no process evaluated it for long
            return []
        events = [] if reason is None else [reason]
        if channels.on_run and is_run(record):
            events.append(NoticeReason("ended", 1))
        events = [event for event in events if channels.of_kind(event.kind)]
        output = self._tail_of(record) if events else ""
        return [
            (channel, to_text(_notice_of(event, record, output)))
            for event in events
            for channel in channels.of_kind(event.kind)
        ]

    def _tail_of(self, record: RunRecord) -> str:
        if record.run_id is None:
            return ""
        try:
            return self._outcomes.output(record.run_id).since(0, ended=True).text[-LONGEST_OUTPUT:]
        except Exception as error:  # noqa: BLE001 — a notice without it is better than none
            fields = {"job_id": record.job_id, "run_id": str(record.run_id)}
            text = "the output of run %d cannot be read"
            log.error(text, record.run_id, error=error, fields=fields)
            return ""

    def _hand_out(self, names: Collection[str]) -> None:
        """Hand waiting notices to the channels that are not busy."""
        idle = [name for name in names if self._senders[name].idle]
        if idle:
            notices = self._store.waiting(idle, AT_ONCE)
            for name in idle:
                self._senders[name].give([each for each in notices if each.channel == name])


def notifier_for(
    engine: Engine,
    channels: Mapping[str, Channel],
    defaults: Options,
    again: float,
    clock: Clock,
    redact: Redact | None = None,
) -> Notifier:
    """Return the notifier for an engine's runs.

    Args:
        engine: Whose.
        channels: By name.
        defaults: The options of jobs that do not give them.
        again: Seconds after which a failure that lasts is notified again.
        clock: Gives the present.
        redact: Hides secrets in notices.
    """
    store = engine.store

    def ended_after(position: str | None, limit: int) -> tuple[str, Sequence[RunRecord]]:
        engine.runs.settle()
        position, records = store.ended_after(position, limit)
        if redact is not None:
            records = [in_record(redact, record) for record in records]
        return position, records

    waiting = getattr(store, "notices", None) or MemoryNotices(store.get)
    outcomes = OutcomesRead(ended_after, store.keeps_after, store.output)
    of_unknown = JobChannels.of(defaults)
    if isinstance(waiting, MemoryNotices):
        waiting.defaults = of_unknown
    notifier = Notifier(channels, waiting, outcomes, of_unknown, again, clock)
    engine.announce.on_begun = notifier.begun
    return notifier


_NO_STATE: Final = NoticeState()


def _notice_of(event: NoticeReason, record: RunRecord, output: str) -> Notice:
    return Notice(
        *(event.kind, record.job_id, recorded_us(record), record.run_id, record),
        *(event.count, event.since_us, output, _new_id()),
    )


def _new_id() -> str:
    return os.urandom(12).hex()
