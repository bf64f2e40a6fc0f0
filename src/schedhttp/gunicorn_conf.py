"""gunicorn's options, from the same settings that ``python -m schedhttp`` reads.

``gunicorn -c python:schedhttp.gunicorn_conf schedhttp.wsgi:app``: for those who start gunicorn
themselves.  Its own command line overrides this.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from schedcore import InvalidOptionError
from schedhttp import checks, server
from schedhttp import settings as _settings

_config = os.environ.get(_settings.CONFIG)
try:
    _chosen = _settings.load(None, os.environ)
    checks.check_app(_chosen, _config)
    checks.check_store(_chosen, _config)
except InvalidOptionError as error:
    print(f"schedhttp: {error}", file=sys.stderr)
    sys.exit(2)

globals().update(server.options(_chosen))


def on_starting(arbiter: Any) -> None:
    """Check the number of workers, which gunicorn's own command line may have set."""
    try:
        checks.check_workers(_chosen, arbiter.cfg.workers, _config)
    except InvalidOptionError as error:
        print(f"schedhttp: {error}", file=sys.stderr)
        sys.exit(2)
