"""Dies at the statements of what a store does, and leaves a file behind for each.

    python -m tests.durable.deaths settle /tmp/folder

Makes ``/tmp/folder/1.db``, ``4.db``...: in the n-th, the process was killed before the n-th
statement of that call, which is after the one before it.  In the last one it came through, and was
killed after the commit.

Between two statements of one transaction nothing is written.  So the process is killed at the first
statement and at the last one of those that find the same bytes on disk; with SCHEDCORE_SOAK=1, at
each.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections import deque
from pathlib import Path

from schedcore import Outcome
from schedcore.job import Options
from schedcore.lifetime.health import State
from schedcore.planning import Backlog
from schedcore.stores.base import Change, Declared, Entry, NotRun, Settlement
from schedcore.stores.ends import end_of
from schedcore.stores.sql_history import Retention
from schedcore.stores.sqlite import SqliteStore
from tests.patience import SOAK
from tests.stores.calls import job, run_now

PERIOD = 10
"""From one due time to the next."""
KEEP = Retention(days=10**6)
"""Times here are small whole numbers: the year 1970."""
FIRST = {name: 10 * (n + 1) for n, name in enumerate("abcdef")}
"""The jobs, and their first due times; each scenario adds those that it needs."""
OPTIONS = {
    "a": Options(),
    "b": Options(overlap="queue"),
    "c": Options(overlap="cancel"),
    "d": Options(coalesce=False),
    "e": Options(on_lost="rerun"),
    "f": Options(max_instances=2),
}


class Scene:
    """A store with jobs whose runs wait, are under way and wait to be tried again."""

    def __init__(self, path):
        self.store = SqliteStore(path, durable=False, keep=KEEP)
        self.store.cluster.join("app", ["default"])
        self.fill()

    def fill(self):
        """Add the jobs, and have their first runs be under way."""
        for name, first_us in FIRST.items():
            definition = job(name)._replace(options=OPTIONS[name])
            self.store.write([Entry(definition, first_us, first_us)], 0)
        self.step(60)
        self.runs = {run.job_id: run for run in self.store.runs()}
        for run in self.runs.values():
            run._started_us = 60
        self.step(70)

    def step(self, now, last=False, missed=0):
        """Take what is due, and settle it: one due time runs, *missed* ones do not."""
        with self.store.take(now, 100) as batch:
            return batch.settle([self.decide(slot, now, last, missed) for slot in batch.slots], now)

    def decide(self, slot, now, last, missed):
        if slot.behind is not None and not slot.job.coalesce:
            return Settlement(slot, slot.job, slot.fire_us, slot.due_us, (), now)
        first = slot.fire_us
        not_run = (NotRun(Outcome.MISSED, Backlog(first, missed), 0),) if missed else ()
        first += missed * PERIOD
        times = (first,) if slot.job.coalesce else (first, first + PERIOD, first + 2 * PERIOD)
        next_us = None if last else times[-1] + PERIOD
        return Settlement(slot, slot.job, next_us, next_us, times, not_run=not_run)

    def end(self, *names):
        """End the runs of these jobs."""
        ends = [end_of(self.runs[name], Outcome.EXECUTED, 80) for name in names]
        self.store.end(deque(ends), True)

    def fail(self, name):
        """Have the run of a job wait for its next attempt."""
        self.store.retry(end_of(self.runs[name], Outcome.FAILED, 80, error=ValueError("no")), 90)

    def change(self, *names, another=False, **parts):
        old = [self.store.get(name) for name in names]
        new = [None if parts.get("gone") else entry._replace(**parts) for entry in old]
        changes = [Change(o, n, another) for o, n in zip(old, new, strict=True)]
        assert not self.store.write(changes, 80).conflicts

    def declare(self, app, *names, **options):
        """Declare jobs in the places that they have, with these options."""
        declared = []
        for name in names:
            entry = self.store.get(name)
            changed = entry.job._replace(options=entry.job.options._replace(**options))
            declared.append(Declared(entry._replace(job=changed), f"{name} {options}"))
        self.store.declare(app, declared, 0)

    def hand_back(self):
        (again,) = [run for run in self.store.runs() if run.job_id == "e"][:1]
        again._started_us = None
        self.store.cluster.hand_back([again], 80)

    def another(self):
        """Leave runs to a process that is dead, and be another one."""
        store = SqliteStore(self.store.file.path, durable=False, keep=KEEP)
        self.store.cluster._node_lock.release()
        self.store.cluster._holder_lock.release()
        self.store = store

    def adopt(self):
        self.store.cluster.adopt(100)

    def trim(self):
        from schedcore.stores.sql_nodes import trim

        self.store.keep = Retention(per_job=2)
        trim(self.store, 10**6)


def execute_ticket(store):
    """Be the next process: run whatever there is to run, and see that all of it ends."""
    for now in (100, 110):
        store.cluster.adopt(now)
        store.promote()
        with store.take(now, 100) as batch:
            batch.settle([slot.fire_us + PERIOD for slot in batch.slots], now)
        while runs := [run for run in store.runs() if not run._waits]:
            for run in runs:
                run._started_us = now
            store.end(deque(end_of(run, Outcome.EXECUTED, now) for run in runs), promote=True)
    assert store.runs() == []


def nothing(scene):
    """Prepare nothing."""


def declared(scene):
    scene.declare("app", *FIRST)


def ended(scene):
    scene.end(*FIRST)
    for now in range(80, 200, PERIOD):
        scene.step(now)
        scene.runs = {run.job_id: run for run in scene.store.runs()}
        scene.end(*scene.runs)


def cancelled(scene):
    """Have another process end a run, of which this one tells as well."""
    run = scene.runs["a"]
    scene.store.end(deque([end_of(run, Outcome.LOST, 75)]), False)


CALLS = {
    "add": (nothing, lambda scene: scene.store.write([Entry(job("new"), 90, 90)], 80)),
    "pause": (nothing, lambda scene: scene.change("b", "d", due_us=None)),
    "move": (nothing, lambda scene: scene.change("b", "d", backlog_us=None)),
    "replace": (nothing, lambda scene: scene.change("b", "d", another=True)),
    "remove": (nothing, lambda scene: scene.change("b", "d", gone=True)),
    "declare": (nothing, lambda scene: scene.declare("app", "b", "d")),
    "declare anew": (declared, lambda scene: scene.declare("app", "b", "d", max_instances=3)),
    "retire": (declared, lambda scene: scene.store.retire("app", ["a"], 80)),
    "settle": (nothing, lambda scene: scene.step(80)),
    "settle with missed ones": (nothing, lambda scene: scene.step(80, missed=2)),
    "settle the last ones": (nothing, lambda scene: scene.step(80, last=True)),
    "run now": (nothing, lambda scene: run_now(scene.store, scene.store.get("f").job, 80)),
    "end": (nothing, lambda scene: scene.end(*FIRST)),
    "end late": (cancelled, lambda scene: scene.end("a", "b")),
    "retry": (nothing, lambda scene: scene.fail("a")),
    "try again": (
        lambda scene: scene.fail("a"),
        lambda scene: scene.store.try_again([scene.runs["a"]]),
    ),
    "hand back": (nothing, Scene.hand_back),
    "leave": (nothing, lambda scene: scene.store.cluster.leave()),
    "leave with nothing": (ended, lambda scene: scene.store.cluster.leave()),
    "join and reap": (Scene.another, lambda scene: join_and_look(scene.store)),
    "adopt": (Scene.hand_back, Scene.adopt),
    "trim": (ended, Scene.trim),
    "pause all": (nothing, lambda scene: scene.store.cluster.set_shared_state(State.PAUSED)),
}
"""What is prepared for a call, and the call."""


def join_and_look(store):
    store.cluster.join("app", ["default"])
    store.cluster.poll()


def watched(path, prepare, call, watch):
    """Make a scene, and call *watch* before each statement of the call."""
    scene = Scene(path)
    prepare(scene)
    begun = False
    with scene.store.file.read():  # it is open, then
        scene.store.file._connection.set_trace_callback(lambda _: begun and watch())
    begun = True  # without the commit of that
    call(scene)


def die_at(path, n, prepare, call):
    """Make a scene, and be killed before the n-th statement of the call, or after all of them."""
    left = n

    def count():
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    watched(path, prepare, call, count)
    os._exit(0)


def look(path, prepare, call, found):
    """Write down what is on disk before each statement of the call, and after all of them."""
    seen = []
    watched(path, prepare, call, lambda: seen.append(on_disk(path)))
    found.write_text(json.dumps([*seen, on_disk(path)]))
    os._exit(0)


def on_disk(path):
    """Return a digest of a store's files, but of the one that SQLite keeps for live processes."""
    files = sorted(each for each in path.parent.glob(f"{path.name}*") if each.suffix != ".db-shm")
    return hashlib.sha256(repr([(f.name, f.read_bytes()) for f in files]).encode()).hexdigest()


def in_child(function, *args):
    """Return how a child ended that was to call *function*."""
    child = os.fork()
    if not child:
        try:
            function(*args)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def main(name, folder):
    """Die at the statements in turn, in a child each."""
    import filelock  # noqa: F401 — once, and not in each child

    prepare, call = CALLS[name]
    found = folder / "seen.json"
    (folder / "seen").mkdir()
    assert in_child(look, folder / "seen" / "0.db", prepare, call, found) == 0
    seen = json.loads(found.read_text())
    assert len(seen) > 3, "it has to begin, to do something, and to commit"
    for n, state in enumerate(seen, 1):
        if SOAK or n == 1 or n == len(seen) or {state} != {*seen[n - 2 : n + 1]}:
            status = in_child(die_at, folder / f"{n}.db", n, prepare, call)
            killed = n < len(seen)
            assert status == (signal.SIGKILL if killed else 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
