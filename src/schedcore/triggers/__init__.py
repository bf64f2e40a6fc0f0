"""When to fire: triggers are pure sets of instants."""

from schedcore.triggers.base import Trigger
from schedcore.triggers.calendarinterval import CalendarIntervalTrigger
from schedcore.triggers.combining import AndTrigger, OrTrigger
from schedcore.triggers.cron import CronTrigger
from schedcore.triggers.date import DateTrigger
from schedcore.triggers.interval import IntervalTrigger
from schedcore.triggers.plaindata import make_trigger, merge, option_names, trigger_from_dict

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
    "option_names",
    "trigger_from_dict",
]
