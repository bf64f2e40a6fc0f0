"""Jobs that run a program: what it prints, how it ends, and that nothing of it is left."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

import pytest

from schedcore import InvalidOptionError, Scheduler, jobs
from schedcore.jobs import CommandFailedError, run_command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


def sh(script, **more):
    return run_command(["/bin/sh", "-c", script], **more)


def test_the_end_of_the_output_is_returned():
    assert sh("echo out; echo err >&2") == "out\nerr"
    assert sh("true") == ""
    long = sh("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done")
    assert long.endswith("line 2998\nline 2999")
    assert len(long) == jobs.MOST_OUTPUT


def test_no_shell_reads_the_arguments():
    assert run_command(["echo", "$HOME;", "`id`"]) == "$HOME; `id`"


def test_folder_variables_and_input(tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "kept")
    assert sh("pwd -P", cwd=str(tmp_path)) == str(tmp_path.resolve())
    assert sh("echo $KEPT $GIVEN", env={"GIVEN": "given"}) == "kept given"
    assert run_command(["cat"], input="first\nsecond\n") == "first\nsecond"
    assert run_command(["cat"]) == "", "without input there is nothing to wait for"
    assert run_command(["wc", "-c"], input="x" * 1_000_000).strip() == "1000000"
    assert run_command(["true"], input="x" * 1_000_000) == "", "nobody reads it"


def test_a_failure_tells_the_status_and_the_output():
    with pytest.raises(
        CommandFailedError, match=r"^/bin/sh: exit status 3: no such thing$"
    ) as info:
        sh("echo no such thing; exit 3")
    assert (info.value.status, info.value.output) == (3, "no such thing")
    again = pickle.loads(pickle.dumps(info.value))
    assert (str(again), again.status) == (str(info.value), 3), "it comes out of a process pool"
    with pytest.raises(CommandFailedError, match=r"^/bin/sh: ended by SIGKILL$"):
        sh("kill -9 $$")


def test_a_program_that_is_not_there_is_an_oserror():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run_command(["no-such-program"])


@pytest.mark.parametrize("argv", ["echo hi", [], [1], None, ["echo", None], {"echo"}])
def test_what_is_no_list_of_words_is_refused(argv):
    with pytest.raises(InvalidOptionError, match=r"^argv="):
        run_command(argv)


def test_what_stays_in_the_background_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "gate")
    assert sh(f"cat {tmp_path}/gate & echo started") == "started"
    (tmp_path / "gate").write_text("")  # lets cat end


class Group:
    """Processes that hold one end of a pipe for as long as any of them is there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alive"
        os.mkfifo(self.path)

    def script(self, rest="wait"):
        return f"exec 3>{self.path}; sleep 1000 & echo begun >&3; {rest}"

    def wait_until_begun(self):
        self.file = open(self.path, encoding="ascii")  # noqa: SIM115 — closed below
        assert self.file.readline() == "begun\n"

    def wait_until_gone(self):
        assert self.file.read() == ""
        self.file.close()


@pytest.mark.parametrize("rest", ["wait", "trap '' TERM; sleep 1000"], ids=["asked", "killed"])
def test_a_run_that_is_cancelled_ends_the_whole_group(rest, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "GRACE", 0.01)
    group = Group(tmp_path)
    scheduler = Scheduler()
    scheduler.start()
    argv = ["/bin/sh", "-c", group.script(rest)]
    job = scheduler.add_job(run_command, "interval", hours=1, args=[argv])
    run = scheduler.run_job(job.id, wait=False)
    group.wait_until_begun()
    scheduler.cancel(run.id)
    group.wait_until_gone()
    scheduler.shutdown()


def test_ctrl_c_ends_the_whole_group(tmp_path):
    group = Group(tmp_path)
    reading = os.open(group.path, os.O_RDONLY | os.O_NONBLOCK)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # More than a pipe holds: once it is through, somebody reads it, and so waits for the end.
    with pytest.raises(KeyboardInterrupt):
        sh(group.script("head -c 200000 /dev/zero; kill -INT $PPID; wait"))
    os.set_blocking(reading, True)
    with open(reading, encoding="ascii") as file:
        assert file.read() == "begun\n", "and then the end: nobody holds the pipe"
