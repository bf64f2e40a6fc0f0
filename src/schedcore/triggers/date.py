"""A single fire time."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from schedcore.clock import from_us
from schedcore.triggers.options import NO_JITTER, moment_text, moment_us
from schedcore.triggers.values import ZonedTrigger, set_slot
from schedcore.triggers.zones import zone_of


class DateTrigger(ZonedTrigger):
    """Fires once, at ``run_date``; a job that is added after that runs at once.

    Args:
        run_date: ISO 8601 text, a datetime or a date; a naive one is read in *timezone*.
            Default: the moment at which the job is added.
        timezone: A zone's name or a tzinfo; left out, the system's zone.

    Raises:
        InvalidTriggerError: if ``run_date`` is not a date, or is a time that the zone's clocks
            skip.
    """

    __slots__ = ("_jitter", "_run_us", "_zone")

    kind: ClassVar[str] = "date"

    _run_us: int | None

    def __init__(self, run_date: object = None, timezone: object = None) -> None:
        zone = zone_of(timezone)
        set_slot(self, "_zone", zone)
        set_slot(self, "_jitter", NO_JITTER)
        run_us = None if run_date is None else moment_us("run_date", run_date, zone)
        set_slot(self, "_run_us", run_us)

    @property
    def run_date(self) -> datetime | None:
        """The fire time, or None if it will be the moment of adding."""
        return None if self._run_us is None else from_us(self._run_us, self.timezone)

    def next_us(self, after_us: int) -> int | None:
        """Return the fire time if it is strictly later than *after_us*, else None."""
        run_us = self._run_us
        return run_us if run_us is not None and run_us > after_us else None

    def first_us(self, now_us: int) -> int | None:
        """Return the fire time, whether it has passed or not; *now_us* if there is none yet."""
        return now_us if self._run_us is None else self._run_us

    def bound_to(self, now_us: int) -> DateTrigger:
        """Return this trigger with its date set: to *now_us* if it has none."""
        return self if self._run_us is not None else self.first_at(now_us, now_us)

    def first_at(self, first_us: int, now_us: int) -> DateTrigger:  # noqa: ARG002
        """Return this trigger moved to *first_us*: a date has one run, whenever that is."""
        made = DateTrigger.__new__(DateTrigger)
        set_slot(made, "_zone", self._zone)
        set_slot(made, "_jitter", NO_JITTER)
        set_slot(made, "_run_us", first_us)
        return made

    def options(self) -> dict[str, object]:
        """Return the plain-data form, with the tzinfo itself where a zone has no name."""
        options: dict[str, object] = {"trigger": self.kind}
        if self._run_us is not None:
            options["run_date"] = moment_text(self._run_us, self._zone)
        return options | self.shared_options()
