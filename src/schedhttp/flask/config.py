"""The settings of a scheduler in a Flask app's config, and whether they come too late."""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from schedhttp.settings import FIELDS, OTHER_NAMES, PREFIX, Settings, variable

log = logging.getLogger(__name__)

_JOBS, _OLD_JOBS = variable("jobs"), "JOBS"
_OURS_ALONE = ("API_", "AUTH", "DASHBOARD")
"""What follows the prefix in settings of who may do what: here each name that is unknown is a
mistake, since the API would be open to those whom it was meant to keep out."""
_PORT = re.compile(r":\d*$")
_CLOSE = 0.8
"""From which likeness on, 0 to 1, a name is a typing error of one of ours (difflib's ratio)."""


def read(config: Mapping[str, Any], base: Settings) -> Settings:
    """Return *base* with the settings that a Flask app's config has.

    The names that Flask-APScheduler reads as well count here: ``JOBS``, if ``SCHEDULER_JOBS`` has
    none.  None is no value.  The app may have settings of its own that begin with ``SCHEDULER_``:
    what is neither ours nor looks like it is left alone, with a warning.

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
    settings = base.changed({k: v for k, v in values.items() if k not in foreign})
    if not settings.jobs and config.get(_OLD_JOBS):
        settings = _with_old_jobs(settings, config[_OLD_JOBS])
    return settings.changed(
        {"api_trusted_hosts": (*settings.api_trusted_hosts, *_own_hosts(config))}
    )


def _with_old_jobs(settings: Settings, jobs: object) -> Settings:
    if not _are_jobs(jobs):
        log.warning("JOBS in the app's config is not a list of jobs, and is ignored")
        return settings
    log.warning("JOBS in the app's config is read as SCHEDULER_JOBS, which is its current name")
    return settings.changed({_JOBS: jobs})


def _are_jobs(jobs: object) -> bool:
    """Return whether this is meant for the scheduler: ``JOBS`` is a name that others have too."""
    return isinstance(jobs, Sequence) and all(
        isinstance(job, Mapping) and "func" in job for job in jobs
    )


def _own_hosts(config: Mapping[str, Any]) -> list[str]:
    """Return the names by which the app itself is reached, from Flask's own settings."""
    names = [config.get("SERVER_NAME"), *(config.get("TRUSTED_HOSTS") or ())]
    texts = [name for name in names if isinstance(name, str) and name]
    # With and without the port; those that begin with a dot are patterns of names.
    return [each for name in texts for each in (name, _PORT.sub("", name)) if each[0] != "."]


def _is_foreign(given: str) -> bool:
    """Return whether a name that begins with our prefix is none of ours, nor meant to be one."""
    name = given[len(PREFIX) :]
    ours = {*FIELDS, *OTHER_NAMES}
    if name.lower() in ours or name.startswith(_OURS_ALONE):
        return False
    alike = {*ours, *(each.removeprefix("api_") for each in ours)}
    return not difflib.get_close_matches(name.lower()[:64], alike, n=1, cutoff=_CLOSE)


def with_key_of_app(settings: Settings, key: str | bytes | None) -> Settings:
    """Return settings by which the dashboard signs sessions with the app's own key.

    Args:
        settings: Those of the app; a secret that they have counts more.
        key: The app's ``SECRET_KEY``.
    """
    if not key or settings.dashboard_secret:
        return settings
    known = key.encode() if isinstance(key, str) else key
    return settings.changed({"dashboard_secret": hashlib.sha256(known).hexdigest()})


class Watched:
    """Notices that settings were changed after they were read, when they have no effect any more.

    Args:
        config: The app's, which may be changed.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        names = {*map(variable, (*FIELDS, *OTHER_NAMES)), _OLD_JOBS}
        self._all = {name: _copied(config.get(name)) for name in sorted(names)}
        # Looked at for each request: 1 us.
        self._guarding = {
            name: value
            for name, value in self._all.items()
            if name.startswith(tuple(PREFIX + beginning for beginning in _OURS_ALONE))
        }

    def changed(self) -> list[str]:
        """Return the names of all settings that are not as they were read."""
        return self._differing(self._all)

    def changed_guarding(self) -> list[str]:
        """Return those among them that concern the API, and who may use it."""
        return self._differing(self._guarding)

    def _differing(self, read: Mapping[str, Any]) -> list[str]:
        get = self._config.get
        return [
            name for name, value in read.items() if (now := get(name)) is not value and now != value
        ]


def _copied(value: Any) -> Any:
    """Return a copy of what can be changed in its place, to compare with it later."""
    return value.copy() if isinstance(value, dict | list | set) else value
