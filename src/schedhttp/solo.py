"""A lock between the worker processes of one server: one of them runs the scheduler."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


class SoloLock:
    """Held by one process at a time; let go when the process ends, however it ends.

    A POSIX record lock on a file in the folder for temporary files, which the holder removes.

    Args:
        name: Which lock; processes of one user that say the same name share it.
    """

    def __init__(self, name: str) -> None:
        self._path = Path(tempfile.gettempdir()) / f"schedhttp-{os.getuid()}-{name}.lock"
        self._file: int | None = None

    def acquire(self, wait: bool) -> bool:
        """Take the lock; with *wait*, block until it is free.  Return whether it is held.

        Raises:
            OSError: if the file cannot be made, or is not this user's.
        """
        import fcntl  # not on Windows, where no server forks workers

        while True:
            file = self._open()
            try:
                fcntl.lockf(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                os.close(file)
                return False
            if self._is_current(file):
                self._file = file
                return True
            os.close(file)  # its last holder removed it while this process waited: once more

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        file, self._file = self._file, None
        if file is not None:
            self._path.unlink(missing_ok=True)
            os.close(file)

    def _open(self) -> int:
        # Others can write to that folder: no link of theirs is followed, no file of theirs used.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        found = os.fstat(file)
        if found.st_uid != os.getuid() or not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise PermissionError(f"{self._path} belongs to somebody else: remove it")
        return file

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False
