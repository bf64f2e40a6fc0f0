"""Celery workers: runs are tasks of theirs, each of which starts once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from celery import Celery
from celery.app.utils import find_app

from schedcore.errors import InvalidOptionError, text_of, whole
from schedcore.executors.cluster import ClusterExecutor
from schedcore.executors.cluster_base import Task
from schedcore.stores.urls import without_password

TASK: Final = "schedcore.run"
CONNECT_S: Final = 5.0
"""Seconds that an attempt to reach the broker may take."""


_left_to_parents: Final[list[Any]] = []
"""Connections that a forked child inherited: closed here, they would break those of the parent."""


class CeleryExecutor(ClusterExecutor):
    """Executes runs on Celery workers.

    The message that a worker gets names a run, and nothing else: the worker begins that in the
    scheduler's store, in one step, reads there what to call, and writes there what came of it.  So
    a run starts once, however often its message is delivered; what it does is found though this
    process dies meanwhile; and whoever can write to the broker can have no function called.  No
    result backend is needed.

    The store is one on disk: a SQLite file for workers of this machine, PostgreSQL for others.
    Functions are found on the workers by their names, where this package has to be installed.

    Args:
        broker: Its URL, such as ``"redis://127.0.0.1:6379/0"``, or a Celery app of yours.
        max_workers: How many runs the workers are given at a time; the others wait here.
        queue: The queue that they listen to; None: that of the app.
        backend: The result backend of the app that is made for a URL.  What comes of runs is in
            the scheduler's store, and not there.
        app: An app of yours, or where it is, as ``celery -A`` has it: ``"shop.celery:app"``.  In
            place of *broker*.

    Raises:
        InvalidOptionError: if one of them makes no sense.
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
    """Return the app that was given, or is described."""
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
        except Exception as error:  # whatever importing a module raises
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

    starts = None

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
