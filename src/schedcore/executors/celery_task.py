"""The task by which Celery workers execute runs.  Name this module in ``include``.

The task gets only ids, and reads everything else from the scheduler's store.  The worker's own
configuration names that store: the app's setting ``schedcore_store``, or ``SCHEDULER_STORE``.
"""

from __future__ import annotations

from typing import Any, Final

from celery import Task, shared_task

from schedcore.errors import StoreError
from schedcore.executors.cluster_worker import StoreUnknownError, execute_ticket

AGAIN_S: Final = 5
"""Seconds until a run is retried if its worker could not reach the store."""
MOST_UNKNOWN: Final = 12
"""Maximum number of retries if the message is from another store, which may not exist any more:
then the message is dropped.  While the run is open, the scheduler sends another one."""


# Acknowledged late, so it is redelivered if its worker dies before it has begun the run.  After
# that, a second delivery finds that the run has begun.  Results are in the store.
@shared_task(  # type: ignore[untyped-decorator]
    name="schedcore.run",
    bind=True,
    acks_late=True,
    ignore_result=True,
    max_retries=None,
    serializer="json",
)
def run(self: Task, ticket: dict[str, Any]) -> None:
    """Execute the run that a ticket names, unless it has already begun."""
    try:
        execute_ticket(ticket, self.app.conf.get("schedcore_store"))
    except StoreUnknownError as error:
        raise self.retry(exc=error, countdown=AGAIN_S, max_retries=MOST_UNKNOWN) from error
    except StoreError as error:
        raise self.retry(exc=error, countdown=AGAIN_S) from error
