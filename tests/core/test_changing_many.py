"""Changes of many jobs that move on all the time."""

from __future__ import annotations

import pytest

from schedcore import ManualClock, MemoryStore, Scheduler
from schedcore.executors.inline import InlineExecutor


class Busy(MemoryStore):
    """A store of which jobs move on while somebody reads them: one for each list, or five reads."""

    reads = moves = 0

    def entries(self):
        found = super().entries()
        if len(found) > 1:
            self.move_on()
        return found

    def get(self, job_id):
        found = super().get(job_id)
        self.reads += 1
        if self.reads % 5 == 0:
            self.move_on()
        return found

    def move_on(self):
        with self.take(1 << 60, 1) as batch:
            for slot in batch.slots:
                self.moves += 1
                assert self.moves < 1_000, "it is tried for ever"
                batch.settle([slot.fire_us + 1_000_000], slot.fire_us)


@pytest.fixture
def scheduler():
    scheduler = Scheduler(
        store=Busy(),
        clock=ManualClock(),
        timezone="UTC",
        executors={"default": InlineExecutor()},
    )
    scheduler.add_jobs(jobs())
    return scheduler


def jobs():
    return [{"func": print, "trigger": "interval", "seconds": 1, "id": f"j{n}"} for n in range(20)]


def test_all_jobs_are_removed_though_one_of_them_moves_on_each_time(scheduler):
    scheduler.remove_all_jobs()
    assert scheduler.get_jobs() == []


def test_many_jobs_are_paused_and_removed_though_one_of_them_moves_on_each_time(scheduler):
    ids = [f"j{n}" for n in range(20)]
    assert [job.id for job in scheduler.pause_jobs(ids)] == ids
    assert {entry.due_us for entry in scheduler.entries()} == {None}
    scheduler.resume_jobs(ids)
    scheduler.remove_jobs(ids)
    assert scheduler.get_jobs() == []


def test_many_jobs_are_replaced_though_one_of_them_moves_on_each_time(scheduler):
    new = [{**job, "name": "new"} for job in jobs()]
    scheduler.add_jobs(new, replace_existing=True)
    assert {entry.job.name for entry in scheduler.entries()} == {"new"}
