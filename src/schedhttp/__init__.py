"""The REST API of a scheduler, as a WSGI app and as a Flask extension."""

from schedhttp.app import create_app

__all__ = ["create_app"]
