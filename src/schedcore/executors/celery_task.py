"""What Celery workers need to execute runs: one task.  Name this module in ``include``.

The task is given numbers, and reads all else in the scheduler's store, which the worker itself is
told by the setting ``schedcore_store`` of its app, or by ``SCHEDULER_STORE``.
"""

from __future__ import annotations

from typing import Any, Final

from celery import Task, shared_task

from schedcore.errors import StoreError
from schedcore.executors.cluster_worker import StoreUnknownError, work_off

AGAIN_S: Final = 5
"""Seconds until a run is tried again whose worker could not reach the store."""
MOST_STRANGE: Final = 12
"""How often one of another store is: that may be gone for good, and its messages go too.  While
the run is open, the scheduler sends another one."""


# It is acknowledged late, and so redelivered if its worker dies before it has begun the run: once
# it has, another delivery finds that out.  Results are in the store.
@shared_task(  # type: ignore[untyped-decorator]
    name="schedcore.run",
    bind=True,
    acks_late=True,
    ignore_result=True,
    max_retries=None,
    serializer="json",
)
def run(self: Task, ticket: dict[str, Any]) -> None:
    """Execute the run that a ticket names, unless that was begun before."""
    try:
        work_off(ticket, self.app.conf.get("schedcore_store"))
    except StoreUnknownError as error:
        raise self.retry(exc=error, countdown=AGAIN_S, max_retries=MOST_STRANGE) from error
    except StoreError as error:
        raise self.retry(exc=error, countdown=AGAIN_S) from error
