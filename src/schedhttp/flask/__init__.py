"""The Flask extension, with the surface that users of Flask-APScheduler know."""

from schedhttp.flask.extension import APScheduler, FlaskScheduler
from schedhttp.security.authentication import HTTPBasicAuth

__all__ = ["APScheduler", "FlaskScheduler", "HTTPBasicAuth"]
