"""What jobs do here: they write down that they began before they do anything else.

One line for each start, added in one system call, which a ``kill -9`` cannot tear apart.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from schedcore import current_run

STARTS = os.environ.get("SCHEDCORE_TEST_STARTS", "")
"""The file that the starts are written to."""
_pause = threading.Event()


def note():
    """Write down the start of this run."""
    run = current_run()
    line = f"{run.job_id} {run.id} {run.attempt} {os.getpid()}\n"
    file = os.open(STARTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    return os.getpid()


def last(seconds):
    """Take so long, or until it is cancelled."""
    note()
    for _ in range(round(seconds / 0.01)):
        if current_run().cancelled:
            return
        _pause.wait(0.01)


def fail_first(times=1):
    """Fail in the first attempts."""
    note()
    if current_run().attempt <= times:
        raise ValueError("not yet")


def fail_until(path):
    """Fail as long as a file is not there."""
    note()
    if not Path(path).exists():
        raise ValueError("not yet")


def hold(path):
    """Go on until a file is there."""
    note()
    while not Path(path).exists():
        if current_run().cancelled:
            return "cancelled"
        _pause.wait(0.01)
    return "released"


def mumble(path):
    """Print a line, go on until a file is there or the run is cancelled, and print another."""
    print("attempt", current_run().attempt, file=sys.stderr)
    note()
    while not Path(path).exists() and not current_run().cancelled:
        _pause.wait(0.01)
    print("released", file=sys.stderr)


def say(length=1):
    """Return a text of some length."""
    return "x" * length


def die():
    """Take the process along."""
    note()
    os.kill(os.getpid(), signal.SIGKILL)


def fork(scheduler, start=False):
    """Fork, with the store open; the child adds a job, and another one once it is told to."""
    child = os.fork()
    if child:
        return child
    try:
        if start:
            scheduler.start()
        else:
            scheduler.add_job(note, "interval", seconds=3600, id="of the child")
        end = time.monotonic() + 30
        while not Path(STARTS).with_name("go on").exists() and time.monotonic() < end:
            _pause.wait(0.01)
        if not start:
            scheduler.add_job(note, "interval", seconds=3600, id="of the child, later")
    finally:
        os._exit(0)
