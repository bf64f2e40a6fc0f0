"""The open runs of the memory store: active or waiting, until they end in the history."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from schedcore.admission import MOST_WAITING, admit, room_for
from schedcore.basics.runids import RunIds
from schedcore.clock import Flag
from schedcore.history.history import History
from schedcore.job import Job
from schedcore.output.text import Printed
from schedcore.run import Outcome, Run
from schedcore.stores.base import Settled, Skipped, Slot
from schedcore.stores.ends import End, end_of_evicted, end_of_waiting, mark_ended
from schedcore.stores.not_run import skipped_record
from schedcore.stores.outputs import Outputs
from schedcore.stores.run_requests import KEYS_KEPT_US, Backfill, EarlierRun, Opened, runs_of

MOST_KEYS: Final = 10_000
"""The oldest are forgotten first."""


class OpenRuns:
    """The runs of slots that have not ended.

    Not thread-safe: its owner holds a lock.

    Args:
        history: Where runs end.
        ids: Creates their ids.
        followed: Called with a slot when its last waiting run has started.
        gone: Called with a slot whose job was removed, when its last run has ended.

    Attributes:
        by_id: All open runs, in the order of their creation.
        keys: The keys for which runs were opened.
        outputs: The output of ended runs.
    """

    def __init__(
        self,
        history: History,
        ids: RunIds,
        followed: Callable[[Slot], None],
        gone: Callable[[Slot], None],
    ) -> None:
        self._history = history
        self._ids = ids
        self._on_followed = followed
        self._on_gone = gone
        self.by_id: dict[int, Run] = {}
        self.keys = Keys()
        self.outputs = Outputs(self.by_id)

    def admit(
        self, slot: Slot, times: Sequence[int], continues: bool, settled: Settled, now_us: int
    ) -> None:
        """Start the runs for which there is room; let the others wait, or skip them."""
        job = slot.job
        # A time that becomes due while the last run of a backlog is active belongs to it too.
        continues |= not job.coalesce and any(run._backlog for run in slot.runs)
        runs = slot.runs if job.overlap == "cancel" or len(slot.runs) >= MOST_WAITING else ()
        begun = [run for run in runs if run._started_us is not None]
        starts, waits, skipped, evicted = admit(
            len(times), job.options, len(slot.runs), len(begun), len(slot.behind or ()), continues
        )
        for run in begun[:evicted]:
            run._cancelled = True
            end = end_of_evicted(run, now_us)
            self.close(end)
            settled.evicted.append(end)
        backlog = continues or len(times) > 1
        settled.runs.extend(self._start(slot, due_us, backlog) for due_us in times[:starts])
        if waits:
            self._wait(slot, times[len(times) - waits :], backlog)
        if skipped:
            left_out = times[starts : starts + skipped]
            record = skipped_record(job, left_out, now_us, _open_of(slot))
            self._history.add(record)
            settled.skipped.append(Skipped(job, left_out, record))

    def open(self, slot: Slot, job: Job, due_us: int, key: str | None) -> Opened:
        """Start a run for run_job(), or record that there is no room for it."""
        if key is not None and (earlier := self.keys.find(slot, key, due_us)) is not None:
            return earlier
        by_hand = job.options._replace(overlap="skip")
        begun, waiting = _count_begun(slot.runs), len(slot.behind or ())
        if not admit(1, by_hand, len(slot.runs), begun, waiting, False).starts:
            record = skipped_record(job, (due_us,), due_us, _open_of(slot), "manual")
            self._history.add(record)
            return record
        run = self._start(slot, due_us)
        run._job = job
        run._awaited, run._hurry, run._by_hand = Flag(), True, True
        if key is not None:
            self.keys.note(slot, key, run._id, due_us)
        return run

    def backfill(self, slot: Slot, request: Backfill) -> tuple[Sequence[Run], Sequence[Run]] | None:
        """Start runs for past times, as far as there is room; the others wait.

        None: some of the times no longer have to run.
        """
        job, times, _ = request
        runs = _open_of(slot)
        ran = runs_of(self._history.records(request.query), runs)
        if request.left(slot.due_us, slot.fire_us, ran) != list(times):
            return None
        request.check_room(len(runs))
        settled, before = Settled([], [], [], [], []), len(slot.behind or ())
        self.admit(slot, times, True, settled, times[-1])
        behind = list(slot.behind or ())[before:]
        for run in (*settled.runs, *behind):
            run._job = job
        return settled.runs, behind

    def _start(self, slot: Slot, due_us: int, backlog: bool = False) -> Run:
        run = Run(self._ids.next(), slot.job, due_us, slot)
        run._backlog = backlog
        run._hurry = slot.behind is not None
        slot.runs = [*slot.runs, run]
        self.by_id[run._id] = run
        return run

    def _wait(self, slot: Slot, times: Sequence[int], backlog: bool) -> None:
        """Let runs wait behind those of their job, whose ends are recorded at once."""
        slot.behind = slot.behind or deque()
        for run in slot.runs:
            run._hurry = True
        for due_us in times:
            run = Run(self._ids.next(), slot.job, due_us, slot)
            run._waits, run._backlog = True, backlog
            self.by_id[run._id] = run
            slot.behind.append(run)

    def close(self, end: End) -> Slot | None:
        """Record the end of a run and free its room; None: it was recorded before."""
        run = end[0]
        if self.by_id.pop(run._id, None) is None:
            return None
        slot: Slot = run._slot
        assert slot is not None
        mark_ended(end)
        if type(run._output) is Printed:
            self.outputs.keep(run)
        run._slot = None
        if run._waits:
            run._waits = False
            if slot.behind is not None:
                slot.behind.remove(run)
                self._followed(slot)
        elif len(slot.runs) == 1:
            slot.runs = ()
        else:
            slot.runs = [other for other in slot.runs if other is not run]
        self._history.add(run)
        if run._awaited is not None:
            run._awaited.set()
        if not slot.seq and not slot.runs:
            self._on_gone(slot)
        return slot

    def promote(self, slot: Slot, started: list[Run]) -> None:
        """Start runs that wait behind others of their job, as far as there is room."""
        behind = slot.behind
        if behind:
            room = room_for(slot.job.options, len(slot.runs), _count_begun(slot.runs))
            for _ in range(min(len(behind), room)):
                run = behind.popleft()
                run._waits, run._hurry = False, True
                slot.runs = [*slot.runs, run]
                started.append(run)
        self._followed(slot)

    def _followed(self, slot: Slot) -> None:
        """Note that a run no longer waits; call ``followed`` if it was the last one."""
        if slot.behind:
            return
        slot.behind = None
        self._on_followed(slot)

    def end_waiting(self, slot: Slot, outcome: Outcome, now_us: int) -> list[End]:
        """End the runs of a job that have not begun; the others are not retried."""
        ended: list[End] = []
        for run in _open_of(slot):
            if outcome is Outcome.PAUSED and run._awaited is not None:
                continue  # it was opened by run_job()
            if not run.withdraw():
                run._final = True
                continue
            run._cancelled = True
            end = end_of_waiting(run, outcome, now_us)
            if self.close(end) is not None:
                ended.append(end)
        return ended


def _open_of(slot: Slot) -> tuple[Run, ...]:
    """Return the open runs of a job: the active ones, and those that wait behind them."""
    return (*slot.runs, *(slot.behind or ()))


def _count_begun(active: Sequence[Run]) -> int:
    """Return how many of a job's active runs are running, if admission needs that; else 0."""
    if len(active) < MOST_WAITING:
        return 0
    return sum(run._started_us is not None for run in active)


class _Opened(NamedTuple):
    born: int
    """Of which job: another job with the same id does not count."""
    run_id: int
    at_us: int


class Keys:
    """The runs that were opened for keys.  Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._opened: OrderedDict[tuple[str, str], _Opened] = OrderedDict()

    def find(self, slot: Slot, key: str, now_us: int) -> EarlierRun | None:
        """Return the run that was opened for a key of this job within the last day."""
        found = self._opened.get((slot.job.id, key))
        if found is None or found.born != slot.born or found.at_us < now_us - KEYS_KEPT_US:
            return None
        return EarlierRun(found.run_id)

    def note(self, slot: Slot, key: str, run_id: int, now_us: int) -> None:
        """Note which run was opened for a key."""
        name = slot.job.id, key
        self._opened[name] = _Opened(slot.born, run_id, now_us)
        self._opened.move_to_end(name)
        if len(self._opened) > MOST_KEYS:
            self._opened.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them: in a forked child, the runs belong to the parent."""
        self._opened.clear()
