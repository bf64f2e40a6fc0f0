"""Each job's JSON, kept until the job changes.

Writing 10,000 jobs as JSON takes 100 ms, 10 us each.  What is fixed about a job is kept as text,
its head; when it is due next and its state, the tail, is put together in 0.25 us.  So a list takes
7 ms when every job has run since the last one, 2 ms when one has, and nothing when none has, since
it is kept whole.  Of the 7 ms, tails take 3, the store's copy and joining the parts 1 each, and
finding what is still the same, and freeing what is not, the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import tzinfo
from itertools import compress, count
from operator import is_, itemgetter
from typing import Final, NamedTuple

from schedcore import Scheduler
from schedcore.clock import SECOND, from_us
from schedcore.job import Job
from schedcore.stores.base import Entry
from schedhttp import codec
from schedhttp.sameness import same_runs

_SLACK = 256
_MOST_DIFFERENCES = 200
"""Differences between two lists that are looked for one by one: 0.2 ms."""
_MINUTE_US = 60 * SECOND
_MOST_MINUTES = 4096
_MOST_SECONDS = 32_768
"""Points of a minute that are kept: 5 MB."""
_PARTS: Final = 3
"""Into how many parts a job's JSON falls."""
_PAUSED = b',"next_run_time":null,"state":"paused"}'
# Places in an Entry and in a _Head (the job comes first in both): by name each takes 10 ns more.
_JOB: Final = 0
_DUE: Final = 2
_BROKEN: Final = 3
_TEXT: Final = 1
_ZONE: Final = 2
_job_of = itemgetter(_JOB)
_id_of = itemgetter(0)
_text_of = itemgetter(_TEXT)


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
    heads: list[_Head]
    parts: list[bytes]
    """Of each job the head's text and two parts of the tail, as if no job was under way."""
    body: bytes


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
        self._minutes: dict[tuple[tzinfo, int], tuple[bytes, bytes]] = {}
        self._seconds: dict[bytes, dict[int, bytes]] = {}
        self._listing = _NOTHING

    def one(self, entry: Entry) -> tuple[bytes, str]:
        """Return the JSON of a job, and its ETag."""
        head = self._head(entry.job)
        job_id = entry.job.id
        running = any(run.job_id == job_id for run in self._scheduler.runs())
        if running:
            return head.text[1:] + _tail(entry, True), _etag(head, entry)
        (before,), (after,) = self._tails((entry,), (head,))
        return head.text[1:] + before + after, _etag(head, entry)

    def etag(self, entry: Entry) -> str:
        """Return what changes with the job's definition or when it is paused, and not as it runs.

        A job that runs each second could never be changed with ``If-Match`` otherwise.
        """
        return _etag(self._head(entry.job), entry)

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
        heads, parts = self._anew(entries, kept)
        body = _array(_with_running(entries, parts, running))
        self._listing = _Listing(version, running, entries, heads, parts, body)
        return body

    def some(self, entries: Sequence[Entry], running: frozenset[str]) -> bytes:
        """Return the JSON of these jobs, in this order, while those in *running* are under way."""
        parts = self._parts(entries, self._heads_of(entries))
        return _array(_with_running(entries, parts, running))

    def _anew(self, entries: list[Entry], kept: _Listing) -> tuple[list[_Head], list[bytes]]:
        """Return the heads and parts of all jobs, those that are still the same from *kept*."""
        heads: list[_Head] = []
        parts: list[bytes] = []

        def write_until(end: int) -> None:
            begin = len(heads)
            if begin < end:
                changed, before = entries[begin:end], kept.heads[begin:end]
                # Jobs that only moved on stand where they stood: found in a third of the time.
                moved = len(before) == len(changed) and all(
                    map(is_, map(_job_of, changed), map(_job_of, before))
                )
                written = before if moved else self._heads_of(changed)
                parts.extend(self._parts(changed, written))
                heads.extend(written)

        for run in same_runs(entries, kept.entries, _MOST_DIFFERENCES):
            write_until(run.new_at)
            heads += kept.heads[run.old_at : run.old_at + run.length]
            parts += kept.parts[_PARTS * run.old_at : _PARTS * (run.old_at + run.length)]
        write_until(len(entries))
        return heads, parts

    def _parts(self, entries: Sequence[Entry], heads: Sequence[_Head]) -> list[bytes]:
        parts = [b""] * (_PARTS * len(heads))
        parts[0::_PARTS] = map(_text_of, heads)
        parts[1::_PARTS], parts[2::_PARTS] = self._tails(entries, heads)
        return parts

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

    def _tails(
        self, entries: Sequence[Entry], heads: Sequence[_Head]
    ) -> tuple[list[bytes], list[bytes]]:
        """Return what changes from run to run about these jobs, as if none was under way.

        In two parts, up to the minute and from the seconds on.  Together they are the same as
        :func:`codec.place_to_dict` in JSON, in 0.25 us a job and not in 4: jobs come by their due
        time, so most share the minute of the one before; and most come back at the same point of
        a minute, since their span is a number of minutes.  So nearly all parts are there already.
        """
        befores: list[bytes] = []
        afters: list[bytes] = []
        begin = end = 0
        zone: tzinfo | None = None
        before = offset = b""
        known: Callable[[int], bytes | None] = _nothing_known
        for entry, head in zip(entries, heads, strict=True):
            due_us = entry[_DUE]
            if due_us is None or entry[_BROKEN] is not None:
                befores.append(_tail(entry, False))
                afters.append(b"")
                continue
            if not begin <= due_us < end or head[_ZONE] is not zone:
                begin, zone = due_us - due_us % _MINUTE_US, head[_ZONE]
                minute = self._minute(begin, zone)
                if minute is None:
                    end = begin
                    befores.append(_tail(entry, False))
                    afters.append(b"")
                    continue
                (before, offset), end = minute, begin + _MINUTE_US
                known = self._seconds.setdefault(offset, {}).get
            befores.append(before)
            afters.append(known(due_us - begin) or self._seconds_on(due_us - begin, offset))
        return befores, afters

    def _seconds_on(self, at_us: int, offset: bytes) -> bytes:
        """Return what stands from the seconds on, of a due time so long after its minute began."""
        seconds, micros = divmod(at_us, SECOND)
        text = f"{seconds:02}.{micros:06}" if micros else f"{seconds:02}"
        if sum(map(len, self._seconds.values())) >= _MOST_SECONDS:
            self._seconds = {}
        found = text.encode("ascii") + offset
        self._seconds.setdefault(offset, {})[at_us] = found
        return found

    def _minute(self, begin_us: int, zone: tzinfo) -> tuple[bytes, bytes] | None:
        """Return what stands before and after the seconds of a due time in this minute.

        None where the wall clock's minutes are not those of UTC: offsets had seconds before 1972.
        """
        found = self._minutes.get((zone, begin_us))
        if found is None:
            moment = from_us(begin_us, zone).isoformat()
            if moment[17:19] != "00":
                return None
            found = (
                f',"next_run_time":"{moment[:17]}'.encode("ascii"),
                f'{moment[19:]}","state":"scheduled"}}'.encode("ascii"),
            )
            if len(self._minutes) >= _MOST_MINUTES:
                self._minutes = {}
            self._minutes[zone, begin_us] = found
        return found


def _nothing_known(at_us: int) -> None:  # noqa: ARG001 — in place of a look into a dict
    return None


def _tail(entry: Entry, running: bool) -> bytes:
    """Return what changes from run to run about any job."""
    if entry.due_us is None and entry.broken is None and not running:
        return _PAUSED
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
    """Return a JSON array; in one go, since each copy of 3 MB takes 1 ms."""
    if not parts:
        return b"[]"
    # Not by way of a slice: a copy of 30,000 parts counts.
    first, parts[0] = parts[0], b"[" + parts[0][1:]
    parts.append(b"]")
    body = b"".join(parts)
    parts[0] = first
    parts.pop()
    return body


def _etag(head: _Head, entry: Entry) -> str:
    state = b"paused" if entry.due_us is None else b""
    return hashlib.blake2b(head.text + state, digest_size=12).hexdigest()
