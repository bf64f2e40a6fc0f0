"""gunicorn, configured to run a scheduler in each worker process, on one store."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger

from schedcore import InvalidOptionError
from schedcore.json_logs import JsonFormatter
from schedhttp.settings import Settings
from schedhttp.workers import gunicorn
from schedhttp.workers.host import Hosted

log = logging.getLogger(__name__)


def serve(read: Callable[[], Settings], config: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM; never returns, but raises SystemExit.

    SIGHUP reloads the settings and the jobs' modules.  If there is a mistake in them, it is logged,
    and nothing changes.

    Args:
        read: Returns the settings, checked.
        config: The path of the file that the settings come from, if there is one.

    Raises:
        InvalidOptionError: whatever *read* raises.
    """
    _Server(read, config).run()


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    def reload(self) -> None:
        """Start new workers with the new settings; gunicorn calls this on SIGHUP."""
        # Earlier gunicorns wait for any child process when one ends, and would reap the one in
        # which the settings are tried.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        try:
            self.app.read_again()
        except InvalidOptionError as error:
            log.error("%s; the server goes on as it is", error)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        super().reload()

    def setup(self, app: Any) -> None:
        """Read gunicorn's settings; gunicorn calls this at the start and at each reload."""
        self.log = None  # created again, since the settings may name another class or level
        super().setup(app)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, read: Callable[[], Settings], config: str | None) -> None:
        self._read = read
        self._settings = read()
        self._config = config
        self._hosted: Hosted | None = None
        super().__init__()

    def run(self) -> None:
        """Run gunicorn's master with our reload."""
        _Arbiter(self).run()

    def read_again(self) -> None:
        """Reload the settings."""
        self._settings = self._read()

    def load_config(self) -> None:
        """Give gunicorn its settings."""
        for name, value in options(self._settings).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)
        self.cfg.set("post_worker_init", self._begin)
        self.cfg.set("worker_exit", lambda _server, _worker: self._stop())

    def load(self) -> Hosted:
        """Create the app and its scheduler; called in the worker, after the fork."""
        try:
            self._hosted = Hosted(self._settings, self._config)
        except InvalidOptionError as error:
            raise AppImportError(f"schedhttp: {error}") from error
        return self._hosted

    def _begin(self, worker: object) -> None:
        gunicorn.post_worker_init(worker)
        if self._hosted is not None:
            self._hosted.start()

    def _stop(self) -> None:
        if self._hosted is not None:
            self._hosted.stop()


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own log, as JSON."""

    def setup(self, cfg: Any) -> None:
        """Set up its handlers; gunicorn calls this."""
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(JsonFormatter())


def options(settings: Settings) -> dict[str, Any]:
    """Return gunicorn's options, from the settings of the server."""
    return {
        "bind": settings.bind,
        # A Unix socket that only this user can open; files that jobs create are not affected.
        "umask": 0o177,
        "workers": settings.workers,
        "worker_class": "gthread",
        "threads": settings.threads,
        "proc_name": "schedhttp",
        "loglevel": settings.log_level.lower(),
        "graceful_timeout": settings.graceful_timeout,
        "preload_app": False,
        "post_fork": gunicorn.post_fork,
        "post_worker_init": gunicorn.post_worker_init,
        "control_socket_disable": True,  # nobody needs a socket that controls the server
        **({"logger_class": JsonLogger} if settings.log_format == "json" else {}),
    }
