"""Jobs on a Dask cluster: one of this machine here, another by its address.

    python examples/dask_cluster.py [tcp://10.0.0.7:8786]

It needs the package ``distributed``.  Every two seconds two jobs count on workers of the cluster
what the scheduler's own process prints; Ctrl-C ends it in order.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import LocalCluster

from schedcore import EVENT_JOB_EXECUTED, JobExecutionEvent, Scheduler


def primes_below(most: int) -> tuple[int, int]:
    """Return how many primes there are below *most*, and in which process they were counted."""
    sieve = bytearray([1]) * most
    sieve[:2] = b"\0\0"
    for n in range(2, int(most**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, most, n)))
    return sum(sieve), os.getpid()


@contextmanager
def cluster(address: str | None) -> Iterator[str]:
    """Yield the address of a cluster: the given one, or that of a new temporary cluster."""
    if address is not None:
        yield address
        return
    # A terminal sends Ctrl-C also to the workers, which inherit this: they end with their cluster.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    local = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    signal.signal(signal.SIGINT, before)
    with local:
        yield local.scheduler_address


def tell(event: JobExecutionEvent) -> None:
    """Print the result of a worker."""
    count, process = event.retval
    print(f"{event.job_id}: {count} primes, counted by process {process}", flush=True)


def main(address: str | None = None) -> None:
    """Run jobs on a cluster until a signal arrives."""
    with cluster(address) as found:
        scheduler = Scheduler(
            timezone="UTC", executors={"cluster": {"type": "dask", "address": found}}
        )
        scheduler.add_listener(tell, EVENT_JOB_EXECUTED)
        for most in (100_000, 1_000_000):
            scheduler.add_job(
                # By name: workers find it in the folder of this file.
                "dask_cluster:primes_below",
                "interval",
                seconds=2,
                args=[most],
                id=f"below {most:,}",
                executor="cluster",
            )
        scheduler.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
