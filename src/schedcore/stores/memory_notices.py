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
    MOST_NEWS,
    MOST_WAITING,
    ChannelState,
    Letter,
    News,
    Wanted,
)
from schedcore.stores.base import Entry

log = GuardedLogger(__name__)


class MemoryNotices:
    """Implements :class:`~schedcore.notices.notice.NoticeStore`, until the process ends.

    Args:
        get: Returns a job by its id, or raises JobLookupError.
    """

    def __init__(self, get: Callable[[str], Entry]) -> None:
        self._get = get
        self._gone: dict[str, Wanted] = {}
        self._lock = threading.RLock()
        self._position: str | None = None
        self._news: OrderedDict[str, News] = OrderedDict()
        self._letters: dict[str, deque[Letter]] = {}
        self._problems: dict[str, str] = {}
        self._last = 0
        hold_while_forking(self)
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Drop the notices: the parent sends them."""
        self._letters.clear()

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def offices(self, names: Collection[str]) -> Collection[str]:
        """Return all of *names*: there is no other process."""
        return names

    def position(self) -> str | None:
        """Return the position up to which outcomes were judged."""
        return self._position

    def wanted(self, job_ids: Collection[str]) -> Mapping[str, Wanted]:
        """Return the channels of these jobs, including recently removed jobs."""
        found = {}
        for job_id in job_ids:
            try:
                found[job_id] = Wanted.of(self._get(job_id).job.options)
            except JobLookupError:
                gone = self._gone.get(job_id)
                if gone is not None:
                    found[job_id] = gone
        return found

    def job_removed(self, job: Job) -> None:
        """Note that a job was removed: its last run may not have ended, and has its channels.

        Called with the lock of the jobs held: do not acquire another one here.
        """
        options = job[5]
        # Not Wanted.of(): each job that runs once passes here; this takes 0.1 us instead of 0.5.
        if options[9] or options[10] or options[11] or options[12]:
            self._gone.pop(job.id, None)
            self._gone[job.id] = Wanted.of(job.options)
            if len(self._gone) > MOST_NEWS:
                del self._gone[next(iter(self._gone))]

    def news(self, job_ids: Collection[str]) -> Mapping[str, News]:
        """Return the news of those of these jobs that have any."""
        with self._lock:
            return {job_id: self._news[job_id] for job_id in job_ids if job_id in self._news}

    def advance(
        self,
        old: str | None,
        new: str,
        news: Mapping[str, News],
        letters: Sequence[tuple[str, str]],
        now_us: int,
    ) -> bool:
        """Note that outcomes up to *new* were judged, with the resulting notices and news."""
        with self._lock:
            if self._position != old:
                return False
            self._position = new
            for job_id, each in news.items():
                self._news[job_id] = each
                self._news.move_to_end(job_id)
            while len(self._news) > MOST_NEWS:
                self._news.popitem(last=False)
            self._add(letters, now_us)
            return True

    def add_starts(self, letters: Sequence[tuple[int, str, str]], now_us: int) -> None:
        """Add notices that runs have started, unless their ends were already judged."""
        with self._lock:
            self._add([letter[1:] for letter in letters], now_us)

    def _add(self, letters: Sequence[tuple[str, str]], now_us: int) -> None:
        for channel, text in letters:
            self._last += 1
            waiting = self._letters.setdefault(channel, deque())
            waiting.append(Letter(self._last, channel, now_us, text))
        for channel in {channel for channel, _ in letters}:
            waiting = self._letters[channel]
            dropped = len(waiting) - MOST_WAITING
            for _ in range(dropped):
                waiting.popleft()
            if dropped > 0:
                log.error("%d notice(s) dropped: too many wait for channel %r", dropped, channel)

    def waiting(self, channels: Collection[str], limit: int) -> list[Letter]:
        """Return the first waiting notices of each of these channels, in order."""
        with self._lock:
            return [
                letter
                for channel in channels
                for letter in list(self._letters.get(channel, ()))[:limit]
            ]

    def remove(self, seqs: Collection[int]) -> None:
        """Remove notices that were sent, or given up."""
        with self._lock:
            for waiting in self._letters.values():
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
            names = sorted(self._letters.keys() | self._problems.keys())
            return [self._state(name, self._letters.get(name, ())) for name in names]

    def _state(self, name: str, letters: Collection[Letter]) -> ChannelState:
        first = next(iter(letters), None)
        since_us = None if first is None else first.made_us
        return ChannelState(name, len(letters), since_us, self._problems.get(name))
