"""Of the processes of one user that share a name, one holds a lock that dies with it.

The lock is the operating system's, on a file: it is free the moment its holder ends, however it
ends.  What belongs to an election lies beside that file, in a folder that only this user may look
into: who holds it, and what the holder leaves to the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from schedcore.atfork import call_in_child
from schedcore.errors import InvalidOptionError

MAX_NAME = 1_000
_LOCK, _HOLDER = ".lock", ".holder"
# O_NOFOLLOW: no link is followed.  Windows has neither of them, and opens no file for children.
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Holder(NamedTuple):
    """Who holds an election."""

    pid: int
    host: str
    since_us: int
    """Since when, in microseconds since the Unix epoch."""
    term: str = ""
    """Tells this time in office from every other."""
    address: str = ""
    """Where it answers the others: ``unix:`` and a path, or ``tcp:`` and a port; "": nowhere."""
    secret: str = ""
    """What they have to say there."""


class Election:
    """A lock between the processes of one user on this machine that say the same name.

    It only tells who holds; a :class:`~schedcore.Scheduler` that is given one runs its engine in
    the holder.  Each process makes its own.

    Args:
        name: Which election; any text.
        folder: Where its files are; made if it is not there, and it has to be this user's alone.
            Left out, ``schedcore-<uid>`` in the folder for temporary files.
        instance: Text that only processes of one and the same server share, and that a later
            start of it does not; see :meth:`is_heir`.

    Raises:
        InvalidOptionError: if an argument makes no sense, or the package ``filelock``, which locks
            files on every platform, is not installed.
    """

    def __init__(
        self, name: str, *, folder: str | os.PathLike[str] | None = None, instance: str = ""
    ) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise InvalidOptionError("name", name, f"text of 1 to {MAX_NAME} characters")
        try:
            import filelock
        except ModuleNotFoundError:
            raise InvalidOptionError(
                "election", name, "the package filelock: pip install filelock"
            ) from None
        self._lock_file = filelock.lock_descriptor
        self.name = name
        self.instance = instance
        self._key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._folder = _default_folder() if folder is None else Path(folder)
        self._mutex = threading.Lock()
        self._file: int | None = None
        self._waited = False
        call_in_child(self)

    def __repr__(self) -> str:
        return f"<Election {self.name!r} in {self._folder}>"

    @property
    def waited(self) -> bool:
        """Whether another held while this process stood by."""
        return self._waited

    def path(self, ending: str) -> Path:
        """Return the path of a file that belongs to this election."""
        return self._folder / (self._key + ending)

    def attempt(self) -> bool:
        """Take the lock if it is free; return whether it is held now.

        Raises:
            InvalidOptionError: if the folder is not this user's alone.
            OSError: if the file cannot be made or locked.
        """
        with self._mutex:
            if self._file is not None:
                return True
            file = self._open()
            try:
                # The last holder may have removed the file that was opened just before.
                if self._lock_file(file, blocking=False) and self._is_current(file):
                    self._file = file
                    return True
            finally:
                if self._file is None:
                    os.close(file)
            self._waited = True
            return False

    def is_heir(self, instance: str) -> bool:
        """Return whether this process goes on with what the last holder left.

        It does if it had to wait, since then it stood by while that one held; and if both belong
        to the same instance.  Otherwise it is a fresh start, which old jobs would surprise.

        Args:
            instance: That of the last holder.
        """
        return self._waited or bool(instance and instance == self.instance)

    def still_held(self) -> bool:
        """Return whether the lock is held, and its file has not been taken away from its place.

        Its time is renewed, so that nobody who tidies up old files finds it.
        """
        with self._mutex:
            file = self._file
            if file is None or not self._is_current(file):
                return False
            for own in (self.path(_LOCK), *self._folder.glob(f"{self._key}.*")):
                with suppress(OSError):  # only for the sake of tidiers
                    os.utime(own)
            return True

    def release(self) -> None:
        """Let go of the lock, and remove its file; does nothing if it is not held."""
        with self._mutex:
            file, self._file = self._file, None
            self._waited = False
            if file is None:
                return
            if self._is_current(file):
                self.remove(_HOLDER)
                self.remove(_LOCK)
            os.close(file)
            with suppress(OSError):  # others have files in it
                self._folder.rmdir()

    def publish(self, holder: Holder) -> None:
        """Tell the others who holds; to be called by the holder."""
        self.write(_HOLDER, holder._asdict())

    def retract(self) -> None:
        """Tell them no more; to be called by the holder."""
        self.remove(_HOLDER)

    def holder(self) -> Holder | None:
        """Return who said last that it holds, or None.  It may be gone: then nobody took over yet.

        Raises:
            InvalidOptionError: if the folder is not this user's alone.
        """
        told = self.read(_HOLDER)
        if told is None or set(told) != set(Holder._fields):
            return None
        return Holder(**told)

    # The files beside the lock

    def write(self, ending: str, data: Mapping[str, Any]) -> None:
        """Put *data*, as JSON, in a file that is there whole or not at all."""
        _check_folder(self._folder)
        temporary = self.path(f"{ending}.{secrets.token_hex(8)}")
        file = os.open(temporary, _OPEN | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as stream:
            json.dump(data, stream, allow_nan=False)
        os.replace(temporary, self.path(ending))

    def read(self, ending: str) -> dict[str, Any] | None:
        """Return what :meth:`write` wrote there, or None if there is nothing of this user's.

        Raises:
            InvalidOptionError: if the folder is not this user's alone.
        """
        try:
            _check_folder(self._folder, make=False)
            data = json.loads(self.path(ending).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def remove(self, ending: str) -> None:
        """Remove such a file, if it is there."""
        with suppress(OSError):  # gone already; or, on Windows, open somewhere
            self.path(ending).unlink(missing_ok=True)

    def files(self, ending: str = "") -> list[Path]:
        """Return the files of this election whose names end so, but for the lock's."""
        found = self._folder.glob(f"{self._key}.*{ending}")
        return [file for file in found if file.name != self._key + _LOCK]

    def sweep(self) -> None:
        """Remove what the last holder left, if nobody holds and nobody is to go on with it."""
        try:
            if self._folder.exists() and self.attempt():
                for file in self.files():
                    file.unlink(missing_ok=True)
        finally:
            self.release()

    # Inside

    def after_fork_in_child(self) -> None:
        """Let the parent alone hold: the lock belongs to the open file, which a child shares."""
        file, self._file = self._file, None
        self._mutex = threading.Lock()
        self._waited = False
        if file is not None:
            os.close(file)

    def _open(self) -> int:
        _check_folder(self._folder)
        try:
            return os.open(self.path(_LOCK), _OPEN, 0o600)
        except FileNotFoundError:  # the last holder has just removed the folder
            _check_folder(self._folder)
            return os.open(self.path(_LOCK), _OPEN, 0o600)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path(_LOCK).stat(follow_symlinks=False))
        except FileNotFoundError:
            return False


def _default_folder() -> Path:
    # Not XDG_RUNTIME_DIR: a service has none where a shell has one, and both are to meet; and it
    # goes away when its user logs out.
    user = os.getuid() if hasattr(os, "getuid") else "user"
    # Not gettempdir(), where that can be helped: it answers another folder while this one is full.
    fixed = os.environ.get("TMPDIR") or "/tmp" if hasattr(os, "getuid") else None
    return Path(fixed or tempfile.gettempdir()) / f"schedcore-{user}"


def _check_folder(folder: Path, make: bool = True) -> None:
    """See to it that nobody else can put anything in *folder*, nor another in its place.

    Raises:
        InvalidOptionError: if somebody could.
        FileNotFoundError: if it is not there, and is not to be made.
    """
    if make:
        folder.mkdir(mode=0o700, exist_ok=True)
    if not hasattr(os, "getuid"):  # Windows gives each user temporary files of their own
        return
    found, above = folder.lstat(), folder.parent.stat()
    private = (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & 0o077
        and above.st_uid in (0, os.getuid())
        and (not above.st_mode & 0o022 or above.st_mode & stat.S_ISVTX)
    )
    if not private:
        raise InvalidOptionError(
            "folder",
            str(folder),
            "a folder that is this user's alone (mode 0700), in one where nobody else can replace"
            " it: remove it, or name another (TMPDIR)",
        )
