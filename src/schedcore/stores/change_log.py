"""The jobs of a store that changed last, each change with its own number."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

KNOWN_CHANGES = 64
"""How many of the last changes are stored: for more, listing all jobs again is faster."""


class ChangeLog:
    """The last changes.  Not thread-safe: its owner holds a lock.

    Attributes:
        numbers: The counter of changes, which other growing numbers may share.
    """

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        # The number of the last change, which is also the version of the whole list.
        self._version = 0
        # By number; ids keep no objects alive.  Changes up to _unknown are not stored.
        self._changed: deque[tuple[int, str]] = deque(maxlen=KNOWN_CHANGES)
        self._unknown = 0

    def note(self, job_id: str) -> int:
        """Note that a job is about to change; return the number of the change."""
        number = self._version = next(self.numbers)
        self._changed.append((number, job_id))
        return number

    def note_many(self, job_ids: Sequence[str]) -> None:
        """Note that jobs changed, or that unknown ones did."""
        if len(job_ids) > KNOWN_CHANGES:
            self._changed.clear()
            self._unknown = self._version = next(self.numbers)
        else:
            for job_id in job_ids:
                self.note(job_id)

    def since(self, version: object) -> tuple[int, Sequence[str] | None]:
        """Return the current version, and the ids of the jobs that changed after another version.

        None instead of the ids if they are not known.
        """
        if version == self._version:
            return self._version, ()
        changed = self._changed
        if len(changed) == KNOWN_CHANGES:
            self._unknown = max(self._unknown, changed[0][0] - 1)
        if not isinstance(version, int) or version < self._unknown:
            return self._version, None
        # A copy: a signal handler may change a job in between.
        return self._version, [job_id for number, job_id in list(changed) if number > version]
