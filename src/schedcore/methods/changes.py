"""The methods of a scheduler that tell who changed what, and what happens."""

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
"""Events, or records of the audit, that are given at once, at most."""


class ChangeMethods(RunMethods):
    """What happens to the jobs and runs of a scheduler, and by whom.

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

        Each event is given once, in the order in which it was committed, in whatever process of the
        store it happened; whoever keeps ``next`` goes on from there after a restart.  A job that
        has moved on, or had its last fire time, is told by its run alone.

        Args:
            since: ``next`` of an earlier call; None: from now on, no event.
            wait: How many seconds to wait if there is none yet.
            limit: How many events at most.
            check: Called each second of the wait; what it raises ends that, and comes out.

        Raises:
            ChangesLostError: if not all that came since is kept any more.
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
        """Return who changed what, the latest first.

        Args:
            job_id: Of one job; None: of all, and of the scheduler.
            since: Changed then or later; without a zone, in that of the scheduler.
            before: Only records with a lower ``id``: what comes behind an earlier part.
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
        """Return what gives the events; made for the first who asks, since few programs do."""
        feed: Feed | None = vars(self).get("_made_feed")
        if feed is None:
            from schedcore.changes.feed import Feed

            # One alone, also if several threads ask first: a shutdown interrupts those who wait.
            new = Feed(self._engine.store, self._runs.settled)
            feed = vars(self).setdefault("_made_feed", new)
        return feed

    def _interrupt_feed(self) -> None:
        """Let nobody wait any longer for an event."""
        feed: Feed | None = vars(self).get("_made_feed")
        if feed is not None:
            feed.interrupt()


def _check_limit(limit: object) -> None:
    if whole("limit", limit) > MOST_AT_ONCE:
        raise InvalidOptionError("limit", limit, f"{MOST_AT_ONCE} at most")
