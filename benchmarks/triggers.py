"""Next fire times, and making triggers: ours beside APScheduler, croniter and cronsim.

Peers take turns within each round, so that a busy machine slows all of them alike; a figure is
the median over the rounds, and what counts is the ratio.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger as TheirCron
from apscheduler.triggers.interval import IntervalTrigger as TheirInterval
from croniter import croniter
from cronsim import CronSim

from schedcore.clock import to_us
from schedcore.triggers import CronTrigger, IntervalTrigger, Trigger

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2025, 1, 1, 12, 0, 30, tzinfo=UTC)
FIRES = 2_000
ROUNDS = 5
SLOWEST_S = 1.0
"""A peer's turn ends after so long, if it has not reached FIRES; it counts per fire time."""


class Case(NamedTuple):
    """One schedule, as each library writes it; None where it cannot."""

    name: str
    fields: dict[str, object]
    croniter: str
    cronsim: str
    zone: ZoneInfo | timezone = UTC


CASES = [
    Case("every 5 minutes", {"minute": "*/5"}, "*/5 * * * *", "*/5 * * * *"),
    Case("every 10 seconds", {"second": "*/10"}, "* * * * * */10", "*/10 * * * * *"),
    Case("daily 02:30 Berlin", {"hour": 2, "minute": 30}, "30 2 * * *", "30 2 * * *", BERLIN),
    Case("last Friday", {"day": "last fri"}, "0 0 * * L5", "0 0 * * 5L"),
    Case("second Monday", {"day": "2nd mon"}, "0 0 * * 1#2", "0 0 * * 1#2"),
    Case("29 February", {"month": 2, "day": 29}, "0 0 29 2 *", "0 0 29 2 *"),
]


def ours(trigger: Trigger, start: datetime) -> Iterator[object]:
    """Yield fire times as the engine asks for them: integers."""
    found = trigger.next_us(to_us(start))
    while found is not None:
        yield found
        found = trigger.next_us(found)


def ours_as_datetimes(trigger: Trigger, start: datetime) -> Iterator[object]:
    """Yield fire times as users ask for them: datetimes."""
    found = trigger.next_after(start)
    while found is not None:
        yield found
        found = trigger.next_after(found)


def theirs(trigger: TheirCron | TheirInterval, start: datetime) -> Iterator[object]:
    found = trigger.get_next_fire_time(None, start)
    while found is not None:
        yield found
        found = trigger.get_next_fire_time(found, found)


def from_croniter(text: str, start: datetime) -> Iterator[object]:
    times = croniter(text, start)
    with contextlib.suppress(ValueError):  # past the year 9999, as 29 February soon is
        while True:
            yield times.get_next(datetime)


def seconds_each(make: Callable[[], Iterator[object]]) -> float:
    """Return the seconds for one fire time, over FIRES in a row or SLOWEST_S."""
    times = make()
    count, began = 0, time.perf_counter()
    # In chunks: reading the clock for each fire time would cost as much as ours does.
    while count < FIRES and time.perf_counter() - began < SLOWEST_S:
        chunk = sum(1 for _ in itertools.islice(times, 20))
        count += chunk
        if chunk < 20:
            break
    return (time.perf_counter() - began) / max(count, 1)


def medians(runs: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Return the median of each run's figures; they take turns."""
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            figures[name].append(run())
    return {name: statistics.median(values) for name, values in figures.items()}


def case_runs(case: Case) -> dict[str, Callable[[], float]]:
    start = START.replace(tzinfo=case.zone)
    trigger = CronTrigger(**case.fields, timezone=case.zone)
    peer = TheirCron(**case.fields, timezone=case.zone)
    return {
        "ours": lambda: seconds_each(lambda: ours(trigger, start)),
        "ours, datetimes": lambda: seconds_each(lambda: ours_as_datetimes(trigger, start)),
        "APScheduler": lambda: seconds_each(lambda: theirs(peer, start)),
        "croniter": lambda: seconds_each(lambda: from_croniter(case.croniter, start)),
        "cronsim": lambda: seconds_each(lambda: CronSim(case.cronsim, start)),
    }


def interval_runs() -> dict[str, Callable[[], float]]:
    start = START.replace(tzinfo=BERLIN)
    trigger = IntervalTrigger(seconds=30, start_date=start, timezone=BERLIN)
    peer = TheirInterval(seconds=30, start_date=start, timezone=BERLIN)
    return {
        "ours": lambda: seconds_each(lambda: ours(trigger, start)),
        "ours, datetimes": lambda: seconds_each(lambda: ours_as_datetimes(trigger, start)),
        "APScheduler": lambda: seconds_each(lambda: theirs(peer, start)),
    }


def each(times: int, call: Callable[[int], object]) -> Callable[[], float]:
    """Return a run that calls *call* with 0, 1, 2... and answers with the seconds for one."""
    numbers = itertools.count()  # across rounds: an expression is new only once

    def run() -> float:
        chosen = list(itertools.islice(numbers, times))
        began = time.perf_counter()
        for number in chosen:
            call(number)
        return (time.perf_counter() - began) / times

    return run


def making_runs() -> dict[str, dict[str, Callable[[], float]]]:
    start = START.replace(tzinfo=BERLIN)
    start_us = to_us(start)

    def new(number: int) -> dict[str, object]:
        return {"hour": number % 24, "minute": number // 24 % 60, "second": number // 1440 % 60}

    seen = {"day_of_week": "mon-fri", "hour": 9, "minute": "*/15"}
    return {
        "new expression, with first fire time": {
            "ours": each(500, lambda n: CronTrigger(**new(n), timezone=BERLIN).next_us(start_us)),
            "APScheduler": each(
                500,
                lambda n: TheirCron(**new(n), timezone=BERLIN).get_next_fire_time(None, start),
            ),
        },
        "seen expression, with first fire time": {
            "ours": each(2000, lambda _: CronTrigger(**seen, timezone=BERLIN).next_us(start_us)),
            "APScheduler": each(
                500, lambda _: TheirCron(**seen, timezone=BERLIN).get_next_fire_time(None, start)
            ),
        },
        "seen expression": {
            "ours": each(2000, lambda _: CronTrigger(**seen, timezone=BERLIN)),
            "APScheduler": each(500, lambda _: TheirCron(**seen, timezone=BERLIN)),
        },
        "interval, with first fire time": {
            "ours": each(
                2000,
                lambda _: (
                    IntervalTrigger(seconds=30, timezone=BERLIN)
                    .bound_to(start_us)
                    .first_us(start_us)
                ),
            ),
            "APScheduler": each(
                500,
                lambda _: TheirInterval(seconds=30, timezone=BERLIN).get_next_fire_time(
                    None, start
                ),
            ),
        },
    }


def print_row(name: str, figures: dict[str, float], columns: list[str]) -> None:
    cells = []
    for column in columns:
        figure = figures.get(column)
        if figure is None:
            cells.append(f"{'':>18}")
        elif column == "ours":
            cells.append(f"{figure * 1e6:>9.2f} us      ")
        else:
            cells.append(f"{figure * 1e6:>9.2f} ({figure / figures['ours']:>5.1f}x)")
    print(f"{name:<40}" + "".join(cells))


def main() -> None:
    """Print the tables: microseconds, and the ratio to ours in parentheses."""
    columns = ["ours", "ours, datetimes", "APScheduler", "croniter", "cronsim"]
    print(f"{'one fire time, over 2,000 in a row':<40}" + "".join(f"{c:>18}" for c in columns))
    for case in CASES:
        print_row(case.name, medians(case_runs(case)), columns)
    print_row("interval, 30 s", medians(interval_runs()), columns)
    print(f"\n{'making one':<40}" + "".join(f"{c:>18}" for c in columns[:1] + columns[2:3]))
    for name, runs in making_runs().items():
        print_row(name, medians(runs), ["ours", "APScheduler"])
