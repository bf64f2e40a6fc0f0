"""Processes that tests start, tell what to do, freeze and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.patience import SOON

ROOT = Path(__file__).parents[2]


def until(condition, what="it", timeout=SOON):
    """Wait until a condition holds, and return what it gave."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} has not come true within {timeout:.0f} s")
        time.sleep(0.02)  # what it asks a store for costs time as well
    return found


def environment(folder):
    """Return the variables of a process whose jobs are those of this folder."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT), str(folder))),
        "SCHEDCORE_TEST_STARTS": str(folder / "starts"),
    }


class Told(Exception):
    """What a process raised: its type and its text."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Process:
    """One program of :mod:`tests.durable.served`, told what to do with the scheduler it has.

    Args:
        folder: Where the store is, and the file of starts, and the log.
        given: Beside the store, what it is started with.
    """

    def __init__(self, folder, **given):
        self.folder = folder
        given = {"store": f"sqlite:///{folder / 'jobs.db'}", **given}
        with open(folder / "log", "ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.durable.served", json.dumps(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(folder),
                text=True,
            )
        self.pid = self.popen.pid

    def tell(self, *lines):
        """Send lines; :meth:`hear` gives the answers."""
        for line in lines:
            self.popen.stdin.write(json.dumps(line) + "\n")
        self.popen.stdin.flush()

    def hear(self):
        """Return the next answer."""
        answer = self.popen.stdout.readline()
        if not answer:
            raise AssertionError(f"process {self.pid} has ended:\n{self.log()}")
        reply = json.loads(answer)
        if "error" in reply:
            raise Told(reply["error"], reply["text"])
        return reply["value"]

    def __call__(self, line):
        """Have it run a line of Python, and return what that gave."""
        self.tell(line)
        return self.hear()

    def log(self):
        """Return the last lines of what all processes logged."""
        return "\n".join((self.folder / "log").read_text().splitlines()[-40:])

    @property
    def state(self):
        return self("scheduler.state.name")

    def signal(self, number):
        self.popen.send_signal(number)

    def freeze(self):
        """Stop it where it is, and wait until it is."""
        self.signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """End it at once, wherever it is."""
        with suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait()
        with suppress(BrokenPipeError):
            self.popen.stdin.close()
        self.popen.stdout.close()
