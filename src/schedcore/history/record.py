"""Outcomes: the records of runs, and of due times that did not run."""

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from schedcore.clock import SECOND, from_us


class Outcome(str, Enum):
    """How a due occurrence ended.  Each one ends in exactly one of these."""

    EXECUTED = "executed"
    """The function returned."""
    FAILED = "failed"
    """The function raised."""
    MISSED = "missed"
    """It was later than ``misfire_grace_time`` allows."""
    COALESCED = "coalesced"
    """Another occurrence of the same backlog ran instead."""
    SKIPPED = "skipped"
    """``max_instances`` runs of the job were active."""
    PAUSED = "paused"
    """Its job was paused."""
    SHED = "shed"
    """The executor's queue was full."""
    CANCELLED = "cancelled"
    """It was cancelled, before it began or while it was running."""
    TIMED_OUT = "timed_out"
    """It took longer than the job's ``timeout``."""
    LOST = "lost"
    """Its process ended while it was running."""

    # Enum's own hash is written in Python, 5 times slower; outcomes are counted at each run.
    __hash__ = str.__hash__


class RunRecord(NamedTuple):
    """One outcome in the history; contains text only, so that it keeps no objects alive."""

    run_id: int | None
    """None if there was no run: missed, coalesced and skipped occurrences."""
    job_id: str
    outcome: Outcome
    scheduled_us: int
    """When it was due; the first one, if the record stands for several."""
    started_us: int | None = None
    ended_us: int | None = None
    late_us: int = 0
    """How long after its due time it began, or ended without beginning."""
    occurrences: int = 1
    """How many occurrences the record stands for."""
    result: str | None = None
    """The shortened repr of the function's result; None if the result was None."""
    error_type: str | None = None
    error_text: str | None = None
    attempt: int = 1
    """Which attempt ended it, from 1."""
    cause: str = "schedule"
    """Why it was due: ``"schedule"``; ``"manual"``: somebody ran it; or ``"backfill"``:
    somebody ran it for a past due time, or it was one of several due times that had passed before
    the first of them ran.  A retry keeps its cause."""
    reason: str | None = None
    """Facts about an outcome other than ``executed`` that are not in other fields."""
    node: int | None = None
    """The number of the process that owned it, on a shared store; if it did not begin, of the
    process that recorded it."""

    @property
    def state(self) -> str:
        """``"ended"``: the final value of :attr:`Run.state`."""
        return "ended"

    def why(self) -> str:
        """Return one sentence that explains the outcome, with the facts."""
        outcome, span_us = self.outcome, took_us(self)
        took = "" if span_us is None else f"{span_us / SECOND:.3f} s"
        text = {
            Outcome.EXECUTED: f"it took {took}",
            Outcome.FAILED: f"{self.error_type}: {self.error_text}",
            Outcome.MISSED: f"{self.lateness:.0f} s late",
            Outcome.COALESCED: "another run of the same backlog ran for it",
            Outcome.SKIPPED: "there was no room for it",
            Outcome.PAUSED: "its job was paused",
            Outcome.SHED: "the queue of its executor was full",
            Outcome.CANCELLED: f"after {took}" if took else "before it began",
            Outcome.TIMED_OUT: f"after {took}",
            Outcome.LOST: self.error_text or "its process ended",
        }[outcome]
        if self.reason is not None:
            # What took up the room says it all.
            text = self.reason if outcome is Outcome.SKIPPED else f"{text}, {self.reason}"
        if outcome is Outcome.EXECUTED and self.late_us >= SECOND:
            text += f", and began {self.lateness:.0f} s late"
        if self.attempt > 1:
            text += f" (attempt {self.attempt})"
        return f"{outcome.value.replace('_', ' ')}: {text}"

    def __repr__(self) -> str:
        parts = [f"<RunRecord of {self.job_id!r}: {self.outcome.value}"]
        if self.occurrences != 1:
            parts.append(f"{self.occurrences} occurrences")
        parts.append(f"due {self.scheduled.isoformat()}")
        if self.late_us:
            parts.append(f"{self.lateness:.3f} s late")
        if (span_us := took_us(self)) is not None:
            parts.append(f"took {span_us / SECOND:.3f} s")
        if self.attempt != 1:
            parts.append(f"attempt {self.attempt}")
        if self.error_type is not None:
            parts.append(f"{self.error_type}: {self.error_text}")
        elif self.result is not None:
            parts.append(f"result {self.result}")
        if self.run_id is not None:
            parts.append(f"run {self.run_id}")
        return ", ".join(parts) + ">"

    @property
    def scheduled(self) -> datetime:
        """When it was due, in UTC."""
        return from_us(self.scheduled_us)

    @property
    def started(self) -> datetime | None:
        """When the function was called, in UTC."""
        return None if self.started_us is None else from_us(self.started_us)

    @property
    def ended(self) -> datetime | None:
        """When the function returned or raised, in UTC."""
        return None if self.ended_us is None else from_us(self.ended_us)

    @property
    def lateness(self) -> float:
        """How late it started, or how late it was when it was missed, in seconds."""
        return self.late_us / SECOND


def took_us(record: RunRecord) -> int | None:
    """Return how long a run took; None: it did not begin, or nobody knows when it ended."""
    if record.started_us is None or record.ended_us is None or record.outcome is Outcome.LOST:
        return None
    return max(0, record.ended_us - record.started_us)  # the clock may have been set back


def recorded_us(record: RunRecord) -> int:
    """Return when a record was made: as a run ended, or as it was decided that none begins."""
    return record.scheduled_us + record.late_us if record.ended_us is None else record.ended_us
