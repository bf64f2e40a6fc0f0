"""A process as others of its machine know it: whether it is there can be looked up, not guessed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """Return text that stands for this process, and for no other ever; "": there is none here."""
    with suppress(OSError, IndexError):
        return f"{_machine()} {os.getpid()} {_began(os.getpid())}"
    return ""


def is_gone(process: str) -> bool:
    """Return whether a process that was on this machine has ended; False where it cannot be known.

    Args:
        process: What its :func:`this_process` returned.
    """
    try:
        boot, space, pid, began = process.split()
        if f"{boot} {space}" != _machine():
            return False  # containers with numbers of their own share the boot
    except (ValueError, OSError):
        return False
    try:
        return _began(int(pid)) != began
    except FileNotFoundError:
        return True
    except (ValueError, OSError, IndexError):
        return False


def _machine() -> str:
    """Return since when it is up, and in which space of process numbers this one is."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _began(pid: int) -> str:
    """Return when a process began, in ticks since the boot; a dead one counts as gone."""
    told = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    if told[0] in ("Z", "X"):  # ended, and its parent has not asked how
        raise FileNotFoundError(pid)
    return told[19]
