"""The store in memory: slots, open runs and the history under one lock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence
from functools import cached_property
from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING

from schedcore.basics.atfork import Lock, call_in_child, hold_while_forking
from schedcore.basics.runids import RunIds
from schedcore.changes.audit import Actor, AuditRecord
from schedcore.clock import Clock, SystemClock, earlier
from schedcore.errors import JobLookupError
from schedcore.history.history import History
from schedcore.job import Job
from schedcore.output.text import Kept
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.audit_records import id_of
from schedcore.stores.base import (
    Change,
    Decision,
    Declared,
    Ended,
    Entry,
    Executors,
    Otherwise,
    Settled,
    Settlement,
    Slot,
    Written,
)
from schedcore.stores.change_log import ChangeLog
from schedcore.stores.ends import End, mark_retried
from schedcore.stores.memory_declared import DeclaredJobs
from schedcore.stores.memory_queues import DueQueues, MemoryBatch
from schedcore.stores.memory_records import MemoryRecords
from schedcore.stores.open_runs import OpenRuns
from schedcore.stores.run_requests import Backfill, Opened, RunRequest

if TYPE_CHECKING:
    from schedcore.stores.memory_notices import MemoryNotices


class MemoryStore(MemoryRecords):
    """Stores jobs as long as the process lives; a :class:`~schedcore.stores.contract.Store`.

    Args:
        history: The history, which this store owns from now on; default: ``History()``.
        clock: Gives the time in run ids; default: the computer's clock.
    """

    def __init__(self, history: History | None = None, clock: Clock | None = None) -> None:
        super().__init__(history or History())
        self._slots: dict[str, Slot] = {}
        self._queue = DueQueues()
        self._declared = DeclaredJobs(self._find, self.write)
        self._ids = RunIds(clock or SystemClock())
        self._open = OpenRuns(self._history, self._ids, self._followed, self._forget)
        self._log = ChangeLog()
        hold_while_forking(self)
        call_in_child(self)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._slots)} job(s)>"

    @cached_property
    def notices(self) -> MemoryNotices:
        """The waiting notices; created on first use, since most schedulers have no channels."""
        from schedcore.stores.memory_notices import MemoryNotices

        return MemoryNotices(self.get)

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def after_fork_in_child(self) -> None:
        """Forget the open runs, and give back taken jobs: they belong to the parent."""
        self._ids.draw_anew()
        self._draw_store_id()
        self._open.by_id.clear()
        self._open.keys.clear()
        for slot in self._slots.values():
            slot.runs, slot.behind = (), None
            if slot.due_us is not None and slot.queued_us is None:
                self._queue.put(slot, slot.due_us)

    # Jobs

    def write(
        self, changes: Sequence[Change | Entry], now_us: int, by: Actor | None = None
    ) -> Written:
        """Make all of *changes*, or none; see :meth:`~schedcore.stores.contract.Store.write`."""
        ended: list[End] = []
        with self._lock:
            if len(changes) > 1:
                # Checked before the first: each is checked again, but by then some are made.
                conflicts = self._conflicts(changes)
                if conflicts:
                    return Written(conflicts)
            for change in changes:
                if isinstance(change, Entry):
                    conflict = not self._add(change)
                else:
                    conflict = not self._make(change, ended, now_us)
                if conflict:  # a signal handler made a change meanwhile
                    return Written((id_of(change),), ended)
            if by is not None:
                self._note_changes(changes, by, now_us)
        return Written((), ended) if ended else _MADE

    def _make(self, change: Change, ended: list[End], now_us: int) -> bool:
        """Make one change; False: the job was changed since it was read."""
        old, new, another, records = change
        slot = self._slots.get(old[0][0])
        if slot is None or slot.seq != old[5]:
            return False
        if new is old:
            return True
        if new is None or another or (new[2] is None and old[2] is not None):
            paused = new is not None and not another
            outcome = Outcome.PAUSED if paused else Outcome.CANCELLED
            if slot.runs or slot.behind:
                ended += self._open.end_waiting(slot, outcome, now_us)
        if new is None or another:
            self._drop(slot)
            self._declared.forget(old[0][0])
            if new is not None:
                self._add(new)
        else:
            self._move(slot, new)
        for record in records:
            self._history.add(record)
        return True

    def declare(
        self,
        app: str | None,
        declared: Sequence[Declared],
        now_us: int,
        otherwise: Otherwise = "change",
        by: Actor | None = None,
    ) -> list[Entry]:
        """Match jobs that *app* declares with the stored ones, by id."""
        with self._lock:
            return self._declared.declare(app, declared, now_us, otherwise, by)

    def retire(
        self, app: str, declared: Collection[str], now_us: int, by: Actor | None = None
    ) -> list[str]:
        """Park jobs that *app* declared before and no longer declares."""
        with self._lock:
            return self._declared.retire(app, declared, now_us, by)

    def _conflicts(self, changes: Sequence[Change | Entry]) -> Sequence[str]:
        """Return the ids of jobs that were changed since they were read, or that occur twice."""
        slots = self._slots
        times = Counter(map(id_of, changes))
        found = [job_id for job_id, count in times.items() if count > 1]
        for change in changes:
            job_id = id_of(change)
            slot = slots.get(job_id)
            if isinstance(change, Entry):
                conflict = slot is not None
            else:
                conflict = slot is None or slot.seq != change.old.version
            if conflict:
                found.append(job_id)
        return found

    def _add(self, entry: Entry) -> bool:
        """Add a job; False: one with its id exists."""
        job_id, due_us = entry[0][0], entry[2]
        if job_id in self._slots:
            return False
        slot = Slot(entry, self._log.note(job_id))
        self._slots[job_id] = slot
        if due_us is not None:
            self._queue.put(slot, due_us)
        if self._history.removed:
            self._history.job_added(job_id)
        return True

    def _move(self, slot: Slot, new: Entry) -> None:
        """Replace the job and place of a slot with *new*."""
        held = slot.behind is not None and new.backlog_us is not None
        filed_us = None if held else new.due_us
        moves = slot.job.executor != new.job.executor
        stays = slot.queued_us == filed_us and not moves
        if not stays:
            self._queue.discard(slot, moves)
        slot.job, slot.fire_us, slot.due_us, slot.broken, slot.backlog_us, _ = new
        slot.seq = self._log.note(slot.job.id)
        if not stays and filed_us is not None:
            self._queue.put(slot, filed_us)

    def _drop(self, slot: Slot) -> None:
        """Drop a job; its active runs keep their slot."""
        job_id = slot.job.id
        self._queue.discard(slot)
        self._slots.pop(job_id, None)
        self._log.note(job_id)
        self._note_removed(slot.job)
        slot.seq = 0  # a step that has taken it finds it changed
        if not slot.runs:
            self._forget(slot)

    def _note_removed(self, job: Job) -> None:
        if "notices" in vars(self):
            self.notices.job_removed(job)

    def _forget(self, slot: Slot) -> None:
        """Report to the history that a job was removed, unless another one has its id."""
        if slot.job.id not in self._slots:
            self._history.job_removed(slot.job.id)

    def _followed(self, slot: Slot) -> None:
        """Release a held backlog, now that no run of its last portion waits."""
        if slot.backlog_us is not None and slot.due_us is not None and slot.queued_us is None:
            self._queue.put(slot, slot.due_us)

    def get(self, job_id: str) -> Entry:
        """Return one job; raises JobLookupError."""
        with self._lock:
            return self._there(job_id).entry()

    def _there(self, job_id: str) -> Slot:
        slot = self._slots.get(job_id)
        if slot is None:
            raise JobLookupError(job_id)
        return slot

    def _find(self, job_id: str) -> Entry | None:
        slot = self._slots.get(job_id)
        return None if slot is None else slot.entry()

    def entries(self) -> list[Entry]:
        """Return all jobs, earliest due first, paused ones last."""
        with self._lock:
            entries = [slot.entry() for slot in list(self._slots.values())]
        # Sorted outside of the lock: 10,000 entries take 1 ms.
        due = [entry for entry in entries if entry[2] is not None]
        due.sort(key=_due_us)
        return due if len(due) == len(entries) else due + [e for e in entries if e[2] is None]

    def page(self, after: str, limit: int) -> list[Entry]:
        """Return up to *limit* jobs whose ids come after *after*, in their order."""
        with self._lock:
            ids = nsmallest(limit, (job_id for job_id in list(self._slots) if job_id > after))
            found = [self._find(job_id) for job_id in ids]
            return [entry for entry in found if entry is not None]  # else a handler removed it

    def changes(self, since: object) -> tuple[int, Sequence[str] | None]:
        """Return the current version, and the ids of jobs that changed after another version."""
        with self._lock:
            return self._log.since(since)

    # The schedule

    def take(
        self,
        now_us: int,
        limit: int,
        executors: Executors = None,
    ) -> MemoryBatch:
        """Take up to *limit* due jobs, earliest first; of all executors."""
        with self._lock:
            return MemoryBatch(self, self._queue.pop_due(now_us, limit, executors))

    def next_due(
        self,
        executors: Collection[str] | None = None,  # noqa: ARG002
    ) -> int | None:
        """Return when the first job is due that is not taken, or None."""
        with self._lock:
            return self._queue.first_due()

    def _settle(self, batch: MemoryBatch, decided: Sequence[Decision], now_us: int) -> Settled:
        # Each fire passes here.  The code of plain ones is inlined: they take 1 us each, with
        # their runs, instead of 1.8 (3.7 for a last one).
        settled = Settled([], [], [], [], [])
        runs, numbers, opened = settled.runs, self._log.numbers, self._open.by_id
        moved: list[Slot] = []
        dues: list[int] = []
        with self._lock:
            ids = self._ids.many(len(batch.seqs))
            taken = zip(batch.slots, batch.seqs, decided, ids, strict=False)
            for slot, seq, decision, run_id in taken:
                if slot.seq != seq:
                    continue  # changed, paused or removed meanwhile, which takes precedence
                slot.seq = next(numbers)
                if type(decision) is not Settlement and not slot.runs and slot.behind is None:
                    run = Run(run_id, slot.job, slot.fire_us, slot)  # type: ignore[arg-type]
                    opened[run_id] = run
                    runs.append(run)
                    slot.runs = (run,)
                    slot.fire_us = slot.due_us = decision  # type: ignore[assignment]
                    slot.broken = None
                    if decision is None:
                        slot.seq = 0
                        del self._slots[slot.job[0]]
                        self._note_removed(slot.job)
                        settled.removed.append(slot.job[0])
                        continue
                elif not self._settle_one(slot, decision, settled, now_us):
                    continue
                moved.append(slot)
                dues.append(slot.due_us)  # type: ignore[arg-type]  # it is not the last
            self._queue.put_many(moved, dues)
            self._log.note_many([slot.job[0] for slot in batch.slots])
            batch.seqs = ()
        return settled

    def _settle_one(self, slot: Slot, decision: Decision, settled: Settled, now_us: int) -> bool:
        """Settle a decision that is not plain; return whether to add the job to the due queue."""
        continues = slot.backlog_us is not None
        if isinstance(decision, Settlement):
            _, slot.job, slot.fire_us, slot.due_us, times, slot.backlog_us, slot.broken, not_run = (
                decision
            )
        else:
            assert slot.fire_us is not None
            times, not_run = (slot.fire_us,), ()
            slot.fire_us = slot.due_us = decision
            slot.broken = None
        job = slot.job
        for one in not_run:
            self._history.add(one.record(job.id))
            settled.not_run.append((job, one))
        if times:
            self._open.admit(slot, times, continues, settled, now_us)
        if slot.due_us is None:
            settled.removed.append(job.id)
            self._drop(slot)
            return False
        # Otherwise the rest of a backlog is held until the last run of this portion starts.
        return slot.behind is None or slot.backlog_us is None

    def _give_back(self, batch: MemoryBatch) -> None:
        with self._lock:
            seqs, batch.seqs = batch.seqs, ()
            for slot, seq in zip(batch.slots, seqs, strict=False):
                if slot.seq != seq or slot.due_us is None:
                    continue
                slot.seq = self._log.note(slot.job.id)
                if slot.queued_us is None:
                    self._queue.put(slot, slot.due_us)

    # Runs

    def open(self, requests: Sequence[RunRequest], due_us: int) -> list[Opened]:
        """Open runs outside the schedule, or record them as skipped."""
        with self._lock:
            return [self._open_one(each, due_us) for each in requests]

    def _open_one(self, request: RunRequest, due_us: int) -> Opened:
        slot = self._slots.get(request.job.id)
        if slot is None:
            return None
        opened = self._open.open(slot, request.job, due_us, request.key)
        if isinstance(opened, Run) and request.note is not None:
            self.note((request.note._replace(run_id=opened._id),))
        return opened

    def backfill(
        self, request: Backfill, note: AuditRecord
    ) -> tuple[Sequence[Run], Sequence[Run]] | None:
        """Open a run of a job for each of its past due times, or none at all."""
        with self._lock:
            opened = self._open.backfill(self._there(request.job.id), request)
            self.note((note,) if opened is not None else ())
            return opened

    def end(self, ends: deque[End], promote: bool) -> Ended:
        """Move runs to the history, each once, and start runs that waited for them."""
        recorded: list[End] = []
        started: list[Run] = []
        due_us = None
        with self._lock:
            while ends:
                end = ends.popleft()
                slot = self._open.close(end)
                if slot is None:
                    continue
                recorded.append(end)
                if slot.behind is not None and promote:
                    self._open.promote(slot, started)
                if slot.backlog_us is not None:
                    due_us = earlier(due_us, slot.queued_us)
        return Ended(recorded, started, due_us)

    def promote(self) -> Ended:
        """Start the waiting runs for which there is room."""
        started: list[Run] = []
        due_us = None
        with self._lock:
            for run in list(self._open.by_id.values()):
                slot = run._slot
                if run._waits and slot is not None:
                    self._open.promote(slot, started)
                    if slot.backlog_us is not None:
                        due_us = earlier(due_us, slot.queued_us)
        return Ended([], started, due_us)

    def retry(self, failed: End, act_us: int) -> bool:  # noqa: ARG002 — the engine has a timer
        """Let a failed run wait for its next attempt; False: there is none."""
        run = failed.run
        with self._lock:
            if run._id not in self._open.by_id or run._final:
                return False
            mark_retried(failed, run._attempt + 1)
        return True

    def try_again(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Begin the next attempt of runs that are still open."""
        with self._lock:
            return [run for run in runs if run._id in self._open.by_id]

    def runs(self) -> list[Run]:
        """Return the open runs."""
        with self._lock:
            return list(self._open.by_id.values())

    def find(self, run_id: int) -> Run | RunRecord | None:
        """Return an open run, or its record; None: it is unknown, or no longer stored."""
        with self._lock:
            return self._open.by_id.get(run_id) or self._history.find(run_id)

    def output(self, run_id: int) -> Kept:
        """Return the output of a run."""
        with self._lock:
            output = self._open.outputs.get(run_id)
        return Kept() if output is None else output.kept()

    def close(self) -> None:
        """Do nothing: nothing is open, and the jobs stay."""


_MADE = Written(())
_due_us = itemgetter(Entry._fields.index("due_us"))
