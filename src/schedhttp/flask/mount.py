"""The API among the rules of a Flask app."""

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
    """Refuse names and paths of the API that are taken in this app.

    Raises:
        InvalidOptionError: naming the setting that gives it others.
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
                f" ({_ANOTHER})",
            )
    ours = {rule.rule for rule in app.url_map.iter_rules() if _is_ours(app, rule.endpoint)}
    if api_prefix + "/jobs" in ours:
        raise InvalidOptionError(
            "SCHEDULER_API_PREFIX",
            api_prefix,
            "another path than the app's other scheduler has: set one for each extension",
        )


def check_pages(app: Flask, prefix: str) -> None:
    """Refuse the path of a dashboard that another scheduler of this app has.

    Raises:
        InvalidOptionError: naming the setting that gives it another.
    """
    ours = {rule.rule for rule in app.url_map.iter_rules() if _is_ours(app, rule.endpoint)}
    if prefix + "/<path:page>" in ours:
        raise InvalidOptionError(
            "SCHEDULER_DASHBOARD_PREFIX",
            prefix,
            "another path than the app's other dashboard has: set one for each extension",
        )


def check_blueprints(app: Flask, endpoint_prefix: str) -> None:
    """Refuse a prefix by which Flask takes the API for a part of the app's own blueprint.

    Raises:
        InvalidOptionError: naming the setting that gives it another.
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


def mount(app: Flask, api: App, watched: Watched) -> None:
    """Give the app one rule for each endpoint, so that ``url_for`` knows them.

    The answers come from the same table and the same code as those of the stand-alone app.
    """
    settings = api.settings
    prefix = settings.api_prefix

    def api_view(**_values: Any) -> Response:
        changed = watched.changed_guarding()
        if changed:
            return api.refuse(Forbidden(_TOO_LATE.format(", ".join(changed))))
        return api.respond(current_request)

    # Documented: what exempts a view from its checks knows it by its module and its name.
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

    def answer_what_has_no_rule() -> Response | None:
        """Answer 404, 405 and OPTIONS below the prefix in JSON, and leave the app its own."""
        blueprints.look_at(app)
        path = current_request.path
        if current_request.routing_exception is not None and (
            path == prefix or path.startswith(prefix + "/")
        ):
            return api_view()
        return None

    if prefix:
        app.before_request(answer_what_has_no_rule)


def _mount_pages(app: Flask, settings: Settings, view: Callable[..., Response]) -> None:
    """Give the app the rules of the dashboard, which knows its pages itself."""
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
    """Tells, at the first request, of a blueprint that came after the start into the API's way."""

    def __init__(self, endpoint_prefix: str) -> None:
        self._prefix: str | None = endpoint_prefix

    def look_at(self, app: Flask) -> None:
        prefix, self._prefix = self._prefix, None  # Flask takes none after the first request
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
