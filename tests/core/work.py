"""What jobs of other processes do in tests: functions that are found by their names."""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time

from schedcore import current_run


def returned(*given):
    return given


def raising(name):
    raise getattr(builtins, name)("no")


async def awaited(number):
    await asyncio.sleep(0)
    return number


def generating():
    yield 1


def returns_generator():
    return generating()


def own_run():
    return current_run().job_id


async def own_run_awaited():
    return current_run().job_id


class NotPickled(ValueError):
    """Cannot be pickled, and unpickled even less."""

    def __init__(self, what, lock):
        super().__init__(what)
        self.lock = lock


def raises_what_cannot_be_pickled():
    raise NotPickled("no", threading.Lock())


def returns_much():
    return "x" * 50_000_000


def returns_lock():
    return threading.Lock()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    os._exit(3)


def about_itself():
    run = current_run()
    return (run.id, run.job_id, run.attempt, run.fence, run.scheduled, run.cause)


def hold(alive, rest="wait"):
    """Hold one end of a named pipe, as does a process that this one starts, for ever."""
    with open(alive, "w") as file:
        subprocess.Popen(["sleep", "1000"], stdout=file)
        file.write(f"{os.getpid()}\n")
        file.flush()
        if rest == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1000)


def hold_program(alive):
    """Run a program that holds one end of a named pipe for ever."""
    from schedcore.jobs import run_command

    run_command(["/bin/sh", "-c", f"exec 3>{alive}; echo $$ >&3; sleep 1000"])


def hold_lock(alive):
    """Hold one end of a named pipe, and the interpreter's lock, for ever."""
    with open(alive, "w") as file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        re.match("(a+)+$", "a" * 60 + "b")


def prints():
    print("printed")
    sys.stderr.write("written\n")
    logging.getLogger("work").warning("logged")


def prints_and_holds(alive):
    print("first", flush=True)
    hold(alive)


def prints_and_dies():
    print("last words")
    raise SystemExit(4)


def prints_much():
    for n in range(20_000):
        print(f"line {n} {'x' * 100}")


def returns_nothing():
    return None


def wait_for(path):
    """Wait until a file is there."""
    while not os.path.exists(path):
        time.sleep(0.01)


async def wait_for_async(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.01)


def note_and_die(path):
    with open(path, "a") as file:
        file.write("started\n")
    die()


def touch_and_wait_for(mine, path):
    open(mine, "w").close()
    wait_for(path)


def forks(how):
    """Return in the parent, and in a child that leaves as it is told."""
    child = os.fork()
    if child == 0:
        if how == "exits":
            raise SystemExit
        return "child"
    os.waitpid(child, 0)
    return "parent"
