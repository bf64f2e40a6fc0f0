"""Identifies a process on this machine, so that others can find out whether it still exists."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from schedcore.output.text import storable

_PROC = Path("/proc")


def this_process() -> str:
    """Return a text that identifies this process uniquely; "": impossible on this system."""
    with suppress(OSError, IndexError):
        return f"{_machine()} {os.getpid()} {_began(os.getpid())}"
    return ""


def host_name() -> str:
    """Return the name of this machine, as text that stores accept."""
    return storable(socket.gethostname())


def is_gone(process: str) -> bool:
    """Return whether a process on this machine has ended; False if that is unknown.

    Args:
        process: The result of its :func:`this_process`.
    """
    try:
        boot, space, pid, began = process.split()
        if f"{boot} {space}" != _machine():
            return False  # containers with their own pids share the boot id
    except (ValueError, OSError):
        return False
    try:
        return _began(int(pid)) != began
    except FileNotFoundError:
        return True
    except (ValueError, OSError, IndexError):
        return False


def _machine() -> str:
    """Return the machine's boot id, and the pid namespace of this process."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _began(pid: int) -> str:
    """Return when a process started, in ticks since the boot; raises an error if it is dead."""
    fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):  # a zombie: ended, and not yet reaped by its parent
        raise FileNotFoundError(pid)
    return fields[19]
