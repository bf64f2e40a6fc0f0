"""A process that is killed at any statement of any call leaves each due time in one place."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from schedcore.lifetime.health import State
from schedcore.stores.sqlite import SqliteStore
from tests.durable.conservation import check_due_times, check_totals
from tests.durable.deaths import CALLS, FIRST, KEEP, PERIOD, execute_ticket
from tests.durable.processes import ROOT


def files_of(call, folder):
    """Have a process die at the statements of a call; return what it left behind each time."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    command = [sys.executable, "-W", "error", "-m", "tests.durable.deaths", call, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(folder.glob("*.db"), key=lambda path: int(path.stem))


@pytest.mark.parametrize("call", CALLS)
def test_a_death_at_any_statement_leaves_each_due_time_in_one_place(call, tmp_path):
    for path in files_of(call, tmp_path):
        store = SqliteStore(path, durable=False, keep=KEEP)
        check_conserved(call, store)
        go_on(store)
        check_conserved(call, store)
        store.close()


def check_conserved(call, store):
    if call == "trim":
        totals = store.counts(None)
        assert sum(totals.values()) >= len(store.records())
        return
    check_due_times(store, FIRST, PERIOD)
    check_totals(store)


def go_on(store):
    """Be the next process: take over, run whatever there is to run, and see that all of it ends."""
    cluster = store.cluster
    cluster.join("next", ["default"])
    seen = cluster.poll()
    assert cluster.takes, "the lock of the dead process is free"
    assert not [n for n in cluster.nodes() if n.id != store.node and n.state == "alive"]
    known = {run.id for run in store.runs()}
    assert not known & {record.run_id for record in seen.lost}
    cluster.set_shared_state(State.RUNNING)
    execute_ticket(store)
