"""What runs print and log is kept for each of them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import logging
import sys
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from schedcore import (
    InvalidOptionError,
    MemoryStore,
    Outcome,
    RunLookupError,
    Scheduler,
    ThreadPool,
)
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.inline import InlineExecutor
from schedcore.output.capture import Stream
from schedcore.output.text import HALF, Kept, Output, Printed
from schedcore.stores.outputs import Outputs
from tests.core.printing import all_ways, all_ways_async, fails, told
from tests.patience import SOON

EXECUTORS = {
    "threads": ThreadPool,
    "inline": InlineExecutor,
    "coroutines": CoroutineLoop,
    "futures' threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(1, get_context("spawn")),
}


@pytest.fixture
def make():
    """Make schedulers that are shut down in the end.

    In the test itself, and not in a fixture: pytest gives each of them a sys.stdout of its own.
    """
    made = []

    def make(**options):
        scheduler = Scheduler(timezone="UTC", **{"capture_output": True, **options})
        made.append(scheduler)
        scheduler.start()
        return scheduler

    yield make
    for scheduler in made:
        if scheduler.running:
            scheduler.shutdown(timeout=SOON)


def run(scheduler, func, *args, **options):
    """Run a function as a job, and return the run."""
    scheduler.add_job(func, "interval", args=args, hours=1, id="j", **options)
    return scheduler.run_job("j", timeout=SOON)


def printed_by(scheduler, func, *args, **options):
    return scheduler.output(run(scheduler, func, *args, **options).id).text


# What is kept


@pytest.mark.parametrize("kind", EXECUTORS)
def test_what_a_run_prints_and_logs_is_kept_in_order(make, kind):
    executor = EXECUTORS[kind]()
    scheduler = make(executors={"here": executor})
    func = all_ways_async if kind == "coroutines" else all_ways
    one = run(scheduler, func, "job", executor="here")
    text = told("job")
    assert one.record.result == "'job'"
    assert scheduler.output(one.id) == Output(text, len(text), 0, True)
    if hasattr(executor, "map"):
        scheduler.shutdown()
        executor.shutdown()


@pytest.mark.parametrize("kind", EXECUTORS)
def test_the_traceback_of_what_it_raised_comes_last(make, kind):
    executor = EXECUTORS[kind]()
    scheduler = make(executors={"here": executor})
    text = printed_by(scheduler, fails, executor="here")
    assert text.startswith("before\n")
    assert text.endswith("ValueError: boom\n")
    assert "in fails\n" in text
    assert "schedcore/run.py" not in text, "our own frames tell nobody anything"
    if hasattr(executor, "map"):
        scheduler.shutdown()
        executor.shutdown()


def test_a_traceback_begins_on_a_line_of_its_own(make):
    scheduler = make()

    def work():
        print("halfway", end="")
        raise ValueError("boom")

    assert printed_by(scheduler, work).startswith("halfway\nTraceback (most recent call last):\n")


def test_all_of_it_goes_where_it_went_without(make, capsys, caplog):
    scheduler = make()
    run(scheduler, all_ways, "job")
    out, err = capsys.readouterr()
    assert out == "job says hello\njob ends in bytes\n"
    assert "job complains\n" in err
    assert [record.message for record in caplog.records if record.name == "tests.jobs"] == [
        "job warns"
    ]


def test_a_log_record_that_a_handler_writes_to_stderr_is_kept_once(make):
    scheduler = make()
    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("tests.jobs")
    logger.addHandler(handler)
    try:
        assert printed_by(scheduler, logger.error, "once") == "ERROR tests.jobs: once\n"
    finally:
        logger.removeHandler(handler)


def test_a_log_record_brings_its_traceback_and_may_be_malformed(make):
    scheduler = make()
    logger = logging.getLogger("tests.jobs")
    logger.propagate = False

    def work():
        try:
            fails()
        except ValueError:
            logger.exception("it failed")
        logger.makeRecord("tests.jobs", logging.INFO, "", 0, "%d of %d", (1,), None)

    try:
        lines = printed_by(scheduler, work).splitlines()
    finally:
        logger.propagate = True
    assert lines[:3] == [
        "before",
        "ERROR tests.jobs: it failed",
        "Traceback (most recent call last):",
    ]
    assert lines[-2:] == ["ValueError: boom", "INFO tests.jobs: '%d of %d'"]


def test_handlers_format_errors_as_they_would_without(make):
    class Brief(logging.Formatter):
        def formatException(self, ei):
            return f"({ei[0].__name__})"

    logger, stream = logging.getLogger("tests.jobs"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Brief("%(message)s"))
    logger.addHandler(handler)

    def work():
        try:
            fails()
        except ValueError:
            logger.exception("it failed")

    try:
        assert "Traceback" in printed_by(make(), work)
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue() == "it failed\n(ValueError)\n"


def test_who_prints_outside_of_a_run_is_not_kept(make, capsys):
    scheduler = make()
    begun, go = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go.wait(SOON)

    scheduler.add_job(work, "interval", hours=1, id="j")
    one = scheduler.run_job("j", wait=False)
    assert begun.wait(SOON)
    print("outside")
    go.set()
    assert one.wait(SOON)
    assert scheduler.output(one.id) == Output("", 0, 0, True)
    assert capsys.readouterr().out == "outside\n"


def test_runs_at_once_in_one_pool_never_mix(make):
    scheduler = make(executors={"default": ThreadPool(4)})
    together = threading.Barrier(4)

    def work(name):
        for n in range(50):
            together.wait(SOON)
            print(f"{name}{n}")

    def begin(name):
        scheduler.add_job(work, "interval", args=(name,), hours=1, id=name)
        return scheduler.run_job(name, wait=False)

    runs = {name: begin(name) for name in "abcd"}
    for name, one in runs.items():
        assert one.wait(SOON)
        assert scheduler.output(one.id).text.split() == [f"{name}{n}" for n in range(50)]


def test_coroutines_on_one_loop_never_mix(make):
    scheduler = make()

    async def work(name):
        for n in range(50):
            print(f"{name}{n}")
            await asyncio.sleep(0)

    def begin(name):
        scheduler.add_job(work, "interval", args=(name,), hours=1, id=name)
        return scheduler.run_job(name, wait=False)

    runs = {name: begin(name) for name in "abcd"}
    for name, one in runs.items():
        assert one.wait(SOON)
        assert scheduler.output(one.id).text.split() == [f"{name}{n}" for n in range(50)]


def test_a_thread_belongs_to_the_run_whose_context_it_has(make):
    scheduler = make()

    def in_thread(call):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(SOON)

    def work():
        in_thread(lambda: contextvars.copy_context().run(print, "not of this run"))
        copied = contextvars.copy_context()
        in_thread(lambda: copied.run(print, "of this run"))

    assert printed_by(scheduler, work) == "of this run\n"


def test_a_task_that_outlives_its_run_adds_nothing(make):
    scheduler = make()
    ended, later = threading.Event(), []

    async def work():
        async def stray():
            while not ended.is_set():
                await asyncio.sleep(0.001)
            print("too late")
            later.append(True)

        task = asyncio.get_running_loop().create_task(stray())
        later.append(task)
        print("in time")

    one = run(scheduler, work)
    assert one.record is not None
    before = scheduler.output(one.id)
    ended.set()
    scheduler.shutdown(timeout=SOON)
    assert before == scheduler.output(one.id) == Output("in time\n", 8, 0, True)


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_the_attempts_of_a_run_follow_each_other(make, kind):
    scheduler = make()
    texts = iter(("one", "two"))

    def work():
        text = next(texts)
        print(text)
        if text == "one":
            raise ValueError("again")

    async def work_async():
        work()

    func = work if kind == "function" else work_async
    text = printed_by(scheduler, func, retry={"count": 1, "delay": 0})
    first, between, second = text.partition("--- attempt 2 ---\n")
    assert between
    assert (first.splitlines()[0], first.splitlines()[-1]) == ("one", "ValueError: again")
    assert second == "two\n"


def test_nothing_is_kept_unless_it_is_asked_for(make):
    before = sys.stdout, sys.stderr, logging.getLogRecordFactory()
    scheduler = make(capture_output=False)
    assert (sys.stdout, sys.stderr, logging.getLogRecordFactory()) == before
    assert printed_by(scheduler, all_ways, "job") == ""


def test_two_schedulers_of_which_one_captures(make):
    one, other = make(), make(capture_output=False)
    assert printed_by(other, all_ways, "job") == ""
    assert printed_by(one, all_ways, "job") == told("job")


# While it goes on


def test_it_can_be_read_while_the_run_goes_on(make):
    scheduler = make()
    printed, go = threading.Semaphore(0), threading.Event()

    def work():
        print("first")
        printed.release()
        assert go.wait(SOON)
        print("second")

    scheduler.add_job(work, "interval", hours=1, id="j")
    one = scheduler.run_job("j", wait=False)
    assert printed.acquire(timeout=SOON)
    first = scheduler.output(one.id)
    assert first == Output("first\n", 6, 0, False)
    go.set()
    assert one.wait(SOON)
    assert scheduler.output(one.id, first.next) == Output("second\n", 13, 0, True)


def test_a_job_may_print_while_its_scheduler_shuts_down(make):
    """print() looks up sys.stdout once, and writes to it twice: it must be there both times."""
    scheduler = make()
    stream = weakref.ref(sys.stdout)
    scheduler.shutdown()
    assert sys.stdout is not stream()
    gc.collect()
    assert stream().write("") == 0, "it was freed under the hands of whatever prints to it"


@pytest.mark.parametrize("after", [-1, 4, 1.0, "1", True, None])
def test_a_place_that_is_not_there(make, after):
    scheduler = make()
    one = run(scheduler, lambda: print("abc", end=""))
    with pytest.raises(InvalidOptionError, match=r"after=.*: expected a whole number from 0 to 3"):
        scheduler.output(one.id, after)


def test_a_run_that_is_not_known(make):
    scheduler = make()
    with pytest.raises(RunLookupError, match="no run with id 5 is open or in the history"):
        scheduler.output(5)


# Bounds


def test_of_much_output_the_beginning_and_the_end_are_kept(make):
    scheduler = make()

    def work():
        for n in range(20_000):
            print(f"{n:09}")

    one = run(scheduler, work)
    output = scheduler.output(one.id)
    text = "".join(f"{n:09}\n" for n in range(20_000))
    left_out = len(text) - 2 * HALF
    between = f"\n[... {left_out:,} characters are left out ...]\n"
    assert output == Output(text[:HALF] + between + text[-HALF:], len(text), left_out, True)
    # From each place on, nothing is told twice.
    assert scheduler.output(one.id, HALF - 5).text == text[HALF - 5 : HALF] + between + text[-HALF:]
    assert scheduler.output(one.id, HALF + 5).left_out == left_out - 5
    assert scheduler.output(one.id, len(text) - 5) == Output(text[-5:], len(text), 0, True)


@pytest.mark.parametrize("pieces", [1, 3, 7, 100_000])
def test_a_flood_without_a_newline_is_kept_in_bounded_memory(pieces):
    printed = Printed()
    text = "".join(chr(97 + n % 26) for n in range(500_000))
    for start in range(0, len(text), -(-len(text) // pieces)):
        printed.add(text[start : start + -(-len(text) // pieces)])
        assert printed.size <= 5 * HALF
    assert printed.kept() == Kept(text[:HALF], text[-HALF:], len(text))


def test_what_is_no_text_is_told_in_escapes(make):
    scheduler = make()

    def work():
        sys.stdout.buffer.write(b"\xff\xfe caf\xc3\xa9 \x00")
        logging.getLogger("tests.jobs").warning("\ud800 and %s", "\x00")

    logging.getLogger("tests.jobs").propagate = False
    try:
        text = printed_by(scheduler, work)
    finally:
        logging.getLogger("tests.jobs").propagate = True
    assert text == "\\xff\\xfe café \\x00WARNING tests.jobs: \\ud800 and \\x00\n"


def test_a_character_that_two_pieces_share_is_one(make):
    scheduler = make()
    data = ("é" * 100_000).encode()
    one = run(scheduler, lambda: sys.stdout.buffer.write(b"x" + data))
    assert scheduler.output(one.id).next == 100_001


def test_memory_keeps_the_last_outputs_of_each_job_and_so_much_in_all():
    class Ended:
        def __init__(self, run_id, job_id, text):
            self._id, self._job_id, self._output = run_id, job_id, Printed()
            self._output.add(text)

    outputs = Outputs({}, per_job=2, overall=100)
    for run_id in range(3):
        outputs.keep(Ended(run_id, "a", "x" * 10))
    assert [outputs.get(run_id) is not None for run_id in range(3)] == [False, True, True]
    outputs.keep(Ended(3, "b", "x" * 85))
    assert [outputs.get(run_id) is not None for run_id in range(1, 4)] == [False, True, True]
    outputs.keep(Ended(4, "c", "x" * 1000))
    assert [outputs.get(run_id) is not None for run_id in range(2, 5)] == [False, False, True]


# The places of sys.stdout and sys.stderr


def test_the_streams_are_given_back(make):
    before = sys.stdout, sys.stderr, logging.getLogRecordFactory()
    scheduler, other = make(), make()
    assert isinstance(sys.stdout, Stream)
    scheduler.shutdown()
    assert isinstance(sys.stdout, Stream), "another one needs it"
    other.shutdown()
    assert (sys.stdout, sys.stderr, logging.getLogRecordFactory()) == before


def test_what_somebody_put_in_their_place_stays(make, monkeypatch):
    class Tee:
        def __init__(self, below):
            self.below = below

        def __getattr__(self, name):
            return getattr(self.below, name)

    scheduler = make()
    theirs = Tee(sys.stdout)
    monkeypatch.setattr(sys, "stdout", theirs)
    scheduler.shutdown()
    assert sys.stdout is theirs
    other = make()
    assert printed_by(other, all_ways, "job") == told("job"), "and nothing is kept twice"
    other.shutdown()
    assert sys.stdout is theirs


def test_a_program_without_a_console(make, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    scheduler = make()
    assert sys.stdout is None
    assert run(scheduler, print, "nowhere").record.outcome is Outcome.EXECUTED


def test_a_stream_behaves_as_the_one_it_stands_for(make, capsys):
    below = sys.stdout
    make()
    assert sys.stdout.encoding == below.encoding
    assert sys.stdout.isatty() == below.isatty()
    sys.stdout.writelines(["a", "b"])
    sys.stdout.buffer.writelines([b"c", b"d"])
    sys.stdout.flush()
    with pytest.raises(TypeError):
        sys.stdout.write(5)
    assert sorted(capsys.readouterr().out) == ["a", "b", "c", "d"]


def test_neither_true_nor_false():
    with pytest.raises(InvalidOptionError, match="capture_output='yes': expected True or False"):
        Scheduler(capture_output="yes")


def test_the_memory_store_has_no_output_of_runs_it_does_not_know():
    assert MemoryStore().output(5) == Kept()
