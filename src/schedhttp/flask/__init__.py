"""The Flask extension, with the surface that users of Flask-APScheduler know."""

from typing import TYPE_CHECKING

from schedcore.basics.apscheduler_names import PACKAGE_HINTS
from schedcore.basics.lazy_imports import on_demand
from schedhttp.flask.extension import APScheduler, FlaskScheduler
from schedhttp.security.authentication import HTTPBasicAuth

__all__ = ["APScheduler", "FlaskScheduler", "HTTPBasicAuth"]

if not TYPE_CHECKING:  # a type checker would take every name for one that is there
    __getattr__ = on_demand(__name__, {}, PACKAGE_HINTS)
