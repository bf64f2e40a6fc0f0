"""Nothing stops the loop: whatever raises, that job or listener pays, and all others go on."""

from __future__ import annotations

import logging
import queue
import threading
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import (
    EVENT_ALL,
    EVENT_JOB_EXECUTED,
    DateTrigger,
    ManualClock,
    MemoryStore,
    Outcome,
    Scheduler,
    State,
    SystemClock,
    ThreadPool,
    Trigger,
    current_run,
    simulate,
)
from schedcore import loop as loop_module
from schedcore.executors.inline import InlineExecutor
from schedcore.loop import Loop
from tests.patience import SOON

START = datetime(2000, 1, 1, tzinfo=timezone.utc)
RAISED = [ValueError, SystemExit, RecursionError, MemoryError]
"""KeyboardInterrupt as well, but in the main thread, where it is the program's: a simulation's."""


class Faulty:
    """Wraps an object: its method *name* raises *error* at the next *times* calls."""

    def __init__(self, real, name=None, error=None, times=0):
        self.real, self.name, self.error, self.times = real, name, error, times
        self.raised = threading.Event()

    def __getattr__(self, name):
        real = getattr(self.real, name)
        if name != self.name:
            return real

        def faulty(*args, **kwargs):
            if not self.times:
                return real(*args, **kwargs)
            self.times -= 1
            self.raised.set()
            raise self.error

        return faulty


def wait_for(scheduler, count, job_id=None):
    """Wait until *count* more runs were executed."""
    semaphore = threading.Semaphore(0)

    def listener(event):
        if job_id in (None, event.job_id):
            semaphore.release()

    scheduler.add_listener(listener, EVENT_JOB_EXECUTED)
    for _ in range(count):
        assert semaphore.acquire(timeout=SOON)


@pytest.mark.parametrize("error", RAISED)
def test_whatever_a_job_raises_it_stays_scheduled(virtual_scheduler, error):
    def job():
        raise error("no")

    virtual_scheduler.add_job(job, "interval", minutes=1, id="bad")
    virtual_scheduler.add_job(lambda: None, "interval", minutes=1, id="good")
    simulate(virtual_scheduler, timedelta(minutes=10))
    assert virtual_scheduler.counts("bad") == {Outcome.FAILED: 10}
    assert virtual_scheduler.counts("good") == {Outcome.EXECUTED: 10}
    assert virtual_scheduler.history("bad")[0].error_type == error.__name__


@pytest.mark.parametrize("error", RAISED)
def test_whatever_a_listener_raises_the_others_hear(virtual_scheduler, error):
    def bad(event):
        raise error("no")

    heard = []
    virtual_scheduler.add_listener(bad, EVENT_ALL)
    virtual_scheduler.add_listener(heard.append, EVENT_JOB_EXECUTED)
    virtual_scheduler.add_job(lambda: None, "interval", minutes=1)
    simulate(virtual_scheduler, timedelta(minutes=10))
    assert len(heard) == 10
    assert virtual_scheduler.health().listener_failures >= 10


@pytest.mark.parametrize("error", [*RAISED, KeyboardInterrupt])
@pytest.mark.parametrize("method", ["take", "next_due"])
def test_whatever_the_store_raises_the_loop_goes_on_and_no_run_is_lost(method, error):
    store = Faulty(MemoryStore(), method, error("the disk is full"))
    clock = ManualClock()
    scheduler = Scheduler(
        store=store, clock=clock, timezone="UTC", executors={"default": InlineExecutor()}
    )
    scheduler.add_job(lambda: None, "interval", seconds=10, id="job")
    for _ in range(3):
        clock.advance(10)
        store.times = 2
        for _ in range(2):
            with pytest.raises(error):
                scheduler._engine.step(clock.now_us())
        scheduler._engine.step(clock.now_us())
        scheduler._engine.step(clock.now_us())
    assert scheduler.counts() == {Outcome.EXECUTED: 3}


@pytest.mark.parametrize("name", ["step", "clock"])
def test_the_loops_thread_outlives_any_error(name, caplog):
    store, clock = Faulty(MemoryStore()), Faulty(SystemClock())
    scheduler = Scheduler(store=store, clock=clock, timezone="UTC")
    scheduler.add_job(lambda: None, "interval", seconds=0.01)
    scheduler.start()
    faulty, method = (store, "take") if name == "step" else (clock, "wait")
    faulty.error, faulty.times, faulty.name = SystemExit("no"), 1, method
    scheduler.wakeup()
    assert faulty.raised.wait(SOON)
    wait_for(scheduler, 2)
    assert scheduler.running
    assert scheduler.health().loop_failures == 1
    scheduler.shutdown(timeout=SOON)
    assert [r.message for r in caplog.records if "loop" in r.message] == [
        "the scheduler's loop failed; it continues in a second"
    ]


def test_a_store_that_stays_down_is_not_logged_each_second(make_loop, caplog, monkeypatch):
    failed = threading.Semaphore(0)

    def fail(now_us):
        failed.release()
        raise OSError("the disk is full")

    monkeypatch.setattr(Loop, "_pause_after_failure", lambda loop, waker: None)
    loop = make_loop(fail)
    for _ in range(100):
        assert failed.acquire(timeout=SOON)
    loop.stop(SOON)
    said = [record for record in caplog.records if "loop failed" in record.message]
    assert len(said) == loop.failures.bit_length()
    assert loop.failing == loop.failures >= 100


def test_an_executor_that_refuses_fails_the_run_and_the_job_stays(virtual_scheduler):
    faulty = Faulty(InlineExecutor(), "submit", RuntimeError("full"), times=1)
    clock = ManualClock()
    scheduler = Scheduler(executors={"default": faulty}, clock=clock, timezone="UTC")
    scheduler.add_job(lambda: None, "interval", minutes=1, id="job")
    for _ in range(2):
        clock.advance(60)
        scheduler._engine.step(clock.now_us())
    assert scheduler.counts("job") == {Outcome.FAILED: 1, Outcome.EXECUTED: 1}
    assert scheduler.history("job")[1].error_text == "full"


# Broken jobs


class Moody(Trigger):
    """Fires each minute, except while it is in a mood."""

    mood: BaseException | None = None

    def next_us(self, after_us: int) -> int | None:
        if self.mood:
            raise self.mood
        return (after_us // 60_000_000 + 1) * 60_000_000


@pytest.mark.parametrize("error", RAISED)
def test_a_job_whose_trigger_raises_is_parked_and_comes_back(virtual_scheduler, caplog, error):
    moody = Moody()
    virtual_scheduler.add_job(lambda: None, moody, id="moody")
    virtual_scheduler.add_job(lambda: None, "interval", minutes=1, id="good")
    moody.mood = error("not today")
    simulate(virtual_scheduler, timedelta(minutes=10))
    entry = virtual_scheduler.entry("moody")
    assert entry.broken == f"{error.__name__}: not today"
    assert virtual_scheduler.counts("good") == {Outcome.EXECUTED: 10}
    assert len([r for r in caplog.records if "cannot be run" in r.message]) == 1
    moody.mood = None
    simulate(virtual_scheduler, timedelta(minutes=10))
    assert virtual_scheduler.entry("moody").broken is None
    counts = virtual_scheduler.counts("moody")
    assert sum(counts.values()) == 21


def test_a_job_whose_executor_is_gone_is_parked_and_comes_back(virtual_scheduler):
    executors = virtual_scheduler._executors
    executors["special"] = InlineExecutor()
    virtual_scheduler.add_job(lambda: None, "interval", minutes=1, id="job", executor="special")
    gone = executors.pop("special")
    simulate(virtual_scheduler, timedelta(minutes=2))
    assert "executor='special'" in virtual_scheduler.entry("job").broken
    executors["special"] = gone
    simulate(virtual_scheduler, timedelta(minutes=2))
    assert virtual_scheduler.entry("job").broken is None
    assert sum(virtual_scheduler.counts("job").values()) == 4


def test_a_trigger_that_does_not_move_on_harms_its_own_job_only(virtual_scheduler):
    class Stuck(Trigger):
        def next_us(self, after_us: int) -> int | None:
            return after_us

        def first_us(self, now_us: int) -> int | None:
            return now_us

    virtual_scheduler.add_job(lambda: None, Stuck(), id="stuck")
    virtual_scheduler.add_job(lambda: None, "interval", minutes=1, id="good")
    simulate(virtual_scheduler, timedelta(minutes=10))
    assert "fire time after" in virtual_scheduler.entry("stuck").broken
    assert virtual_scheduler.counts("good") == {Outcome.EXECUTED: 10}


# The clock


class WatchedClock(ManualClock):
    """Tells when the loop goes to sleep after it has noticed a jump."""

    def __init__(self):
        super().__init__()
        self.noticed, self.asleep_again = threading.Event(), threading.Event()

    def wait(self, waker, until_us, cap_us):
        if self.noticed.is_set():
            self.asleep_again.set()
        super().wait(waker, until_us, cap_us)


def jump(clock, seconds):
    """Step the wall clock, and wait until the loop has noticed and dealt with it."""

    class Handler(logging.Handler):
        def emit(self, record):
            if "wall clock was moved" in record.getMessage():
                clock.noticed.set()

    clock.noticed.clear()
    clock.asleep_again.clear()
    handler = Handler()
    logging.getLogger("schedcore.loop").addHandler(handler)
    clock.jump(seconds)
    assert clock.asleep_again.wait(SOON)
    logging.getLogger("schedcore.loop").removeHandler(handler)


@pytest.fixture
def on_a_clock():
    """A started scheduler with a job each ten seconds, and what it ran."""
    clock = WatchedClock()
    scheduler = Scheduler(clock=clock, timezone="UTC")
    ran = threading.Semaphore(0)
    scheduler.add_job(ran.release, "interval", seconds=10, id="beat")
    scheduler.add_job(lambda: None, "cron", hour=12, id="noon")
    scheduler.start()
    yield scheduler, clock, ran
    scheduler.shutdown(timeout=SOON)


def test_a_clock_set_back_an_hour_keeps_the_beat(on_a_clock, caplog):
    scheduler, clock, ran = on_a_clock
    clock.advance(10)
    assert ran.acquire(timeout=SOON)
    jump(clock, -3600)
    clock.advance(10)
    assert ran.acquire(timeout=SOON)
    assert len([r for r in caplog.records if "wall clock was moved" in r.message]) == 1
    # The wall-clock job waits for its noon, which is yet to come.
    assert scheduler.get_job("noon").next_run_time == START + timedelta(hours=12)


def test_after_a_small_step_back_a_wall_clock_job_does_not_run_twice(on_a_clock):
    scheduler, clock, ran = on_a_clock
    clock.advance(timedelta(hours=12, seconds=1))
    assert ran.acquire(timeout=SOON)
    wanted = START + timedelta(hours=36)
    assert scheduler.get_job("noon").next_run_time == wanted
    jump(clock, -3600)
    clock.advance(10)
    assert ran.acquire(timeout=SOON)
    assert scheduler.get_job("noon").next_run_time == wanted


def test_a_clock_that_was_a_year_ahead_and_is_corrected_stalls_nobody(on_a_clock, caplog):
    scheduler, clock, ran = on_a_clock
    jump(clock, 365 * 86_400)
    assert ran.acquire(timeout=SOON)  # the backlog, once
    assert scheduler.history("beat")[-1].outcome in (Outcome.COALESCED, Outcome.EXECUTED)
    jump(clock, -365 * 86_400)
    clock.advance(10)
    assert ran.acquire(timeout=SOON)
    assert scheduler.get_job("noon").next_run_time == START + timedelta(hours=12)
    assert len([r for r in caplog.records if "wall clock was moved" in r.message]) == 2


def test_a_machine_that_slept_for_a_year_runs_each_job_once(virtual_scheduler, manual_clock):
    ran = []
    virtual_scheduler.add_job(lambda: ran.append(1), "interval", seconds=1, id="beat")
    virtual_scheduler.add_job(lambda: ran.append(1), "cron", second="*", id="cron")
    manual_clock.advance(timedelta(days=365))
    simulate(virtual_scheduler, timedelta(0))
    assert ran == [1, 1]
    seconds = 365 * 86_400
    assert virtual_scheduler.counts("beat") == {
        Outcome.EXECUTED: 1,
        Outcome.COALESCED: seconds - 1,
    }
    assert sum(virtual_scheduler.counts("cron").values()) in (seconds, seconds + 1)
    assert len(virtual_scheduler.history()) == 4


def test_a_first_run_that_was_put_off_stays_put_off_when_the_clock_is_set_back(on_a_clock):
    scheduler, clock, ran = on_a_clock
    off_beat = START + timedelta(hours=5, seconds=3)
    scheduler.modify_job("beat", next_run_time=off_beat)
    jump(clock, -3600)
    jump(clock, -3600)
    assert scheduler.get_job("beat").next_run_time == off_beat
    assert not ran.acquire(blocking=False)


# The loop itself


class Work:
    """What a loop works on: calls *step*, and notes the rest."""

    def __init__(self, step):
        self.step, self.taken_back = step, []
        self.back = threading.Event()

    def step_paused(self, now_us):
        return self.step(now_us)

    def clock_moved(self, now_us, jump_us):
        raise AssertionError("nobody moved the clock")

    def take_back(self, now_us, hung):
        self.taken_back.append(hung)
        self.back.set()


@pytest.fixture
def make_loop():
    loops = []

    def make(step, clock=None, **options):
        loops.append(Loop(Work(step), clock or SystemClock(), **options))
        loops[-1].start()
        return loops[-1]

    yield make
    for loop in loops:
        loop.stop(SOON)


@pytest.fixture
def handler():
    """Return what adds a log handler that calls a function for each record."""
    added = []
    logger = logging.getLogger("schedcore.loop")

    def add(emit):
        handler = logging.Handler()
        handler.emit = emit
        added.append(handler)
        logger.addHandler(handler)

    yield add
    for one in added:
        logger.removeHandler(one)


@pytest.mark.parametrize("stuck", [False, True], ids=["", "while the log is stuck"])
def test_a_loop_that_is_held_up_is_said_and_replaced(make_loop, handler, stuck):
    held, release, replaced = threading.Event(), threading.Event(), threading.Event()
    said = queue.SimpleQueue()

    def emit(record):
        said.put(record.getMessage())
        if stuck:
            release.wait(SOON)

    handler(emit)

    def step(now_us):
        if not held.is_set():
            held.set()
            release.wait(SOON)
        else:
            replaced.set()

    loop = make_loop(step, stall_after=0.2, watch_every=0.01)
    assert held.wait(SOON)
    assert replaced.wait(SOON)
    assert "has been blocked" in said.get(timeout=SOON)
    assert loop._work.taken_back[0] is True
    release.set()


@pytest.mark.parametrize("deaf", [False, True], ids=["", "while nothing can be logged"])
def test_a_loop_whose_thread_is_gone_is_replaced(make_loop, monkeypatch, deaf):
    stepped, dying = threading.Semaphore(0), threading.Event()
    if deaf:
        filter_ = logging.Filter()
        filter_.filter = lambda record: 1 // 0
        monkeypatch.setattr(logging.getLogger("schedcore.loop"), "filters", [filter_])
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    loop = make_loop(lambda now_us: stepped.release(), watch_every=0.01)
    assert stepped.acquire(timeout=SOON)

    def die(waker):
        dying.set()
        monkeypatch.setattr(loop, "_pause_after_failure", lambda waker: None)
        raise SystemExit("as no step can make it")

    def fail(now_us):
        monkeypatch.setattr(loop._work, "step", lambda now_us: stepped.release())
        raise ValueError("no")

    monkeypatch.setattr(loop, "_pause_after_failure", die)
    monkeypatch.setattr(loop._work, "step", fail)
    loop.wake()
    assert dying.wait(SOON)
    assert loop._work.back.wait(SOON)
    while stepped.acquire(blocking=False):
        pass
    loop.wake()
    assert stepped.acquire(timeout=SOON)  # another thread steps


def test_a_loop_that_wakes_is_not_held_up_since_it_fell_asleep(make_loop, monkeypatch):
    asleep, said, looking = threading.Semaphore(0), [], []
    real = loop_module.passing_us

    class Clock(SystemClock):
        def wait(self, waker, until_us, cap_us):
            asleep.release()
            waker.sleep()

    def look():
        if threading.current_thread() is loop._thread and not looking:
            looking.append(True)
            said.append(loop.stalled_for)
            looking.clear()
        return real()

    loop = make_loop(lambda now_us: None, clock=Clock())
    assert asleep.acquire(timeout=SOON)
    loop._pass_began_us -= 3600 * 1_000_000  # as if it had slept for an hour
    monkeypatch.setattr(loop_module, "passing_us", look)
    loop.wake()
    assert asleep.acquire(timeout=SOON)
    assert said
    assert set(said) == {0.0}


@pytest.mark.parametrize("paused", [False, True])
def test_a_paused_or_sleeping_loop_is_not_held_up(make_loop, paused):
    asleep, looked = threading.Event(), threading.Semaphore(0)

    class Clock(SystemClock):
        def wait(self, waker, until_us, cap_us):
            asleep.set()
            waker.sleep()

    loop = make_loop(lambda now_us: None, clock=Clock(), watch_every=0.001)
    loop.paused = paused
    assert asleep.wait(SOON)
    loop._pass_began_us -= 3600 * 1_000_000  # as if it had slept for an hour
    real = loop._replace_if_needed

    def look():
        real()
        looked.release()

    loop._replace_if_needed = look
    for _ in range(5):
        assert looked.acquire(timeout=SOON)
    assert loop.restarts == 0


def test_a_trigger_that_hangs_costs_its_own_job_only(caplog):
    """The loop is replaced, and the jobs that were claimed together with it run."""
    clock = ManualClock()
    store = Faulty(MemoryStore(clock=clock), None, OSError("the disk is full"))
    scheduler = Scheduler(
        store=store, clock=clock, timezone="UTC", executors={"default": InlineExecutor()}
    )
    hanging, release = threading.Event(), threading.Event()

    class Hanging(Trigger):
        def next_us(self, after_us: int) -> int | None:
            if armed:
                hanging.set()
                release.wait(SOON)
            return after_us + 10_000_000

    armed = []
    scheduler.add_job(lambda: None, Hanging(), id="hangs", next_run_time=START)
    scheduler.add_job(lambda: None, "interval", seconds=10, id="good", next_run_time=START)
    armed.append(1)
    stuck = threading.Thread(target=scheduler._engine.step, args=(clock.now_us(),))
    stuck.start()
    assert hanging.wait(SOON)
    for method in ("get", "write"):
        store.name, store.times = method, 1
        with pytest.raises(OSError, match="the disk is full"):
            scheduler._engine.take_back(clock.now_us(), hung=True)
    scheduler._engine.take_back(clock.now_us(), hung=True)
    scheduler._engine.step(clock.now_us())
    assert scheduler.counts() == {Outcome.EXECUTED: 1}
    assert "does not answer" in scheduler.entry("hangs").broken
    assert "it is tried again every 3600 s" in caplog.text
    assert [r.verb for r in scheduler.audit("hangs")] == ["added"], "nobody has ordered that"
    release.set()
    stuck.join(SOON)
    assert scheduler.counts() == {Outcome.EXECUTED: 1}  # its late changes were void


@pytest.mark.parametrize("outcome", [Outcome.EXECUTED, Outcome.FAILED, Outcome.CANCELLED])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_an_end_that_the_store_refuses_is_recorded_later(outcome, times):
    store = Faulty(MemoryStore(), "end", OSError("the disk is full"))
    clock = ManualClock()
    scheduler = Scheduler(
        store=store, clock=clock, timezone="UTC", executors={"default": InlineExecutor()}
    )

    def job():
        called.append(1)
        store.times = times
        if outcome is Outcome.FAILED:
            raise ValueError
        if outcome is Outcome.CANCELLED:
            scheduler.cancel(current_run().id)

    def step():
        try:
            scheduler._engine.step(clock.now_us())
        except OSError:
            return

    called = []
    scheduler.add_listener(lambda _event: None, EVENT_JOB_EXECUTED)  # it is told at once
    scheduler.add_job(job, id="job", on_lost="rerun")
    for _ in range(6):
        step()
    store.times = 0
    step()
    assert scheduler.runs() == []
    (record,) = scheduler.history("job")
    assert (record.outcome, record.attempt, called) == (outcome, 1, [1])


@pytest.mark.parametrize(
    ("change", "due"),
    [
        pytest.param({"next_run_time": None}, None, id="paused"),
        pytest.param({"trigger": DateTrigger("2100-01-01", "UTC")}, "2100", id="rescheduled"),
    ],
)
def test_a_job_that_is_changed_while_its_trigger_hangs_stays_as_it_was_changed(change, due):
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC", executors={"default": InlineExecutor()})
    hanging, release = threading.Event(), threading.Event()

    class Hanging(Trigger):
        def next_us(self, after_us: int) -> int | None:
            if threading.current_thread() is stuck:
                hanging.set()
                release.wait(SOON)
            return after_us + 10_000_000

    stuck = threading.Thread(target=lambda: scheduler._engine.step(clock.now_us()))
    scheduler.add_job(lambda: None, Hanging(), id="hangs", next_run_time=START)
    stuck.start()
    assert hanging.wait(SOON)
    scheduler.modify_job("hangs", **change)
    scheduler._engine.take_back(clock.now_us(), hung=True)
    when = scheduler.get_job("hangs").next_run_time
    assert (str(when.year) if when else None) == due
    assert scheduler.entry("hangs").broken is None
    release.set()
    stuck.join(SOON)
    assert scheduler.counts().get(Outcome.EXECUTED) is None


def test_health_tells_how_the_loop_does():
    scheduler = Scheduler(timezone="UTC")
    assert scheduler.health()[:2] == (False, State.STOPPED)
    scheduler.start()
    health = scheduler.health()
    assert (health.ok, health.state, health.stalled_for) == (True, State.RUNNING, 0)
    scheduler.shutdown()


def test_health_tells_how_far_behind_the_loop_is():
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC")
    held, release = threading.Event(), threading.Event()
    scheduler.add_listener(lambda event: (held.set(), release.wait(SOON)), 1 << 15)
    scheduler.add_job(lambda: None, "interval", seconds=10, id="a", next_run_time=START)
    scheduler.add_job(lambda: None, "interval", seconds=10, id="b")
    scheduler.start()
    assert held.wait(SOON)  # the loop is inside a listener
    clock.advance(15)
    assert scheduler.health().behind == 5
    release.set()
    scheduler.shutdown(timeout=SOON)


# Everything at once


def test_a_mass_of_changes_from_many_threads_agrees_with_a_model():
    """Threads add, change, pause, remove, run and list jobs while they fire."""
    logging.disable(logging.WARNING)
    scheduler = Scheduler(timezone="UTC", executors={"default": ThreadPool(4)})
    scheduler.start()
    models: list[dict[str, bool]] = [{} for _ in range(6)]
    failures = []
    fired = threading.Semaphore(0)

    def work(number):
        import random

        rng, model = random.Random(number), models[number]
        try:
            for turn in range(250):
                act = rng.randrange(7)
                job_id = f"{number}-{rng.randrange(12)}"
                known = job_id in model
                if act == 0 or not known:
                    scheduler.add_job(
                        fired.release,
                        "interval",
                        seconds=rng.choice([0.001, 0.01, 60]),
                        id=job_id,
                        replace_existing=True,
                        max_instances=2,
                    )
                    model[job_id] = False
                elif act == 1:
                    scheduler.modify_job(job_id, name=f"turn {turn}")
                elif act == 2:
                    assert scheduler.pause_job(job_id).next_run_time is None
                    model[job_id] = True
                elif act == 3:
                    assert scheduler.resume_job(job_id).next_run_time is not None
                    model[job_id] = False
                elif act == 4:
                    scheduler.remove_job(job_id)
                    del model[job_id]
                elif act == 5:
                    scheduler.reschedule_job(job_id, "interval", seconds=rng.choice([0.001, 60]))
                else:
                    listed = {job.id for job in scheduler.get_jobs()}
                    mine = {id_ for id_ in listed if id_.startswith(f"{number}-")}
                    assert mine == set(model)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    entries = {entry.job.id: entry.due_us is None for entry in scheduler.entries()}
    assert entries == {key: paused for model in models for key, paused in model.items()}
    assert fired.acquire(timeout=SOON)
    scheduler.shutdown(timeout=SOON)
    logging.disable(logging.NOTSET)
    assert scheduler.counts().get(Outcome.FAILED, 0) == 0
    assert scheduler.runs() == []
