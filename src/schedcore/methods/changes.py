"""The methods of a scheduler for the sequence of changes and the audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Final

import schedcore  # for hints: names that it imports only when they are asked for
from schedcore.changes.audit import AuditRecord
from schedcore.errors import InvalidOptionError, check_timeout, whole
from schedcore.methods.runs import RunMethods

if TYPE_CHECKING:
    from schedcore.changes.feed import Feed

MOST_AT_ONCE: Final = 1_000
"""Maximum number of events, or records of the audit, per call."""


class ChangeMethods(RunMethods):
    """Changes of the jobs and runs of a scheduler, and their actors.

    :class:`~schedcore.Scheduler` is one.
    """

    def changes(
        self,
        since: str | None = None,
        wait: float = 0.0,
        limit: int = MOST_AT_ONCE,
        check: Callable[[], object] | None = None,
    ) -> schedcore.ChangeList:
        """Return what has happened: runs that ended, changes of jobs and of the scheduler.

        Each event is returned once, in commit order, from all processes of the store.  A caller
        that stores ``next`` continues from there after a restart.  When a job moves to its next
        fire time, or had its last one, the only event is that of its run.

        Args:
            since: ``next`` of an earlier call; None: from now on, no event.
            wait: How many seconds to wait if there is no event yet.
            limit: Maximum number of events.
            check: Called every second of the wait; an exception ends the wait and is raised.

        Raises:
            ChangesLostError: if some events since then are no longer stored.
            InvalidOptionError: if an argument makes no sense.
        """
        seconds = check_timeout(wait)
        if seconds is None:
            raise InvalidOptionError("wait", wait, "a number of seconds")
        _check_limit(limit)
        return self._feed().events(since, seconds, limit, check)

    def audit(
        self,
        job_id: str | None = None,
        since: date | str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRecord]:
        """Return who changed what, newest first.

        Args:
            job_id: Changes of one job; None: of all jobs, and of the scheduler.
            since: Changed at this time or later; without a zone, in that of the scheduler.
            before: Only records with a lower ``id``, to continue after an earlier part.
            limit: How many at most.

        Raises:
            InvalidOptionError: if an argument makes no sense.
        """
        _check_limit(limit)
        if before is not None:
            whole("before", before)
        since_us = self._moment_us("since", since)
        return self._engine.store.audit(job_id, since_us, before, limit)

    def _feed(self) -> Feed:
        """Return the feed of events; created on first use, since few programs need it."""
        feed: Feed | None = vars(self).get("_made_feed")
        if feed is None:
            from schedcore.changes.feed import Feed

            # One alone, also if several threads ask first: a shutdown interrupts those who wait.
            new = Feed(self._engine.store, self._runs.settled)
            feed = vars(self).setdefault("_made_feed", new)
        return feed

    def _interrupt_feed(self) -> None:
        """Wake all callers that wait for an event."""
        feed: Feed | None = vars(self).get("_made_feed")
        if feed is not None:
            feed.interrupt()


def _check_limit(limit: object) -> None:
    if whole("limit", limit) > MOST_AT_ONCE:
        raise InvalidOptionError("limit", limit, f"{MOST_AT_ONCE} at most")
