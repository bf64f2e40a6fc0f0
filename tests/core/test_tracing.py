"""OpenTelemetry: each attempt of a run is a span, in which the function is."""

from __future__ import annotations

import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from schedcore import EVENT_JOB_SUBMITTED, Scheduler
from schedcore.tracing import trace_runs
from tests.patience import SOON


class Ended(SpanProcessor):
    """Keeps the spans that have ended, which happens just after the end of their runs."""

    def __init__(self):
        self.spans, self.more = [], threading.Semaphore(0)

    def on_end(self, span):
        self.spans.append(span)
        self.more.release()

    def take(self, count):
        """Return the next spans, and what they tell without the prefix."""
        for _ in range(count):
            assert self.more.acquire(timeout=SOON)
        taken = [self.spans.pop(0) for _ in range(count)]
        return [
            (span, {k.removeprefix("schedcore."): v for k, v in span.attributes.items()})
            for span in taken
        ]


ENDED = Ended()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(ENDED)
TRACER = PROVIDER.get_tracer("test")


def fail():
    raise ValueError("boom")


def inside():
    with TRACER.start_as_current_span("inside"):
        pass


async def inside_a_coroutine():
    inside()


@pytest.fixture
def traced():
    """A started scheduler whose runs are traced."""
    scheduler = Scheduler(timezone="UTC", executors={"pool": {"type": "processpool"}})
    trace_runs(scheduler, TRACER)
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=SOON)
    assert ENDED.spans == [], "no span was expected"


def run(scheduler, func, **options):
    scheduler.add_job(func, "interval", hours=1, id="j", **options)
    return scheduler.run_job("j", timeout=SOON)


def test_a_run_is_a_span(traced):
    ran = run(traced, int)
    span, told = ENDED.take(1)[0]
    assert told.pop("lateness") == ran.lateness
    assert told == {
        "job_id": "j",
        "run_id": str(ran.id),
        "attempt": 1,
        "cause": "manual",
        "outcome": "executed",
    }
    assert (span.start_time, span.end_time) == (ran.started_us * 1000, ran.ended_us * 1000)
    assert (span.parent, span.status.status_code) == (None, StatusCode.UNSET)


@pytest.mark.parametrize("func", [inside, inside_a_coroutine], ids=["thread", "coroutine"])
def test_what_is_traced_in_the_function_belongs_to_it(traced, func):
    executor = "coroutines" if func is inside_a_coroutine else "default"
    run(traced, func, executor=executor)
    (child, _), (parent, _) = ENDED.take(2)
    assert child.parent.span_id == parent.context.span_id


def test_an_exception_is_recorded(traced):
    run(traced, fail)
    span, told = ENDED.take(1)[0]
    assert told["outcome"] == "failed"
    assert (span.status.status_code, span.status.description) == (
        StatusCode.ERROR,
        "ValueError: boom",
    )
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert "in fail" in event.attributes["exception.stacktrace"]


class Untold(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def untold():
    raise Untold


def test_an_exception_that_cannot_be_told_ends_the_span_all_the_same(traced, caplog):
    run(traced, untold)
    ((span, told),) = ENDED.take(1)
    assert (told["outcome"], span.status.status_code) == ("failed", StatusCode.ERROR)
    assert span.status.description.startswith("Untold: ")


def test_each_attempt_is_a_span(traced):
    run(traced, fail, retry={"count": 1, "delay": 0})
    found = [told for _, told in ENDED.take(2)]
    assert {told["attempt"] for told in found} == {1, 2}  # the second may end before the first
    assert {told["outcome"] for told in found} == {"failed"}


def test_an_attempt_whose_process_died_is_a_span_too(traced):
    run(traced, "os:_exit", args=[3], executor="pool", on_lost="rerun")
    found = [told for _, told in ENDED.take(3)]
    assert {told["attempt"] for told in found} == {1, 2, 3}
    assert {told["outcome"] for told in found} == {"lost"}


def test_a_run_that_takes_too_long_ends_its_span_then(traced, gate, caplog):
    traced.add_job(gate, "interval", hours=1, id="j", timeout=0.01)
    traced.run_job("j", wait=False)
    ((span, told),) = ENDED.take(1)
    assert told["outcome"] == "timed_out"
    assert span.events[0].attributes["exception.type"] == "TimeoutError"
    gate.open()
    run(traced, int, replace_existing=True)
    ((_, told),) = ENDED.take(1)
    assert told["outcome"] == "executed", "the end of the first function is no other span"
    assert "detach" not in caplog.text


def test_a_cancelled_run_ends_its_span(traced, gate):
    traced.add_job(gate, "interval", hours=1, id="j")
    running = traced.run_job("j", wait=False)
    gate.wait()
    traced.cancel(running.id)
    ((span, told),) = ENDED.take(1)
    assert told["outcome"] == "cancelled"
    assert span.end_time == running.ended_us * 1000
    gate.open()


def test_a_run_in_another_process_is_a_span_and_current_nowhere_here(traced):
    contexts = []
    traced.add_listener(
        lambda _event: contexts.append(trace.get_current_span()), EVENT_JOB_SUBMITTED
    )
    with TRACER.start_as_current_span("caller") as caller:
        ran = run(traced, int, executor="pool")
    assert contexts == [caller]
    found = {span.name: (span, told) for span, told in ENDED.take(2)}
    span, told = found["run j"]
    assert (told["run_id"], span.parent) == (str(ran.id), None)


class BrokenTracer:
    """A tracer whose spans cannot be begun."""

    def start_span(self, *args, **more):
        raise RuntimeError("no spans today")


def test_a_tracer_that_fails_keeps_no_run_from_running(started, caplog):
    trace_runs(started, BrokenTracer())
    assert run(started, int).record.why().startswith("executed")
    assert "no spans today" in caplog.text
