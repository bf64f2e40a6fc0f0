"""When to fire: triggers are pure sets of instants."""

from typing import TYPE_CHECKING

from schedcore.basics.lazy_imports import on_demand
from schedcore.triggers.base import Trigger

if TYPE_CHECKING:
    from schedcore.triggers.calendarinterval import CalendarIntervalTrigger
    from schedcore.triggers.combining import AndTrigger, OrTrigger
    from schedcore.triggers.cron import CronTrigger
    from schedcore.triggers.date import DateTrigger
    from schedcore.triggers.factory import (
        make_trigger,
        merge,
        option_names,
        register_trigger,
        trigger_from_dict,
    )
    from schedcore.triggers.interval import IntervalTrigger
    from schedcore.triggers.options import moment_us
    from schedcore.triggers.zones import zone_of

__all__ = [
    "AndTrigger",
    "CalendarIntervalTrigger",
    "CronTrigger",
    "DateTrigger",
    "IntervalTrigger",
    "OrTrigger",
    "Trigger",
    "make_trigger",
    "merge",
    "moment_us",
    "option_names",
    "register_trigger",
    "trigger_from_dict",
    "zone_of",
]

if not TYPE_CHECKING:
    # An interval takes 3 ms (zoneinfo), cron another 4 ms (re), and the other kinds 1 ms together.
    __getattr__ = on_demand(
        __name__,
        {
            "AndTrigger": "schedcore.triggers.combining",
            "CalendarIntervalTrigger": "schedcore.triggers.calendarinterval",
            "CronTrigger": "schedcore.triggers.cron",
            "DateTrigger": "schedcore.triggers.date",
            "IntervalTrigger": "schedcore.triggers.interval",
            "OrTrigger": "schedcore.triggers.combining",
            "make_trigger": "schedcore.triggers.factory",
            "merge": "schedcore.triggers.factory",
            "moment_us": "schedcore.triggers.options",
            "option_names": "schedcore.triggers.factory",
            "register_trigger": "schedcore.triggers.factory",
            "trigger_from_dict": "schedcore.triggers.factory",
            "zone_of": "schedcore.triggers.zones",
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
