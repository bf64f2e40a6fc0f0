"""Next fire times, and creating triggers: ours compared with APScheduler, croniter and cronsim."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger as TheirCron
from apscheduler.triggers.interval import IntervalTrigger as TheirInterval
from croniter import croniter
from cronsim import CronSim

from benchmarks.measuring import (
    APSCHEDULER,
    COST,
    OURS,
    Figures,
    Row,
    Scenario,
    Stopwatch,
    Subject,
)
from schedcore.clock import to_us
from schedcore.triggers import CronTrigger, IntervalTrigger, Trigger

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2025, 1, 1, 12, 0, 30, tzinfo=UTC)
FIRES = 1_000
CRONITER, CRONSIM = "croniter", "cronsim"
DATETIMES = "datetimes"
"""A second figure of ours: the first is the integers that the engine works with."""


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
    """Yield fire times as the engine does: integers."""
    found = trigger.next_us(to_us(start))
    while found is not None:
        yield found
        found = trigger.next_us(found)


def ours_as_datetimes(trigger: Trigger, start: datetime) -> Iterator[object]:
    """Yield fire times as users do: datetimes."""
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


def from_cronsim(text: str, start: datetime) -> Iterator[object]:
    with contextlib.suppress(OverflowError):  # past the year 9999
        yield from CronSim(text, start)


def walk(make: Callable[[], Iterator[object]]) -> float:
    """Return the seconds for one fire time, over FIRES in a row or as many as there are.

    They are walked twice, and timed the second time: what a library finds out about a zone once
    would weigh on a thousand fire times as it does not on a program's whole life.
    """
    for _ in itertools.islice(make(), FIRES):
        pass
    times = make()
    with Stopwatch() as watch:
        count = sum(1 for _ in itertools.islice(times, FIRES))
    return watch.seconds / count


def walk_ours(trigger: Callable[[], Trigger], start: datetime) -> Figures:
    """Walk as the engine does, and as users do."""
    made = trigger()
    return {
        COST: walk(lambda: ours(made, start)),
        DATETIMES: walk(lambda: ours_as_datetimes(made, start)),
    }


def walk_theirs(make: Callable[[], Iterator[object]]) -> Figures:
    """Walk the only way a peer has: it stands against both of ours."""
    cost = walk(make)
    return {COST: cost, DATETIMES: cost}


def walking(case: Case) -> dict[str, Subject]:
    """Return how each library goes from one fire time of a schedule to the next."""
    start = START.replace(tzinfo=case.zone)
    return {
        OURS: lambda: walk_ours(lambda: CronTrigger(**case.fields, timezone=case.zone), start),
        APSCHEDULER: lambda: walk_theirs(
            lambda: theirs(TheirCron(**case.fields, timezone=case.zone), start)
        ),
        CRONITER: lambda: walk_theirs(lambda: from_croniter(case.croniter, start)),
        CRONSIM: lambda: walk_theirs(lambda: from_cronsim(case.cronsim, start)),
    }


def walking_interval() -> dict[str, Subject]:
    start = START.replace(tzinfo=BERLIN)
    options = {"seconds": 30, "start_date": start, "timezone": BERLIN}
    return {
        OURS: lambda: walk_ours(lambda: IntervalTrigger(**options), start),
        APSCHEDULER: lambda: walk_theirs(lambda: theirs(TheirInterval(**options), start)),
    }


def each(times: int, call: Callable[[int], object]) -> Figures:
    """Call *call* with 0, 1, 2...: each an expression that is new, if it looks at its number.

    It is called once before, for what is found out about a zone.
    """
    call(-1)
    with Stopwatch() as watch:
        for number in range(times):
            call(number)
    return {COST: watch.seconds / times}


def making() -> dict[str, dict[str, Subject]]:
    """Return how each library makes a trigger, and asks for its first fire time."""
    start = START.replace(tzinfo=BERLIN)
    start_us = to_us(start)

    def new(number: int) -> dict[str, object]:
        return {"hour": number % 24, "minute": number // 24 % 60, "second": number // 1440 % 60}

    def seen(_: int) -> dict[str, object]:
        return {"day_of_week": "mon-fri", "hour": 9, "minute": "*/15"}

    def our_cron(fields: Callable[[int], dict[str, object]], number: int) -> object:
        return CronTrigger(**fields(number), timezone=BERLIN).next_us(start_us)

    def their_cron(fields: Callable[[int], dict[str, object]], number: int) -> object:
        trigger = TheirCron(**fields(number), timezone=BERLIN)
        return trigger.get_next_fire_time(None, start)

    def our_interval(_: int) -> object:
        return IntervalTrigger(seconds=30, timezone=BERLIN).bound_to(start_us).first_us(start_us)

    def their_interval(_: int) -> object:
        return TheirInterval(seconds=30, timezone=BERLIN).get_next_fire_time(None, start)

    return {
        "make cron, new expression": {
            OURS: partial(each, 500, partial(our_cron, new)),
            APSCHEDULER: partial(each, 500, partial(their_cron, new)),
        },
        "make cron, seen expression": {
            OURS: partial(each, 2_000, partial(our_cron, seen)),
            APSCHEDULER: partial(each, 500, partial(their_cron, seen)),
        },
        "make interval": {
            OURS: partial(each, 2_000, our_interval),
            APSCHEDULER: partial(each, 500, their_interval),
        },
    }


MAKING = {"make cron, new expression": 1.5, "make cron, seen expression": 20, "make interval": None}
"""The bars: times faster than the peer."""


def scenarios(full: bool) -> list[Scenario]:
    """Return what is measured, with a row for each peer; a quick pass takes fewer rounds."""
    rounds = 5 if full else 3
    as_datetimes = Row(DATETIMES, "as datetimes")
    bars = {APSCHEDULER: 15, CRONITER: 15, CRONSIM: 8}
    against = tuple(Row(label=peer, peer=peer, times_peer=bar) for peer, bar in bars.items())
    return [
        *(
            Scenario(f"next of {case.name}", walking(case), (*against, as_datetimes), rounds)
            for case in CASES
        ),
        Scenario(
            "next of interval, 30 s",
            walking_interval(),
            (Row(label=APSCHEDULER, times_peer=4), as_datetimes),
            rounds,
        ),
        *(
            Scenario(name, subjects, (Row(times_peer=MAKING[name]),), rounds)
            for name, subjects in making().items()
        ),
    ]
