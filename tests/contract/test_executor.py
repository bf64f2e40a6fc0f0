"""What every executor promises."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import Counter
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from schedcore import DateTrigger, Run, ThreadPool, current_run
from schedcore.clock import passing_us
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.futures import FuturesAdapter
from schedcore.executors.inline import InlineExecutor
from schedcore.executors.processes import ProcessPool
from schedcore.job import Job, Options
from tests.core.work import (
    awaited,
    own_run,
    own_run_awaited,
    raising,
    returned,
    returns_generator,
)
from tests.patience import SOON


class Reports:
    """Notes what an executor reports, and lets tests wait for it."""

    def __init__(self, refuse=False, clock=passing_us):
        self.refuse, self.clock = refuse, clock
        self.begun, self.ended = [], []
        self._changed = threading.Condition()

    def begin(self, run):
        run._started_us = self.clock()
        with self._changed:
            self.begun.append(run.id)
            self._changed.notify_all()
        return not self.refuse

    def end(self, run, value, error, at_us=None):
        ended_us = self.clock()
        with self._changed:
            self.ended.append((run.id, value, error))
            self._changed.notify_all()
        return ended_us

    def settle(self):
        pass

    def cancelled(self, run):
        self.end(run, "cancelled", None)

    def shed(self, run):
        self.end(run, "shed", None)

    def lost(self, run, error):
        self.end(run, "lost", error)

    def wait_for_begun(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, 20)

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ended) >= count, 20)
        return sorted(self.ended, key=lambda end: end[0])


def run_of(func, number=1, args=()):
    job = Job(f"j{number}", func, args, {}, DateTrigger("2030-01-01", "UTC"), Options())
    return Run(number, job, 0)


class PicklingPool(FuturesExecutor):
    """Carries functions, arguments, results and errors as a pool of other processes does."""

    def __init__(self):
        self.threads = ThreadPoolExecutor(4)

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_running_or_notify_cancel()

        def work():
            try:
                func, given, named = pickle.loads(carried)
                future.set_result(pickle.loads(pickle.dumps(func(*given, **named))))
            except BaseException as error:
                future.set_exception(error)

        # As the standard library's process pool does, which pickles in a thread of its own.
        try:
            carried = pickle.dumps((fn, args, kwargs))
        except Exception as error:
            future.set_exception(error)
        else:
            self.threads.submit(work)
        return future

    def shutdown(self, wait=True, **options):
        self.threads.shutdown(wait)


@pytest.fixture(params=["threads", "coroutines", "futures", "inline", "remote", "processes"])
def executor(request):
    if request.param == "futures":
        with ThreadPoolExecutor(4) as pool:
            yield FuturesAdapter(pool)
        return
    if request.param == "remote":
        with PicklingPool() as pool:
            yield FuturesAdapter(pool, remote=True)
        return
    made = {
        "threads": ThreadPool,
        "coroutines": CoroutineLoop,
        "inline": InlineExecutor,
        "processes": lambda: ProcessPool(2),
    }
    executor = made[request.param]()
    yield executor
    executor.shutdown(10)


CALLED = []


def note_call():
    CALLED.append(1)


def test_a_run_is_called_with_its_arguments_and_reported_once(executor):
    reports = Reports()
    executor.submit([run_of(returned, args=(1, 2))], reports)
    assert reports.wait_for(1) == [(1, (1, 2), None)]
    assert reports.begun == [1]
    executor.shutdown(10)
    assert len(reports.ended) == 1


def test_many_runs_are_each_reported(executor):
    reports = Reports()
    executor.submit([run_of(returned, n, (n,)) for n in range(200)], reports)
    assert [value for _, value, _ in reports.wait_for(200)] == [(n,) for n in range(200)]


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt, MemoryError])
def test_whatever_a_run_raises_is_its_end_and_the_next_one_runs(executor, raised):
    reports = Reports()
    # Ctrl-C is the program's as well, where the main thread executes the run.
    inline = isinstance(executor, InlineExecutor) and raised is KeyboardInterrupt
    with pytest.raises(raised) if inline else nullcontext():
        executor.submit([run_of(raising, 1, (raised.__name__,))], reports)
    ((_, value, error),) = reports.wait_for(1)
    assert value is None
    assert type(error) is raised
    executor.submit([run_of(returned, 2)], reports)
    assert reports.wait_for(2)[1] == (2, (), None)


def test_a_coroutine_function_runs_to_its_end(executor):
    reports = Reports()
    executor.submit([run_of(awaited, 7, (7,))], reports)
    assert reports.wait_for(1) == [(7, 7, None)]


def test_a_generator_is_no_result(executor):
    reports = Reports()
    executor.submit([run_of(returns_generator)], reports)
    ((_, _, error),) = reports.wait_for(1)
    assert "iterate over it in the function" in str(error)


@pytest.mark.parametrize("asking", [own_run, own_run_awaited])
def test_the_run_can_be_asked_for_inside(executor, asking):
    reports = Reports()
    executor.submit([run_of(asking, 3)], reports)
    assert reports.wait_for(1) == [(3, "j3", None)]
    with pytest.raises(LookupError, match="inside a job"):
        current_run()


def test_a_run_that_may_not_begin_is_not_called(executor):
    CALLED.clear()
    reports = Reports(refuse=True)
    executor.submit([run_of(note_call)], reports)
    executor.shutdown(10)
    assert reports.begun == [1]
    assert CALLED == []
    assert reports.ended == []


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (lambda: None, ()),  # cannot be carried there
        (returned, (threading.Lock(),)),  # nor can its argument
        (raising, ("ValueError",)),
    ],
)
def test_whatever_becomes_of_a_run_in_another_process_is_reported(func, args):
    with PicklingPool() as pool:
        executor, reports = FuturesAdapter(pool, remote=True), Reports()
        executor.submit([run_of(func, 1, args), run_of(returned, 2)], reports)
        (_, value, error), second = reports.wait_for(2)
    assert value is None
    assert isinstance(error, Exception)
    assert second == (2, (), None)


def test_a_pool_of_other_processes_that_is_not_said_to_be_one_is_told_apart():
    with PicklingPool() as pool:
        executor, reports = FuturesAdapter(pool), Reports()
        executor.submit([run_of(returned)], reports)
        ((_, _, error),) = reports.wait_for(1)
    assert "remote=True" in str(error)


def test_shutdown_waits_for_what_was_submitted_and_a_submit_starts_afresh(executor):
    reports = Reports()
    executor.submit([run_of(returned, 1, ("first",))], reports)
    executor.shutdown(None)
    assert reports.ended == [(1, ("first",), None)]
    executor.submit([run_of(returned, 2, ("second",))], reports)
    assert reports.wait_for(2)[1] == (2, ("second",), None)


def test_a_thread_pool_uses_no_more_threads_than_it_may():
    pool = ThreadPool(max_workers=3, name="bounded")
    gate, running, most = threading.Barrier(3), threading.Semaphore(3), []

    def job():
        assert running.acquire(blocking=False)  # a fourth at the same time would not get in
        gate.wait(SOON)
        most.append(threading.current_thread().name)
        running.release()

    reports = Reports()
    pool.submit([run_of(job, n) for n in range(9)], reports)
    assert all(error is None for _, _, error in reports.wait_for(9))
    assert len(set(most)) == 3
    pool.shutdown(10)


def test_a_thread_pool_starts_threads_only_as_they_are_needed():
    pool = ThreadPool(max_workers=10, name="lazy")
    reports = Reports()
    for n in range(20):
        pool.submit([run_of(threading.get_ident, n)], reports)
        reports.wait_for(n + 1)
    # One thread may still be on its way to sleep when the next run comes.
    assert len({value for _, value, _ in reports.ended}) <= 2
    pool.shutdown(10)


def test_a_long_run_does_not_delay_short_ones_of_the_same_batch():
    pool = ThreadPool(max_workers=2)
    release = threading.Event()
    reports = Reports()
    batch = [run_of(lambda: release.wait(SOON), 0)] + [
        run_of(lambda: None, n) for n in range(1, 50)
    ]
    pool.submit(batch, reports)
    reports.wait_for(49)  # all the short ones, while the long one is still under way
    assert 0 not in [number for number, _, _ in reports.ended]
    release.set()
    reports.wait_for(50)
    pool.shutdown(10)


def test_a_function_that_was_brief_and_now_is_not_holds_nobody_up():
    """Brief runs are left to one thread; another takes over where one of them is not brief."""
    pool = ThreadPool(max_workers=3)
    release, blocked, reports = threading.Event(), threading.Event(), Reports()
    block = [False]

    def mostly_brief():
        if block[0]:
            block[0] = False
            blocked.set()
            assert release.wait(SOON)

    for n in range(0, 300, 30):
        pool.submit([run_of(mostly_brief, n + k) for k in range(30)], reports)
        reports.wait_for(n + 30)
    block[0] = True
    pool.submit([run_of(mostly_brief, n) for n in range(300, 400)], reports)
    reports.wait_for(399)
    assert blocked.is_set()
    release.set()
    reports.wait_for(400)
    pool.shutdown(10)


def test_runs_that_are_not_brief_any_more_come_to_use_all_threads():
    pool = ThreadPool(max_workers=4)
    together, reports = threading.Barrier(4), Reports()
    meet = [False]

    def sometimes_meets():
        if meet[0]:
            together.wait(SOON)

    pool.submit([run_of(sometimes_meets, n) for n in range(100)], reports)
    reports.wait_for(100)
    meet[0] = True
    pool.submit([run_of(sometimes_meets, n) for n in range(100, 140)], reports)
    assert all(error is None for _, _, error in reports.wait_for(140))
    pool.shutdown(10)


def by_few(reports):
    """Tell whether few threads executed what came late: one that is pre-empted is relieved."""
    late = Counter(thread for number, thread, _ in reports.ended if number >= 1_000)
    return sum(count for _, count in late.most_common(3)) > 0.8 * late.total()


def test_brief_runs_are_left_to_few_threads():
    pool = ThreadPool(max_workers=10)
    reports = Reports()
    for n in range(0, 2_000, 100):
        pool.submit([run_of(threading.get_ident, n + k) for k in range(100)], reports)
        reports.wait_for(n + 100)
    assert by_few(reports)
    pool.shutdown(10)


def test_a_method_is_one_function_for_all_objects():
    """Where it is known to be brief: jobs of one kind each have an object of their own."""

    class Asker:
        def ask(self):
            return threading.get_ident()

    pool = ThreadPool(max_workers=10)
    reports = Reports()
    for n in range(0, 2_000, 100):
        pool.submit([run_of(Asker().ask, n + k) for k in range(100)], reports)
        reports.wait_for(n + 100)
    assert by_few(reports)
    pool.shutdown(10)


def test_threads_whose_runs_were_given_up_leave_their_places_to_others():
    """They neither lead nor watch, though their runs seem brief by a clock that stands still."""
    pool = ThreadPool(max_workers=2)
    reports = Reports(clock=lambda: 0)
    given_up, holding, hang = threading.Event(), threading.Event(), threading.Event()
    first = [run_of(lambda: given_up.wait(SOON), n) for n in range(2)]
    pool.submit(first, reports)
    reports.wait_for_begun(2)
    for run in first:
        pool.abandon(run)
    pool.submit([run_of(lambda: holding.wait(SOON), n) for n in range(2, 4)], reports)
    reports.wait_for_begun(4)
    brief = lambda: None  # noqa: E731 — one function, so that it is known to be brief
    pool.submit([run_of(brief, n) for n in range(4, 34)], reports)
    given_up.set()
    reports.wait_for(2)
    holding.set()
    reports.wait_for(34)
    pool.submit([run_of(lambda: hang.wait(SOON), 34)], reports)
    pool.submit([run_of(brief, n) for n in range(35, 65)], reports)
    reports.wait_for(64)
    hang.set()
    pool.shutdown(10)


def test_a_pool_whose_threads_stepped_back_shuts_down():
    pool = ThreadPool(max_workers=10)
    reports = Reports()
    for n in range(0, 1_000, 100):
        pool.submit([run_of(lambda: None, n + k) for k in range(100)], reports)
    pool.shutdown(20)
    assert len(reports.ended) == 1_000


def test_a_full_queue_sheds_what_is_too_much():
    pool = ThreadPool(max_workers=1, max_queue=2)
    release = threading.Event()
    reports = Reports()
    pool.submit([run_of(lambda: release.wait(SOON), n) for n in range(6)], reports)
    shed = [number for number, value, _ in reports.ended if value == "shed"]
    assert shed == [3, 4, 5]
    release.set()
    reports.wait_for(6)
    pool.shutdown(10)


def test_an_abandoned_run_frees_its_worker():
    pool = ThreadPool(max_workers=1)
    started, release, reports = threading.Event(), threading.Event(), Reports()
    hanging = run_of(lambda: (started.set(), release.wait(SOON)), 1)
    pool.submit([hanging], reports)
    assert started.wait(SOON)
    pool.submit([run_of(lambda: "next", 2)], reports)
    pool.abandon(hanging)
    assert reports.wait_for(1) == [(2, "next", None)]
    release.set()
    reports.wait_for(2)
    pool.shutdown(10)


def test_an_abandoned_coroutine_is_cancelled():

    loop, started, reports = CoroutineLoop(), threading.Event(), Reports()

    async def hang():
        started.set()
        await asyncio.sleep(3600)

    hanging = run_of(hang)
    loop.submit([hanging], reports)
    assert started.wait(SOON)
    loop.abandon(hanging)
    assert reports.wait_for(1) == [(1, "cancelled", None)]
    loop.shutdown(10)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "4", True, None])
def test_a_pool_of_no_size_is_refused(bad):
    with pytest.raises(ValueError, match=r"max_workers=.*whole number of 1 or more"):
        ThreadPool(max_workers=bad)
