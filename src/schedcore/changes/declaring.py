"""Jobs that code adds to a store on disk: reconciled with those that exist already.

A job that is added before the scheduler starts is *declared*: each start of the program repeats
it.  An equal definition keeps its place in the schedule, its pause, and later changes.  A different
one is planned again.  A job that is no longer declared is parked.  A job that is added later is
*added*: it stays until it is removed, and adding an equal one again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from schedcore.basics.logs import GuardedLogger
from schedcore.changes.audit import actor
from schedcore.clock import Clock
from schedcore.errors import ConflictingIdError
from schedcore.jobdata import digest, fingerprint
from schedcore.stores.base import Declared, Entry, Otherwise
from schedcore.stores.contract import Store
from schedcore.triggers.base import Trigger

log = GuardedLogger(__name__)


class SameIds:
    """Creates ids that are the same for a declaration in each process and at each start."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def job_id(
        self,
        func: Callable[..., Any] | str,
        trigger_args: Mapping[str, Any],
        trigger: object = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """Return the id of a job that was added without one.

        Args:
            func: What it calls.
            trigger_args: The options of its trigger.
            trigger: The trigger, as it was given; a mere name does not count.
            args: The positional arguments.
            kwargs: The keyword arguments.
        """
        if isinstance(trigger, Trigger):
            trigger = trigger.unbound()
        given = (None if isinstance(trigger, str) else trigger, args, dict(kwargs))
        # Jobs without these keep the ids that they have in stores.
        mark = digest(func, dict(trigger_args), *(given if any(given) else ()))[:24]
        self._made[mark] += 1
        return f"{mark}{self._made[mark]:08x}"


class Declarations:
    """Stores the jobs that code adds.

    Args:
        store: The store.
        app: The name of the app that declares the jobs.
        clock: Gives the present.

    Attributes:
        declares: Whether added jobs are declared: until the scheduler has started.
    """

    def __init__(self, store: Store, app: str, clock: Clock) -> None:
        self._store = store
        self._app = app
        self._clock = clock
        self._ids: set[str] = set()
        self.declares = True

    def add(
        self,
        entries: Sequence[Entry],
        triggers: Sequence[Trigger],
        placed: Sequence[bool],
        replace: bool,
    ) -> list[Entry]:
        """Store jobs, all or none; return the stored entries.

        Args:
            entries: The jobs, no id twice.
            triggers: Their triggers as they were given.
            placed: Whether the next run time of each was given, too.
            replace: Whether to replace another definition under the same id.

        Raises:
            ConflictingIdError: if an id is taken by another definition, and *replace* is false.
        """
        declared = [
            Declared(entry, _fingerprint(entry, trigger, has_place))
            for entry, trigger, has_place in zip(entries, triggers, placed, strict=True)
        ]
        ids = [entry.job.id for entry in entries]
        if self.declares and not replace:
            for job_id in ids:
                if job_id in self._ids:
                    raise ConflictingIdError(job_id)
        app = self._app if self.declares else None
        otherwise: Otherwise = "replace" if replace else "change" if self.declares else "refuse"
        stored = self._store.declare(app, declared, self._clock.now_us(), otherwise, actor())
        if self.declares:
            self._ids.update(ids)
        there = {entry.job.id: entry for entry in stored}
        for job_id in ids:
            if job_id not in there:
                log.info(
                    "job %r already had its last run, and does not run again: give it another id,"
                    " or remove_job() it first",
                    job_id,
                    fields={"job_id": job_id},
                )
        return [there.get(entry.job.id, entry) for entry in entries]

    def forget(self, job_id: str) -> None:
        """Note that a job was removed, so it is no longer declared."""
        self._ids.discard(job_id)

    def retire(self) -> None:
        """Park jobs that are no longer declared; jobs count as added from now on."""
        if not self.declares:
            return
        parked = self._store.retire(self._app, self._ids, self._clock.now_us(), actor())
        self.declares = False
        for job_id in parked:
            text = "job %r is parked: %r no longer declares it"
            log.warning(text, job_id, self._app, fields={"job_id": job_id})


def _fingerprint(entry: Entry, trigger: Trigger, has_place: bool) -> str:
    found = fingerprint(entry.job, trigger)
    return f"{found} {entry.due_us}" if has_place else found
