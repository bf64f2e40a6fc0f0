"""The settings in a Flask app's config, and a check for those that are set too late."""

from __future__ import annotations

import difflib
import hmac
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask

from schedhttp.settings import FIELDS, FLASK_APSCHEDULER_NAMES, PREFIX, Settings, variable

log = logging.getLogger(__name__)

_ORIGIN = "Flask's config"
_JOBS, _OLD_JOBS = variable("jobs"), "JOBS"
_OURS_ALONE = ("API_", "AUTH", "DASHBOARD")
"""Beginnings of the names of settings for access, after the prefix: an unknown name of these is
an error, since a typing error could leave the API open."""
_PORT = re.compile(r":\d*$")
_CLOSE = 0.8
"""From this similarity on, 0 to 1, a name counts as a typing error of ours (difflib's ratio)."""


def read(config: Mapping[str, Any], base: Settings) -> Settings:
    """Return *base* with the settings of a Flask app's config.

    Names of Flask-APScheduler count as well: ``JOBS``, if ``SCHEDULER_JOBS`` is not set.  A value
    of None counts as not set.  The app may have its own settings that begin with ``SCHEDULER_``:
    names that are neither ours nor similar to ours are ignored, with a warning.

    Raises:
        InvalidOptionError: naming the setting, its value and what was expected.
    """
    values = {
        name: value
        for name, value in config.items()
        if name.startswith(PREFIX) and value is not None
    }
    foreign = sorted(filter(_is_foreign, values))
    if foreign:
        log.warning(
            "not settings of the scheduler, and ignored: %s (docs/reference/settings.md has all"
            " of them)",
            ", ".join(foreign),
        )
    ours = {k: v for k, v in values.items() if k not in foreign}
    settings = base.changed(ours, _ORIGIN)
    if not settings.jobs and config.get(_OLD_JOBS):
        settings = _with_old_jobs(settings, config[_OLD_JOBS])
    return settings.changed(
        {"api_trusted_hosts": (*settings.api_trusted_hosts, *_own_hosts(config))}, ""
    )


def _with_old_jobs(settings: Settings, jobs: object) -> Settings:
    if not _are_jobs(jobs):
        log.warning("JOBS in the app's config is not a list of jobs, and is ignored")
        return settings
    log.warning("JOBS in the app's config is read as SCHEDULER_JOBS, which is its current name")
    return settings.changed({_JOBS: jobs}, _ORIGIN)


def _are_jobs(jobs: object) -> bool:
    """Return whether this value is for the scheduler: other packages may use ``JOBS`` too."""
    return isinstance(jobs, Sequence) and all(
        isinstance(job, Mapping) and "func" in job for job in jobs
    )


def _own_hosts(config: Mapping[str, Any]) -> list[str]:
    """Return the app's own host names, from Flask's settings."""
    names = [config.get("SERVER_NAME"), *(config.get("TRUSTED_HOSTS") or ())]
    texts = [name for name in names if isinstance(name, str) and name]
    # With and without the port; names that begin with a dot are patterns.
    return [each for name in texts for each in (name, _PORT.sub("", name)) if each[0] != "."]


def _is_foreign(given: str) -> bool:
    """Return whether a name with our prefix is neither ours nor a typing error of ours."""
    name = given[len(PREFIX) :]
    ours = {*FIELDS, *FLASK_APSCHEDULER_NAMES}
    if name.lower() in ours or name.startswith(_OURS_ALONE):
        return False
    alike = {*ours, *(each.removeprefix("api_") for each in ours)}
    return not difflib.get_close_matches(name.lower()[:64], alike, n=1, cutoff=_CLOSE)


def with_key_of_app(settings: Settings, app: Flask) -> Settings:
    """Return settings with which the dashboard signs sessions with a key of this app alone.

    It is made from the app's name, since several apps may have the same key, and from the setting
    or, without that, from the app's ``SECRET_KEY``.
    """
    key = settings.dashboard_secret or app.secret_key
    if not key:
        return settings
    known = key.encode() if isinstance(key, str) else key
    own = hmac.digest(known, app.name.encode(), "sha256").hex()
    origin = "" if settings.dashboard_secret else "SECRET_KEY"
    return settings.changed({"dashboard_secret": own}, origin)


class Watched:
    """Detects settings that were changed too late to have an effect.

    Args:
        config: The app's config, which may change.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        names = {*map(variable, (*FIELDS, *FLASK_APSCHEDULER_NAMES)), _OLD_JOBS}
        self._all = {name: _copied(config.get(name)) for name in sorted(names)}
        # Checked for each request: 1 us.
        self._guarding = {
            name: value
            for name, value in self._all.items()
            if name.startswith(tuple(PREFIX + beginning for beginning in _OURS_ALONE))
        }

    def changed(self) -> list[str]:
        """Return the names of all settings that changed since they were read."""
        return self._differing(self._all)

    def changed_guarding(self) -> list[str]:
        """Return those of them that concern the API and access to it."""
        return self._differing(self._guarding)

    def _differing(self, read: Mapping[str, Any]) -> list[str]:
        get = self._config.get
        return [
            name for name, value in read.items() if (now := get(name)) is not value and now != value
        ]


def _copied(value: Any) -> Any:
    """Return a copy of a mutable value, to compare with it later."""
    return value.copy() if isinstance(value, dict | list | set) else value
