"""Adds the API to the URL rules of a Flask app."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask import request as current_request
from werkzeug import Response

from schedcore import InvalidOptionError
from schedhttp import routes
from schedhttp.app import App
from schedhttp.errors import Forbidden
from schedhttp.flask.config import Watched
from schedhttp.settings import Settings

log = logging.getLogger(__name__)

_MODULE = "schedhttp.flask"


def check_names(app: Flask, endpoint_prefix: str, api_prefix: str) -> None:
    """Refuse names and paths of the API that this app already uses.

    Raises:
        InvalidOptionError: naming the setting that changes them.
    """
    name = "SCHEDULER_ENDPOINT_PREFIX"
    check_blueprints(app, endpoint_prefix)
    for route in routes.ROUTES:
        if endpoint_prefix + route.name in app.view_functions:
            raise InvalidOptionError(
                name,
                endpoint_prefix,
                f"a beginning of endpoints that are free, and {endpoint_prefix + route.name!r} is"
                " there: by another extension, or by an init_app() before this one"
                f" ({_ANOTHER}; {_OWN.format('endpoint_prefix')})",
            )
    ours = {rule.rule for rule in app.url_map.iter_rules() if _is_ours(app, rule.endpoint)}
    if api_prefix + "/jobs" in ours:
        raise InvalidOptionError(
            "SCHEDULER_API_PREFIX",
            api_prefix,
            f"another path than the app's other scheduler has: {_OWN.format('api_prefix')}",
        )


def check_pages(app: Flask, prefix: str) -> None:
    """Refuse a dashboard's path that another scheduler of this app uses.

    Raises:
        InvalidOptionError: naming the setting that changes it.
    """
    ours = {rule.rule for rule in app.url_map.iter_rules() if _is_ours(app, rule.endpoint)}
    if prefix + "/<path:page>" in ours:
        raise InvalidOptionError(
            "SCHEDULER_DASHBOARD_PREFIX",
            prefix,
            f"another path than the app's other dashboard has: {_OWN.format('dashboard_prefix')}",
        )


def check_blueprints(app: Flask, endpoint_prefix: str) -> None:
    """Refuse a prefix with which Flask would count the API as part of the app's own blueprint.

    Raises:
        InvalidOptionError: naming the setting that changes it.
    """
    words = endpoint_prefix.split(".")[:-1]
    for end in range(len(words), 0, -1):
        blueprint = ".".join(words[:end])
        if blueprint in app.blueprints:
            raise InvalidOptionError(
                "SCHEDULER_ENDPOINT_PREFIX",
                endpoint_prefix,
                f"another beginning than the app's own blueprint {blueprint!r} has, whose"
                f" before_request functions would be called for the API ({_ANOTHER})",
            )


_ANOTHER = "SCHEDULER_ENDPOINT_PREFIX = 'schedcore.' is usually free"
# The config is that of all extensions of the app, and must not change once one has read it.
_OWN = "two extensions of one app have each their own {0}, set on the extension before init_app()"


def mount(app: Flask, api: App, watched: Watched) -> None:
    """Add one rule for each endpoint to the app, so that ``url_for`` knows them.

    Answers come from the same table and code as those of the stand-alone app.
    """
    settings = api.settings
    prefix = settings.api_prefix

    def api_view(**_values: Any) -> Response:
        changed = watched.changed_guarding()
        if changed:
            return api.refuse(Forbidden(_TOO_LATE.format(", ".join(changed))))
        return api.respond(current_request)

    # Documented: extensions exempt a view from their checks by its module and name.
    api_view.__module__ = _MODULE
    app.url_map.converters.update(routes.CONVERTERS)
    for route in routes.ROUTES:
        app.add_url_rule(
            prefix + route.path or "/",
            endpoint=settings.endpoint_prefix + route.name,
            view_func=api_view,
            methods=[route.method, "OPTIONS"],
            provide_automatic_options=False,
            strict_slashes=False,
            merge_slashes=False,
        )

    if api.dashboard is not None:
        _mount_pages(app, settings, api_view)

    blueprints = _Blueprints(settings.endpoint_prefix)

    def answer_unmatched() -> Response | None:
        """Answer 404, 405 and OPTIONS below the prefix in JSON, without changing the app's own."""
        blueprints.look_at(app)
        path = current_request.path
        if current_request.routing_exception is not None and (
            path == prefix or path.startswith(prefix + "/")
        ):
            return api_view()
        return None

    if prefix:
        app.before_request(answer_unmatched)


def _mount_pages(app: Flask, settings: Settings, view: Callable[..., Response]) -> None:
    """Add the rules of the dashboard, which itself knows its pages."""
    for name, below in (("dashboard", ""), ("dashboard_page", "/<path:page>")):
        app.add_url_rule(
            settings.dashboard_prefix + below or "/",
            endpoint=settings.endpoint_prefix + name,
            view_func=view,
            methods=["GET", "POST"],
            provide_automatic_options=False,
            strict_slashes=False,
            merge_slashes=False,
        )


class _Blueprints:
    """Reports, at the first request, a blueprint that was added late and conflicts with the API."""

    def __init__(self, endpoint_prefix: str) -> None:
        self._prefix: str | None = endpoint_prefix

    def look_at(self, app: Flask) -> None:
        prefix, self._prefix = self._prefix, None  # Flask accepts none after the first request
        if prefix is not None:
            try:
                check_blueprints(app, prefix)
            except InvalidOptionError as error:
                log.error("%s", error)


_TOO_LATE = (
    "{} changed after init_app(app), which has read the settings, so nobody is served: set it"
    " before that"
)


def _is_ours(app: Flask, endpoint: str) -> bool:
    view = app.view_functions.get(endpoint)
    return (getattr(view, "__module__", ""), getattr(view, "__name__", "")) == (_MODULE, "api_view")
