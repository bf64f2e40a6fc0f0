"""A file lock, which is released as soon as its process ends, however it ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from schedcore.basics.atfork import call_in_child

# O_NOFOLLOW: do not follow links.  Windows has neither flag, and children inherit no files there.
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class FileLock:
    """A lock that one process holds at a time.  The file exists while the lock is held.

    Args:
        path: The path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        call_in_child(self)

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._file is not None

    def attempt(self) -> bool:
        """Acquire the lock if it is free; return whether it is held now.

        Raises:
            OSError: if the file cannot be created or locked.
        """
        import filelock  # 20 ms, and for stores on disk only

        if self._file is not None:
            return True
        file = os.open(self.path, _OPEN, 0o600)
        try:
            # The last holder may have removed the file that was just opened.
            if filelock.lock_descriptor(file, blocking=False) and self._is_current(file):
                self._file = file
                return True
        finally:
            if self._file is None:
                os.close(file)
        return False

    def still_held(self) -> bool:
        """Return whether it is held and its file exists: otherwise others could hold it too."""
        return self._file is not None and self._is_current(self._file)

    def release(self) -> None:
        """Release the lock and remove the file; do nothing if it is not held."""
        file, self._file = self._file, None
        if file is None:
            return
        if self._is_current(file):
            with suppress(OSError):  # on Windows, another process may have it open
                self.path.unlink()
        os.close(file)

    def after_fork_in_child(self) -> None:
        """Leave the lock to the parent: it belongs to the open file, which a child shares."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat(follow_symlinks=False))
        except FileNotFoundError:
            return False
