"""JSON: the only function that writes it, and a cache of each job's bytes.

Writing a job takes some 10 us, most of it for its definition.  So the bytes of each job are cached
until it changes.  If only its next run time or state changed, those of the definition are reused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from schedcore import RunRecord, Scheduler, __version__
from schedcore.basics.atfork import call_in_child
from schedcore.history.last_runs import last_runs
from schedcore.history.query import RunQuery
from schedcore.stores.base import Entry
from schedhttp import codec
from schedhttp.hiding import arguments_hidden, secrets_hidden
from schedhttp.shown import (
    LAST_RUNS,
    LastRunsShown,
)


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"JSON does not know {type(value).__name__}")


# Created once: json.dumps() with options creates an encoder for each call, which takes 3 us.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_moment).encode


def dumps_plainly(value: object) -> bytes:
    """Do the same as :func:`dumps` with the standard library alone."""
    return _encode(value).encode("ascii")


try:
    import orjson
except ImportError:
    dumps = dumps_plainly
else:
    # What the standard library refuses must not be written by orjson either.
    _ONLY_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS

    def dumps(value: object) -> bytes:
        """Return *value* as JSON: of JSON's own types, with finite numbers and aware datetimes.

        Uses orjson if it is installed, which takes a fifth of the time.
        """
        try:
            return orjson.dumps(value, None, _ONLY_JSON)
        except TypeError:  # more than 64 bits, lone surrogates, keys that are not text
            return dumps_plainly(value)


_SLACK = 256


class _Written(NamedTuple):
    """A job's JSON."""

    entry: Entry
    """The entry that it was written from."""
    text: bytes
    fixed: int
    """How many bytes of the text belong to the definition."""
    whole: bytes = b""
    """The whole definition if parts of it are hidden: its ETag depends on them too."""


class JobJson:
    """The JSON of a scheduler's jobs.

    Thread-safe: cached values are immutable, or replaced as a whole.  No lock of the engine is held
    while JSON is written.

    Args:
        scheduler: The scheduler of the jobs.
        hide_args: Whether to hide the arguments, and not only the secrets in them.

    Attributes:
        hide: Removes from a job what is not shown; None: everything is shown.
    """

    def __init__(self, scheduler: Scheduler, hide_args: bool = False) -> None:
        self._scheduler = scheduler
        redact = scheduler.redact
        self.hide = arguments_hidden if hide_args else redact and secrets_hidden(redact)
        # What the text of a job depends on beside the job.
        self._view = f"{__version__} {hide_args} {redact!r}"
        self._written: dict[str, _Written] = {}
        self._runs: dict[str, tuple[RunRecord, bytes]] = {}
        self._most = _SLACK
        self.after_fork_in_child()
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Use other ETags of the list than the parent, whose versions may be equal by chance."""
        self._store_id = ""
        self._list_etag: tuple[object, frozenset[str], str] = (None, frozenset(), "")
        self._list: tuple[object, frozenset[str], bytes] = (None, frozenset(), b"")

    def one(self, entry: Entry) -> tuple[bytes, str]:
        """Return the JSON of a job with its last runs, and its ETag.

        The ETag has two parts with a dot between: of the definition, and of the schedule and runs.
        """
        written = self._of(entry)
        text = written.text
        if entry.job.id in self.running():
            text = _with_place(text[: written.fixed], entry, running=True)
        text = self.with_runs(text, entry)
        place = hashlib.blake2b(text[written.fixed :], digest_size=6).hexdigest()
        return text, f"{self._definition_etag(written)}.{place}"

    def without_runs(self, entry: Entry) -> bytes:
        """Return the JSON of a job as if it had no runs, for which the store is not read."""
        return self._of(entry).text

    def etag(self, entry: Entry) -> str:
        """Return the ETag that changes with anything that is shown of the job."""
        return self.one(entry)[1]

    def definition_etag(self, entry: Entry) -> str:
        """Return the ETag of the definition and of whether the job is paused, unchanged by runs.

        Otherwise a job that runs every second could never be changed with ``If-Match``.
        """
        return self._definition_etag(self._of(entry))

    def _definition_etag(self, written: _Written) -> str:
        state = b"paused" if written.entry.due_us is None else b""
        definition = written.text[: written.fixed] + written.whole + state
        # With a key: otherwise a client could guess hidden values and compare the ETags.
        return hashlib.blake2b(definition, digest_size=12, key=self._key()).hexdigest()

    def _key(self) -> bytes:
        """Return a key that all processes on a store share, and no client knows.

        With a store in memory, each process has its own.
        """
        self._store_id = self._store_id or self._scheduler.store_info().id or os.urandom(12).hex()
        return self._store_id.encode()[:64]

    def list_etag(self, running: frozenset[str]) -> str | None:
        """Return the ETag that changes with anything that is shown of any job; None: unknown.

        All processes on a store have the same for the same rights and settings.  With a store in
        memory, each process has its own.

        Args:
            running: The jobs with active runs, as the list shows them.
        """
        version = self._scheduler.jobs_version()
        if version is None:
            return None
        kept = self._list_etag
        if kept[0] != version or kept[1] != running:
            shown = f"{self._view} {version!r} {sorted(running)!r}".encode(errors="replace")
            etag = hashlib.blake2b(shown, digest_size=12, key=self._key()).hexdigest()
            kept = (version, running, etag)
            self._list_etag = kept
        return kept[2]

    def running(self) -> frozenset[str]:
        """Return the ids of the jobs with active runs."""
        return frozenset([run.job_id for run in self._scheduler.runs()])

    def all(self, running: frozenset[str]) -> bytes:
        """Return the JSON of all jobs, the earliest due first; *running* have active runs."""
        version = self._scheduler.jobs_version()  # before the jobs, so never newer than they are
        kept_version, kept_running, body = self._list
        if version is not None and kept_version == version and kept_running == running:
            return body
        del body
        self._list = (None, frozenset(), b"")  # frees its memory for the next one
        # A copy of immutable values: the answer shows one state of the store, whatever changes.
        entries = self._scheduler.entries()
        body = self.some(entries, running)
        self._list = (version, running, body)
        if len(self._written) > len(entries):
            self._forget_gone(entries)
        return body

    def runs_of(self, job_id: str) -> dict[str, Any]:
        """Return the fields about the last runs of a job."""
        return LAST_RUNS.to_dict(LastRunsShown.of(self._scheduler.last_runs(job_id)))

    def with_runs(self, text: bytes, entry: Entry) -> bytes:
        """Return the JSON of a job with the fields about its last runs.

        Those are cached until another outcome is recorded: looking up the last one takes less time.
        """
        job_id = entry.job.id
        latest = self._scheduler.records(RunQuery(job_id, limit=1))
        if not latest:
            return text[:-1] + _NO_RUNS
        kept = self._runs.get(job_id)
        if kept is None or kept[0] != latest[0]:
            if len(self._runs) >= self._most:
                self._runs.clear()
            kept = self._runs[job_id] = latest[0], b"," + dumps(self.runs_of(job_id))[1:]
        return text[:-1] + kept[1]

    def some(
        self, entries: Sequence[Entry], running: frozenset[str], with_runs: bool = False
    ) -> bytes:
        """Return the JSON of these jobs, in this order; *running* are those with active runs."""
        texts = [self._of(entry).text for entry in entries]
        if not texts:
            return b"[]"
        if running:
            for place, entry in enumerate(entries):
                if entry.job.id in running:
                    fixed = self._of(entry).fixed
                    texts[place] = _with_place(texts[place][:fixed], entry, running=True)
        if with_runs:
            texts = [
                self.with_runs(text, entry) for text, entry in zip(texts, entries, strict=True)
            ]
        texts[0] = b"[" + texts[0]
        texts[-1] += b"]"
        return b",".join(texts)

    def _of(self, entry: Entry) -> _Written:
        """Return a job's JSON as if none of its runs was active."""
        written = self._written.get(entry.job.id)
        if written is not None and (written.entry is entry or _shows(written.entry, entry)):
            return written
        return self._write(entry, written)

    def _write(self, entry: Entry, before: _Written | None) -> _Written:
        """Write a job; *before* is what was last written for this id."""
        job = entry.job
        if before is not None and before.entry.job is job:
            definition = before.text[: before.fixed]
        else:
            definition = dumps(codec.definition_to_dict(job, self.hide))[:-1]
        text = _with_place(definition, entry, running=False)
        hidden = b"" if self.hide is None else dumps(codec.definition_to_dict(job))
        written = self._written[job.id] = _Written(entry, text, len(definition), hidden)
        if len(self._written) > self._most:
            self._forget_gone(self._scheduler.entries())
        return written

    def _forget_gone(self, entries: Sequence[Entry]) -> None:
        """Forget removed jobs, whenever they may be a fifth of all."""
        there = {entry.job.id for entry in entries}
        self._most = len(there) + len(there) // 4 + _SLACK
        self._written = {k: kept for k, kept in list(self._written.items()) if k in there}


_NO_RUNS: Final = b"," + dumps(LAST_RUNS.to_dict(LastRunsShown.of(last_runs(()))))[1:]


def _shows(one: Entry, other: Entry) -> bool:
    """Return whether two entries have the same JSON."""
    # By identity: jobs are immutable, and comparing them would call their arguments' __eq__.
    return one.job is other.job and one.due_us == other.due_us and one.broken == other.broken


def _with_place(definition: bytes, entry: Entry, running: bool) -> bytes:
    """Return a job's JSON, from that of its definition without the closing brace."""
    return definition + b"," + dumps(codec.place_to_dict(entry, running))[1:]
