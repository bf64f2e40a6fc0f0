"""A Celery app that executes runs, for those who have none: ``celery -A schedcore.celery_worker``.

An app of yours does the same with ``include=["schedcore.executors.celery_task"]``.
"""

from __future__ import annotations

from celery import Celery

app = Celery("schedcore", include=["schedcore.executors.celery_task"])
app.conf.update(
    # Nothing that comes from the broker is ever unpickled.
    accept_content=["json"],
    # A run that waits for a busy worker would keep others from it.
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
