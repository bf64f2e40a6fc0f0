"""Notices in memory, for the store of one process."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence

from schedcore.basics.atfork import Lock, call_in_child, hold_while_forking
from schedcore.basics.logs import GuardedLogger
from schedcore.errors import JobLookupError
from schedcore.job import Job
from schedcore.notices.notice import (
    MOST_STATES,
    MOST_WAITING,
    ChannelState,
    JobChannels,
    NoticeState,
    QueuedNotice,
)
from schedcore.stores.base import Entry

log = GuardedLogger(__name__)


class MemoryNotices:
    """Implements :class:`~schedcore.notices.notice.NoticeStore`, until the process ends.

    Args:
        get: Returns a job by its id, or raises JobLookupError.

    Attributes:
        defaults: The channels of removed jobs of which nothing is kept.
    """

    def __init__(self, get: Callable[[str], Entry]) -> None:
        self._get = get
        self.defaults = JobChannels()
        self._gone: dict[str, JobChannels] = {}
        self._lock = threading.RLock()
        self._position: str | None = None
        self._states: OrderedDict[str, NoticeState] = OrderedDict()
        self._queues: dict[str, deque[QueuedNotice]] = {}
        self._problems: dict[str, str] = {}
        self._last = 0
        hold_while_forking(self)
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Drop the notices: the parent sends them."""
        self._queues.clear()

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def acquire(self, names: Collection[str]) -> Collection[str]:
        """Return all of *names*: there is no other process."""
        return names

    def position(self) -> str | None:
        """Return the position up to which outcomes were evaluated."""
        return self._position

    def channels(self, job_ids: Collection[str]) -> Mapping[str, JobChannels]:
        """Return the channels of these jobs; of removed jobs, only those other than defaults."""
        found = {}
        for job_id in job_ids:
            try:
                found[job_id] = JobChannels.of(self._get(job_id).job.options)
            except JobLookupError:
                gone = self._gone.get(job_id)
                if gone is not None:
                    found[job_id] = gone
        return found

    def job_removed(self, job: Job) -> None:
        """Note that a job was removed: its last run may not have ended, and has its channels.

        Called with the lock of the jobs held: do not acquire another one here.
        """
        # Not JobChannels.of(): each job that runs once passes here; this takes 0.1 us, not 0.5.
        same = job[5][9:13] == self.defaults
        if same and not self._gone:
            return
        self._gone.pop(job.id, None)
        if not same:
            self._gone[job.id] = JobChannels.of(job.options)
            if len(self._gone) > MOST_STATES:
                del self._gone[next(iter(self._gone))]

    def job_states(self, job_ids: Collection[str]) -> Mapping[str, NoticeState]:
        """Return the notice states of those of these jobs that have one."""
        with self._lock:
            return {job_id: self._states[job_id] for job_id in job_ids if job_id in self._states}

    def advance(
        self,
        old: str | None,
        new: str,
        job_states: Mapping[str, NoticeState],
        notices: Sequence[tuple[str, str]],
        now_us: int,
    ) -> bool:
        """Note that outcomes up to *new* were evaluated, with the resulting notices and states."""
        with self._lock:
            if self._position != old:
                return False
            self._position = new
            for job_id, each in job_states.items():
                self._states[job_id] = each
                self._states.move_to_end(job_id)
            while len(self._states) > MOST_STATES:
                self._states.popitem(last=False)
            self._add(notices, now_us)
            return True

    def add_starts(self, notices: Sequence[tuple[int, str, str]], now_us: int) -> None:
        """Add notices that runs have started, unless their ends were already evaluated."""
        with self._lock:
            self._add([queued[1:] for queued in notices], now_us)

    def _add(self, notices: Sequence[tuple[str, str]], now_us: int) -> None:
        for channel, text in notices:
            self._last += 1
            waiting = self._queues.setdefault(channel, deque())
            waiting.append(QueuedNotice(self._last, channel, now_us, text))
        for channel in {channel for channel, _ in notices}:
            waiting = self._queues[channel]
            dropped = len(waiting) - MOST_WAITING
            for _ in range(dropped):
                waiting.popleft()
            if dropped > 0:
                log.error("%d notice(s) dropped: too many wait for channel %r", dropped, channel)

    def waiting(self, channels: Collection[str], limit: int) -> list[QueuedNotice]:
        """Return the first waiting notices of each of these channels, in order."""
        with self._lock:
            return [
                queued
                for channel in channels
                for queued in list(self._queues.get(channel, ()))[:limit]
            ]

    def remove(self, seqs: Collection[int]) -> None:
        """Remove notices that were sent, or given up."""
        with self._lock:
            for waiting in self._queues.values():
                while waiting and waiting[0].seq in seqs:  # they are sent in order
                    waiting.popleft()

    def note(self, channel: str, problem: str | None) -> None:
        """Set the state of a channel."""
        with self._lock:
            if problem is None:
                self._problems.pop(channel, None)
            else:
                self._problems[channel] = problem

    def states(self) -> list[ChannelState]:
        """Return the states of all channels that were ever used here."""
        with self._lock:
            names = sorted(self._queues.keys() | self._problems.keys())
            return [self._state(name, self._queues.get(name, ())) for name in names]

    def _state(self, name: str, notices: Collection[QueuedNotice]) -> ChannelState:
        first = next(iter(notices), None)
        since_us = None if first is None else first.made_us
        return ChannelState(name, len(notices), since_us, self._problems.get(name))
