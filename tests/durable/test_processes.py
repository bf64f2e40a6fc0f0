"""Several processes on one file: who takes over, what is handed on, and what orders do."""

from __future__ import annotations

from array import array

import pytest

from schedcore.stores.process import this_process
from schedcore.stores.sqlite import SqliteStore
from schedcore.stores.unbegun import Unbegun, left_by
from tests.durable.processes import Told, until

SOON_EACH = "trigger='interval', seconds=0.05"
LATER = "trigger='interval', seconds=3600"
LOOK = "scheduler._node.catch_up()"


def look(process, times=20):
    """Have a process look at the others, as often as it would in two seconds."""
    for _ in range(times):
        process(LOOK)


@pytest.fixture
def released(shared):
    """Return the path for which jobs wait that hold."""
    return shared.folder / "released"


def hold(released, job_id, **options):
    told = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"scheduler.add_job(work.hold, {LATER}, args=[{str(released)!r}], id={job_id!r}{told})"


# Who takes due jobs


def test_another_process_takes_over_from_one_that_was_killed(shared):
    first = shared.started(f"scheduler.add_job(work.note, {SOON_EACH}, id='tick')")
    second = shared.started(f"scheduler.add_job(work.note, {SOON_EACH}, id='tick')")
    assert (first.state, second.state) == ("RUNNING", "STANDBY")
    shared.until_started("tick")
    first.kill()
    until(lambda: any(start.pid == second.pid for start in shared.starts()), "a run of the second")
    until(lambda: shared.states()[first.pid] == "dead", "that the first is found dead")
    assert second.state == "RUNNING"
    assert shared.holder() == second.pid


def test_one_that_is_frozen_is_not_taken_for_dead(shared, released):
    first = shared.started(hold(released, "long"))
    second = shared.started(hold(released, "long"))
    first("scheduler.run_job('long', wait=False)")
    shared.until_started("long")
    first.freeze()
    look(second)
    assert shared.states() == {first.pid: "alive", second.pid: "alive"}
    assert shared.holder() == first.pid
    first.thaw()
    released.touch()
    assert shared.until_ended("long") == ["executed"]


def test_a_lock_that_somebody_removed_lets_another_take_over_and_nothing_runs_twice(shared):
    add = f"scheduler.add_job(work.note, {SOON_EACH}, id='tick')"
    processes = [shared.started(add) for _ in range(2)]
    for _ in range(5):
        before = len(shared.until_started("tick"))
        (shared.folder / "jobs.db-engine.lock").unlink(missing_ok=True)
        shared.until_started("tick", before + 3)
    until(
        lambda: sorted(process.state for process in processes) == ["RUNNING", "STANDBY"],
        "that one takes due jobs",
    )
    runs = [(start.run_id, start.attempt) for start in shared.starts()]
    assert len(set(runs)) == len(runs)


def test_one_whose_own_lock_was_removed_is_another_node_and_its_runs_are_lost(shared, released):
    holder = shared.started(hold(released, "long"))
    other = shared.started(hold(released, "long"))
    other("scheduler.run_job('long', wait=False)")
    (start,) = shared.until_started("long")
    (node,) = [n.id for n in shared.store.cluster.nodes() if n.pid == other.pid]
    (shared.folder / f"jobs.db-node-{node}.lock").unlink()
    assert shared.until_ended("long") == ["lost"]
    until(lambda: other("len(scheduler.nodes())") == 3, "its new node")
    nodes = {n.id: n.state for n in shared.store.cluster.nodes() if n.pid == other.pid}
    assert nodes.pop(node) == "dead"
    assert list(nodes.values()) == ["alive"]
    # Told to stop, the function returned; that is noted beside the outcome.
    until(lambda: "after all" in (shared.store.find(start.run_id).reason or ""), "the late end")
    holder.kill()
    until(lambda: other.state == "RUNNING", "its taking over")
    assert other("scheduler.run_job('long', wait=False).id") > start.run_id


# Leaving


def test_who_leaves_hands_over_what_has_not_begun_and_is_leaving_while_a_run_goes_on(
    shared, released
):
    one = {"executors": {"default": {"type": "threadpool", "max_workers": 1}}}
    add = [hold(released, "long"), f"scheduler.add_job(work.note, {LATER}, id='short')"]
    first = shared.started(*add, options=one)
    second = shared.started(*add)
    first("scheduler.run_job('long', wait=False)")
    shared.until_started("long")
    first("scheduler.run_job('short', wait=False)")
    assert [run["job_id"] for run in first("scheduler.shutdown(timeout=0)")] == ["long"]
    assert [s.pid for s in shared.until_started("short")] == [second.pid]
    until(lambda: shared.holder() == second.pid, "the second's taking over")
    assert shared.states()[first.pid] == "leaving"
    released.touch()
    assert shared.until_ended("long") == ["executed"]
    assert shared.until_ended("short") == ["executed"]
    until(lambda: shared.states()[first.pid] == "left", "that it has left")
    first("scheduler.start()")
    assert first.state == "STANDBY"


def test_a_run_that_fails_while_its_process_leaves_is_tried_again_by_another(shared, released):
    retry = {"count": 3, "delay": 0.01}
    add = (
        f"scheduler.add_job(work.fail_until, {LATER}, args=[{str(released)!r}], id='fails',"
        f" retry={retry!r})"
    )
    first = shared.started(add)
    second = shared.started(add)
    released_later = hold(released, "long")
    second(released_later)
    first("scheduler.modify_job('fails', retry={'count': 50, 'delay': 0.02, 'factor': 1})")
    first("scheduler.run_job('fails', wait=False)")
    shared.until_started("fails", 2)
    first("scheduler.shutdown()")
    until(lambda: shared.starts("fails")[-1].pid == second.pid, "an attempt in the second")
    released.touch()
    assert shared.until_ended("fails") == ["executed"]
    attempts = [start.attempt for start in shared.starts("fails")]
    assert attempts == list(range(1, len(attempts) + 1))


# Orders


def test_pause_resume_stop_and_start_hold_for_all(shared):
    add = f"scheduler.add_job(work.note, {SOON_EACH}, id='tick')"
    first, second, third = (shared.started(add) for _ in range(3))
    second("scheduler.pause()")
    for process in (first, third):
        until(lambda process=process: process.state == "PAUSED", "the pause")
    before = len(shared.starts())
    assert until(lambda: not shared.store.runs(), "the last end")
    late = shared.started(add)
    assert late.state == "PAUSED"
    third("scheduler.resume()")
    shared.until_started("tick", before + 2)
    until(lambda: first.state == "RUNNING", "the first's going on")
    late("scheduler.shutdown(leave=False)")
    for process in (first, second, third):
        until(lambda process=process: process.state == "STOPPED", "the stop")
    assert set(shared.states().values()) == {"alive"}
    before = len(shared.starts())
    second("scheduler.start()")
    shared.until_started("tick", before + 2)
    for process in (first, third, late):
        until(lambda process=process: process.state != "STOPPED", "the start")


def test_a_pause_outlives_all_processes(shared):
    add = f"scheduler.add_job(work.note, {SOON_EACH}, id='tick')"
    first = shared.started(add)
    first("scheduler.pause()")
    first.kill()
    second = shared.started(add)
    assert second.state == "PAUSED"
    before = len(shared.starts())
    second("scheduler.resume()")
    shared.until_started("tick", before + 1)


def test_a_run_now_is_executed_where_it_is_asked_for_and_cancelled_from_anywhere(shared, released):
    add = hold(released, "long")
    first, second, third = (shared.started(add) for _ in range(3))
    run_id = third("scheduler.run_job('long', wait=False).id")
    assert [start.pid for start in shared.until_started("long")] == [third.pid]
    assert [run["id"] for run in second("scheduler.runs()")] == [run_id]
    second(f"scheduler.cancel({run_id})")
    assert shared.outcomes("long") == ["cancelled"]
    until(lambda: third("scheduler.runs()") == [], "the end")
    with pytest.raises(Told, match="RunEndedError"):
        first(f"scheduler.cancel({run_id})")


# Jobs that are declared, and added


def declare(job_id, **options):
    told = "".join(f", {name}={value!r}" for name, value in {"seconds": 3600, **options}.items())
    return f"scheduler.add_job(work.note, 'interval', id={job_id!r}{told})"


def test_what_is_declared_again_keeps_its_place_and_what_is_not_is_parked(shared):
    first = shared.started(declare("same"), declare("other"), declare("gone"))
    first("scheduler.modify_job('same', name='renamed')")
    places = {entry.job.id: entry.fire_us for entry in shared.store.entries()}
    first.kill()
    shared.started(declare("same"), declare("other", seconds=1800))
    entries = {entry.job.id: entry for entry in shared.store.entries()}
    assert entries["same"].fire_us == places["same"]
    assert entries["same"].job.name == "renamed"
    assert entries["other"].fire_us < places["other"]
    assert entries["gone"].due_us is None
    assert "no longer declares it" in entries["gone"].broken


def test_a_pause_and_a_removal_over_the_api_hold_and_do_not(shared):
    """A job that was paused stays so; one that was removed is declared anew."""
    first = shared.started(declare("paused"), declare("removed"))
    first("scheduler.pause_job('paused')")
    first("scheduler.remove_job('removed')")
    first("scheduler.shutdown()")
    shared.started(declare("paused", max_instances=2), declare("removed"))
    entries = {entry.job.id: entry for entry in shared.store.entries()}
    assert entries["paused"].due_us is None
    assert entries["paused"].job.max_instances == 2
    assert entries["removed"].due_us is not None


def test_what_another_program_declares_is_left_alone(shared):
    shared.started(declare("a"), name="one")
    shared.started(declare("b"), name="two")
    assert all(entry.due_us is not None for entry in shared.store.entries())


def test_jobs_without_ids_are_the_same_in_every_process(shared):
    for _ in range(3):
        shared.started("scheduler.add_job(work.note, 'interval', seconds=3600)")
    assert len(shared.store.entries()) == 1


def test_each_of_four_may_add_the_very_same_after_its_start(shared):
    processes = [shared.started() for _ in range(4)]
    for process in processes:
        process(declare("a"))
    place = shared.store.get("a").fire_us
    for process in processes:
        process(declare("a"))
    assert [entry.fire_us for entry in shared.store.entries()] == [place]
    with pytest.raises(Told, match="ConflictingIdError"):
        processes[0](declare("a", seconds=1800))
    processes[1](declare("a", seconds=1800, replace_existing=True))
    with pytest.raises(Told, match="ConflictingIdError"):
        processes[2](declare("a"))


# What a process leaves behind


def test_retries_survive_their_process(shared, released):
    add = (
        f"scheduler.add_job(work.fail_until, {LATER}, args=[{str(released)!r}], id='fails',"
        " retry={'count': 100, 'delay': 0.05, 'factor': 1})"
    )
    first = shared.started(add)
    first("scheduler.run_job('fails', wait=False)")
    shared.until_started("fails", 2)
    until(lambda: [run for run in shared.store.runs() if run.started_us is None], "that it waits")
    first.kill()
    before = len(shared.starts("fails"))
    shared.started(add)
    released.touch()
    outcome = shared.until_ended("fails")
    # It is lost only if it was not waiting but running when its process was killed.
    assert outcome in (["executed"], ["lost"])
    if outcome == ["executed"]:
        assert len(shared.starts("fails")) > before


def fill_and_kill(shared, released):
    """Kill a process in which ten runs are under way, and five wait for a thread; tell which."""
    jobs = [f"job-{n}" for n in range(15)]
    first = shared.started(*(hold(released, job) for job in jobs))
    for job in jobs:
        first(f"scheduler.run_job({job!r}, wait=False)")
    begun = until(lambda: len(starts := shared.starts()) == 10 and {s.job_id for s in starts})
    first.kill()
    return begun, set(jobs) - begun


def test_what_has_not_begun_is_run_by_another_process_if_its_own_is_killed(shared, released):
    begun, waiting = fill_and_kill(shared, released)
    released.touch()
    shared.started(*(hold(released, job) for job in sorted(begun | waiting)))
    assert [shared.until_ended(job) for job in begun] == [["lost"]] * 10
    assert [shared.until_ended(job) for job in waiting] == [["executed"]] * 5
    assert sorted(start.job_id for start in shared.starts()) == sorted(begun | waiting)
    told = shared.folder / "jobs.db-node-1.unbegun"
    until(lambda: not told.exists(), "the removal of what the first one told")


def test_what_has_not_begun_is_lost_if_it_cannot_be_told_from_the_rest(shared, released):
    begun, waiting = fill_and_kill(shared, released)
    (told,) = shared.folder.glob("*.unbegun")
    told.write_bytes(b"another boot 1 2".ljust(256, b"\0") + told.read_bytes()[256:])
    shared.started(*(hold(released, job) for job in sorted(begun | waiting)))
    assert {shared.until_ended(job)[0] for job in waiting} == {"lost"}


def test_what_a_process_tells_takes_the_place_of_what_an_older_one_told(tmp_path):
    path = tmp_path / "jobs.db-node-1.unbegun"
    for run_id in (5, 7):
        Unbegun(path).hold(run_id)
    told = array("q", path.read_bytes()[256:])
    assert set(told) == {0, 7}
    assert left_by(path, "the older one") == left_by(path, this_process()) == set()
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_is_lost_with_its_process_or_begun_again_as_its_job_says(shared, released):
    add = [
        hold(released, "once"),
        hold(released, "again", on_lost="rerun"),
    ]
    first = shared.started(*add)
    first("scheduler.run_job('once', wait=False)")
    first("scheduler.run_job('again', wait=False)")
    shared.until_started("once")
    shared.until_started("again")
    first.kill()
    second = shared.started(*add)
    assert [start.pid for start in shared.until_started("again", 2)] == [first.pid, second.pid]
    released.touch()
    assert shared.until_ended("once") == ["lost"]
    assert shared.until_ended("again") == ["executed"]
    assert len(shared.starts("once")) == 1


def test_a_run_that_kills_its_process_is_not_begun_for_ever(shared):
    add = f"scheduler.add_job(work.die, {LATER}, id='deadly', on_lost='rerun')"
    first = shared.started(add)
    first.tell("scheduler.run_job('deadly', wait=False)")
    for _ in range(2):
        first.popen.wait()
        first = shared.started(add)
    first.popen.wait()
    last = shared.started(add)
    assert shared.until_ended("deadly") == ["lost"]
    assert [start.attempt for start in shared.starts("deadly")] == [1, 2, 3]
    assert last.state == "RUNNING"


def test_functions_of_the_main_program_run_after_its_restart(shared):
    program = """
        import sys
        from schedcore import Scheduler
        from tests.durable import work

        def tick():
            return work.note()

        scheduler = Scheduler(store=sys.argv[1], name="program", timezone="UTC")
        scheduler.add_job(tick, "interval", seconds=0.05, id="tick")
        scheduler.run_forever()
    """
    for _ in range(2):
        process = shared.program(program)
        until(lambda process=process: [s for s in shared.starts() if s.pid == process.pid], "a run")
        process.kill()
        process.wait()
    other = shared.started()  # whose main program has no such function
    until(lambda: shared.store.get("tick").broken, "that it is parked")
    assert "'__main__'" in shared.store.get("tick").broken
    assert other.state == "RUNNING"


# Forks


def test_after_a_fork_parent_and_child_go_on_with_connections_of_their_own(shared):
    parent = shared.process()
    parent(declare("before"))
    child = parent("work.fork(scheduler)")
    until(lambda: "of the child" in {e.job.id for e in shared.store.entries()}, "the child's job")
    parent(declare("of the parent"))
    shared.store.close()  # neither may be taken for the last one that has the file open
    assert (shared.folder / "jobs.db-wal").exists()
    parent.kill()
    assert len(shared.store.entries()) == 3
    shared.store.close()
    assert (shared.folder / "jobs.db-wal").exists()
    (shared.folder / "go on").touch()
    until(lambda: "of the child, later" in {e.job.id for e in shared.store.entries()}, "more")
    assert {e.job.id for e in shared.store.entries()} == {
        "before",
        "of the parent",
        "of the child",
        "of the child, later",
    }
    assert child > 0


def test_a_forked_child_of_a_started_scheduler_can_be_a_node_of_its_own(shared):
    parent = shared.started(f"scheduler.add_job(work.note, {SOON_EACH}, id='tick')")
    shared.until_started("tick")
    child = parent("work.fork(scheduler, start=True)")
    until(lambda: shared.states().get(child) == "alive", "the child's joining")
    assert shared.holder() == parent.pid
    parent.kill()
    until(lambda: shared.holder() == child, "the child's taking over")
    before = len(shared.starts())
    shared.until_started("tick", before + 2)
    (shared.folder / "go on").touch()


def test_a_store_that_is_closed_lets_go_of_its_locks(tmp_path):
    one, other = (SqliteStore(tmp_path / "jobs.db") for _ in range(2))
    one.cluster.join("app", ["default"])
    assert one.cluster.takes
    one.close()
    other.cluster.join("app", ["default"])
    assert other.cluster.takes
    other.close()
    assert not list(tmp_path.glob("*.lock"))
