"""The REST API of a scheduler, as a WSGI app and as a Flask extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schedcore import __version__

if TYPE_CHECKING:
    from schedcore import Scheduler
    from schedhttp.app import App

__all__ = ["__version__", "create_app"]


def create_app(scheduler: Scheduler, **settings: Any) -> App:
    """Return a WSGI app that serves the REST API of *scheduler*.

    It does not start the scheduler: that is up to whoever made it.

    Args:
        scheduler: Whose API it is.
        settings: By name, in lower case and without the prefix: ``api_prefix="/api"``.

    Raises:
        InvalidOptionError: if a setting is unknown, or its value makes no sense.
    """
    # 0.1 s, half of it for Werkzeug: for those who make an app, and not for each who imports this.
    from schedhttp.app import App
    from schedhttp.settings import Settings

    return App(scheduler, Settings.of(api_enabled=True).changed(settings))
