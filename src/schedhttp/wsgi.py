"""The app for a server's command line: ``gunicorn --threads 8 schedhttp.wsgi:app``.

It is configured by ``SCHEDULER_*`` variables and the TOML file that ``SCHEDULER_CONFIG`` names.
"""

from __future__ import annotations

import os

from schedhttp import settings
from schedhttp.hosting import Hosted

app = Hosted(settings.load(None, os.environ), os.environ.get(settings.CONFIG))
app.start()
