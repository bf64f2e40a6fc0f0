"""Logging that never raises, although handlers and filters are users' code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Fields = Mapping[str, object]
"""The fields of a record besides its text: ``job_id``, ``run_id``, ``attempt``, ``outcome``,
``late`` and ``took`` in seconds."""

# Those of logging, which takes 6 ms to import: most programs log nothing at their start.
_INFO: Final = 20
_WARNING: Final = 30
_ERROR: Final = 40
_CRITICAL: Final = 50


class GuardedLogger:
    """Logs through ``logging``; exceptions of handlers and filters are swallowed.

    The loop and the workers log in places where an exception would cost other jobs their runs.

    Args:
        name: The logger's name.
        silent: Whether to log nothing, for forecasts.

    Attributes:
        failures: How many times logging raised.
    """

    def __init__(self, name: str, silent: bool = False) -> None:
        self._name = name
        self._silent = silent
        self.failures = 0

    def info(self, text: str, *args: object, fields: Fields | None = None) -> None:
        """Log information; the record gets *fields*."""
        self._say(_INFO, text, args, fields)

    def warning(self, text: str, *args: object, fields: Fields | None = None) -> None:
        """Log a warning."""
        self._say(_WARNING, text, args, fields)

    def error(
        self,
        text: str,
        *args: object,
        error: BaseException | None = None,
        fields: Fields | None = None,
    ) -> None:
        """Log an error; with *error*, its traceback."""
        self._say(_ERROR, text, args, fields, error)

    def critical(self, text: str, *args: object, fields: Fields | None = None) -> None:
        """Log that the scheduler itself is in trouble."""
        self._say(_CRITICAL, text, args, fields)

    def _say(
        self,
        level: int,
        text: str,
        args: tuple[Any, ...],
        fields: Fields | None,
        error: BaseException | None = None,
    ) -> None:
        if self._silent:
            return
        try:
            import logging

            logger = logging.getLogger(self._name)
            logger.log(level, text, *args, exc_info=error, stacklevel=3, extra=fields)
        except BaseException:  # noqa: BLE001 — there is no place left to log it
            self.failures += 1
