"""Jobs on Celery workers, with a Redis server of its own: ``python examples/celery_workers.py``.

Needs ``redis-server`` and ``pip install "celery[redis]"``.  In a real deployment Redis and the
workers run elsewhere, started as here; kill a worker, or this program, and look what becomes of the
runs: none starts twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schedcore import EVENT_JOB_EXECUTED, JobExecutionEvent, Scheduler

HERE = Path(__file__).parent


def squares(count: int) -> int:
    """Compute something, in a worker's process."""
    return sum(number * number for number in range(count))


@contextmanager
def program(*command: str, **more: str) -> Iterator[None]:
    """Run another program alongside this one."""
    search = os.pathsep.join((str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])))
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search, **more}) as popen:
        try:
            yield
        finally:
            popen.terminate()


def told(event: JobExecutionEvent) -> None:
    """Print the result of a run."""
    print(f"run {event.run_id} of {event.job_id} returned {event.retval}", flush=True)


def main() -> None:
    """Schedule jobs until Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder:
        broker = f"redis+socket://{folder}/redis.sock"
        store = f"sqlite:///{folder}/jobs.db"
        redis = ("redis-server", "--port", "0", "--unixsocket", f"{folder}/redis.sock")
        worker = (
            *(sys.executable, "-m", "celery", "-A", "schedcore.celery_worker", "-b", broker),
            *("worker", "--concurrency", "2", "--loglevel", "WARNING"),
        )
        with (
            program(*redis, "--save", "", "--loglevel", "warning"),
            program(*worker, SCHEDULER_STORE=store),
        ):
            table = {"type": "celery", "broker": broker, "max_workers": 2}
            scheduler = Scheduler(store=store, executors={"workers": table})
            scheduler.add_listener(told, EVENT_JOB_EXECUTED)
            # A function of a module: workers find it by name, which is not "__main__" there.
            scheduler.add_job(
                "celery_workers:squares", "interval", seconds=1, args=[10_000], executor="workers"
            )
            scheduler.run_forever()


if __name__ == "__main__":
    main()
