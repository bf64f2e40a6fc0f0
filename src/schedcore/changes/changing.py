"""Changes of jobs, in a store where other processes change and run them too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from schedcore.changes.audit import actor
from schedcore.changes.auditing import log_changes
from schedcore.clock import Clock
from schedcore.errors import ConflictingIdError, JobChangedError, JobLookupError
from schedcore.planning import Place, set_back
from schedcore.running.announce import Announcer
from schedcore.running.runs import Runs
from schedcore.stores.base import Change, Entry, Written, make_entry
from schedcore.stores.not_run import not_run_records

if TYPE_CHECKING:
    from schedcore.stores.contract import Store

ATTEMPTS = 20
"""How often a change is repeated because somebody else changed the job meanwhile."""
MOST_ROUNDS = 1_000
"""How often changes are written again because some of many jobs became due meanwhile."""

Check = Callable[[Entry], object]
"""Called with the current job just before a change; if it raises, the job is not changed."""


class Changes:
    """Adds, changes and removes jobs.  Thread-safe.

    Each change reads an entry, creates a new one, and replaces it in the store, unless somebody
    else changed the job meanwhile (compare-and-set): then the change is repeated.

    Args:
        store: Keeps the jobs.
        runs: The open runs, some of which a change ends.
        announce: Logs and emits what happens.
        clock: Gives the moment of a change.
    """

    def __init__(self, store: Store, runs: Runs, announce: Announcer, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._announce = announce
        self._clock = clock

    def add(self, entries: Sequence[Entry], replace: bool) -> None:
        """Store new jobs, all or none.

        Raises:
            ConflictingIdError: if an id is taken and *replace* is false, or given twice.
        """
        if not replace:
            conflicts = self.write(entries, self._clock.now_us()).conflicts
            if conflicts:
                raise ConflictingIdError(conflicts[0])
            return
        now_us = self._clock.now_us()
        changes = [self._replacing(entry, now_us) for entry in entries]
        while moved_on := set(self.write(changes, now_us).conflicts):
            # Only these are read again: while all of many busy jobs are read, others become due.
            now_us = self._clock.now_us()
            changes = [
                self._replacing(entry, now_us) if entry.job.id in moved_on else change
                for entry, change in zip(entries, changes, strict=True)
            ]

    def _replacing(self, entry: Entry, now_us: int) -> Change | Entry:
        """Return *entry*, as a replacement if a job with its id exists."""
        old = self.find(entry.job.id)
        if old is None:
            return entry
        return Change(old, entry, True, not_run_records(old, entry, now_us))

    def change(self, job_id: str, changed: Callable[[Entry], Entry], counted: bool = True) -> Entry:
        """Change a job: let *changed* create a new entry from the current one, and store it.

        A job that only moves to its next run meanwhile counts as unchanged: so a job that is due
        every second can get a trigger that takes a second to check.

        Args:
            job_id: Which job.
            changed: Returns the changed entry, or the same one.  Called again if somebody else
                changes the job meanwhile.
            counted: Whether a user orders it: then the audit records it, and the history records
                past fire times that the change removes from the schedule.

        Raises:
            JobLookupError: if there is no job with this id.
            JobChangedError: if somebody else changed it each time.
        """
        (change,) = self.change_all((self._store.get(job_id),), changed, counted)
        assert change.new is not None
        return change.new

    def change_all(
        self,
        entries: Iterable[Entry],
        changed: Callable[[Entry], Entry | None],
        counted: bool = True,
    ) -> list[Change]:
        """Change or remove many jobs: all of them or, after an error, none.

        Args:
            entries: The jobs as they were read, each once.
            changed: As for :meth:`change`; None removes a job.
            counted: As for :meth:`change`.

        Returns:
            What was done, in the order of *entries*; where nothing was, the new entry is the old.

        Raises:
            JobLookupError: if there is one no more.
            JobChangedError: if others changed them each time.
        """
        drafts = {read.job.id: _Draft.of(read, changed) for read in entries}
        attempts = ATTEMPTS
        for _ in range(MOST_ROUNDS):
            now_us = self._clock.now_us()
            changes = [draft.change(now_us, counted) for draft in drafts.values()]
            # Beside others, those that stay as they are have to be as they were read, too: a job
            # that was paused already, and that somebody resumes meanwhile, is to be paused again.
            anything = any(change.new is not change.old for change in changes)
            conflicts = self.write(changes, now_us, counted).conflicts if anything else ()
            if not conflicts:
                if any(map(_makes_room, changes)):
                    self._runs.promote()
                return changes
            was_changed = False
            for job_id in conflicts:
                now, draft = self._store.get(job_id), drafts[job_id]
                rebased = draft.rebased(now)
                was_changed |= rebased is None and draft.made is not None
                drafts[job_id] = rebased or _Draft.of(now, changed)
            attempts -= was_changed
            if not attempts:
                break
        raise JobChangedError(conflicts[0], ATTEMPTS)

    def remove(self, job_id: str, check: Check | None = None) -> None:
        """Remove a job, in the very state that *check* saw; its runs that wait are cancelled.

        Raises:
            JobLookupError: if there is no job with this id.
        """
        self.remove_each((self._store.get(job_id),), check)

    def remove_each(self, entries: Iterable[Entry], check: Check | None = None) -> None:
        """Remove many jobs, all of them or, after an error, none.

        Raises:
            JobLookupError: if there is one no more.
        """

        def removed(entry: Entry) -> None:
            if check is not None:
                check(entry)

        for change in self.change_all(entries, removed):
            self._announce.removed(change.old.job)

    def remove_all(self) -> None:
        """Remove every job."""
        while entries := self._store.entries():
            now_us = self._clock.now_us()
            changes = {
                old.job.id: Change(old, None, False, not_run_records(old, None, now_us))
                for old in entries
            }
            # Jobs that became due meanwhile are left out, and read again in the next round.
            while changes and (moved_on := self.write(list(changes.values()), now_us).conflicts):
                for job_id in moved_on:
                    del changes[job_id]

    def write(
        self, changes: Sequence[Change | Entry], now_us: int, ordered: bool = True
    ) -> Written:
        """Make all of *changes* or none, and announce the runs that ended with them.

        Args:
            changes: The changes.
            now_us: The present.
            ordered: Whether somebody ordered them: the audit keeps those.
        """
        by = actor() if ordered else None
        written = self._store.write(changes, now_us, by)
        if written.conflicts:
            return written
        if by is not None:
            log_changes(changes, by, now_us)
        if written.ended:
            self._runs.recorded(written.ended)
        return written

    def find(self, job_id: str) -> Entry | None:
        """Return a job, or None."""
        try:
            return self._store.get(job_id)
        except JobLookupError:
            return None


class _Draft(NamedTuple):
    """A change of one job that is not made yet."""

    read: Entry
    """The entry from which it was made."""
    made: Entry | None
    now: Entry
    """The job as it is now: its next run time may have changed."""
    new: Entry | None
    """The changed job; None: it is removed."""

    @classmethod
    def of(cls, read: Entry, changed: Callable[[Entry], Entry | None]) -> _Draft:
        made = changed(read)
        return cls(read, made, read, made)

    def change(self, now_us: int, counted: bool) -> Change:
        """Return the change for the store to write."""
        old, new = self.now, self.new
        if new is not None and new.fire_us == old.fire_us and new.due_us is not None:
            counted = False  # all fire times stay in the schedule
        records = not_run_records(old, new, now_us) if counted and new is not old else ()
        return Change(old, new, False, records)

    def rebased(self, now: Entry) -> _Draft | None:
        """Return the same change of the job as it is *now*; None: it must be made again."""
        new = None if self.made is None else rebased(self.made, self.read, now)
        if new is not None and self.made is self.read:
            new = now
        return None if new is None else self._replace(now=now, new=new)


def _makes_room(change: Change) -> bool:
    old, new = change.old.job.options, None if change.new is None else change.new.job.options
    return new is not None and new is not old and new.max_instances > old.max_instances


def checked(check: Check | None, change: Callable[[Entry], Entry]) -> Callable[[Entry], Entry]:
    """Return *change* preceded by *check*, each time that the job is read."""
    if check is None:
        return change

    def check_and_change(entry: Entry) -> Entry:
        check(entry)
        return change(entry)

    return check_and_change


def rebased(changed: Entry, read: Entry, now: Entry) -> Entry | None:
    """Return the change from *read* to *changed*, applied to the job as it is *now*.

    Making a change may take longer than the job takes to become due again.  If the change did not
    set the job's place in the schedule, the job keeps its current place.

    Returns:
        None if the change must be made again, since somebody else changed the job meanwhile.
    """
    if now.job is not read.job or (now.due_us is None) != (read.due_us is None):
        return None
    if changed.job.trigger is read.job.trigger and changed[1:3] == read[1:3]:
        return make_entry(changed.job, now.fire_us, now.due_us, now.backlog_us, changed.broken)
    if changed.due_us is None and changed.fire_us is not None:  # paused, and keeps its fire time
        return None
    return changed


def set_back_entry(entry: Entry, now_us: int, jump_us: int) -> Entry:
    """Return *entry* with its new place after the wall clock was set back by -*jump_us*.

    See :func:`~schedcore.planning.set_back`.
    """
    place = Place(entry.job.trigger, entry.fire_us, entry.due_us, entry.backlog_us)
    moved = set_back(place, now_us, jump_us, broken=bool(entry.broken))
    if moved is place:
        return entry
    job = entry.job._replace(trigger=moved.trigger)
    return entry._replace(
        job=job, fire_us=moved.fire_us, due_us=moved.due_us, backlog_us=moved.backlog_us
    )
