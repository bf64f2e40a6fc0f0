"""What runs print, between processes: shown while they go on, kept when their process is killed."""

from __future__ import annotations

import pytest

from tests.durable.conftest import Shared
from tests.durable.processes import until
from tests.durable.test_postgres import SharedDatabase
from tests.stores.postgres import need_server, server

CAPTURING = {"options": {"capture_output": True}}


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request, tmp_path):
    if request.param == "postgresql":
        need_server()
        one = SharedDatabase(tmp_path, server().url())
    else:
        one = Shared(tmp_path)
    yield one
    one.end()


@pytest.fixture
def add(shared):
    """Return the line that adds a job which prints, and goes on until :func:`release`."""
    path = str(shared.folder / "released")

    def line(job_id="j", **options):
        told = "".join(f", {name}={value!r}" for name, value in options.items())
        call = f"work.mumble, trigger='interval', seconds=3600, args=[{path!r}]"
        return f"scheduler.add_job({call}, id={job_id!r}{told})"

    return line


def begun(process, shared, job_id="j"):
    """Run a job in a process, and return the run's id once it has printed."""
    run_id = process(f"scheduler.run_job({job_id!r}, wait=False).id")
    shared.until_started(job_id)
    return run_id


def text_of(shared, run_id):
    return shared.store.output(run_id).head


def until_printed(shared, run_id, text):
    until(lambda: text_of(shared, run_id) == text, f"the output {text!r}")


def test_another_process_shows_it_while_the_run_goes_on(shared, add):
    one, other = (shared.started(add(), **CAPTURING) for _ in range(2))
    run_id = begun(one, shared)
    until_printed(shared, run_id, "attempt 1\n")
    assert other(f"scheduler.output({run_id})") == {
        "text": "attempt 1\n",
        "next": 10,
        "left_out": 0,
        "ended": False,
    }
    (shared.folder / "released").touch()
    assert shared.until_ended("j") == ["executed"]
    # It comes with the end, in one transaction.
    assert text_of(shared, run_id) == "attempt 1\nreleased\n"
    assert other(f"scheduler.output({run_id}, 10)")["text"] == "released\n"


def test_a_run_that_is_lost_keeps_what_was_written(shared, add):
    first = shared.started(add(), **CAPTURING)
    run_id = begun(first, shared)
    until_printed(shared, run_id, "attempt 1\n")
    first.kill()
    second = shared.started(add(), **CAPTURING)
    assert shared.until_ended("j") == ["lost"]
    assert second(f"scheduler.output({run_id})")["text"] == "attempt 1\n"


def test_the_attempt_of_another_process_follows(shared, add):
    first = shared.started(add(on_lost="rerun"), **CAPTURING)
    run_id = begun(first, shared)
    until_printed(shared, run_id, "attempt 1\n")
    first.kill()
    shared.started(add(on_lost="rerun"), **CAPTURING)
    shared.until_started("j", 2)
    together = "attempt 1\n--- attempt 2 ---\nattempt 2\n"
    until_printed(shared, run_id, together)
    (shared.folder / "released").touch()
    assert shared.until_ended("j") == ["executed"]
    assert text_of(shared, run_id) == together + "released\n"


def test_what_was_printed_before_another_process_cancelled_it_is_kept(shared, add):
    one, other = (shared.started(add(), **CAPTURING) for _ in range(2))
    run_id = begun(one, shared)
    other(f"scheduler.cancel({run_id})")
    assert shared.outcomes("j") == ["cancelled"]
    until(lambda: text_of(shared, run_id).startswith("attempt 1\n"), "what it printed")
