"""Forks: consistent data in the child, and callbacks for objects whose threads it lacks.

Only the forking thread exists in the child (fork(2)): a lock that another thread held would stay
held forever there, over half-changed data.  So the locks that guard data are taken before a fork
and released after it, in parent and child.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol, runtime_checkable
from weakref import WeakSet


class Lock(Protocol):
    """A ``threading.Lock`` or ``RLock``."""

    def acquire(self) -> bool:
        """Take it."""
        ...

    def release(self) -> None:
        """Release it."""
        ...


class HasLock(Protocol):
    """Something whose data a lock guards."""

    def data_lock(self) -> Lock:
        """Return that lock; no other lock of this kind may be taken while it is held."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """An object with a lock that must also do something before each fork."""

    def before_fork(self) -> None:
        """Give up what a child must not inherit; called with the lock held."""
        ...


class Forked(Protocol):
    """An object that must know when it is in a forked child."""

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent."""
        ...


_with_locks: WeakSet[HasLock] = WeakSet()
_listeners: WeakSet[Forked] = WeakSet()
_held: list[Lock] = []
# Two threads that fork at once would take the same locks in two orders; and a set that grows
# cannot be looked through.
_one_at_a_time = threading.RLock()  # a signal handler may fork, or make a scheduler


def hold_while_forking(owner: HasLock) -> None:
    """Hold the owner's lock during each fork, as long as the owner lives."""
    with _one_at_a_time:
        _with_locks.add(owner)


def call_in_child(listener: Forked) -> None:
    """Call *listener* after each fork, in the child, as long as it lives."""
    with _one_at_a_time:
        _listeners.add(listener)


def held_here(*owners: object) -> bool:
    """Return whether this thread holds the lock of one of *owners*.

    Then the caller is a signal handler that interrupted the holder, and must not wait for another
    thread, which may need the lock.
    """
    locks = [owner.data_lock() for owner in owners if hasattr(owner, "data_lock")]
    return any(getattr(lock, "_is_owned", bool)() for lock in locks)


def _before() -> None:
    _one_at_a_time.acquire()
    for owner in list(_with_locks):
        lock = owner.data_lock()
        lock.acquire()
        _held.append(lock)
        if isinstance(owner, Prepares):
            owner.before_fork()


def _after() -> None:
    while _held:
        _held.pop().release()
    _one_at_a_time.release()


def _after_in_child() -> None:
    _after()
    for listener in list(_listeners):
        listener.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
