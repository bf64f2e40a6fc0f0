"""The runs that a process owns and has not begun, in a file that outlives the process.

The process that takes over from a killed one reads there which of its open runs never began: those
are due again, so they are neither lost nor run twice.
"""

from __future__ import annotations

import mmap
import os
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Final

from schedcore.basics.logs import GuardedLogger
from schedcore.stores.process import is_gone, this_process

log = GuardedLogger(__name__)

SLOTS: Final = 1 << 14
"""Number of slots.  Ids of runs grow one by one; of two runs in the same slot, the older one counts
as begun, and is lost with its process."""
_HEAD: Final = 256
_SAFE: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Unbegun:
    """The file that a process writes: a slot of shared memory for each run, which takes 0.1 us.

    The kernel keeps the memory when the process is killed.  After a power failure the contents may
    be old: they are valid only during the boot in which they were written.

    Args:
        path: The path of the file, which is created.

    Raises:
        OSError: if it cannot be created, or others could not find out that this process has ended.
    """

    def __init__(self, path: Path) -> None:
        process = this_process().encode("ascii")
        if not process or len(process) > _HEAD:
            raise OSError("this system does not tell processes apart for good")
        self.path = path
        # What is there is of another process, which had this number in a store that is gone.
        made = path.with_name(f"{path.name}.{os.getpid()}")
        file = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)
        try:
            size = _HEAD + 8 * SLOTS
            # Now: to write into memory for which a full disk has no room ends the process.
            os.posix_fallocate(file, 0, size)
            self._memory = mmap.mmap(file, size)
            self._memory[: len(process)] = process
            made.replace(path)
        except BaseException:
            made.unlink()
            raise
        finally:
            os.close(file)
        self._slots = memoryview(self._memory)[_HEAD:].cast("q")

    def hold(self, run_id: int) -> None:
        """Note that this process has a run, and has not begun it."""
        self._slots[run_id % SLOTS] = run_id

    def begins(self, run_id: int) -> None:
        """Note that the function of a run is about to be called."""
        slot = run_id % SLOTS
        if self._slots[slot] == run_id:
            self._slots[slot] = 0

    def remove(self) -> None:
        """Remove the file: this process has no runs any more."""
        with suppress(OSError):
            self.path.unlink()


def unbegun_at(path: Path) -> Unbegun | None:
    """Return the file of this process, or None where there can be none: it is not needed."""
    try:
        return Unbegun(path)
    except OSError as error:
        log.info("runs that have not begun are lost if this process is killed: %s", error)
        return None


def left_by(path: Path, process: str) -> set[int]:
    """Return the runs that a process had not begun when it was killed.

    None of them if that is not certain: there is no such file, it is somebody else's or another
    process's, or its process is there still, was on another machine, or before this machine was
    started anew.

    Args:
        path: Of the file.
        process: What :func:`~schedcore.stores.process.this_process` returned there.
    """
    try:
        file = os.open(path, os.O_RDONLY | _SAFE)
    except OSError:
        return set()
    with os.fdopen(file, "rb") as stream:
        if hasattr(os, "geteuid") and os.fstat(file).st_uid != os.geteuid():
            return set()
        found = stream.read(_HEAD).rstrip(b"\0").decode("ascii", "replace")
        slots = stream.read(8 * SLOTS)
    if found != process or not is_gone(process) or len(slots) != 8 * SLOTS:
        return set()
    return set(array("q", slots)) - {0}
