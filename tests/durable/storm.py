"""A process of a kill storm: jobs that write each start to a file before they do anything else."""

from __future__ import annotations

import os
import random
import sys
import time

from schedcore import Scheduler, current_run

EVERY = 0.2
"""Seconds between two fire times of each job."""
KINDS = {
    "plain": {},
    "each": {"coalesce": False},
    "queued": {"overlap": "queue", "slow": 0.3},
    "ousting": {"overlap": "cancel", "slow": 0.3},
    "twice": {"max_instances": 2, "slow": 0.3},
    "failing": {"retry": {"count": 2, "delay": 0.1, "jitter": 0}, "fails": 0.3},
    "again": {"on_lost": "rerun", "slow": 0.05},
}
"""The kinds of jobs: their options, and how they run."""


def job_ids(each):
    return [f"{kind}-{n}" for kind in KINDS for n in range(each)]


def work(path, slow=0.0, fails=0.0):
    run = current_run()
    line = f"{run.job_id} {run.id} {run.attempt}\n".encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)
    until = time.monotonic() + slow
    while time.monotonic() < until and not run.cancelled:
        time.sleep(0.01)
    if random.random() < fails:
        raise ValueError("as it happens")


def main(url, path, each):
    scheduler = Scheduler(store=url, name="storm", executors={"default": {"max_workers": 20}})
    for job_id in job_ids(each):
        options = dict(KINDS[job_id.partition("-")[0]])
        kwargs = {name: options.pop(name) for name in ("slow", "fails") if name in options}
        scheduler.add_job(
            "tests.durable.storm:work",
            "interval",
            seconds=EVERY,
            start_date="2026-01-01",
            timezone="UTC",
            id=job_id,
            args=[path],
            kwargs=kwargs,
            **options,
        )
    scheduler.follow()
    print("follows", flush=True)
    for command in sys.stdin:  # until the end of the storm
        if command.strip() == "leave":
            break
    scheduler.shutdown(timeout=10)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
