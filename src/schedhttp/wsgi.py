"""The app for a server's command line.

``gunicorn -c python:schedhttp.gunicorn_conf schedhttp.wsgi:app``, or any other WSGI server.
It is configured by ``SCHEDULER_*`` variables and the TOML file that ``SCHEDULER_CONFIG`` names.
"""

from __future__ import annotations

import os

from schedhttp import settings
from schedhttp.build import set_up_logging
from schedhttp.workers.host import Hosted

_settings = settings.load(None, os.environ)
set_up_logging(_settings)
app = Hosted(_settings, os.environ.get(settings.CONFIG))
app.start()
