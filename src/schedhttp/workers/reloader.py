"""Werkzeug's reloader: only its serving process runs the scheduler, not its parent.

The parent also imports the app, but only restarts the child.  A process cannot know that it is
such a parent before the app is run, and its scheduler may be started by then.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from schedcore.clock import Deadline, Waker

_WATCH_FOR = 60.0
_POLL_EVERY = 0.05


def call_in_parent(leave: Callable[[], object]) -> None:
    """Call *leave* if this process turns out to be a reloader's parent within a minute.

    The sign is that Werkzeug has imported its reloader, which it does only to run it.
    """

    def watch() -> None:
        deadline = Deadline(_WATCH_FOR)
        while deadline.left():
            if "werkzeug._reloader" in sys.modules:
                leave()
                return
            Waker().sleep(_POLL_EVERY)

    if os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        threading.Thread(target=watch, name="schedhttp-reloader", daemon=True).start()
