"""One scheduler's part in an election: it stands by, holds the engine, and hands it over."""

from __future__ import annotations

import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple, Protocol, TypeVar

from schedcore.atfork import call_in_child
from schedcore.clock import Clock, Waker
from schedcore.engine import Engine
from schedcore.errors import SchedulerAlreadyRunningError, SchedulerNotRunningError
from schedcore.health import State
from schedcore.job_factory import JobFactory, Naming
from schedcore.jobdata import digest
from schedcore.leader import handover, journal
from schedcore.leader.election import Election, Holder
from schedcore.leader.handover import Declared, Estate
from schedcore.leader.journal import LostRun, Marks
from schedcore.logs import GuardedLogger
from schedcore.run import Outcome, RunRecord
from schedcore.stores.base import Change, Entry
from schedcore.triggers.base import Trigger

log = GuardedLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks of one who stands by: whether the lock is free."""
KEEP_EVERY = 2.0
"""Seconds between two looks of the holder: whether the lock's file is still in its place."""
DRAIN = 1.0
"""Seconds that requests under way are given at the end, before and after the engine ends."""
_MARKS, _ESTATE = ".marks", ".estate"
T = TypeVar("T")


class Doors(Protocol):
    """What lets the others in while this process holds the engine."""

    def open(self) -> tuple[str, str]:
        """Begin to answer; return the address and the secret of :class:`Holder`."""
        ...

    def close(self) -> None:
        """Begin nothing more."""
        ...

    def drain(self, seconds: float) -> bool:
        """Wait until what was begun is answered, so long at most; return whether it is."""
        ...


class Parts(NamedTuple):
    """What an election has to do with of a scheduler."""

    clock: Clock
    zone: tzinfo
    engine: Engine
    factory: JobFactory
    in_memory: bool
    """Whether the jobs end with the process, and have to be handed over."""
    begin: Callable[[State], object]
    """Starts the engine in this state; called by the new holder."""
    end: Callable[[], object]
    """Ends it at once; called when the lock was lost."""
    state: Callable[[], State]
    """Tells what the engine is doing."""


class SameNaming(Naming):
    """Makes the id that every process makes for the same declaration.

    Args:
        taken: Returns whether there is a job with an id.

    Attributes:
        unbound: The triggers of the jobs declared so far, as given, by id; None: they are not
            noted any more.
    """

    def __init__(self, taken: Callable[[str], bool]) -> None:
        self.unbound: dict[str, Trigger] | None = {}
        self._taken = taken
        self._made: Counter[str] = Counter()

    def job_id(self, func: Callable[..., Any] | str, trigger_args: Mapping[str, Any]) -> str:
        """Return the id of a job that was given none."""
        mark = digest(func, dict(trigger_args))[:24]
        while True:
            self._made[mark] += 1
            job_id = f"{mark}{self._made[mark]:08x}"
            if not self._taken(job_id):
                return job_id

    def declared(self, job_id: str, trigger: Trigger) -> None:
        """Note a job's trigger as it was given."""
        if self.unbound is not None:
            self.unbound[job_id] = trigger


class Standing:
    """Takes part in an election, with a thread that waits for the lock and then keeps it.

    Args:
        election: Which one.
        parts: Of the scheduler.

    Attributes:
        doors: Opened by the holder; None: the others cannot reach it.
        holds: Whether this process runs the engine.
        leaves_added: Whether jobs are handed over that were added after the start.
    """

    def __init__(self, election: Election, parts: Parts) -> None:
        self.election = election
        self.doors: Doors | None = None
        self.holds = False
        self.leaves_added = True
        self._parts = parts
        self._declared: dict[str, Declared] | None = None
        self._known: set[str] = set()
        self._term = ""
        self._state = State.STOPPED
        self._marks: Marks | None = None
        self._own: Holder | None = None
        self._naming = parts.factory.naming = SameNaming(self._has)
        self._reset()
        call_in_child(self)

    def _reset(self) -> None:
        self._joined = False
        # Held while office is taken or left; never while the lock is waited for.
        self._office = threading.Lock()
        self._waker = Waker()

    @property
    def stands_by(self) -> bool:
        """Whether this process waits for the lock."""
        return self._joined and not self.holds

    def holder(self) -> Holder | None:
        """Return who said last that it holds, or None."""
        return self._own or self.election.holder()

    def join(self, state: State) -> None:
        """Take part; who is the first holds when this returns.

        Args:
            state: In which to start the engine, unless the last holder left it in another.

        Raises:
            SchedulerAlreadyRunningError: if it takes part.
            InvalidOptionError: if the election's folder is not this user's alone.
        """
        with self._office:
            if self._joined:
                raise SchedulerAlreadyRunningError
            self._joined = True
            self._state = state
            self._waker = waker = Waker()
        try:
            try:
                self._campaign()
            except OSError as error:  # a full disk, say, which may be over soon
                log.error("the election %r failed; trying on", self.election.name, error=error)
            threading.Thread(
                target=self._live, args=(waker,), name="schedcore-election", daemon=True
            ).start()
        except BaseException:
            self._joined = False
            raise

    def resign(self, end: Callable[[], T]) -> T | None:
        """Take part no more; hand over if this process holds.

        Args:
            end: Ends the engine; called if it runs.

        Returns:
            What *end* returned.

        Raises:
            SchedulerNotRunningError: if it takes no part.
        """
        with self._office:
            if not self._joined:
                raise SchedulerNotRunningError
            self._joined = False
            self._waker.wake()
            if not self.holds:
                self.election.release()
                return None
            return self._hand_over(end)

    # The thread

    def _live(self, waker: Waker) -> None:
        failing = 0
        while self._joined and waker is self._waker:
            try:
                if not self.holds:
                    self._campaign()
                elif not self.election.still_held():
                    self._ousted()
                else:
                    self._show_again()
                failing = 0
            except BaseException as error:  # noqa: BLE001 — it tries again
                failing += 1
                if failing & (failing - 1) == 0:  # the 1st, 2nd, 4th, 8th time
                    log.error("the election %r failed; trying on", self.election.name, error=error)
            waker.sleep(KEEP_EVERY if self.holds else LOOK_EVERY)

    def _show_again(self) -> None:
        """Say anew who holds, if somebody tidied that away."""
        with self._office:
            if self.holds and self._own is not None and self.election.holder() != self._own:
                self.election.publish(self._own)

    def _campaign(self) -> None:
        """Take office if the lock is free."""
        with self._office:
            if not self._joined or self.holds or not self.election.attempt():
                return
            try:
                self._take_office()
            except BaseException:
                self._let_go(keep_marks=True)
                raise

    def _take_office(self) -> None:
        import socket  # 5 ms, and only needed here

        now_us = self._parts.clock.now_us()
        term = secrets.token_hex(8)
        if self._parts.in_memory:
            estate = self._estate()
            self._declare()
            if estate is not None:
                self._take_on(estate, now_us)
            elif self.election.waited:  # what fell due meanwhile may have run there
                self._put(handover.from_now_on(self._entries(), now_us))
            self._mark(term)
        self._term = term
        address, secret = ("", "") if self.doors is None else self.doors.open()
        own = Holder(os.getpid(), socket.gethostname(), now_us, term, address, secret)
        self.election.publish(own)
        # Until here nothing was run.  A holder that is killed from now on leaves its marks.
        self.election.remove(_ESTATE)
        self._parts.begin(self._state)
        self._own, self.holds = own, True
        log.info("this process (%d) runs the engine of %r", os.getpid(), self.election.name)

    def _take_on(self, estate: Estate, now_us: int) -> None:
        try:
            state = State(estate.state)
            entries = handover.taken_on(self._declared or {}, estate, self._parts.zone, now_us)
            lost = [_record_of(run, now_us) for run in estate.lost]
        except Exception as error:  # noqa: BLE001 — another version may have written anything
            log.error("what the last holder left cannot be read: jobs start anew", error=error)
            return
        self._put(entries)
        self._state = state
        self._parts.engine.store.record(lost)

    def _entries(self) -> list[Entry]:
        return self._parts.engine.store.entries()

    def _put(self, entries: Sequence[Entry]) -> None:
        """Have these jobs in the place of those there are; nothing of it is an outcome."""
        new = {entry.job.id: entry for entry in entries}
        changes = [Change(old, new.pop(old.job.id, None), True) for old in self._entries()]
        self._parts.engine.store.write([*changes, *new.values()], self._parts.clock.now_us())

    def _has(self, job_id: str) -> bool:
        try:
            self._parts.engine.store.get(job_id)
        except LookupError:
            return False
        return True

    def _declare(self) -> None:
        """Remember what code has declared up to now."""
        unbound, self._naming.unbound = self._naming.unbound or {}, None
        now = [entry for entry in self._entries() if entry.job.id not in self._known]
        self._declared = (self._declared or {}) | handover.declared(now, unbound)

    def _estate(self) -> Estate | None:
        """Return what the last holder left, if it is for this process to go on with it."""
        found: Estate | None = None
        try:
            told = self.election.read(_ESTATE)
            if told is not None:
                found = Estate(**told)
            elif (left := journal.read(self.election.path(_MARKS))) is not None:
                found = handover.left_by_killed(left)
        except (LookupError, TypeError, ValueError) as error:  # another version wrote it
            log.error("what the last holder left cannot be read: jobs start anew", error=error)
        if found is None or not (found.term == self._term or self.election.is_heir(found.instance)):
            return None
        return found

    def _mark(self, term: str) -> None:
        declared = self._declared or {}
        places = {entry.job.id: entry for entry in self._entries()}
        standing = [d for job_id, d in declared.items() if job_id in places]
        gone = [d for job_id, d in declared.items() if job_id not in places]
        # Of a job that goes on where it stood, the trigger is the one that it was left with.
        listed = [Declared(places[d.entry.job.id], d.print) for d in standing] + gone
        made = Marks(
            self.election.path(_MARKS),
            self._state,
            [d.entry for d in listed],
            {
                "instance": self.election.instance,
                "term": term,
                "jobs": handover.catalogue(listed),
            },
        )
        for d in gone:
            made.moved(d.entry.job.id, None)
        self._marks = self._parts.engine.runs.observer = made

    def note_state(self, _event: object) -> None:
        """Note what the engine is doing, for the next holder.  A listener."""
        marks = self._marks
        if marks is not None and self.holds:
            marks.set_state(self._parts.state())

    def _hand_over(self, end: Callable[[], T]) -> T | None:
        """End the engine, leave what is to be left, and let go of the lock."""
        self.holds = left = False
        try:
            if self.doors is not None:
                self.doors.close()
            self.election.retract()
            # What is answered at once, by an engine that still runs; then what waits for its runs.
            if self.doors is not None:
                self.doors.drain(DRAIN)
            state = self._parts.state()
            ended = end() if state is not State.STOPPED else None
            if self.doors is not None and not self.doors.drain(DRAIN):
                log.warning("requests of %r are still not answered", self.election.name)
            if self._parts.in_memory:
                self._leave(state)
            left = True
        finally:
            self._let_go(keep_marks=not left)
        return ended

    def _leave(self, state: State) -> None:
        entries = self._entries()
        self._known = {entry.job.id for entry in entries}
        if not self.leaves_added:
            entries = [entry for entry in entries if entry.job.id in (self._declared or {})]
        declared, added = handover.to_leave(entries, self._declared or {})
        if not (declared or added) and state is State.RUNNING:
            return
        instance = self.election.instance
        self.election.write(_ESTATE, Estate(instance, self._term, state, declared, added)._asdict())

    def _let_go(self, keep_marks: bool = False) -> None:
        self.holds, self._own = False, None
        if self.doors is not None:
            self.doors.close()
        marks, self._marks = self._marks, None
        self._parts.engine.runs.observer = None
        if marks is not None:
            marks.close()
            if not keep_marks:
                self.election.remove(_MARKS)
        self.election.release()

    def _ousted(self) -> None:
        """End the engine, since somebody else may hold: the lock's file was taken away."""
        with self._office:
            if not self.holds:
                return
            log.critical(
                "the lock of %r was removed by somebody: the engine ends here, and stands by",
                self.election,
            )
            self.holds = False
            self._known = {entry.job.id for entry in self._entries()}
            try:
                self._parts.end()
            finally:
                self._let_go()

    def after_fork_in_child(self) -> None:
        """Take no part: the threads stayed behind in the parent."""
        self.holds, self._own = False, None
        self._marks = None
        self._parts.engine.runs.observer = None
        self._reset()


def _record_of(run: LostRun, now_us: int) -> RunRecord:
    return RunRecord(
        None,
        run.job_id,
        Outcome.LOST,
        run.due_us,
        ended_us=now_us,
        late_us=max(0, run.submitted_us - run.due_us),
        error_text="its process was killed while it was under way",
    )
