"""Where a Flask app stores its jobs: in its instance folder, unless its config says otherwise."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from weakref import ReferenceType, ref

from flask import Flask

from schedcore import InvalidOptionError
from schedcore.stores.urls import sqlite_path
from schedhttp.settings import ConfigError, Settings, variable

log = logging.getLogger(__name__)

_FILE = "schedcore.db"
_users: dict[str, list[ReferenceType[object]]] = {}
"""The extensions of this process that use each default file, in the order of their creation."""


def with_store(settings: Settings, app: Flask, extension: object) -> Settings:
    """Return settings that name a store, as the stand-alone server's do.

    The default is a file in the app's instance folder, or memory for an app in tests.  A relative
    SQLite path is relative to that folder, as in Flask-SQLAlchemy.

    Args:
        settings: The settings of the app's config.
        app: The app with the instance folder.
        extension: The Flask extension: two that exist at the same time have separate files.

    Raises:
        ConfigError: if the path is invalid, or the folder cannot be created.
    """
    store = settings.store
    if store is None and app.testing:
        return replace(settings, store="memory")
    if store is None:
        path = _own_file(os.path.join(app.instance_path, _FILE), extension)
    elif isinstance(store, str) and store.lower().startswith("sqlite:"):
        try:
            path = os.path.join(app.instance_path, sqlite_path(store))
        except InvalidOptionError as error:
            raise ConfigError(variable("store"), error) from error
    else:
        return settings
    if os.path.dirname(path) == app.instance_path:
        _make_folder(app.instance_path)
    return replace(settings, store=f"sqlite:///{path}")


def _own_file(path: str, extension: object) -> str:
    """Return *path*, with a number if another extension of this process uses that file."""
    users = _users.setdefault(path, [])
    place = next((n for n, user in enumerate(users) if user() in (extension, None)), len(users))
    users[place : place + 1] = [ref(extension)]
    if place == 0:
        return path
    stem, ending = os.path.splitext(path)
    log.info(
        "scheduler %d of this process on %s has its own file: create them in the same order in"
        " each process, or set SCHEDULER_STORE for each",
        *(place + 1, path),
    )
    return f"{stem}-{place + 1}{ending}"


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            variable("store"),
            f"the folder {path} cannot be created ({error.strerror}): name a file in one that this"
            " user may write, as in sqlite:////var/lib/app/jobs.db, or memory",
        ) from error
