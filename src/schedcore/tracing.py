"""OpenTelemetry: a span for each attempt of a run, if enabled.

Only this file imports ``opentelemetry``; without tracing, a run costs nothing extra.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode, Tracer

import schedcore
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND
from schedcore.errors import text_of
from schedcore.events import EVENT_JOB_CANCELLED, EVENT_JOB_ERROR, JobExecutionEvent
from schedcore.executors.base import Reporter
from schedcore.run import Outcome, Run, named
from schedcore.scheduler import Scheduler

_NS: Final = 1_000  # in a microsecond

log = GuardedLogger(__name__)


def trace_runs(scheduler: Scheduler, tracer: Tracer | None = None) -> None:
    """Create a span for each attempt of each run from now on; call this before ``start()``.

    The span is current inside the function, so spans that the function creates are its children;
    not in a process pool, whose functions run elsewhere.  It has no parent: a run is its own trace.

    Args:
        scheduler: Whose runs.
        tracer: Creates the spans; default: that of the global tracer provider.
    """
    tracer = tracer or trace.get_tracer("schedcore", schedcore.__version__)
    runs = scheduler._runs
    spans = _Spans(tracer, runs.reporter, scheduler)
    runs.reporter = spans
    scheduler.add_listener(spans.ended_otherwise, EVENT_JOB_ERROR | EVENT_JOB_CANCELLED)


class _Open(NamedTuple):
    run: Run
    span: Span
    token: Any
    """Takes the span off again; None: it is current nowhere."""


class _Spans:
    """Wraps the reporter that the executors report to.

    Args:
        tracer: Makes the spans.
        reporter: Gets all reports.
        scheduler: Has the executors.
    """

    def __init__(self, tracer: Tracer, reporter: Reporter, scheduler: Scheduler) -> None:
        self._tracer = tracer
        self._reporter = reporter
        self._executors = scheduler._executors
        self._clock = scheduler.clock
        self._open: dict[int, _Open] = {}
        # What only passes through
        self.settle, self.shed = reporter.settle, reporter.shed
        self.cancelled, self.remote = reporter.cancelled, reporter.remote

    @property
    def captures(self) -> bool:
        """Whether the output of runs is captured."""
        return self._reporter.captures

    def begin(self, run: Run) -> bool:
        """Report that *run* begins now, and begin its span if it does."""
        if not self._reporter.begin(run):
            return False
        self._begin(run)
        return True

    def begun(self, run: Run, at_us: int) -> None:
        """Report that *run* was begun elsewhere, and begin its span."""
        self._reporter.begun(run, at_us)
        self._begin(run)

    def _begin(self, run: Run) -> None:
        try:
            self._begin_span(run)
        except Exception as error:  # noqa: BLE001 — a span is no reason for a run not to run
            log.error(
                "the span of run %d could not be begun", run.id, error=error, fields=named(run)
            )

    def _begin_span(self, run: Run) -> None:
        started_us = run.started_us or 0
        span = self._tracer.start_span(
            f"run {run.job_id}",
            contexts.Context(),
            attributes={
                "schedcore.job_id": run.job_id,
                # As text: in memory they have more than 64 bits.
                "schedcore.run_id": str(run.id),
                "schedcore.attempt": run.attempt,
                "schedcore.cause": run.cause,
                "schedcore.lateness": max(0, started_us - run.due_us) / SECOND,
            },
            start_time=started_us * _NS,
        )
        executor = self._executors.get(run.job.executor)
        # A remote pool's runs begin in this thread, which is not theirs.
        remote = getattr(executor, "remote", False)
        token = None if remote else contexts.attach(trace.set_span_in_context(span))
        self._open[run.id] = _Open(run, span, token)

    def end(
        self, run: Run, value: Any, error: BaseException | None, at_us: int | None = None
    ) -> int:
        """Report that *run* ended, and end its span."""
        found = self._open.pop(run.id, None)
        ended_us = self._reporter.end(run, value, error, at_us)
        if found is not None:
            outcome = Outcome.EXECUTED if error is None else Outcome.FAILED
            self._end(found, outcome, error, ended_us)
        return ended_us

    def lost(self, run: Run, error: BaseException) -> None:
        """Report that the end of *run* will never be known, and end its span.

        There may be another attempt, and then there is no event.
        """
        found, lost_us = self._open.pop(run.id, None), self._clock.now_us()
        self._reporter.lost(run, error)
        if found is not None:
            self._end(found._replace(token=None), Outcome.LOST, error, lost_us)

    def ended_otherwise(self, event: JobExecutionEvent) -> None:
        """End the span of a run that was cancelled, timed out, or is lost.  A listener."""
        found = None if event.run_id is None else self._open.pop(event.run_id, None)
        if found is not None:
            run = found.run
            self._end(
                found._replace(token=None),  # another thread has it
                run.outcome or Outcome.CANCELLED,
                event.exception,
                run.ended_us or 0,
            )

    def _end(
        self, found: _Open, outcome: Outcome, error: BaseException | None, ended_us: int
    ) -> None:
        """End a span with the outcome of an attempt."""
        run, span = found.run, found.span
        try:
            span.set_attribute("schedcore.outcome", outcome.value)
            if error is not None:
                span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {text_of(error)}")
                span.record_exception(error)
            elif outcome is not Outcome.EXECUTED:
                span.set_status(StatusCode.ERROR, outcome.value)
        except Exception as failure:  # noqa: BLE001 — an exception whose text cannot be made, say
            text = "the span of run %d is incomplete"
            log.error(text, run.id, error=failure, fields=named(run))
        try:
            span.end(ended_us * _NS)
            if found.token is not None:
                contexts.detach(found.token)
        except Exception as failure:  # noqa: BLE001 — the run has ended all the same
            text = "the span of run %d could not be ended"
            log.error(text, run.id, error=failure, fields=named(run))
