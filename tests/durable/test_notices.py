"""Notices over the death of processes: each is told at least once, and by one process."""

from __future__ import annotations

import json

import pytest

from schedcore.notices.notice import is_run
from tests.durable.conftest import Shared
from tests.durable.processes import until
from tests.durable.test_postgres import SharedDatabase
from tests.notices.receiver import receivers
from tests.stores.postgres import need_server
from tests.stores.postgres import server as database

LATER = "trigger='interval', seconds=3600"


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request, tmp_path):
    if request.param == "postgresql":
        need_server()
        one = SharedDatabase(tmp_path, database().url())
    else:
        one = Shared(tmp_path)
    yield one
    one.end()


@pytest.fixture
def receiver():
    with receivers() as make:
        yield make


def telling(server, name="ops", **more):
    """Return what a process is started with that tells through a channel."""
    channel = {"type": "webhook", "url": server.url, **more}
    return {"options": {"notices": {name: channel}}}


def kinds(server, count):
    """Return what the next requests told."""
    return [json.loads(server.next().body)["kind"] for _ in range(count)]


def failing(shared):
    """Return a line that adds a job, which fails until a file is there."""
    path = shared.folder / "works"
    told = "on_failure='ops', on_recovery='ops'"
    return f"scheduler.add_job(work.fail_until, {LATER}, args=[{str(path)!r}], id='job', {told})"


def until_taken(shared):
    until(
        lambda: all(not each.waiting for each in shared.store.notices.states()), "that all is taken"
    )


RUN = "scheduler.run_job('job').outcome.value"


def test_what_was_not_taken_before_a_kill_is_told_after_the_next_start(shared, receiver):
    server = receiver("hang")
    first = shared.started(failing(shared), **telling(server, timeout=60))
    assert first(RUN) == "failed"
    before = server.next()
    first.kill()
    shared.started(**telling(server))
    after = server.next()
    assert after.body == before.body  # with the time at which it happened
    assert after.headers["webhook-id"] == before.headers["webhook-id"]
    until_taken(shared)


def test_a_run_that_is_lost_with_its_process_is_told_after_the_next_start(shared, receiver):
    server = receiver()
    first = shared.process(**telling(server))
    first("scheduler.start()")
    first.tell(f"scheduler.add_job(work.die, {LATER}, id='deadly', on_failure='ops')")
    first.hear()
    first.tell("scheduler.run_job('deadly')")
    first.popen.wait()
    shared.started(**telling(server))
    told = json.loads(server.next().body)
    assert (told["kind"], told["job_id"], told["outcome"]) == ("failure", "deadly", "lost")


def test_what_ended_while_nobody_told_is_told_in_the_end(shared, receiver):
    server = receiver()
    first = shared.started(failing(shared), **telling(server))
    assert first(RUN) == "failed"
    assert kinds(server, 1) == ["failure"]
    first("scheduler.shutdown()")
    silent = shared.started()
    assert silent(RUN) == "failed"
    (shared.folder / "works").touch()
    assert silent(RUN) == "executed"
    silent("scheduler.shutdown()")
    shared.started(**telling(server))
    assert kinds(server, 1) == ["recovery"]


def test_of_two_processes_one_tells_and_the_other_takes_over(shared, receiver):
    server = receiver()
    first = shared.started(failing(shared), **telling(server))
    second = shared.started(**telling(server))
    assert second(RUN) == "failed"
    assert kinds(server, 1) == ["failure"]
    until_taken(shared)  # killed before that, it may be told twice
    first.kill()
    (shared.folder / "works").touch()
    assert second(RUN) == "executed"
    assert kinds(server, 1) == ["recovery"]
    until_taken(shared)
    assert server.asked.empty()


def test_a_program_without_the_channel_leaves_it_to_one_that_has_it(shared, receiver):
    server, other = receiver(), receiver()
    first = shared.started(**telling(other, "mail"))
    second = shared.started(failing(shared), **telling(server))
    assert first(RUN) == "failed"
    assert kinds(server, 1) == ["failure"]
    assert other.asked.empty()
    assert second("scheduler.notice_channels()[0].name") == "ops"


def test_each_run_is_told_at_least_once_and_in_order_over_many_deaths(shared, receiver):
    server = receiver()
    position, _ = shared.store.ended_after(None, 0)
    tick = "scheduler.add_job(work.note, trigger='interval', seconds=0.05, id='tick', on_run='ops')"
    told = []
    for deaths in range(5):
        process = shared.started(tick, **telling(server))
        for _ in range(4 + 3 * deaths):
            told.append(json.loads(server.next().body))
        process.kill()
    last = shared.started(tick, **telling(server))
    last("scheduler.pause_job('tick')")

    def ended():
        _, records = shared.store.ended_after(position, 10_000)
        return [each.run_id for each in records if is_run(each)]

    def runs_told():
        while not server.asked.empty():
            told.append(json.loads(server.next().body))
        return list(dict.fromkeys(int(each["run_id"]) for each in told if each["kind"] == "ended"))

    until(lambda: runs_told() == ended(), "that each is told, in order")
