"""A store that has nothing in common with the one in memory: tables in another process.

Jobs, places, open runs and outcomes cross as values, functions as references; nothing is kept here
but the runs that this client holds, and definitions that it has read.  Each method is one
transaction.  It is slow and plain on purpose: what it can follow, a store over SQL can.
"""

from __future__ import annotations

import hashlib
import itertools
import pickle
import threading
from collections import Counter, deque
from collections.abc import Mapping

from schedcore.admission import admit, room_for
from schedcore.errors import ConflictingIdError, JobLookupError
from schedcore.history.query import EVERYTHING
from schedcore.output.text import Kept, printed
from schedcore.run import Outcome, Run, RunRecord, reason_of
from schedcore.stores.audit_records import effective_changes, record_of_change
from schedcore.stores.base import (
    Change,
    Ended,
    Entry,
    Settled,
    Settlement,
    Skipped,
    Slot,
    Written,
)
from schedcore.stores.ends import end_of_evicted, end_of_waiting, mark_ended, mark_retried
from schedcore.stores.not_run import not_run_records, skipped_record
from schedcore.stores.positions import (
    FeedPosition,
    Happened,
    Position,
    in_order,
    read_feed_position,
    read_position,
)
from schedcore.stores.run_requests import KEYS_KEPT_US, EarlierRun, runs_of
from tests.stores.database import LOG, Session
from tests.stores.tables import AuditTable, Definitions, HistoryTable

_new_name = itertools.count(1).__next__


class PlainStore:
    """Follows :class:`~schedcore.stores.contract.Store`.

    Args:
        database: Name of the database; several stores may share one, as processes would.
    """

    def __init__(self, database=None):
        self.database = database or f"database {_new_name()}"
        self._session = Session(self.database)
        self._live: dict[int, Run] = {}
        self._definitions = Definitions(self._session)
        self._history = HistoryTable(self._session)
        self._trail = AuditTable(self._session)
        # The caller's deque of ends is read, and shortened only when they are recorded.
        self._ending = threading.Lock()

    def close(self):
        self._session.close()

    # Jobs

    def write(self, changes, now_us, by=None):
        ended = []
        with self._session.transaction():
            conflicts = self._conflicts(changes)
            if conflicts:
                return Written(conflicts)
            for change in changes:
                if isinstance(change, Entry):
                    self._insert(change)
                elif change.new is not change.old:
                    self._change(change, now_us, ended)
            if by is not None:
                made = effective_changes(changes)
                self._trail.add([record_of_change(change, by, now_us) for change in made])
        self._mark(ended)
        return Written((), ended)

    def _conflicts(self, changes):
        found, seen = [], set()
        for change in changes:
            added = isinstance(change, Entry)
            job_id = change.job.id if added else change.old.job.id
            row = self._session.row("jobs", job_id)
            as_read = row is None if added else row is not None and _version(row) == change[0][5]
            if not as_read or job_id in seen:
                found.append(job_id)
            seen.add(job_id)
        return found

    def _change(self, change, now_us, ended):
        old, new, another, records = change
        row = self._session.row("jobs", old.job.id)
        if new is None or another:
            self._end_waiting(row, Outcome.CANCELLED, now_us, ended)
            self._delete(row)
            self._session.delete("declared", old.job.id)
            if new is not None:
                self._insert(new)
        else:
            if new.due_us is None and old.due_us is not None:
                self._end_waiting(row, Outcome.PAUSED, now_us, ended)
            version = row["version"]
            if new.job is not old.job:
                version = self._definitions.add(row["k"], new.job)
            self._update(
                row,
                version=version,
                executor=new.job.executor,
                fire_us=new.fire_us,
                due_us=new.due_us,
                broken=new.broken,
                backlog_us=new.backlog_us,
            )
        for record in records:
            self._history.add(record)

    def _insert(self, entry):
        k = self._session.next("jobs ever")
        row = {"id": entry.job.id, "k": k, "version": self._definitions.add(k, entry.job)}
        self._update(
            row,
            executor=entry.job.executor,
            fire_us=entry.fire_us,
            due_us=entry.due_us,
            broken=entry.broken,
            backlog_us=entry.backlog_us,
        )

    def _update(self, row, **columns):
        """Write a row whose place or definition changes; no claim on it holds any more."""
        seq = self._note(row["id"])
        self._session.put("jobs", row["id"], {**row, **columns, "seq": seq, "taken": None})

    def _delete(self, row):
        self._note(row["id"])
        self._session.delete("jobs", row["id"])
        self._session.put("gone", row["k"], row)
        self._definitions.forget(row)

    def _note(self, job_id):
        number = self._session.next("changes")
        self._session.put("log", number, job_id)
        return number

    def _entry(self, row):
        place = row["fire_us"], row["due_us"], row["broken"], row["backlog_us"]
        return Entry(self._definitions.of(row), *place, _version(row))

    def declare(self, app, declared, now_us, otherwise="change", by=None):
        ended = []
        with self._session.transaction():
            marks = dict(self._session.all("declared"))
            for entry, fingerprint in declared if otherwise == "refuse" else ():
                there = self._session.row("jobs", entry.job.id)
                if there is not None and marks.get(entry.job.id, "  ")[1] != fingerprint:
                    raise ConflictingIdError(entry.job.id)
            for entry, fingerprint in declared:
                known = marks.get(entry.job.id)
                made = self._declare(
                    entry, known, (app, fingerprint), now_us, ended, otherwise == "replace"
                )
                if made is not None and by is not None:
                    self._trail.add([record_of_change(made, by, now_us)])
            rows = [self._session.row("jobs", entry.job.id) for entry, _ in declared]
            found = [self._entry(row) for row in rows if row is not None]
        self._mark(ended)
        return found

    def retire(self, app, declared, now_us, by=None):
        ended, parked = [], []
        with self._session.transaction():
            for job_id, (of, fingerprint) in self._session.all("declared"):
                row = self._session.row("jobs", job_id)
                if of != app or not fingerprint or row is None or job_id in declared:
                    continue
                old = self._entry(row)
                reason = f"{app!r} no longer declares it"
                change = Change(old, old._replace(due_us=None, broken=reason))
                self._change(change, now_us, ended)
                if by is not None:
                    self._trail.add([record_of_change(change, by, now_us)])
                self._session.put("declared", job_id, (app, ""))
                parked.append(job_id)
        self._mark(ended)
        return parked

    def _declare(self, entry, known, mark, now_us, ended, another):
        app = mark[0]
        row = self._session.row("jobs", entry.job.id)
        if row is None and app is not None and known == mark:
            return None  # it had its last fire time
        if row is not None and known is not None and known[1] == mark[1]:
            self._session.put("declared", entry.job.id, (app or known[0], mark[1]))
            return None  # it stands as it is
        change = entry
        if row is None:
            self._insert(entry)
        else:
            parked = known is not None and not known[1]
            if known is not None and row["due_us"] is None and not parked:
                entry = entry._replace(due_us=None)
            old = self._entry(row)
            records = not_run_records(old, entry, now_us)
            change = Change(old, entry, another or known is None, records)
            self._change(change, now_us, ended)
        self._session.put("declared", entry.job.id, mark)
        return change

    def get(self, job_id):
        with self._session.transaction():
            row = self._session.row("jobs", job_id)
            if row is None:
                raise JobLookupError(job_id)
            return self._entry(row)

    def entries(self):
        with self._session.transaction():
            found = [self._entry(row) for _, row in self._session.all("jobs")]
        return sorted(found, key=lambda entry: (entry.due_us is None, entry.due_us or 0))

    def page(self, after, limit):
        with self._session.transaction():
            rows = [row for job_id, row in self._session.all("jobs") if job_id > after]
            return [self._entry(r) for r in sorted(rows, key=lambda row: row["id"])[:limit]]

    def changes(self, since):
        with self._session.transaction():
            log = self._session.all("log")
        version = log[-1][0] if log else 0
        known = log[0][0] - 1 if len(log) == LOG else 0
        if not isinstance(since, int) or since < known:
            return version, None
        return version, [job_id for number, job_id in log if number > since]

    # The schedule

    def take(self, now_us, limit, executors=None):
        with self._session.transaction():
            waiting = self._waiting()
            rows = [row for row in self._due_rows(waiting, executors) if row["due_us"] <= now_us]
            if isinstance(executors, Mapping):
                rows = _within(rows, executors)
            token = self._session.next("tokens")
            slots = []
            for row in rows[:limit]:
                self._session.put("jobs", row["id"], {**row, "taken": token})
                slots.append(slot := Slot(self._entry(row), row["seq"]))
                slot.behind = deque() if row["k"] in waiting else None
        return PlainBatch(self, slots, token)

    def next_due(self, executors=None):
        with self._session.transaction():
            rows = self._due_rows(self._waiting(), executors)
        return rows[0]["due_us"] if rows else None

    def _waiting(self):
        """Return the jobs, by k, of which runs wait behind others."""
        return {claim["k"] for claim in self._session.rows("runs", "waits", True)}

    def _due_rows(self, waiting, executors):
        """Return what nobody has taken, but for backlogs whose first part is worked off."""
        rows = [
            row
            for _, row in self._session.all("jobs")
            if row["due_us"] is not None
            and row["taken"] is None
            and not (row["backlog_us"] is not None and row["k"] in waiting)
            and (executors is None or row["executor"] in executors)
        ]
        return sorted(rows, key=lambda row: row["due_us"])

    def settle(self, batch, decided, now_us):
        settled = Settled([], [], [], [], [])
        with self._session.transaction():
            for slot, decision in zip(batch.slots, decided, strict=True):
                row = self._session.row("jobs", slot.job.id)
                if row is not None and row["taken"] == batch.token and row["seq"] == slot.seq:
                    self._settle_one(row, slot, decision, settled, now_us)
        for run in settled.runs:
            self._live[run.id] = run
        self._mark(settled.evicted)
        return settled

    def _settle_one(self, row, slot, decision, settled, now_us):
        if not isinstance(decision, Settlement):
            decision = Settlement(slot, slot.job, decision, decision, (slot.fire_us,))
        _, job, fire_us, due_us, times, backlog_us, broken, not_run = decision
        self._definitions.resolved(row, job)
        for one in not_run:
            self._history.add(one.record(job.id))
            settled.not_run.append((job, one))
        if times:
            self._admit(row, job, times, row["backlog_us"] is not None, settled, now_us)
        if due_us is None:
            settled.removed.append(job.id)
            self._delete(row)
        else:
            self._update(row, fire_us=fire_us, due_us=due_us, broken=broken, backlog_us=backlog_us)

    def _admit(self, row, job, times, continues, settled, now_us):
        claims = self._session.rows("runs", "k", row["k"])
        active = [claim for claim in claims if not claim["waits"]]
        begun = [claim for claim in active if self._has_begun(claim)]
        if not job.coalesce and any(claim["backlog"] for claim in active):
            continues = True
        starts, waits, skipped, evicted = admit(
            len(times), job.options, len(active), len(begun), len(claims) - len(active), continues
        )
        for claim in begun[:evicted]:
            run = self._run(claim)
            run._cancelled = True
            end = end_of_evicted(run, now_us)
            self._close(claim, end)
            settled.evicted.append(end)
        backlog = continues or len(times) > 1
        for due_us in times[:starts]:
            settled.runs.append(self._open(row, job, due_us, backlog))
        for due_us in times[len(times) - waits :] if waits else ():
            run = self._open(row, job, due_us, backlog, waits=True)
            self._live[run.id] = run
        if waits:
            self._hurry(row["k"])
        if skipped:
            self._skip(job, times[starts : starts + skipped], now_us, settled)

    def _open(self, row, job, due_us, backlog=False, waits=False, by_hand=False):
        run = Run(self._session.next("runs ever"), job, due_us)
        run._waits = waits
        claim = {
            "id": run.id,
            "job_id": job.id,
            "k": row["k"],
            "version": row["version"],
            "due_us": due_us,
            "waits": waits,
            "backlog": backlog,
            "attempt": 1,
            "error": (None, None),
            "last": False,
            "by_hand": by_hand,
            "call": None,
        }
        self._session.put("runs", run.id, claim)
        return run

    def _skip(self, job, times, now_us, settled=None):
        claims = self._session.rows("runs", "job_id", job.id)
        cause = "manual" if settled is None else "schedule"
        record = skipped_record(job, times, now_us, map(self._run, claims), cause)
        self._history.add(record)
        if settled is not None:
            settled.skipped.append(Skipped(job, times, record))
        return record

    def give_back(self, batch):
        with self._session.transaction():
            for row in self._session.rows("jobs", "taken", batch.token):
                self._session.put("jobs", row["id"], {**row, "taken": None})

    # Runs

    def open(self, requests, due_us):
        with self._session.transaction():
            opened = [self._open_one(each, due_us) for each in requests]
        for run in opened:
            if isinstance(run, Run):
                run._by_hand = True
                run._awaited, run._hurry = threading.Event(), True
                self._live[run.id] = run
        return opened

    def _open_one(self, request, due_us):
        job, own_call, key, note = request
        row = self._session.row("jobs", job.id)
        if row is None:
            return None
        earlier = self._session.row("keys", (row["k"], key))
        if key is not None and earlier and earlier["at_us"] >= due_us - KEYS_KEPT_US:
            return EarlierRun(earlier["run_id"])
        claims = self._session.rows("runs", "k", row["k"])
        waiting = sum(claim["waits"] for claim in claims)
        active = len(claims) - waiting
        by_hand = job.options._replace(overlap="skip")
        begun = sum(map(self._has_begun, claims))
        if not admit(1, by_hand, active, begun, waiting, False).starts:
            return self._skip(job, (due_us,), due_us)
        run = self._open(row, job, due_us, by_hand=True)
        if own_call:
            claim = self._session.row("runs", run.id)
            call = pickle.dumps((job.args, dict(job.kwargs)))
            self._session.put("runs", run.id, claim | {"call": call})
        if key is not None:
            opened = {"run_id": run.id, "at_us": due_us}
            self._session.put("keys", (row["k"], key), opened)
        self._trail.add([note._replace(run_id=run.id)] if note else [])
        return run

    def backfill(self, request, note):
        job, times, _ = request
        settled = Settled([], [], [], [], [])
        with self._session.transaction():
            row = self._session.row("jobs", job.id)
            if row is None:
                raise JobLookupError(job.id)
            before = {claim["id"]: claim for claim in self._session.rows("runs", "k", row["k"])}
            ran = runs_of(self._history.asked(request.query), map(self._run, before.values()))
            if request.left(row["due_us"], row["fire_us"], ran) != list(times):
                return None
            request.check_room(len(before))
            self._admit(row, job, times, True, settled, times[-1])
            opened = [c["id"] for c in self._session.rows("runs", "k", row["k"])]
            self._trail.add([note])
        self._live |= {run.id: run for run in settled.runs}
        started = {run.id for run in settled.runs}
        behind = [self._live[i] for i in opened if i not in before and i not in started]
        return settled.runs, behind

    def end(self, ends, promote):
        recorded, started = [], []
        with self._ending:
            noted = list(ends)
            with self._session.transaction():
                for end in noted:
                    claim = self._session.row("runs", end.run.id)
                    if claim is None:
                        continue
                    self._close(claim, end)
                    recorded.append(end)
                    if promote:
                        started += self._promote(claim)
                due_us = self._released({end.run.job_id for end in recorded})
            self._mark(recorded)
            for _ in noted:
                ends.popleft()
        return Ended(recorded, self._started(started), due_us)

    def _released(self, job_ids):
        """Return when the first of these jobs is due that has the rest of a backlog to come."""
        due = [row for row in self._due_rows(self._waiting(), None) if row["id"] in job_ids]
        return min((row["due_us"] for row in due if row["backlog_us"] is not None), default=None)

    def promote(self):
        with self._session.transaction():
            waiting = {c["k"]: c for c in self._session.rows("runs", "waits", True)}
            started = [claim for one in waiting.values() for claim in self._promote(one)]
            due_us = self._released({claim["job_id"] for claim in started})
        return Ended([], self._started(started), due_us)

    def _promote(self, one):
        """Let runs of a job start for which there is room, and return their claims."""
        claims = self._session.rows("runs", "k", one["k"])
        row = self._session.row("gone", one["k"]) or self._session.row("jobs", one["job_id"])
        job = self._definitions.of(row)
        active = [claim for claim in claims if not claim["waits"]]
        waiting = [claim for claim in claims if claim["waits"]]
        room = room_for(job.options, len(active), sum(map(self._has_begun, active)))
        started = [c | {"waits": False} for c in waiting[:room]]
        for claim in started:
            self._session.put("runs", claim["id"], claim)
        return started

    def _started(self, claims):
        runs = [self._run(claim) for claim in claims]
        for run in runs:
            run._waits, run._hurry = False, True
            self._live[run.id] = run
        return runs

    def retry(self, failed, act_us):
        run = failed.run
        with self._session.transaction():
            claim = self._session.row("runs", run.id)
            if claim is None or claim["last"]:
                return False
            error = failed.error_type, failed.error_text
            claim |= {"attempt": claim["attempt"] + 1, "error": error}
            self._session.put("runs", run.id, claim)
            mark_retried(failed, run._attempt + 1)
        return True

    def try_again(self, runs):
        with self._session.transaction():
            return [run for run in runs if self._session.row("runs", run.id) is not None]

    def runs(self):
        with self._session.transaction():
            return [self._run(claim) for _, claim in self._session.all("runs")]

    def _run(self, claim):
        """Return the run that a claim stands for: the one that this client holds, if it does."""
        run = self._live.get(claim["id"])
        if run is None:
            job = self._definitions.of(claim)
            if claim["call"] is not None:
                args, kwargs = pickle.loads(claim["call"])
                job = job._replace(args=args, kwargs=kwargs)
            run = Run(claim["id"], job, claim["due_us"])
            run._attempt, run._waits = claim["attempt"], claim["waits"]
            run._error_type, run._error_text = claim["error"]
        return run

    def _has_begun(self, claim):
        """Tell whether a run has begun that this client holds; nobody else knows."""
        run = self._live.get(claim["id"])
        return run is not None and run._started_us is not None

    def _hurry(self, k):
        for claim in self._session.rows("runs", "k", k):
            self._run(claim)._hurry = True

    def _end_waiting(self, row, outcome, now_us, ended):
        """End the runs of a job that have not begun; no attempt follows the others."""
        for claim in self._session.rows("runs", "k", row["k"]):
            run = self._run(claim)
            if outcome is Outcome.PAUSED and run._awaited is not None:
                continue
            # Whether one has begun that another client holds, is for that client to know.
            elsewhere = claim["id"] not in self._live and not claim["waits"]
            if elsewhere or not run.withdraw():
                self._session.put("runs", run.id, claim | {"last": True})
                continue
            run._cancelled = True
            end = end_of_waiting(run, outcome, now_us)
            self._close(claim, end)
            ended.append(end)

    def _close(self, claim, end):
        """Move a claim to the history."""
        started_us = end.run._started_us
        late_us = (end.ended_us if started_us is None else started_us) - claim["due_us"]
        self._session.delete("runs", claim["id"])
        self._history.add(
            RunRecord(
                claim["id"],
                claim["job_id"],
                end.outcome,
                claim["due_us"],
                started_us,
                end.ended_us,
                max(0, late_us),
                1,
                end.result,
                end.error_type,
                end.error_text,
                claim["attempt"],
                "manual" if claim["by_hand"] else "backfill" if claim["backlog"] else "schedule",
                reason_of(end.run, end.outcome),
            )
        )

    def _mark(self, ends):
        """Write on the runs that ended how they did, now that it is recorded."""
        self._save_outputs([end.run for end in ends])
        for end in ends:
            mark_ended(end)
            end.run._output = None
            self._live.pop(end.run.id, None)
            if end.run._awaited is not None:
                end.run._awaited.set()

    # The history

    def records(self, query=EVERYTHING):
        with self._session.transaction():
            return self._history.asked(query)

    def kept(self, query, most):
        return len(self.records(query._replace(before=None, offset=0, limit=most)))

    def tally(self, query, slice_us, most):
        every = self.records(query._replace(before=None, offset=0, limit=None))
        found = sorted(every, key=lambda record: record.scheduled_us, reverse=True)
        return Counter((r.scheduled_us // slice_us, r.outcome) for r in found[:most])

    def ended_after(self, position, limit):
        since = None if position is None else read_position(position)
        with self._session.transaction():
            records = self._history.records(None)[::-1]
        if since is None or not self._knows(since, records):
            return str(Position(self._name, 0, len(records))), []
        records = records[since.seq : since.seq + limit]
        return str(since._replace(seq=since.seq + len(records))), records

    def keeps_after(self, position):
        with self._session.transaction():
            return self._knows(read_position(position), self._history.records(None))

    @property
    def _name(self):
        return hashlib.sha1(self.database.encode()).hexdigest()[:8]

    def _knows(self, position, records):
        return position[:2] == (self._name, 0) and position.seq <= len(records)

    def note(self, records):
        with self._session.transaction():
            self._trail.add(records)

    def audit(self, job_id, since_us, before, limit):
        with self._session.transaction():
            records = [record for _, record in reversed(self._trail.all())]
        return [
            record
            for record in records
            if job_id in (None, record.job_id)
            and record.at_us >= (since_us or 0)
            and (before is None or record.id < before)
        ][:limit]

    def happened_after(self, position, limit):
        since = None if position is None else read_feed_position(position)
        with self._session.transaction():
            records, changes = self._history.records(None)[::-1], self._trail.all()
        end = [Position(self._name, 0, len(each)) for each in (records, changes)]
        if since is None or not FeedPosition(*end).knows(since):
            return Happened(str(FeedPosition(*end)), [], since is None)
        last, found = in_order(
            since,
            [((0, n), record) for n, record in enumerate(records, 1)][since.outcomes.seq :],
            [((0, before), (0, r.id), r) for before, r in changes][since.changes.seq :],
            limit,
        )
        return Happened(str(last), found, True)

    def output(self, run_id):
        run = self._live.get(run_id)
        if run is not None:
            self._save_outputs([run])
        with self._session.transaction():
            row = self._session.row("outputs", run_id)
        return Kept() if row is None else Kept(*row["kept"])

    def _save_outputs(self, runs):
        """Write what runs have printed; this store has nobody who does so each second."""
        with self._session.transaction():
            for run in runs:
                if (output := printed(run)) is not None:
                    self._session.put(
                        "outputs", run.id, {"id": run.id, "kept": tuple(output.kept())}
                    )

    def find(self, run_id):
        with self._session.transaction():
            claim = self._session.row("runs", run_id)
            if claim is not None:
                return self._run(claim)
            records = [r for r in self._history.records(None) if r.run_id == run_id]
        return records[0] if records else None

    def counts(self, job_id=None):
        with self._session.transaction():
            return self._history.counts(job_id)

    def totals(self, job_ids):
        with self._session.transaction():
            return self._history.totals(job_ids)


class PlainBatch:
    """Jobs whose rows say that they are taken; see :class:`~schedcore.stores.contract.Batch`."""

    def __init__(self, store, slots, token):
        self.slots = slots
        self.token = token
        self._store = store
        self._open = bool(slots)

    def settle(self, decided, now_us):
        settled = self._store.settle(self, decided, now_us)
        self._open = False
        return settled

    def give_back(self):
        if self._open:
            self._store.give_back(self)
            self._open = False

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.give_back()


def _within(rows, rooms):
    """Return the rows for which their executors have room."""
    left = dict(rooms)
    found = []
    for row in rows:
        if left[row["executor"]] > 0:
            left[row["executor"]] -= 1
            found.append(row)
    return found


def _version(row):
    return row["k"], row["version"], row["seq"]
