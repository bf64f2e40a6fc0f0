"""What views work on, and what they answer."""

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
    """Makes the description of the API, below the path at which it is mounted."""


class Reply(NamedTuple):
    """What a view answers."""

    body: object = None
    """To be turned into JSON; bytes are that already, or what the header Content-Type says; None is
    no body: 204, 304."""
    status: int = 200
    headers: Mapping[str, str | tuple[str, ...]] = {}
    """Several values are several lines."""


Rendered = tuple[int, list[tuple[str, str]], bytes]
"""The status, the headers and the body of a response."""

NOTHING = Reply(None, 204)
