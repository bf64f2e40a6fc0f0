"""Wall-clock triggers where clocks are put forward or back: one policy for all of them."""

from __future__ import annotations

from datetime import datetime

import pytest

from schedcore.triggers import CalendarIntervalTrigger, CronTrigger, Trigger


def local(text: str, trigger: Trigger) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=trigger.timezone)


def fires(trigger: Trigger, after: str, n: int) -> list[str]:
    """Return the next *n* fire times after the wall-clock time *after*, as ISO text."""
    return [moment.isoformat() for moment in trigger.next_fire_times(n, local(after, trigger))]


@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param(CronTrigger(hour=2, minute=30, timezone="Europe/Berlin"), id="cron"),
        pytest.param(CronTrigger.from_crontab("30 2 * * *", "Europe/Berlin"), id="crontab"),
        pytest.param(
            CalendarIntervalTrigger(
                days=1, hour=2, minute=30, start_date="2025-01-01", timezone="Europe/Berlin"
            ),
            id="calendarinterval",
        ),
    ],
)
def test_a_fixed_time_runs_once_on_every_day(trigger):
    """02:30 does not exist on 30 March 2025 in Berlin, and is there twice on 26 October."""
    assert fires(trigger, "2025-03-29T12:00", 2) == [
        "2025-03-30T03:00:00+02:00",
        "2025-03-31T02:30:00+02:00",
    ]
    assert fires(trigger, "2025-10-25T12:00", 2) == [
        "2025-10-26T02:30:00+02:00",
        "2025-10-27T02:30:00+01:00",
    ]
