"""What a killed process leaves: where its jobs stood and what was running, in a mapped file.

Each job that code declared has a word in it for its next fire time, written when the engine
settles, before the run is submitted: 0.2 us, no system call, and the operating system keeps it
however the process ends.  Each run under way has a record of its own.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from schedcore.atfork import call_in_child
from schedcore.job import MAX_ID_LENGTH
from schedcore.run import Run
from schedcore.runs import Observer
from schedcore.stores.base import Entry
from schedcore.triggers.base import Trigger

MOST_RUNS = 256
"""Runs under way at once that are recorded; those beyond are not."""

# Fire times are microseconds since the epoch; none of these is one.
GONE = -(1 << 62)
"""The job had its last fire time, or was removed."""
PAUSED = GONE + 1
CHANGED = GONE + 2
"""It has another trigger than the one it was declared with."""

_MAGIC = int.from_bytes(b"schedmk1", "little")
_HEADER = 4  # words: magic, state of the scheduler, jobs, bytes of JSON
_RUN = 3 + (4 * MAX_ID_LENGTH + 7) // 8  # words: due, submitted, length of the id; the id in UTF-8


class LostRun(NamedTuple):
    """A run that was under way when its process was killed."""

    job_id: str
    due_us: int
    submitted_us: int


class Left(NamedTuple):
    """What :func:`read` found."""

    state: int
    places: list[int]
    """For each job of the catalogue its next fire time, or GONE, PAUSED or CHANGED."""
    catalogue: dict[str, Any]
    runs: list[LostRun]


class Marks(Observer):
    """The mapped file, as the holder writes it.

    Args:
        path: Where; a file that is there is replaced.
        state: That of the scheduler.
        entries: The jobs to keep in mind, as they stand.
        catalogue: What a reader needs to know about them, JSON-ready.
    """

    def __init__(
        self, path: Path, state: int, entries: Sequence[Entry], catalogue: Mapping[str, Any]
    ) -> None:
        text = json.dumps(catalogue).encode("ascii")
        self._runs_at = _HEADER + len(entries)
        size = 8 * (self._runs_at + MOST_RUNS * _RUN) + len(text)
        made = path.with_suffix(f"{path.suffix}-{os.getpid()}")
        made.unlink(missing_ok=True)
        file = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, bytes(size))  # a full disk is told now, and not by SIGBUS later
            self._map = mmap.mmap(file, size)
        finally:
            os.close(file)
        self._words = memoryview(self._map)[: size - len(text)].cast("q")
        self._map[size - len(text) :] = text
        self._places: dict[str, tuple[int, Trigger]] = {}
        for index, entry in enumerate(entries):
            self._places[entry.job.id] = (_HEADER + index, entry.job.trigger)
            self.moved(entry.job.id, entry)
        self._free = list(range(MOST_RUNS))
        self._under_way: dict[int, int] = {}
        # Submitting and ending run in different threads; closing comes from a third.
        self._lock = threading.Lock()
        self._words[1], self._words[2], self._words[3] = state, len(entries), len(text)
        self._words[0] = _MAGIC
        self._open = True
        os.replace(made, path)  # now that it is whole
        call_in_child(self)

    def set_state(self, state: int) -> None:
        """Note the state of the scheduler."""
        if self._open:
            self._words[1] = state

    def moved(self, job_id: str, entry: Entry | None) -> None:
        """Note how a job stands now; None: it is gone."""
        found = self._places.get(job_id)
        if found is None:
            return
        index, trigger = found
        if entry is None:
            place = GONE
        elif entry.job.trigger is not trigger:
            place = CHANGED
        elif entry.due_us is None or entry.fire_us is None:
            place = PAUSED
        else:
            place = entry.fire_us
        self._words[index] = place

    def submitted(self, runs: Sequence[Run], now_us: int) -> None:
        """Note runs that are about to be handed to an executor."""
        with self._lock:
            for run in runs:
                if not self._free or not self._open or run.id in self._under_way:
                    continue
                self._under_way[run.id] = slot = self._free.pop()
                job_id = run.job_id.encode()
                at = self._runs_at + slot * _RUN
                self._words[at + 1], self._words[at + 2] = now_us, len(job_id)
                self._map[8 * (at + 3) : 8 * (at + 3) + len(job_id)] = job_id
                self._words[at] = run.due_us or 1

    def ended(self, run: Run) -> None:
        """Note that a run ended."""
        with self._lock:
            slot = self._under_way.pop(run.id, None)
            if slot is not None and self._open:
                self._words[self._runs_at + slot * _RUN] = 0
                self._free.append(slot)

    def close(self) -> None:
        """Write no more; the file stays."""
        with self._lock:
            if self._open:
                self._open = False
                self._places = {}
                self._words.release()
                self._map.close()

    def after_fork_in_child(self) -> None:
        """Leave the file to the parent: it is mapped in both."""
        self._lock = threading.Lock()
        self.close()


def read(path: Path) -> Left | None:
    """Return what such a file tells, or None if it is not there, or not whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        words = memoryview(data[: len(data) // 8 * 8]).cast("q")
        magic, state, jobs, length = words[:_HEADER].tolist()
        if magic != _MAGIC:
            return None
        catalogue = json.loads(data[len(data) - length :])
        places = words[_HEADER : _HEADER + jobs].tolist()
        runs = [_run_at(words, _HEADER + jobs + slot * _RUN) for slot in range(MOST_RUNS)]
    except (ValueError, IndexError):  # cut short
        return None
    return Left(state, places, catalogue, [run for run in runs if run is not None])


def _run_at(words: memoryview[int], at: int) -> LostRun | None:
    due_us, submitted_us, length = words[at], words[at + 1], words[at + 2]
    if due_us == 0:
        return None
    return LostRun(words[at + 3 : at + _RUN].tobytes()[:length].decode(), due_us, submitted_us)
