"""Each job's JSON, kept until the job changes.

Writing 10,000 jobs as JSON takes 80 ms, 8 us each.  What is fixed about a job is kept as text,
its head; when it is due next and its state, the tail, is put together in 0.1 us.  So a list takes
5 ms when every job has run since the last one, 2 ms when one has, and nothing when none has, since
it is kept whole.  Of the 5 ms, tails take 1.3, joining 0.8 and the store's copy 0.6; the rest is
taking the entries apart, finding what is still the same, and freeing what is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import tzinfo
from itertools import compress, count
from operator import is_, itemgetter
from typing import Final, NamedTuple

from schedcore import Scheduler
from schedcore.atfork import call_in_child
from schedcore.job import Job
from schedcore.stores.base import Entry
from schedhttp import codec
from schedhttp.duetimes import PAUSED, DueTimes, Tails
from schedhttp.sameness import SameRun, same_runs

_SLACK = 256
_MOST_DIFFERENCES = 200
"""Differences between two lists that are looked for one by one: 0.2 ms."""
_PARTS: Final = 3
"""Into how many parts a job's JSON falls."""
# Places in an Entry and in a _Head (the job comes first in both): by name each takes 10 ns more.
_job_of = itemgetter(0)
_due_of = itemgetter(2)
_broken_of = itemgetter(3)
_text_of = itemgetter(1)
_zone_of = itemgetter(2)
_id_of = itemgetter(0)


class _Head(NamedTuple):
    """What is fixed about a job; it belongs to that very object, which is kept beside it."""

    job: Job
    text: bytes
    """A comma, and its JSON without the closing brace."""
    zone: tzinfo
    """Where its due times are shown."""
    trigger: str | None
    """The part of the JSON that tells of the trigger, if it can be used again."""


class _Listing(NamedTuple):
    """The JSON of all jobs, and what it was made of.  Never changed, only replaced whole."""

    version: object
    running: frozenset[str]
    entries: list[Entry]
    zones: list[tzinfo]
    parts: list[bytes]
    """Of each job the head's text and two parts of the tail, as if no job was under way."""
    body: bytes


_BEGINNING = SameRun(0, 0, 0)
_NOTHING = _Listing(None, frozenset(), [], [], [], b"[]")


class KeptJobs:
    """The JSON of a scheduler's jobs.  Thread-safe: what is kept is immutable, or replaced whole.

    No lock of the engine's is held while anything is turned into JSON.

    Args:
        scheduler: Whose jobs they are.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        # By id.  Each tells which job it is of, since there may be another one by now: the very
        # same, as jobs are immutable, and comparing them would ask their arguments.
        self._heads: dict[str, _Head] = {}
        self._most_heads = _SLACK
        self._due_times = DueTimes()
        self.after_fork_in_child()
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Have other ETags for the list than the parent, whose versions may be equal by chance."""
        self._mark = os.urandom(12).hex()
        self._list_etag: tuple[object, frozenset[str], str] = (None, frozenset(), "")
        self._listing = _NOTHING

    def one(self, entry: Entry) -> tuple[bytes, str]:
        """Return the JSON of a job, and its ETag: the definition's, a dot, and its place's."""
        head = self._head(entry.job)
        running = entry.job.id in self.running()
        if running or entry.broken is not None:
            tail = _tail(entry, running)
        else:
            tail = self._due_times.tail(entry.due_us, head.zone)
        place = hashlib.blake2b(tail, digest_size=6).hexdigest()
        return head.text[1:] + tail, f"{_definition_etag(head, entry)}.{place}"

    def etag(self, entry: Entry) -> str:
        """Return what changes with anything that is shown of the job."""
        return self.one(entry)[1]

    def definition_etag(self, entry: Entry) -> str:
        """Return what changes with the job's definition or when it is paused, and not as it runs.

        A job that runs each second could never be changed with ``If-Match`` otherwise.
        """
        return _definition_etag(self._head(entry.job), entry)

    def list_etag(self) -> str | None:
        """Return what changes with anything that is shown of any job; None: it is not known.

        Versions are those of one store in one process: another process has another ETag.
        """
        version, running = self._scheduler.jobs_version(), self.running()
        if version is None:
            return None
        kept = self._list_etag
        if kept[0] != version or kept[1] != running:
            shown = f"{self._mark} {version!r} {sorted(running)!r}".encode(errors="replace")
            kept = (version, running, hashlib.blake2b(shown, digest_size=12).hexdigest())
            self._list_etag = kept
        return kept[2]

    def running(self) -> frozenset[str]:
        """Return the ids of the jobs that are under way."""
        return frozenset([run.job_id for run in self._scheduler.runs()])

    def all(self) -> bytes:
        """Return the JSON of all jobs: the earliest due first, paused ones last."""
        version = self._scheduler.jobs_version()  # before the jobs, so never younger than they are
        running = self.running()
        kept = self._listing
        if version is not None and kept.version == version and kept.running == running:
            return kept.body
        # A copy, of immutable values: what is shown is one state of the store, whatever changes.
        entries = self._scheduler.entries()
        zones, parts = self._anew(entries, kept)
        # What was kept is let go of first: the new body takes its place in memory, and not 900
        # pages that the system has to hand out, 2 us each.
        kept = self._listing = _NOTHING
        body = _array(_with_running(entries, parts, running))
        self._listing = _Listing(version, running, entries, zones, parts, body)
        return body

    def some(self, entries: Sequence[Entry], running: frozenset[str]) -> bytes:
        """Return the JSON of these jobs, in this order, while those in *running* are under way."""
        parts = self._parts(entries, self._heads_of(entries))
        return _array(_with_running(entries, parts, running))

    def _anew(self, entries: list[Entry], kept: _Listing) -> tuple[list[tzinfo], list[bytes]]:
        """Return the zones and parts of all jobs: those in *kept*, with what changed put in."""
        zones, parts = kept.zones.copy(), kept.parts.copy()
        # Between what is the same, from the end on: all before it stands where it stood.
        end, old_end = len(entries), len(kept.entries)
        same = same_runs(entries, kept.entries, _MOST_DIFFERENCES)
        for run in reversed([_BEGINNING, *same]):
            begin, old_begin = run.new_at + run.length, run.old_at + run.length
            changed, before = entries[begin:end], kept.entries[old_begin:old_end]
            first, last = _PARTS * old_begin, _PARTS * old_end
            # Jobs that only moved on stand where they stood: found in a third of the time.
            if len(before) == len(changed) and all(
                map(is_, map(_job_of, changed), map(_job_of, before))
            ):
                tails = self._tails(changed, zones[old_begin:old_end])
                parts[first + 1 : last : _PARTS], parts[first + 2 : last : _PARTS] = tails
            else:
                heads = self._heads_of(changed)
                zones[old_begin:old_end] = map(_zone_of, heads)
                parts[first:last] = self._parts(changed, heads)
            end, old_end = run.new_at, run.old_at
        return zones, parts

    def _parts(self, entries: Sequence[Entry], heads: list[_Head]) -> list[bytes]:
        parts = [b""] * (_PARTS * len(heads))
        parts[0::_PARTS] = map(_text_of, heads)
        parts[1::_PARTS], parts[2::_PARTS] = self._tails(entries, list(map(_zone_of, heads)))
        return parts

    def _tails(self, entries: Sequence[Entry], zones: list[tzinfo]) -> Tails:
        """Return what changes from run to run about these jobs, as if none was under way."""
        tails = self._due_times.tails(list(map(_due_of, entries)), zones)
        if any(map(_broken_of, entries)):
            for place in compress(count(), map(_broken_of, entries)):
                tails.befores[place], tails.afters[place] = _tail(entries[place], False), b""
        return tails

    def _heads_of(self, entries: Sequence[Entry]) -> list[_Head]:
        # All but the new ones are found without a line of Python run for each: 0.15 us.
        jobs = list(map(_job_of, entries))
        found = list(map(self._heads.get, map(_id_of, jobs)))
        if all(found) and all(map(is_, jobs, map(_job_of, found))):  # type: ignore[arg-type]
            return found  # type: ignore[return-value]  # it holds no None
        return [
            head if head is not None and head.job is job else self._head(job)
            for job, head in zip(jobs, found, strict=True)
        ]

    def _head(self, job: Job) -> _Head:
        head = self._heads.get(job.id)
        if head is not None and head.job is job:
            return head
        known = head.trigger if head is not None and head.job.trigger is job.trigger else None
        text, trigger = codec.definition_to_json(job, known)
        made = _Head(job, f",{text[:-1]}".encode("ascii"), job.trigger.timezone, trigger)
        self._heads[job.id] = made
        if len(self._heads) > self._most_heads:
            self._forget_gone()
        return made

    def _forget_gone(self) -> None:
        """Forget jobs that are gone, each time that there may be a fifth of them."""
        there = set(map(_id_of, map(_job_of, self._scheduler.entries())))
        self._most_heads = len(there) + len(there) // 4 + _SLACK
        self._heads = {k: head for k, head in list(self._heads.items()) if k in there}


def _tail(entry: Entry, running: bool) -> bytes:
    """Return what changes from run to run about any job."""
    if entry.due_us is None and entry.broken is None and not running:
        return PAUSED
    return b"," + codec.dump(codec.place_to_dict(entry, running))[1:]


def _with_running(
    entries: Sequence[Entry], parts: list[bytes], running: frozenset[str]
) -> list[bytes]:
    if not running:
        return parts
    shown = parts[:]
    ids = map(_id_of, map(_job_of, entries))
    for place in compress(count(), map(running.__contains__, ids)):
        shown[_PARTS * place + 1] = _tail(entries[place], True)
        shown[_PARTS * place + 2] = b""
    return shown


def _array(parts: list[bytes]) -> bytes:
    """Return a JSON array; in one go, since each copy of 3 MB takes 1 ms.

    Meanwhile *parts* is not as it was: nobody else may have it.
    """
    if not parts:
        return b"[]"
    # Not by way of a slice: a copy of 30,000 parts counts.
    first, parts[0] = parts[0], b"[" + parts[0][1:]
    parts.append(b"]")
    body = b"".join(parts)
    parts[0] = first
    parts.pop()
    return body


def _definition_etag(head: _Head, entry: Entry) -> str:
    state = b"paused" if entry.due_us is None else b""
    return hashlib.blake2b(head.text + state, digest_size=12).hexdigest()
