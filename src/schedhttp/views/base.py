"""What views work on, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from schedcore import (
    Scheduler,
)
from schedhttp.job_json import JobJson
from schedhttp.security.allowlist import AllowedFuncs
from schedhttp.settings import Settings


class Service(NamedTuple):
    """What the views work on."""

    scheduler: Scheduler
    settings: Settings
    allowed: AllowedFuncs
    job_json: JobJson
    openapi: Callable[[str], Mapping[str, Any]]
    """Creates the description of the API, for the path at which it is mounted."""


class Reply(NamedTuple):
    """A view's reply."""

    body: object = None
    """To be serialised as JSON.  Bytes are JSON already, or what the header Content-Type says; None
    means no body: 204, 304."""
    status: int = 200
    headers: Mapping[str, str | tuple[str, ...]] = {}
    """Several values are several lines."""


Rendered = tuple[int, list[tuple[str, str]], bytes]
"""The status, the headers and the body of a response."""

NOTHING = Reply(None, 204)
