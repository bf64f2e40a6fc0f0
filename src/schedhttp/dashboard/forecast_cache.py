"""Caches the forecast for pages, which need it more often than it changes."""

from __future__ import annotations

from typing import Final

from schedcore import LoadForecast, Scheduler
from schedcore.clock import SECOND

_KEPT_US: Final = 15 * SECOND
_FEW: Final = 500
"""Up to this number of jobs, a forecast takes a few hundredths of a second: it is not cached."""


class ForecastCache:
    """Forecasts of a scheduler; those that take long are cached for a while.

    Args:
        scheduler: The scheduler.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._kept: dict[int, tuple[int, LoadForecast]] = {}

    def of(self, hours: int) -> LoadForecast:
        """Return the forecast for the next hours.

        Raises:
            StoreError: if the store cannot be used.
        """
        now_us = self._scheduler.clock.monotonic_us()
        at_us, kept = self._kept.get(hours, (0, None))
        if kept is not None and now_us - at_us < _KEPT_US:
            return kept
        found = self._scheduler.forecast(hours)
        if len(found.jobs) > _FEW:
            self._kept[hours] = now_us, found
        return found
