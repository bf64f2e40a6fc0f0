"""Limits for jobs that come by requests; settings and Python code have fewer limits.

Without them, one request could fill the queue of all jobs, or create a job with an id that
clients cannot address.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from schedcore import InvalidOptionError, InvalidTriggerError, Trigger
from schedcore.clock import SECOND
from schedcore.job import UNSET, check_id
from schedcore.retry import Retry, retry_of

LONGEST_NAME = 255
MOST_INSTANCES = 1_000
_BREAKS = frozenset({"Cc", "Zl", "Zp"})
_OTHERWISE = "this limit does not apply to jobs in the settings and in Python"


def check_fields(fields: Mapping[str, Any], shortest: float) -> None:
    """Check the fields of a job in a request, except its trigger.

    Values of wrong types pass: the scheduler refuses them.

    Args:
        fields: The fields, by name.
        shortest: Minimum number of seconds between two attempts of a run.

    Raises:
        InvalidOptionError: naming the field, its value and what was expected.
    """
    job_id, name = fields.get("id"), fields.get("name")
    if job_id is not None:
        _check_text("id", check_id(job_id))
        _check_address(job_id)
    if isinstance(name, str):
        if not 0 < len(name) <= LONGEST_NAME:
            raise InvalidOptionError("name", name, f"text of 1 to {LONGEST_NAME} characters")
        _check_text("name", name)
    most = fields.get("max_instances")
    if isinstance(most, int) and most > MOST_INSTANCES:
        raise InvalidOptionError(
            "max_instances", most, f"a whole number from 1 to {MOST_INSTANCES:,}; {_OTHERWISE}"
        )
    given = fields.get("retry")
    retry = None if given is UNSET else retry_of(given)
    least = min(shortest, Retry().delay)  # the default is accepted in any case
    if retry is not None and min(retry.delay, retry.longest) < least:
        raise InvalidOptionError("retry", given, f"delays of {_at_least(least, shortest)}")


def check_trigger(trigger: Trigger, shortest: float, now: Trigger | None = None) -> None:
    """Check that a trigger fires no more often than requests may set.

    Args:
        trigger: The trigger.
        shortest: Minimum number of seconds between two fire times; 0: no limit.
        now: The job's current trigger: one that fires no more often than this is accepted.

    Raises:
        InvalidTriggerError: if it fires more often; the message names the setting.
    """
    rate = _rate(trigger)
    if rate * shortest > 1 and (now is None or rate > _rate(now)):
        raise InvalidTriggerError(
            "trigger",
            trigger,
            f"one that fires every {_at_least(shortest, shortest)}",
        )


def _at_least(seconds: float, shortest: float) -> str:
    return f"{seconds:g} s or more: SCHEDULER_API_SHORTEST_INTERVAL is {shortest:g}; {_OTHERWISE}"


def _rate(trigger: Trigger) -> float:
    """Return the maximum rate of a trigger per second, as far as its intervals show."""
    span_us = getattr(trigger, "interval_us", 0)
    if span_us:
        return float(SECOND / span_us)
    members = getattr(trigger, "triggers", ())
    if trigger.kind == "or":
        return float(sum(map(_rate, members)))
    # The others fire at whole seconds.
    return min((_rate(each) or 1.0 for each in members), default=0.0)


def _check_text(field: str, text: str) -> None:
    """Refuse characters that end a line or control a terminal, since clients may print the text."""
    if any(unicodedata.category(each) in _BREAKS for each in text):
        raise InvalidOptionError(field, text, "text without control characters")


def _check_address(job_id: str) -> None:
    """Refuse ids that clients and proxies resolve as paths: ``/jobs/../pause`` is ``/pause``.

    Some decode ``%2F`` and ``%2E`` first, and browsers treat a backslash as a slash.
    """
    parts = re.split(r"[/\\]|%2f|%5c", job_id, flags=re.IGNORECASE)
    if any(re.sub("%2e", ".", part, flags=re.IGNORECASE) in (".", "..") for part in parts):
        raise InvalidOptionError(
            "id", job_id, 'text without "." or ".." between slashes, which would lead elsewhere'
        )
