"""Celery workers: runs are tasks of theirs, each of which starts once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from celery import Celery

from schedcore.errors import InvalidOptionError, whole
from schedcore.executors.cluster import ClusterExecutor, Task

TASK: Final = "schedcore.run"
CONNECT_S: Final = 5.0
"""Seconds that an attempt to reach the broker may take."""


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

    Raises:
        InvalidOptionError: if one of them makes no sense.
    """

    needs_store = True

    def __init__(
        self, broker: str | Celery, max_workers: int = 100, queue: str | None = None
    ) -> None:
        if not isinstance(broker, str | Celery) or not broker:
            raise InvalidOptionError(
                "broker", broker, 'its URL, such as "redis://127.0.0.1:6379/0", or a Celery app'
            )
        if queue is not None and (not isinstance(queue, str) or not queue):
            raise InvalidOptionError("queue", queue, "the name of a queue, or None")
        app = _app(broker) if isinstance(broker, str) else broker
        self._queue = queue
        super().__init__(_Celery(app, whole("max_workers", max_workers), queue), "schedcore-celery")

    def __repr__(self) -> str:
        return f"<CeleryExecutor on the queue {self._queue or 'of its app'!r}>"


def _app(broker: str) -> Celery:
    app = Celery("schedcore", broker=broker, set_as_current=False)
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
    """The app, as :class:`~schedcore.executors.cluster.Cluster`."""

    starts = None

    def __init__(self, app: Celery, most: int, queue: str | None) -> None:
        self._app = app
        self._most = most
        self._where: dict[str, Any] = {} if queue is None else {"queue": queue}
        self._connection: Any = None

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
