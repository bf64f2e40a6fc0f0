"""Werkzeug's reloader: of its two processes the one that serves runs the scheduler.

The parent imports the app as well, only to start the child again and again.  That it is such a
parent cannot be known before the app is run, when its scheduler may be started already.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from schedcore.clock import Patience, Waker

_WATCH_FOR = 60.0
_LOOK_EVERY = 0.05


def call_in_parent(leave: Callable[[], object]) -> None:
    """Call *leave* as soon as this process turns out to be a reloader's parent, within a minute.

    Werkzeug imports its reloader only to run it.
    """

    def look() -> None:
        patience = Patience(_WATCH_FOR)
        while patience.left():
            if "werkzeug._reloader" in sys.modules:
                leave()
                return
            Waker().sleep(_LOOK_EVERY)

    if os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        threading.Thread(target=look, name="schedhttp-reloader", daemon=True).start()
