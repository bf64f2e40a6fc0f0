"""Executes runs as tasks of Celery workers, each of which starts once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from celery import Celery
from celery.app.utils import find_app

from schedcore.basics.shown_urls import without_password
from schedcore.errors import InvalidOptionError, text_of, whole
from schedcore.executors.cluster import ClusterExecutor
from schedcore.executors.cluster_base import Task

TASK: Final = "schedcore.run"
CONNECT_S: Final = 5.0
"""Maximum seconds of an attempt to connect to the broker."""


_left_to_parents: Final[list[Any]] = []
"""Connections that a forked child inherited: closing them here would break the parent's."""


class CeleryExecutor(ClusterExecutor):
    """Executes runs on Celery workers.

    The message for a worker contains only the id of a run.  The worker begins the run in the
    scheduler's store, in one transaction, reads there which function to call, and writes the result
    there.  So a run starts once, however often its message is delivered; its result is found even
    if this process dies meanwhile; and a client of the broker cannot have other functions called.
    No result backend is needed.

    The store must be on disk: a SQLite file for workers on this machine, PostgreSQL for others.
    Workers find functions by their names, and this package must be installed there.

    Args:
        broker: The URL of the broker, such as ``"redis://127.0.0.1:6379/0"``, or your Celery app.
        max_workers: How many runs are sent to the workers at a time; the others wait here.
        queue: The workers' queue; None: the app's.
        backend: The result backend of the app that is created for a URL.  Results of runs are in
            the scheduler's store, not there.
        app: Your app, or its location as for ``celery -A``: ``"shop.celery:app"``.  Use it instead
            of *broker*.

    Raises:
        InvalidOptionError: if an argument is invalid.
    """

    needs_store = True

    def __init__(
        self,
        broker: str | Celery | None = None,
        max_workers: int = 100,
        queue: str | None = None,
        backend: str | None = None,
        app: str | Celery | None = None,
    ) -> None:
        for option, text in (("queue", queue), ("backend", backend)):
            if text is not None and (not isinstance(text, str) or not text):
                raise InvalidOptionError(option, text, f"the {option}, as text, or None")
        given = _app_of(broker, backend, app)
        super().__init__(
            _Celery(given, whole("max_workers", max_workers), queue), "schedcore-celery"
        )

    def __repr__(self) -> str:
        return f"<CeleryExecutor on {self._cluster!r}>"


def _app_of(broker: Any, backend: str | None, app: Any) -> Celery:
    """Return the given app, or create the described one."""
    if isinstance(broker, Celery) and app is None:
        broker, app = None, broker
    if app is None:
        if not isinstance(broker, str) or not broker:
            expected = 'its URL, such as "redis://127.0.0.1:6379/0", or a Celery app'
            raise InvalidOptionError("broker", broker, expected)
        return _connected(broker, backend)
    if broker is not None or backend is not None:
        option, url = ("backend", backend) if broker is None else ("broker", broker)
        shown = without_password(url) if isinstance(url, str) else url
        raise InvalidOptionError(option, shown, "None beside an app, which has its own")
    expected = 'a Celery app, or where one is, such as "shop.celery:app"'
    if isinstance(app, str) and app:
        try:
            found = find_app(app)
        except Exception as error:  # an import may raise anything
            reason = f"{expected} ({type(error).__name__}: {text_of(error)})"
            raise InvalidOptionError("app", app, reason) from error
        if isinstance(found, Celery):
            return found
    elif isinstance(app, Celery):
        return app
    raise InvalidOptionError("app", app, expected)


def _connected(broker: str, backend: str | None) -> Celery:
    app = Celery("schedcore", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_timeout=CONNECT_S,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_S,
            "socket_timeout": CONNECT_S,
            "max_retries": 0,
        },
    )
    return app


class _Celery:
    """The app, as :class:`~schedcore.executors.cluster_base.Cluster`."""

    states = None

    def __init__(self, app: Celery, most: int, queue: str | None) -> None:
        self._app = app
        self._most = most
        self._where: dict[str, Any] = {} if queue is None else {"queue": queue}
        self._connection: Any = None

    def __repr__(self) -> str:
        return f"the queue {self._where.get('queue', 'of its app')!r}"

    def reach(self) -> int:
        if self._connection is None:
            connection = self._app.connection_for_write()
            connection.ensure_connection(max_retries=1, timeout=CONNECT_S)
            self._connection = connection
        return self._most

    def send(self, task: Task) -> None:
        with self._app.amqp.Producer(self._connection) as producer:
            self._app.send_task(
                TASK,
                (task.ticket,),
                task_id=task.name,
                serializer="json",
                ignore_result=True,
                retry=False,
                producer=producer,
                **self._where,
            )

    def revoke(self, name: str) -> None:
        control = self._app.control
        control.revoke(name, terminate=True, signal="SIGTERM", connection=self._connection)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.release()

    def forget(self) -> None:
        _left_to_parents.append(self._connection)
        self._connection = None
