"""The rows of open runs in an SQL store, and the runs of this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache, partial
from pathlib import Path

from schedcore.admission import admit, room_for
from schedcore.errors import StoreUnavailableError
from schedcore.job import Job
from schedcore.output.text import storable
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.base import Settled, Skipped
from schedcore.stores.claims import (
    ACTIVE,
    ORPHANED,
    REMOTE,
    RETRIES,
    WAITS,
    Claim,
    Opening,
    record_of,
    with_call,
)
from schedcore.stores.database import Database, Rows, Transaction
from schedcore.stores.ends import End, end_of_evicted, end_of_waiting, mark_ended
from schedcore.stores.not_run import skipped_record
from schedcore.stores.sql_history import HistoryRows
from schedcore.stores.sql_jobs import removed_job
from schedcore.stores.unbegun import Unbegun, unbegun_at

_COLUMNS = ", ".join(Claim._fields)
_SELECT = f"select {_COLUMNS} from schedcore_claims"
_INSERT = (
    f"insert into schedcore_claims ({_COLUMNS}) values ({', '.join('?' * len(Claim._fields))})"
)


class ClaimRows:
    """Opens and ends runs, inside the caller's transaction.

    Args:
        database: Returns their ids.
        history: The history of ended runs.
        job_of: Returns the definition under a key, or None.
        known: Returns some cached version of it, or None.

    Attributes:
        live: The runs of this process that have not ended, by id.
        node: The number of this process in the store; None: it has not joined.
        left: Whether it had joined, and has left.
        executors: The names of its executors; None: it has any executor.
        remote: The names of executors whose workers begin runs in the store.
        unbegun: Records which of its runs have not begun, for the process that takes over from it.
    """

    def __init__(
        self,
        database: Database,
        history: HistoryRows,
        job_of: Callable[[Transaction, int], Job | None],
        known: Callable[[int], Job | None],
    ) -> None:
        self._database = database
        self._history = history
        self._job_of = job_of
        self._known = known
        self.live: dict[int, Run] = {}
        self.node: int | None = None
        self.left = False
        self.executors: Collection[str] | None = None
        self.remote: Collection[str] = ()
        self.unbegun: Unbegun | None = None

    # Reading

    def of_jobs(self, tx: Transaction, keys: Iterable[int]) -> dict[int, list[Claim]]:
        """Return the open runs of jobs by key, in the order in which they were opened."""
        found: dict[int, list[Claim]] = {}
        for row in tx.among(f"{_SELECT} where k in ({{}}) order by run_id{tx.for_update}", keys):
            found.setdefault(row[1], []).append(Claim._make(row))
        return found

    def of_job(self, tx: Transaction, k: int) -> list[Claim]:
        """Return the open runs of one job."""
        return self.of_jobs(tx, (k,)).get(k, [])

    def find(self, tx: Transaction, run_ids: Iterable[int]) -> dict[int, Claim]:
        """Return those of these runs that are open."""
        sql = f"{_SELECT} where run_id in ({{}}) order by run_id{tx.for_update}"
        rows = tx.among(sql, run_ids)
        return {row[0]: Claim._make(row) for row in rows}

    def all(self, tx: Transaction) -> list[Claim]:
        """Return all open runs, in the order in which they were opened."""
        return [Claim._make(row) for row in tx.all(f"{_SELECT} order by run_id")]

    def of_node(self, tx: Transaction, node: int) -> list[Claim]:
        """Return the runs that a process owns."""
        sql = f"{_SELECT} where node = ? order by run_id{tx.for_update}"
        return [Claim._make(row) for row in tx.all(sql, node)]

    def waiting(self, tx: Transaction) -> set[int]:
        """Return the keys of the jobs with waiting runs."""
        return {k for (k,) in self.waiting_later(tx)()}

    def waiting_later(self, tx: Transaction) -> Rows:
        """Query the same, to be read later; one row for each."""
        return tx.later("select distinct k from schedcore_claims where state = ?", WAITS)

    def orphans(self, tx: Transaction, now_us: int) -> list[Claim]:
        """Return the due retries and remote runs that have no owner."""
        mine, names = self._of_mine()
        sql = f"{_SELECT} where act_us <= ? and {ORPHANED}{mine} order by run_id{tx.skip_locked}"
        return [Claim._make(row) for row in tx.all(sql, now_us, *names)]

    def _of_mine(self) -> tuple[str, tuple[str, ...]]:
        """Return a condition for runs whose jobs this process can run, or are removed."""
        if not self.executors:
            return "", ()
        names = tuple(self.executors)
        of_job = "select executor from schedcore_due d where d.k = schedcore_claims.k"
        return f" and coalesce(({of_job}), ?) in ({', '.join('?' * len(names))})", (
            names[0],
            *names,
        )

    def first_orphan(self, tx: Transaction) -> Rows:
        """Query when the first run without an owner is due again: one row, which may be null."""
        sql = f"select min(act_us) from schedcore_claims where act_us is not null and {ORPHANED}"
        mine, names = self._of_mine()
        return tx.later(sql + mine, *names)

    def run_of(self, tx: Transaction, claim: Claim) -> Run:
        """Return the run of a claim: this process's own object, if there is one."""
        run = self.live.get(claim.run_id)
        if run is None or (claim.node != self.node and claim.state != WAITS):  # it is elsewhere
            job = self._known(claim.k) or self._job_of(tx, claim.k) or removed_job(claim.job_id)
            run = Run(claim.run_id, with_call(job, claim.call), claim.due_us)
            run._started_us = claim.begun_us
        run._attempt, run._waits = claim.attempt, claim.state == WAITS
        run._by_hand, run._backlog = bool(claim.by_hand), bool(claim.backlog)
        run._node = claim.node
        if claim.error_type is not None:
            run._error_type, run._error_text = claim.error_type, claim.error_text
        return run

    def _has_begun(self, claim: Claim) -> bool:
        run = self.live.get(claim.run_id)
        return claim.begun_us is not None or (run is not None and run._started_us is not None)

    def _active(self, job: Job) -> int:
        """Return the state of a submitted run of a job."""
        return REMOTE if job.options.executor in self.remote else ACTIVE

    # Opening

    def starting(self, tx: Transaction, runs: Sequence[Run], waiting: Sequence[Run] = ()) -> None:
        """Note that this process owns these runs after the commit.

        A process that has left, or was declared dead, gets none: nobody would follow them.

        Args:
            tx: The transaction.
            runs: The runs to begin; the list may be filled later.
            waiting: The runs that wait behind others; also a list.
        """
        tx.started = runs
        tx.if_made(partial(self.opened, runs))
        tx.if_made(partial(self.opened, waiting, waits=True))
        if self.node is not None:
            there = "id = ? and state in ('alive', 'leaving')"
            sql = f"select 1 from schedcore_nodes where {there}{tx.for_share}"
            tx.may_start = cache(tx.later(sql, self.node))
        elif self.left:
            tx.may_start = tuple  # returns ()

    def _hold(self, tx: Transaction, runs: Iterable[Run]) -> None:
        """Withdraw new runs, which may begin after the commit."""
        if not tx.may_start():
            raise StoreUnavailableError(
                self._database.shown,
                "this process has left it, or another one took it for dead; once it has joined"
                " again, try again",
            )
        if self.unbegun is not None:  # already: the process may be killed right after the commit
            for run in runs:
                self.unbegun.hold(run._id)

    def admit(
        self,
        tx: Transaction,
        opening: Opening,
        times: Sequence[int],
        continues: bool,
        settled: Settled,
        waiting: list[Run],
        now_us: int,
    ) -> list[RunRecord]:
        """Open runs as far as there is room, let others wait; return the records of the rest.

        Args:
            tx: The transaction.
            opening: The job.
            times: The due times, the oldest first.
            continues: Whether they continue a backlog.
            settled: Receives started, skipped and evicted runs.
            waiting: Receives runs that wait behind others.
            now_us: The present.
        """
        job, claims = opening.job, opening.claims
        active = [claim for claim in claims if claim.state != WAITS]
        begun = [claim for claim in active if self._has_begun(claim)]
        continues |= not job.coalesce and any(claim.backlog for claim in active)
        starts, waits, skipped, evicted = admit(
            len(times), job.options, len(active), len(begun), len(claims) - len(active), continues
        )
        records: list[RunRecord] = []
        for claim in begun[:evicted]:
            run = self.run_of(tx, claim)
            tx.if_undone(partial(setattr, run, "_cancelled", run._cancelled))
            run._cancelled = True
            end = end_of_evicted(run, now_us)
            records.append(self.close(tx, claim, end))
            settled.evicted.append(end)
        backlog = continues or len(times) > 1
        started = self.open(tx, opening, times[:starts], backlog=backlog)
        if waits:
            last = times[len(times) - waits :]
            waiting += self.open(tx, opening, last, waits=True, backlog=backlog)
        for run in started:
            run._hurry = bool(waits)
        for claim in claims if waits else ():
            if claim.run_id in self.live:
                self.live[claim.run_id]._hurry = True
        settled.runs.extend(started)
        if skipped:
            left_out = times[starts : starts + skipped]
            runs = [self.run_of(tx, claim) for claim in claims]
            record = skipped_record(job, left_out, now_us, runs)
            records.append(record)
            settled.skipped.append(Skipped(job, left_out, record))
        return records

    def has_room(self, job: Job, claims: Sequence[Claim]) -> bool:
        """Return whether one more manual run of a job may start."""
        active = [claim for claim in claims if claim.state != WAITS]
        by_hand = job.options._replace(overlap="skip")
        begun = sum(map(self._has_begun, active))
        waiting = len(claims) - len(active)
        return bool(admit(1, by_hand, len(active), begun, waiting, False).starts)

    def open(
        self,
        tx: Transaction,
        opening: Opening,
        times: Sequence[int],
        waits: bool = False,
        backlog: bool = False,
    ) -> list[Run]:
        """Open a run for each of *times*."""
        if not times:
            return []
        ids = self._database.run_ids(tx, len(times))
        runs = [Run(run_id, opening.job, due_us) for run_id, due_us in zip(ids, times, strict=True)]
        self.insert(tx, [(run, opening) for run in runs], waits, backlog)
        return runs

    def insert(
        self,
        tx: Transaction,
        runs: Sequence[tuple[Run, Opening]],
        waits: bool = False,
        backlog: bool = False,
        by_hand: bool = False,
    ) -> None:
        """Write new runs."""
        node = None if waits else self.node
        flags = int(backlog), int(by_hand), 0, None, None
        rows = []
        for run, (k, job, _, call) in runs:
            state = WAITS if waits else self._active(job)
            run._waits, run._backlog, run._by_hand, run._node = waits, backlog, by_hand, node
            given = run._id, k, run._job_id, run._due_us, 1, state, node, None, None
            rows.append((*given, *flags, call))
        if not waits:
            self._hold(tx, (run for run, _ in runs))
        tx.many(_INSERT, rows)

    # Going on

    def start(self, tx: Transaction, claims: Sequence[Claim]) -> list[Run]:
        """Let this process start runs that waited, and follow those that a worker has begun."""
        runs = [self.run_of(tx, claim._replace(node=self.node)) for claim in claims]
        sql = (
            "update schedcore_claims set state = ?, node = ?, act_us = null,"
            f" begun_us = case state when {REMOTE} then begun_us end where run_id = ?"
        )
        states = [ACTIVE if run._job is None else self._active(run._job) for run in runs]
        rows = [(state, self.node, run._id) for state, run in zip(states, runs, strict=True)]
        self._hold(tx, runs)
        tx.many(sql, rows)
        return runs

    def may_run(self, job: Job) -> bool:
        """Return whether this process has the executor of a job."""
        return self.executors is None or job.options.executor in self.executors

    def startable(self, tx: Transaction, k: int) -> list[Claim]:
        """Return the waiting runs of a job for which there is room."""
        job = self._job_of(tx, k)
        if job is None or not self.may_run(job):
            return []
        claims = self.of_job(tx, k)
        active = [claim for claim in claims if claim.state != WAITS]
        room = room_for(job.options, len(active), sum(map(self._has_begun, active)))
        return [claim for claim in claims if claim.state == WAITS][:room]

    def wait_for_retry(self, tx: Transaction, failed: End, act_us: int) -> bool:
        """Let a run wait for its next attempt; False: there is none."""
        return bool(
            tx.count(
                "update schedcore_claims set state = ?, attempt = ?, act_us = ?,"
                " begun_us = null, error_type = ?, error_text = ? where run_id = ? and final = 0"
                " and coalesce(node, 0) = ?",
                RETRIES,
                failed.run._attempt + 1,  # so that it can be repeated if the answer was lost
                act_us,
                failed.error_type,
                storable(failed.error_text or ""),
                failed.run._id,
                self.node or 0,  # unless it counted as lost, and another process has it now
            )
        )

    def free(
        self,
        tx: Transaction,
        run_ids: Sequence[int],
        node: int | None,
        act_us: int,
        attempts: int = 0,
    ) -> None:
        """Let any process begin runs of *node*, from *act_us* on; count *attempts* more."""
        sql = (
            "update schedcore_claims set state = ?, node = null, act_us = ?,"
            " attempt = attempt + ?, begun_us = null where run_id = ? and node = ?"
        )
        tx.many(sql, [(RETRIES, act_us, attempts, run_id, node) for run_id in run_ids])
        tx.notify()

    def release(self, tx: Transaction, claim: Claim, act_us: int) -> None:
        """Let any process follow a remote run, from *act_us* on; its worker continues."""
        sql = "update schedcore_claims set node = null, act_us = ? where run_id = ? and node = ?"
        tx.run(sql, act_us, claim.run_id, claim.node)
        tx.notify()

    def at_work(self) -> list[Run]:
        """Return the runs of this process."""
        return list(self.live.values())

    # Ending

    def close(self, tx: Transaction, claim: Claim, end: End) -> RunRecord:
        """End a run; return its record, which the caller must write."""
        return self.close_many(tx, ((claim, end),))[0]

    def close_many(self, tx: Transaction, ended: Sequence[tuple[Claim, End]]) -> list[RunRecord]:
        """End runs; return their records, which the caller must write."""
        ids = [(claim.run_id,) for claim, _ in ended]
        tx.many("delete from schedcore_claims where run_id = ?", ids)
        remote = [(claim.run_id,) for claim, _ in ended if claim.state == REMOTE]
        tx.many("delete from schedcore_remote where run_id = ?", remote)
        self._notify_owner(tx, [claim for claim, _ in ended])
        return [record_of(claim, end) for claim, end in ended]

    def _notify_owner(self, tx: Transaction, claims: Sequence[Claim]) -> None:
        """Count runs taken from another process, which checks them when the count grows."""
        others = {claim.node for claim in claims} - {self.node, None}
        if others:
            tx.notify()
        for node in sorted(others, key=str):
            tx.run("update schedcore_nodes set gone = gone + 1 where id = ?", node)

    def end_waiting(
        self, tx: Transaction, k: int, outcome: Outcome, now_us: int, ended: list[End]
    ) -> list[RunRecord]:
        """End the runs of a job that have not begun; the others are not retried."""
        records = []
        for claim in self.of_job(tx, k):
            if outcome is Outcome.PAUSED and claim.by_hand:
                continue
            run = self.run_of(tx, claim)
            # Only the owner of a run knows whether it has begun.
            mine = claim.run_id in self.live and claim.node == self.node
            elsewhere = claim.is_remote or (claim.state == ACTIVE and not mine)
            if elsewhere or not run.withdraw():
                tx.run("update schedcore_claims set final = 1 where run_id = ?", claim.run_id)
                continue
            tx.given.append(run)
            tx.if_undone(run.may_begin)
            tx.if_undone(partial(setattr, run, "_cancelled", run._cancelled))
            run._cancelled = True
            end = end_of_waiting(run, outcome, now_us)
            records.append(self.close(tx, claim, end))
            ended.append(end)
        return records

    # After the commit

    def opened(self, runs: Iterable[Run], waits: bool = False) -> None:
        """Add runs that this process opened or took."""
        for run in runs:
            run._waits = waits
            self.live[run._id] = run

    def begins(self, run: Run) -> None:
        """Note that a run of this process begins."""
        if self.unbegun is not None:
            self.unbegun.begins(run._id)

    def use_unbegun_file(self, path: Path | None) -> None:
        """From now on, record runs that have not begun in a file; None: there is no file."""
        if self.unbegun is not None:
            self.unbegun.remove()
        self.unbegun = None if path is None else unbegun_at(path)

    def ended(self, ends: Sequence[End]) -> None:
        """Set the ends on runs."""
        for end in ends:
            mark_ended(end)
            end.run._output = None
            self.live.pop(end.run._id, None)
            if end.run._awaited is not None:
                end.run._awaited.set()
