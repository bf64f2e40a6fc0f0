"""Which notices outcomes need, when, and through which channels: pure.

A job names *channels* in its options ``on_failure``, ``on_recovery``, ``on_missed`` and ``on_run``.
A *notice* is one message through a channel; each job has a *notice state*, which remembers what
was notified, so that a job that fails every second sends one notice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from schedcore.clock import SECOND, from_us
from schedcore.history.record import recorded_us
from schedcore.job import Options
from schedcore.run import Outcome, RunRecord

FAILURES: Final = frozenset((Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST, Outcome.SHED))
"""The outcomes after which a job counts as failing."""
MISSES: Final = frozenset((Outcome.MISSED, Outcome.SKIPPED))
"""The outcomes of occurrences that did not run, though they should have."""
FRESH_US: Final = 60 * SECOND
"""Time for which the recovery of a job that alternates waits after the notice of a failure."""
OLDEST_US: Final = 7 * 86_400 * SECOND
"""Maximum age of a notice: older ones are dropped."""
LONGEST_OUTPUT: Final = 8_192
"""Length to which a run's output in a notice is cut: its last characters."""


class JobChannels(NamedTuple):
    """The channels that a job names, by kind of notice."""

    on_failure: tuple[str, ...] = ()
    on_recovery: tuple[str, ...] = ()
    on_missed: tuple[str, ...] = ()
    on_run: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Options) -> JobChannels:
        """Return the channels that the options of a job name."""
        return cls(options.on_failure, options.on_recovery, options.on_missed, options.on_run)

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the channels for a kind of notice."""
        return self.on_run if kind in ("started", "ended") else getattr(self, f"on_{kind}")


NOTHING: Final = JobChannels()
"""The channels of a job that names none."""


class NoticeState(NamedTuple):
    """What was last notified about a job, and its results since."""

    failures: int = 0
    """Number of failures in a row so far."""
    since_us: int | None = None
    """When the first of these was."""
    failure_told_us: int | None = None
    """The time of the last notified failure."""
    failing: int = 0
    """Whether its failure was notified, and its recovery not yet.

    0: no.  1: yes.  2: yes, soon after the previous one, so its recovery waits.  3: as 2, and it
    has succeeded since then, too soon for a notice.
    """
    missed: int = 0
    """How many occurrences were missed or skipped since the last notice about that."""
    missed_told_us: int | None = None
    """The time of the last notified one."""


class NoticeReason(NamedTuple):
    """The reason for a notice about a job."""

    kind: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    """How many failures in a row, or occurrences that were missed, it is about."""
    since_us: int | None = None
    """When the first of those failures was."""


class Notice(NamedTuple):
    """One notification through a channel: an event of a job."""

    kind: str
    """``"failure"``, ``"recovery"`` or ``"missed"``; for each run ``"started"`` and ``"ended"``."""
    job_id: str
    time_us: int
    """When it happened, in microseconds since the Unix epoch; the notice may be sent much later."""
    run_id: int | None
    """None: there was no run, as for missed occurrences."""
    record: RunRecord | None
    """The outcome of the run; None: it has just started."""
    count: int = 1  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    """How many failures in a row, or occurrences that were missed, it is about."""
    since_us: int | None = None
    """When the first of those failures was, in microseconds since the Unix epoch."""
    output: str = ""
    """The end of the run's output."""
    id: str = ""
    """Unique: receivers can recognise a notice that was sent twice because a response was lost."""

    @property
    def good(self) -> bool:
        """Whether it is about a success, or a start."""
        record = self.record
        return self.kind == "recovery" or record is None or record.outcome is Outcome.EXECUTED

    @property
    def text(self) -> str:
        """What happened, as one sentence."""
        subject, record = f"job {self.job_id!r}", self.record
        since = "" if self.since_us is None else f" since {from_us(self.since_us).isoformat()}"
        if record is None:
            return f"{subject}: run {self.run_id} has started"
        if self.kind == "recovery":
            return f"{subject} succeeded again, after {self.count} failure(s){since}"
        text = f"{subject}: {record.why()}"
        if self.kind == "failure" and self.count > 1:
            return f"{text}; failure {self.count} in a row{since}"
        if self.kind == "missed" and self.count > 1:
            return f"{text}; {self.count} occurrences since the last notice"
        return text

    def __repr__(self) -> str:
        return f"<Notice {self.kind}, {from_us(self.time_us).isoformat()}: {self.text}>"


def evaluate(
    state: NoticeState, record: RunRecord, again_us: int
) -> tuple[NoticeState, NoticeReason | None]:
    """Return the new notice state of a job, and the reason for a notice; None: none is needed.

    Args:
        state: The notice state of the job so far.
        record: The next outcome of the job.
        again_us: Time between reminders of a lasting failure, and between notices of missed
            occurrences.
    """
    outcome, now_us = record.outcome, recorded_us(record)
    if outcome is Outcome.EXECUTED:
        return _after_success(state, now_us, min(again_us, FRESH_US))
    if outcome in FAILURES:
        return _after_failure(state, record, again_us)
    if outcome in MISSES and record.cause != "manual":  # else whoever requested it knows
        count = state.missed + record.occurrences
        if _is_within(again_us, state.missed_told_us, now_us):
            return state._replace(missed=count), None
        return state._replace(missed=0, missed_told_us=now_us), NoticeReason("missed", count)
    return state, None  # cancelled, paused, coalesced: somebody wanted it so


def _after_success(
    state: NoticeState, now_us: int, fresh_us: int
) -> tuple[NoticeState, NoticeReason | None]:
    if not state.failures:
        return state, None
    if state.failing > 1 and _is_within(fresh_us, state.failure_told_us, now_us):
        return state._replace(failing=3), None
    reason = NoticeReason("recovery", state.failures, state.since_us) if state.failing else None
    return state._replace(failures=0, since_us=None, failing=0), reason


def _after_failure(
    state: NoticeState, record: RunRecord, again_us: int
) -> tuple[NoticeState, NoticeReason | None]:
    """Notify it if the last notice said that all is well, however recent that is.

    What keeps a job that alternates from sending many notices is that its recovery waits.
    """
    now_us = recorded_us(record)
    if state.failing == 3:
        state = state._replace(failures=0, since_us=None, failing=2)
    state = state._replace(
        failures=state.failures + record.occurrences,
        since_us=now_us if state.since_us is None else state.since_us,
    )
    if state.failing and _is_within(again_us, state.failure_told_us, now_us):
        return state, None
    # Twice: a recovery that waited, and the next failure, come more than that time after the last.
    soon_us = 2 * min(again_us, FRESH_US)
    soon = not state.failing and _is_within(soon_us, state.failure_told_us, now_us)
    reason = NoticeReason("failure", state.failures, state.since_us)
    return state._replace(failure_told_us=now_us, failing=2 if soon else 1), reason


def _is_within(gap_us: int, then_us: int | None, now_us: int) -> bool:
    """Return whether two times are close; if a clock was set back, they are not."""
    return then_us is not None and 0 <= now_us - then_us < gap_us


def is_run(record: RunRecord) -> bool:
    """Return whether an outcome is that of a run that began, or failed before it could.

    A run that waits for its next attempt has begun before, but has no start.
    """
    return record.outcome is Outcome.EXECUTED or (
        record.outcome in FAILURES
        or (
            record.outcome is Outcome.CANCELLED
            and (record.started_us is not None or record.attempt > 1)
        )
    )


# Where notices wait


class QueuedNotice(NamedTuple):
    """A notice that waits for its channel."""

    seq: int
    """Its position: notices are sent in this order."""
    channel: str
    made_us: int
    """Since when it waits."""
    text: str
    """The notice, as :func:`schedcore.notices.data.to_text` writes it."""


class ChannelState(NamedTuple):
    """The state of a channel."""

    name: str
    waiting: int
    """How many notices wait for it."""
    since_us: int | None
    """Since when the oldest of them waits, in microseconds since the Unix epoch."""
    problem: str | None
    """Why it does not accept them; None: it does."""

    @property
    def since(self) -> datetime | None:
        """Since when the oldest of them waits, in UTC."""
        return None if self.since_us is None else from_us(self.since_us)

    def __repr__(self) -> str:
        since = "" if self.since is None else f" since {self.since.isoformat()}"
        problem = "" if self.problem is None else f": {self.problem}"
        return f"<ChannelState {self.name!r}, {self.waiting} waiting{since}{problem}>"


class NoticeStore(Protocol):
    """Stores waiting notices, the states of jobs, and the position of evaluated outcomes.

    Thread-safe; processes on one store share it.  Each method is one transaction.
    """

    def acquire(self, names: Collection[str]) -> Collection[str]:
        """Acquire those of these locks that no living process holds; return those held here.

        One process at a time holds the lock of a channel, and sends through it; the holder of the
        lock ``""`` evaluates outcomes.
        """
        ...

    def position(self) -> str | None:
        """Return the position up to which outcomes were evaluated; None: none was yet."""
        ...

    def channels(self, job_ids: Collection[str]) -> Mapping[str, JobChannels]:
        """Return the channels that these jobs name, for known jobs."""
        ...

    def job_states(self, job_ids: Collection[str]) -> Mapping[str, NoticeState]:
        """Return the notice states of these jobs, for jobs that have one."""
        ...

    def advance(
        self,
        old: str | None,
        new: str,
        job_states: Mapping[str, NoticeState],
        notices: Sequence[tuple[str, str]],
        now_us: int,
    ) -> bool:
        """Record that outcomes up to *new* were evaluated, with the results: all or nothing.

        Args:
            old: The previous position; False is returned if it has changed.
            new: The new position.
            job_states: Changed notice states, by job.
            notices: New notices, each after its channel.
            now_us: The present.
        """
        ...

    def add_starts(self, notices: Sequence[tuple[int, str, str]], now_us: int) -> None:
        """Add notices that runs have started, for runs that are still open.

        Args:
            notices: For each, the run, the channel and the notice.
            now_us: The present.
        """
        ...

    def waiting(self, channels: Collection[str], limit: int) -> list[QueuedNotice]:
        """Return the first waiting notices of each of these channels, in order."""
        ...

    def remove(self, seqs: Collection[int]) -> None:
        """Remove notices that were sent, or given up."""
        ...

    def note(self, channel: str, problem: str | None) -> None:
        """Record the state of a channel, for all processes."""
        ...

    def states(self) -> list[ChannelState]:
        """Return the states of all channels that were ever used here."""
        ...


MOST_WAITING: Final = 1_000
"""Maximum number of waiting notices per channel; beyond it, the oldest are dropped."""
MOST_STATES: Final = 10_000
"""Maximum number of jobs with a notice state."""
