"""A Dask cluster of two workers with a thread each, started when a test first asks for it."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from functools import cache

import pytest

PROGRAM = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(
        n_workers=int(sys.argv[2]),
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        scheduler_port=int(sys.argv[1]),
    )
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
    cluster.close()
"""


_IDLE = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}
"""It looks at itself all the time, for which a tenth of a processor goes while nothing is asked."""


@cache
def dask_cluster():
    """Return the address of its scheduler; skip the test where Dask is not installed."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
    cluster = Cluster()
    atexit.register(cluster.close)
    return cluster.address


class Cluster:
    """A cluster in processes of its own.

    Args:
        port: Of its scheduler; 0: any.
        workers: How many it has.
    """

    def __init__(self, port=0, workers=2):
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(workers)],
            env={**os.environ, **_IDLE, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.popen.stdout.readline().strip()

    def kill(self):
        """Kill its scheduler; its workers end, since nobody is there any more."""
        self.popen.kill()

    def close(self):
        """End it."""
        with self.popen:
            self.popen.stdin.close()
