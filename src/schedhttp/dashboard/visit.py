"""A visit: the input and the results of a page's code."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from werkzeug.datastructures import MultiDict

from schedcore import InvalidOptionError, Scheduler
from schedcore.history.query import RunQuery
from schedcore.triggers import zone_of
from schedhttp.dashboard import texts
from schedhttp.dashboard.api_calls import ApiCalls
from schedhttp.dashboard.forecast_cache import ForecastCache
from schedhttp.dashboard.sessions import Visitor, form_of
from schedhttp.hiding import run_without_secrets
from schedhttp.request import Incoming
from schedhttp.settings import Settings
from schedhttp.shown import (
    RUN,
    RunShown,
)

ZONE, FLASH = "schedcore_zone", "schedcore_flash"
"""The cookies of the time zone, and of the result of the last form."""
JOBS_ZONE = "job"
_LONGEST_FLASH = 2_700  # in base64 less than the 4,096 bytes that browsers store


Undo = tuple[str, str, Mapping[str, Any]]
"""An undo: the words on a button, the path of a form, and its fields."""


class Page(NamedTuple):
    """A page to be rendered."""

    template: str
    values: Mapping[str, Any]
    status: int = 200


class Redirect(NamedTuple):
    """A redirect to another page, which reports what was done."""

    path: str
    """The path below the dashboard's prefix, with its query."""
    message: str = ""
    undo: Undo | None = None
    cookies: tuple[str, ...] = ()


class Raw(NamedTuple):
    """A response that is not a page."""

    body: bytes
    media: str
    filename: str = ""
    """The name of the file to save; empty: it is shown."""


class Visit:
    """One authenticated request for a page.

    Args:
        request: The request.
        visitor: Its sender.
        api: Calls the API on their behalf.
        scheduler: The scheduler of the dashboard.
        settings: All of them.
        form_token: The token that forms must send back.
        forecasts: The forecasts.
    """

    def __init__(
        self,
        request: Incoming,
        visitor: Visitor,
        api: ApiCalls,
        scheduler: Scheduler,
        settings: Settings,
        form_token: str,
        forecasts: ForecastCache,
    ) -> None:
        self.request = request
        self.visitor = visitor
        self.api = api
        self.scheduler = scheduler
        self.settings = settings
        self.form_token = form_token
        self.forecasts = forecasts
        self.key = secrets.token_urlsafe(12)
        """Identifies two clicks on the same button as one request."""
        self.now_ms = scheduler.clock.now_us() // 1000
        self.zone = _zone_in(request.whole.cookies.get(ZONE, ""))
        """The name of a zone, or :data:`JOBS_ZONE`: times are shown in each job's zone."""

    @property
    def path(self) -> str:
        """The path of the page, below the dashboard's prefix."""
        return self.request.path[len(self.settings.dashboard_prefix) :] or "/"

    @property
    def base(self) -> str:
        """The beginning of the dashboard's paths, for links."""
        return base_of(self.request, self.settings.dashboard_prefix)

    @property
    def root(self) -> str:
        """The same, for cookies."""
        return self.base or "/"

    @property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the page's query."""
        return self.request.whole.args

    @property
    def form(self) -> MultiDict[str, str]:
        """The fields of the submitted form."""
        return form_of(self.request)

    @property
    def may_change(self) -> bool:
        """Whether the visitor may change anything."""
        return self.visitor.role.value == "all"

    def tz(self, job_zone: object = None) -> tzinfo:
        """Return the time zone in which times are shown.

        Args:
            job_zone: The zone of the job that they belong to; None: the scheduler's.
        """
        if self.zone != JOBS_ZONE:
            return zone_of(self.zone).tz
        try:
            return zone_of(job_zone or self.scheduler.timezone).tz
        except InvalidOptionError:  # such as a zone that is no longer installed
            return zone_of(self.scheduler.timezone).tz

    def time(self, moment: str | None, job_zone: object = None, relative: bool = False) -> Any:
        """Return the element that shows a time of the API."""
        return texts.time_tag(moment, self.tz(job_zone), relative)

    def elapsed(self, since: str) -> Any:
        """Return the element that shows the time elapsed since a time of the API."""
        return texts.elapsed_tag(since, self.now_ms)

    def latest_runs(
        self, job_id: str, many: int = 20, since_us: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the latest outcomes of a job, as the API shows them, without counting them."""
        records = self.scheduler.records(RunQuery(job_id, since_us=since_us, limit=many))
        redact = self.scheduler.redact
        return [RUN.to_dict(run_without_secrets(RunShown.of(each), redact)) for each in records]

    def zones_of(self, job_ids: Iterable[str]) -> dict[str, Any]:
        """Return the zones of those jobs that exist, by id."""
        zones = {}
        for job_id in set(job_ids):
            handle = self.scheduler.get_job(job_id)
            if handle is not None:
                zones[job_id] = zone_of(handle.trigger.timezone).name
        return zones


def base_of(request: Incoming, prefix: str) -> str:
    """Return the beginning of all paths below *prefix*, for links.

    A server or proxy may set the app's path with slashes at its ends.
    """
    mount = request.environ.get("SCRIPT_NAME", "").strip("/").encode("latin-1", "replace")
    return ("/" + quote(mount) if mount else "") + quote(prefix)


def _zone_in(name: str) -> str:
    """Return the zone that a cookie names; each job's own if it names none."""
    if name in ("", JOBS_ZONE):
        return JOBS_ZONE
    try:
        return zone_of(name[:80]).name or JOBS_ZONE
    except InvalidOptionError:
        return JOBS_ZONE


def flash_text(redirect: Redirect) -> str:
    """Return the value of the cookie that reports to the next page what was done."""
    text = texts.as_json([redirect.message, redirect.undo]).encode("utf-8", "replace")
    if len(text) > _LONGEST_FLASH:
        text = texts.as_json([redirect.message[:500], None]).encode("utf-8", "replace")
    return urlsafe_b64encode(text).decode()


def read_flash(request: Incoming) -> tuple[str, Any] | None:
    """Return the report in the cookie, and its undo; None if there is none."""
    given = request.whole.cookies.get(FLASH, "")
    try:
        message, undo = json.loads(urlsafe_b64decode(given))
        if undo is not None:
            label, path, fields = undo
            undo = (str(label), str(path), {str(k): v for k, v in dict(fields).items()})
    except (ValueError, TypeError, RecursionError):
        return None
    return (message, undo) if isinstance(message, str) else None


def own_path(to: str) -> str:
    """Return the path to continue at: always below our own prefix, whatever a form says."""
    is_ours = to.startswith("/") and to.isascii() and to.isprintable() and len(to) < 2_000
    goes_up = any(unquote(part) in (".", "..") for part in to.partition("?")[0].split("/"))
    return to if is_ours and not goes_up and not to.startswith(("//", "/\\")) else "/"
