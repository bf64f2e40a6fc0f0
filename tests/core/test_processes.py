"""Processes that can be ended: one death harms one run, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from schedcore import EVENT_JOB_EXECUTED, InvalidOptionError, Outcome, Scheduler
from schedcore.executors import processes
from schedcore.executors.processes import ProcessPool
from tests.core import work
from tests.durable.processes import until
from tests.patience import SOON

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


@pytest.fixture(params=[1])
def scheduler(request):
    executors = {"default": ProcessPool(request.param)}
    scheduler = Scheduler(timezone="UTC", executors=executors, capture_output=True)
    scheduler.start()
    yield scheduler
    if scheduler.state:
        scheduler.shutdown(timeout=SOON)


def ran(scheduler, func, *args, **options):
    """Run *func* once, and return how that ended."""
    job = scheduler.add_job(func, args=args, next_run_time=None, **options)
    return scheduler.run_job(job.id, timeout=SOON).record


class Alive:
    """Tells whether the processes are there that hold one end of a named pipe."""

    def __init__(self, folder):
        self.path, self.file = str(folder / "alive"), None
        os.mkfifo(self.path)

    def until_begun(self):
        self.file = open(self.path, encoding="ascii")  # noqa: SIM115 — closed below
        return int(self.file.readline())

    def until_gone(self):
        assert self.file.read() == ""
        self.file.close()


@pytest.fixture
def alive(tmp_path):
    alive = Alive(tmp_path)
    yield alive
    if alive.file is not None:
        alive.file.close()


@pytest.mark.parametrize(
    ("func", "said"),
    [(work.die, "ended by SIGKILL"), (work.leave, "exit status 3")],
)
def test_a_death_is_the_end_of_one_run_and_the_next_one_is_executed(scheduler, func, said):
    for _ in range(2):
        record = ran(scheduler, func)
        assert record.outcome is Outcome.LOST
        assert said in record.why()
        assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED
    assert scheduler.health().ok


@pytest.mark.parametrize("scheduler", [3], indirect=True)
def test_a_death_harms_no_run_beside_it(scheduler, alive):
    job = scheduler.add_job(work.hold, args=[alive.path], next_run_time=None)
    held = scheduler.run_job(job.id, wait=False)
    alive.until_begun()
    assert ran(scheduler, work.die).outcome is Outcome.LOST
    assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED
    assert held.outcome is None
    scheduler.cancel(held.id)
    alive.until_gone()


@pytest.mark.parametrize("rest", ["wait", "deaf"])
@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_a_run_that_is_ended_early_is_ended_for_real(scheduler, alive, monkeypatch, how, rest):
    """And what it started, also where it does not listen; the next run need not wait for that."""
    monkeypatch.setattr(processes, "GRACE", 0.1)
    timeout = 2.0 if how == "timed out" else None
    job = scheduler.add_job(work.hold, args=[alive.path, rest], timeout=timeout, next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)
    alive.until_begun()
    if timeout is None:
        scheduler.cancel(run.id)
    assert run.wait(SOON)
    assert run.outcome is (Outcome.TIMED_OUT if timeout else Outcome.CANCELLED)
    alive.until_gone()
    assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED
    assert sum(scheduler.counts(job.id).values()) == 1


def test_a_program_is_ended_with_its_run(scheduler, alive):
    job = scheduler.add_job(work.hold_program, args=[alive.path], next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)
    alive.until_begun()
    scheduler.cancel(run.id)
    alive.until_gone()


def test_a_run_that_was_cancelled_while_it_waited_is_not_called(scheduler, alive, tmp_path):
    job = scheduler.add_job(work.hold, args=[alive.path], next_run_time=None)
    held = scheduler.run_job(job.id, wait=False)
    alive.until_begun()
    other = scheduler.add_job(
        os.mkdir, args=[str(tmp_path / "made")], next_run_time=None, timeout=0.001
    )
    waiting = scheduler.run_job(other.id, wait=False)
    scheduler.cancel(waiting.id)
    scheduler.cancel(held.id)
    assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED
    assert waiting.outcome is Outcome.CANCELLED
    assert not (tmp_path / "made").exists()


def test_a_run_knows_about_itself(scheduler):
    heard = []
    scheduler.add_listener(lambda event: heard.append(event.retval), EVENT_JOB_EXECUTED)
    record = ran(scheduler, work.about_itself)
    (told,) = heard
    assert told == (
        *(record.run_id, record.job_id, 1, record.run_id),
        *(record.scheduled, "manual"),
    )


def test_what_is_large_comes_as_text(scheduler):
    heard = []
    scheduler.add_listener(lambda event: heard.append(event.retval), EVENT_JOB_EXECUTED)
    assert ran(scheduler, work.returns_much).result.startswith("'xxx")
    assert len(heard[0]) < 1_001
    assert "lock" in ran(scheduler, work.returns_lock).result


def test_an_error_that_cannot_be_pickled_keeps_its_name_and_is_tried_again(scheduler):
    func = work.raises_what_cannot_be_pickled
    record = ran(scheduler, func, retry={"count": 1, "delay": 0, "on": ["ValueError"]})
    assert (record.outcome, record.attempt) == (Outcome.FAILED, 2)
    assert (record.error_type, record.error_text) == ("NotPickled", "no")
    output = scheduler.output(record.run_id).text
    assert "in raises_what_cannot_be_pickled" in output


def test_a_function_that_no_other_process_finds_is_refused(scheduler):
    with pytest.raises(InvalidOptionError, match="top level of a module"):
        scheduler.add_job(lambda: None)


@pytest.mark.parametrize("file", [{}, {"__file__": "<stdin>"}], ids=["a notebook", "stdin"])
def test_so_is_one_of_a_program_without_a_file(scheduler, monkeypatch, file):
    def typed():
        """Do nothing."""

    typed.__module__, typed.__qualname__ = "__main__", "typed"
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(typed=typed, **file))
    with pytest.raises(InvalidOptionError, match=r"a notebook, python -c .* put it into a file"):
        scheduler.add_job(typed)


def test_arguments_that_cannot_be_pickled_are_the_end_of_their_run(scheduler):
    record = ran(scheduler, work.returned, sys._getframe())
    assert record.outcome is Outcome.FAILED
    assert "pickle" in record.error_text
    assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED


def test_a_process_that_cannot_be_started_is_the_failure_of_its_run(scheduler, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")
        record = ran(scheduler, os.getpid)
    assert (record.outcome, record.error_type) == (Outcome.FAILED, "FileNotFoundError")
    assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED


def test_what_a_run_prints_is_kept(scheduler):
    record = ran(scheduler, work.prints)
    assert scheduler.output(record.run_id).text == "printed\nwritten\nWARNING work: logged\n"
    record = ran(scheduler, work.prints_and_dies)
    assert record.error_type == "SystemExit"
    assert scheduler.output(record.run_id).text.startswith("last words\n")
    assert scheduler.output(ran(scheduler, os.getpid).run_id).text == ""


def test_what_a_run_prints_is_there_while_it_runs(scheduler, alive):
    job = scheduler.add_job(work.prints_and_holds, args=[alive.path], next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)
    until(lambda: scheduler.output(run.id).text == "first\n", "what it printed")
    scheduler.cancel(run.id)


def test_of_much_that_is_printed_the_beginning_and_the_end_are_kept(scheduler):
    output = scheduler.output(ran(scheduler, work.prints_much).run_id)
    assert output.text.startswith("line 0 x")
    assert "\nline 19999 x" in output.text
    assert output.next == sum(len(f"line {n} {'x' * 100}\n") for n in range(20_000))


def test_at_the_end_no_process_is_left_however_its_run_hangs(scheduler, alive):
    job = scheduler.add_job(work.hold, args=[alive.path, "deaf"])
    alive.until_begun()
    scheduler.shutdown(timeout=0.1)
    alive.until_gone()
    assert [record.outcome for record in scheduler.history(job.id)] == [Outcome.LOST]
    scheduler.start()
    assert ran(scheduler, os.getpid).outcome is Outcome.EXECUTED


SCRIPT = """
    import os, signal, sys
    from schedcore import Scheduler

    def mine():
        return os.getpid()

    {guard}
        from tests.core import work
        scheduler = Scheduler(
            timezone="UTC", executors={{"default": {{"type": "processpool", "max_workers": 2}}}}
        )
        scheduler.start()
        job = scheduler.add_job(mine, next_run_time=None)
        record = scheduler.run_job(job.id, timeout=60).record
        print(record.why(), flush=True)
        assert record.result != str(os.getpid())
        scheduler.add_job(getattr(work, sys.argv[2]), args=[sys.argv[1]])
        sys.stdin.read()
"""


def script(folder, alive, func="hold", guard="if __name__ == '__main__':"):
    file = folder / "script.py"
    file.write_text(textwrap.dedent(SCRIPT.format(guard=guard)))
    return subprocess.Popen(
        [sys.executable, str(file), alive.path, func],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends these")


@pytest.mark.parametrize(
    "func", ["hold", "hold_program", pytest.param("hold_lock", marks=ONLY_LINUX)]
)
@pytest.mark.parametrize("how", ["killed", "ended"])
def test_when_the_scheduler_is_gone_so_are_its_processes(tmp_path, alive, how, func):
    """However it went; and functions of its script are found in them."""
    with script(tmp_path, alive, func) as program:
        assert program.stdout.readline().startswith("executed")
        alive.until_begun()
        if how == "killed":
            program.send_signal(signal.SIGKILL)
        else:
            program.stdin.close()
        alive.until_gone()


def test_a_script_that_starts_a_scheduler_when_it_is_imported_starts_no_other(tmp_path, alive):
    with script(tmp_path, alive, guard="if True:") as program:
        said = program.stdout.readline()
        assert said.startswith("failed")
        assert "below if __name__ == '__main__'" in said
        program.kill()


@pytest.mark.parametrize("how", ["returns", "exits"])
@pytest.mark.parametrize("captures", [True, False])
def test_the_child_of_a_run_that_forks_reports_nothing(how, captures):
    scheduler = Scheduler(executors={"default": ProcessPool(1)}, capture_output=captures)
    scheduler.start()
    assert ran(scheduler, work.forks, how).result == "'parent'"
    assert ran(scheduler, work.returned, 5).result == "(5,)"
    scheduler.shutdown(timeout=SOON)
