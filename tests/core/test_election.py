"""Elections: who holds, who stands by, and what the next one goes on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from itertools import pairwise

import pytest

from schedcore import (
    Election,
    InvalidOptionError,
    ManualClock,
    Outcome,
    Scheduler,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    State,
)

START = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)
PATIENCE = 20
MEMBER = """
import os, sys, threading
from schedcore import Election, Scheduler, current_run

def tick():
    line = f"{current_run().due_us} {os.getpid()}\\n".encode()
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)

def fork_a_child_that_stays():
    if os.fork() == 0:
        os.read(0, 1)  # until the test closes it, long after its parent was killed
        os._exit(0)
    tick()

scheduler = Scheduler(election=Election("e", folder=sys.argv[1]))
scheduler.add_job(globals()[sys.argv[3]], "interval", seconds=float(sys.argv[4]))
scheduler.start()
print(scheduler.state.name, flush=True)
scheduler.run_forever()
print({outcome.value: n for outcome, n in scheduler.counts().items()}, flush=True)
"""


def until(condition):
    """Return what *condition* returns once that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "election"


@pytest.fixture
def member(tmp_path, folder):
    """Start processes that take part; ``ticks()`` tells when their job was due, and where."""
    started = []

    def begin(func="tick", seconds=0.2):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                MEMBER,
                str(folder),
                str(tmp_path / "ticks"),
                func,
                str(seconds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        process.standing = process.stdout.readline().strip()
        return process

    def ticks():
        file = tmp_path / "ticks"
        lines = file.read_text().splitlines() if file.exists() else []
        return [tuple(map(int, line.split())) for line in lines]

    begin.ticks = ticks
    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def made(folder):
    """Make schedulers of one election, as several processes would."""
    schedulers = []

    def make(instance="", **options):
        election = Election("e", folder=folder, instance=instance)
        options = {"clock": ManualClock(START), "timezone": "UTC"} | options
        schedulers.append(Scheduler(election=election, **options))
        return schedulers[-1]

    yield make
    for scheduler in schedulers:
        if scheduler.state is not State.STOPPED or scheduler.standing.holds:
            scheduler.shutdown(timeout=PATIENCE)


# Between processes


@pytest.mark.parametrize("func", ["tick", "fork_a_child_that_stays"])
def test_another_process_goes_on_when_the_holder_is_killed(member, func):
    """On the beat, each occurrence once; a child that the holder forked does not hold for it."""
    holder, other = member(func), member(func)
    assert (holder.standing, other.standing) == ("RUNNING", "STANDBY")
    until(lambda: len(member.ticks()) >= 3)
    holder.kill()
    until(lambda: member.ticks()[-1][1] == other.pid)
    count = len(member.ticks())
    until(lambda: len(member.ticks()) > count)
    due = [due_us for due_us, _ in member.ticks()]
    assert len(set(due)) == len(due)
    assert {(due_us - due[0]) % 200_000 for due_us in due} == {0}
    assert max(b - a for a, b in pairwise(due)) < 2_000_000


def test_a_holder_that_ends_hands_over(member, folder):
    first, second = member(), member()
    until(lambda: len(member.ticks()) >= 2)
    first.send_signal(signal.SIGTERM)
    first.wait(PATIENCE)
    until(lambda: member.ticks()[-1][1] == second.pid)
    second.send_signal(signal.SIGTERM)
    second.wait(PATIENCE)
    due = [due_us for due_us, _ in member.ticks()]
    assert len(set(due)) == len(due)
    assert {(due_us - due[0]) % 200_000 for due_us in due} == {0}
    assert [file.suffix for file in folder.iterdir()] == [".estate"]


# In one process: two schedulers are rivals as two processes are


def test_one_runs_and_the_other_stands_by(made):
    first, second = made(), made()
    first.start()
    second.start()
    assert (first.state, first.running, first.health().ok) == (State.RUNNING, True, True)
    assert (second.state, second.running, second.health().ok) == (State.STANDBY, False, True)
    assert first.holder().pid == second.holder().pid == os.getpid()
    with pytest.raises(SchedulerAlreadyRunningError):
        second.start()
    with pytest.raises(SchedulerNotRunningError):
        second.pause()
    first.shutdown()
    until(lambda: second.state is State.RUNNING)
    second.shutdown()
    assert second.state is State.STOPPED
    assert second.holder() is None


def test_what_was_changed_is_handed_over_and_what_is_declared_otherwise_counts(made):
    """By id: what one holder leaves, what the next declares, and what that comes to."""
    first, second = made(), made()
    for scheduler in (first, second):
        scheduler.add_job("math:sqrt", "interval", args=[4], minutes=5, id="same")
        scheduler.add_job("math:sqrt", "interval", args=[4], minutes=5, id="paused")
        scheduler.add_job("math:sqrt", "interval", args=[4], minutes=5, id="changed")
        scheduler.add_job("math:sqrt", "interval", args=[4], minutes=5, id="removed")
        scheduler.add_job(lambda: None, "interval", minutes=7, name="without an id")
    first.add_job("math:sqrt", "cron", args=[4], minute=5, id="declared no more")
    first.add_job("math:sqrt", "cron", args=[4], minute=5, id="declared otherwise")
    second.add_job("math:sqrt", "cron", args=[9], minute=5, id="declared otherwise")
    second.add_job("math:sqrt", "cron", args=[9], minute=5, id="declared anew")
    first.start(paused=True)
    second.start()
    first.pause_job("paused")
    first.remove_job("removed")
    first.modify_job("changed", args=[16], name="C", retry=2, trigger={"trigger": "date"})
    first.pause_job("declared otherwise")
    first.add_job("math:sqrt", "interval", args=[4], hours=1, id="added", coalesce=False)
    first.add_job(lambda: None, "interval", hours=1, id="a function without a name")
    first.add_job("math:sqrt", "interval", args=[object()], hours=1, id="no plain data")
    first.add_job("builtins:print", "interval", args=[(1, {2})], hours=1, id="tagged")
    expected = {entry.job.id: entry for entry in first.entries()}
    first.shutdown()
    until(lambda: second.state is not State.STANDBY)

    found = {entry.job.id: entry for entry in second.entries()}
    (unnamed,) = set(found) - set(expected) - {"declared anew"} or {
        None,
    }
    assert unnamed is None, "the same declaration has the same id in every process"
    gone = {"declared no more", "a function without a name", "no plain data"}
    assert set(found) == set(expected) - gone | {"declared anew"}
    for job_id in ("same", "paused", "changed", "added", "tagged"):
        assert found[job_id].job == expected[job_id].job, job_id
        assert found[job_id].due_us == expected[job_id].due_us, job_id
    assert found["declared otherwise"].job.args == (9,)
    assert found["declared otherwise"].due_us is not None
    assert second.state is State.PAUSED, "as the first one was"


def test_a_later_start_begins_afresh_unless_it_is_of_the_same_instance(made):
    for instance, kept in (("", False), ("server", False), ("server", True)):
        scheduler = made(instance)
        scheduler.start()
        assert (scheduler.get_job("added") is not None) == kept
        scheduler.add_job(
            "math:sqrt", "cron", args=[4], minute=5, id="added", replace_existing=True
        )
        scheduler.shutdown()


def test_jobs_stay_over_a_shutdown_and_a_new_start(made):
    scheduler = made()
    scheduler.add_job("math:sqrt", "cron", args=[4], minute=5, id="declared")
    scheduler.start()
    scheduler.add_job("math:sqrt", "cron", args=[4], minute=5, id="added")
    scheduler.shutdown()
    scheduler.add_job("math:sqrt", "cron", args=[4], minute=5, id="between")
    scheduler.start()
    assert {entry.job.id for entry in scheduler.entries()} == {"declared", "added", "between"}


def test_an_engine_that_is_ended_without_leaving_ends_for_all(made):
    first, second = made(), made()
    first.start()
    second.start()
    first.shutdown(leave=False)
    assert (first.state, second.state) == (State.STOPPED, State.STANDBY)
    first.start()
    assert (first.state, second.state) == (State.RUNNING, State.STANDBY)
    first.shutdown(leave=False)
    first.shutdown()
    until(lambda: second.state is State.STOPPED)
    assert second.standing.holds
    second.start()
    assert second.state is State.RUNNING


def test_what_was_killed_is_gone_on_with(made, folder, tmp_path):
    """The marks of a holder, as a process that was killed leaves them."""
    clock = ManualClock(START)
    first = made("server", clock=clock)
    for job_id in ("ran", "paused", "moved", "removed"):
        first.add_job("math:sqrt", "interval", args=[4], minutes=10, id=job_id)
    first.add_job("math:sqrt", "date", args=[4], run_date=START, id="once")
    first.start()
    until(lambda: first.counts("once"))
    clock.advance(600)
    until(lambda: first.counts("ran"))
    first.pause_job("paused")
    first.remove_job("removed")
    first.reschedule_job("moved", "interval", hours=7)
    (marks,) = folder.glob("*.marks")
    left = marks.read_bytes()
    first.shutdown()
    for file in folder.iterdir():
        file.unlink()
    marks.write_bytes(left)

    clock = ManualClock(START)
    clock.advance(1000)
    second = made("server", clock=clock)
    for job_id in ("ran", "paused", "moved", "removed"):
        second.add_job("math:sqrt", "interval", args=[4], minutes=10, id=job_id)
    second.add_job("math:sqrt", "date", args=[4], run_date=START, id="once")
    second.start(paused=True)
    due = {entry.job.id: entry.due_us for entry in second.entries()}
    assert set(due) == {"ran", "paused", "moved"}
    assert due["ran"] == (START.timestamp() + 1200) * 1_000_000
    assert due["paused"] is None
    assert due["moved"] == (START.timestamp() + 1600) * 1_000_000, "as declared, from now"


def test_what_was_under_way_is_recorded_as_lost(made, folder):
    go_on, began = threading.Event(), threading.Event()

    def hang():
        began.set()
        go_on.wait(PATIENCE)

    first = made("server")
    first.add_job(hang, id="h")
    first.start()
    assert began.wait(PATIENCE)
    (marks,) = folder.glob("*.marks")
    left = marks.read_bytes()
    go_on.set()
    first.shutdown()
    for file in folder.iterdir():
        file.unlink()
    marks.write_bytes(left)
    second = made("server")
    second.start()
    assert second.counts("h") == {Outcome.LOST: 1}


@pytest.mark.parametrize("left", [b"", b"schedmk1", b"\0" * 100, b'{"state": 1}'])
@pytest.mark.parametrize("ending", [".marks", ".estate", ".holder"])
def test_what_cannot_be_read_does_not_hinder_a_start(made, folder, left, ending):
    scheduler = made("server")
    scheduler.add_job("math:sqrt", "cron", args=[4], minute=5, id="declared")
    folder.mkdir(0o700)
    scheduler.standing.election.path(ending).write_bytes(left)
    scheduler.start()
    assert scheduler.running
    assert scheduler.get_job("declared") is not None


def test_a_holder_whose_lock_was_removed_ends_its_engine(made, folder, monkeypatch):
    monkeypatch.setattr("schedcore.leader.membership.KEEP_EVERY", 0.02)
    first = made()
    first.start()
    (lock,) = folder.glob("*.lock")
    lock.unlink()
    second = made()
    second.start()
    until(lambda: {first.state, second.state} == {State.RUNNING, State.STANDBY})


def test_a_full_disk_costs_time_and_no_more(made, monkeypatch):
    """Taking office fails, nothing is run by halves, and it is tried again."""
    scheduler, full = made(), [True]
    publish = scheduler.standing.election.publish

    def fails(holder):
        if full[0]:
            raise OSError(28, "No space left on device")
        publish(holder)

    monkeypatch.setattr(scheduler.standing.election, "publish", fails)
    scheduler.start()
    assert (scheduler.state, scheduler.running) == (State.STANDBY, False)
    full[0] = False
    until(lambda: scheduler.state is State.RUNNING)


def test_what_fell_due_while_another_held_is_not_run_again_if_nothing_tells_of_it(
    made, monkeypatch
):
    clock = ManualClock(START)
    first, second = made(clock=clock), made(clock=clock)
    for scheduler in (first, second):
        scheduler.add_job("math:sqrt", "interval", args=[4], minutes=1, coalesce=False, id="job")
    first.start()
    second.start()
    clock.advance(300)
    until(lambda: first.counts("job").get(Outcome.EXECUTED) == 5)
    monkeypatch.setattr(first.standing.election, "write", lambda *_: None)  # its disk is full
    first.shutdown()
    until(lambda: second.state is State.RUNNING)
    (job,) = second.get_jobs()
    assert job.entry.due_us > clock.now_us()
    assert second.counts("job") == {}


def test_a_moment_counted_from_each_start_does_not_come_twice(made):
    clock = ManualClock(START)
    first, second = made(clock=clock), made(clock=clock)
    for scheduler, second_of_day in ((first, 3), (second, 4)):
        at = START.replace(second=second_of_day)
        scheduler.add_job("math:sqrt", "date", args=[4], run_date=at, id="once")
    first.start()
    second.start()
    clock.advance(10)
    until(lambda: first.counts("once"))
    first.shutdown()
    until(lambda: second.state is State.RUNNING)
    assert second.shutdown(timeout=PATIENCE) == []
    assert (second.get_jobs(), second.counts("once")) == ([], {})


def test_who_holds_is_said_again_if_that_was_tidied_away(made, folder, monkeypatch):
    monkeypatch.setattr("schedcore.leader.membership.KEEP_EVERY", 0.02)
    first, other = made(), made()
    first.start()
    for file in folder.glob("*.holder"):
        file.unlink()
    until(lambda: other.holder() == first.holder())


# The folder, and the name


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes are POSIX's")
@pytest.mark.parametrize("wrong", ["open", "link", "file", "below", "group below"])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path, wrong):
    folder = tmp_path / "f"
    if wrong == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif wrong == "link":
        (tmp_path / "g").mkdir(0o700)
        folder.symlink_to(tmp_path / "g")
    elif wrong == "file":
        folder.write_text("")
    else:
        tmp_path.chmod(0o777 if wrong == "below" else 0o770)
    with pytest.raises((InvalidOptionError, FileExistsError)):
        Election("e", folder=folder).attempt()
    tmp_path.chmod(0o700)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    election = Election("e", folder=tmp_path / "f")
    (tmp_path / "f").mkdir(0o700)
    election.path(".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        election.attempt()
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["", "x" * 1001, None, 3])
def test_names_that_make_no_sense(name):
    with pytest.raises(InvalidOptionError, match="name="):
        Election(name)


def test_any_other_name_will_do(tmp_path):
    for name in ("/../x", "\0", "\ud800", "x" * 1000):
        election = Election(name, folder=tmp_path / "f")
        assert election.attempt()
        election.release()
    assert not (tmp_path / "f").exists()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(InvalidOptionError, match="pip install filelock"):
        Election("e")
