"""Combinations of triggers: all at once, or any."""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta, timezone

import pytest

from schedcore.clock import SECOND, to_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers import (
    AndTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
    Trigger,
)

UTC = timezone.utc
START = datetime(2025, 1, 1, tzinfo=UTC)


def cron(**fields: object) -> CronTrigger:
    return CronTrigger(**fields, timezone=UTC)


def every(seconds: float, start: datetime = START) -> IntervalTrigger:
    return IntervalTrigger(seconds=seconds, start_date=start, timezone=UTC)


def texts(trigger: Trigger, n: int, after: datetime = START) -> list[str]:
    return [moment.strftime("%m-%d %H:%M:%S") for moment in trigger.next_fire_times(n, after)]


def test_or_fires_when_any_member_does_and_once_where_several_do():
    trigger = OrTrigger([every(6), every(4), DateTrigger("2025-01-01T00:00:05Z", UTC)])
    assert [text[-2:] for text in texts(trigger, 6)] == ["04", "05", "06", "08", "12", "16"]


def test_and_fires_when_all_members_do():
    assert texts(AndTrigger([every(6), every(4)]), 2) == ["01-01 00:00:12", "01-01 00:00:24"]
    friday_13th = AndTrigger([cron(day=13), cron(day_of_week="fri"), cron(hour="*/6")])
    assert texts(friday_13th, 2) == ["06-13 00:00:00", "02-13 00:00:00"]


def test_and_of_a_dense_and_a_rare_member_is_quick():
    trigger = AndTrigger([cron(second="*"), cron(month=2, day=29)])
    began = time.thread_time()
    assert trigger.next_after(START) == datetime(2028, 2, 29, tzinfo=UTC)
    assert time.thread_time() - began < 0.5  # some 10 us


@pytest.mark.parametrize(
    "members",
    [
        [cron(hour=3), cron(hour=4)],
        [cron(second="*"), every(1, START + timedelta(milliseconds=500))],
        [cron(day_of_week="mon"), cron(day_of_week="tue")],
        [cron(year=2025), cron(year=2026)],
    ],
)
def test_and_of_what_never_meets_is_refused(members):
    began = time.thread_time()
    with pytest.raises(InvalidTriggerError, match="expected triggers with a fire time in common"):
        AndTrigger(members)
    assert time.thread_time() - began < 2  # some 40 ms


def test_and_that_gives_up_says_so():
    """Two members that meet once: then to answer None, in silence, would end the job."""
    once = DateTrigger("2025-01-02T00:00:00Z", UTC)
    trigger = AndTrigger([OrTrigger([once, cron(hour=3)]), OrTrigger([once, cron(hour=4)])])
    assert trigger.next_after(START) == datetime(2025, 1, 2, tzinfo=UTC)
    with pytest.raises(InvalidTriggerError, match="none, to the instant, within 4096 fire times"):
        trigger.next_after(datetime(2025, 1, 2, tzinfo=UTC))


def test_and_of_an_unbound_member_is_refused_when_it_is_bound():
    trigger = AndTrigger([IntervalTrigger(hours=2, timezone=UTC), cron(day_of_week="sat,sun")])
    midnight = to_us(START)
    assert trigger.bound_to(midnight).next_after(START) == datetime(2025, 1, 4, tzinfo=UTC)
    with pytest.raises(InvalidTriggerError, match="either one is enough with 'or'"):
        trigger.bound_to(midnight + SECOND)


def test_members_are_bound_with_the_combination():
    trigger = OrTrigger([IntervalTrigger(hours=2, timezone=UTC), cron(hour=1)])
    bound = trigger.bound_to(to_us(START))
    assert bound.triggers[0].start_date == START + timedelta(hours=2)
    assert bound.bound_to(0) is bound
    assert texts(bound, 3) == ["01-01 01:00:00", "01-01 02:00:00", "01-01 04:00:00"]


def test_only_an_or_with_a_date_answers_with_the_past():
    date, now = DateTrigger("2024-12-31", UTC), to_us(START)
    assert OrTrigger([cron(hour=1), date]).first_us(now) == to_us(START - timedelta(days=1))
    assert OrTrigger([cron(hour=1), cron(hour=2)]).first_us(now) == now + 3600 * SECOND
    assert AndTrigger([date, cron(hour=0)]).first_us(now) is None


def test_nested():
    inner = OrTrigger([cron(hour=1), cron(hour=2)])
    trigger = AndTrigger([inner, cron(day=1, hour="*")])
    assert texts(trigger, 3) == ["01-01 01:00:00", "01-01 02:00:00", "02-01 01:00:00"]


def test_a_trigger_of_the_users_own_is_a_member_like_any():
    class Leap(Trigger):
        def next_after(self, after: datetime) -> datetime | None:
            return next(
                datetime(year, 1, 1, tzinfo=UTC)
                for year in itertools.count(after.year + 1)
                if year % 4 == 0
            )

    assert texts(OrTrigger([Leap(), cron(year=2030)]), 2) == ["01-01 00:00:00"] * 2
    assert AndTrigger([Leap(), cron(hour=0)]).next_after(START).year == 2028


def test_jitter_belongs_to_the_combination():
    assert OrTrigger([cron(hour=1)], jitter=5).jitter_us == 5 * SECOND
    jittery = CronTrigger(hour=1, jitter=5, timezone=UTC)
    with pytest.raises(InvalidTriggerError, match="members without jitter: give it to the comb"):
        OrTrigger([jittery])


@pytest.mark.parametrize("triggers", [[], "cron", 5, [cron(hour=1)] * 65, ["cron"], {"a": 1}])
def test_no_list_of_triggers(triggers):
    with pytest.raises(InvalidTriggerError, match="expected a list of 1 to 64 triggers"):
        OrTrigger(triggers)
