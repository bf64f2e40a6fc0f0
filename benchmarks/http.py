"""The REST API beside Flask-APScheduler in one process, and under gunicorn beside a constant.

Both sides are called as WSGI servers call them, and take turns within each round; a figure is the
median over the rounds, and what counts is the ratio.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from flask import Flask
from flask_apscheduler import APScheduler

from schedcore import Scheduler
from schedhttp import create_app

JOBS = 10_000
ROUNDS = 5
FUNC, ARGS = "textwrap:dedent", ["text"]
LOAD_SECONDS, CLIENTS = 4.0, 8
LATER = datetime(2030, 1, 1, tzinfo=timezone.utc)

App = Callable[..., Any]


class Side:
    """One library with JOBS jobs, of which none falls due."""

    def __init__(self, app: App, modify: Callable[..., object]) -> None:
        self.app = app
        self.modify = modify
        self.numbers = itertools.count()

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """Make one request, and return the body of the answer."""
        data = b"" if body is None else json.dumps(body).encode()
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "5000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost:5000",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(data),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        statuses: list[str] = []
        answer = self.app(environ, lambda status, *_: statuses.append(status))
        content = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        assert statuses[0].startswith("2"), (statuses, content[:300])
        return content

    def change_one(self) -> None:
        self.modify(f"job-{next(self.numbers) % JOBS}", name=f"name {next(self.numbers)}")

    def change_all(self) -> None:
        """Move every job, each to a time of its own."""
        base = LATER + timedelta(days=next(self.numbers) + 1)
        for n in range(JOBS):
            self.modify(f"job-{n}", next_run_time=base + timedelta(seconds=n, microseconds=7 * n))


def ours() -> Side:
    scheduler = Scheduler(timezone="UTC")
    for n in range(JOBS):
        scheduler.add_job(
            FUNC,
            "interval",
            ARGS,
            id=f"job-{n}",
            hours=1,
            next_run_time=LATER + timedelta(seconds=n),
        )
    app = create_app(scheduler, api_allowed_funcs=[FUNC])
    return Side(app, scheduler.modify_job)


def theirs() -> Side:
    flask = Flask("peer", root_path=".")
    flask.config["SCHEDULER_API_ENABLED"] = True
    extension = APScheduler()
    extension.init_app(flask)
    extension.scheduler.configure(timezone="UTC")
    extension.start(paused=True)
    for n in range(JOBS):
        extension.scheduler.add_job(
            FUNC,
            "interval",
            ARGS,
            id=f"job-{n}",
            hours=1,
            next_run_time=LATER + timedelta(seconds=n),
        )
    return Side(flask.wsgi_app, extension.scheduler.modify_job)


def seconds_for(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def seconds_after(change: Callable[[], object], call: Callable[[], object], times: int) -> float:
    """Return the seconds for one call, each after a change that is not counted."""
    total = 0.0
    for _ in range(times):
        change()
        total += seconds_for(call, 1)
    return total / times


def cases() -> dict[str, Callable[[Side, bool], float]]:
    """Return what is measured: given a side, and whether it is the slow one, seconds for one."""

    def listing(side: Side) -> Callable[[], bytes]:
        return lambda: side.call("GET", "/scheduler/jobs")

    def add_and_forget(side: Side, slow: bool) -> float:
        body = {"func": FUNC, "args": ARGS, "trigger": "interval", "hours": 1}
        ids = [f"new-{next(side.numbers)}" for _ in range(100 if slow else 200)]
        began = time.perf_counter()
        for job_id in ids:
            side.call("POST", "/scheduler/jobs", {"id": job_id, **body})
        elapsed = time.perf_counter() - began
        for job_id in ids:
            side.call("DELETE", f"/scheduler/jobs/{job_id}")
        return elapsed / len(ids)

    def patch(side: Side, slow: bool) -> float:
        def call() -> None:
            name = f"name {next(side.numbers)}"
            side.call("PATCH", "/scheduler/jobs/job-5", {"name": name, "max_instances": 2})

        return seconds_for(call, 100 if slow else 200)

    return {
        "list, nothing changed": lambda s, slow: seconds_for(listing(s), 2 if slow else 200),
        "list, one job changed": lambda s, slow: seconds_after(
            s.change_one, listing(s), 2 if slow else 20
        ),
        "list, every job changed": lambda s, _: seconds_after(s.change_all, listing(s), 2),
        "one job": lambda s, _: seconds_for(lambda: s.call("GET", "/scheduler/jobs/job-77"), 300),
        "POST": add_and_forget,
        "PATCH": patch,
    }


def in_process() -> None:
    """Compare with Flask-APScheduler, in this process."""
    our_side, their_side = ours(), theirs()
    print(f"\nREST API with {JOBS:,} jobs, through the WSGI callable; ms a request, median")
    print(f"{'':<26}{'ours':>12}{'Flask-APScheduler':>20}{'ratio':>10}")
    for name, run in cases().items():
        our_figures, their_figures = [], []
        run(our_side, False)
        for _ in range(ROUNDS):
            our_figures.append(run(our_side, False))
            their_figures.append(run(their_side, True))
        our, their = statistics.median(our_figures), statistics.median(their_figures)
        print(f"{name:<26}{our * 1e3:>12.3f}{their * 1e3:>20.3f}{their / our:>9.1f}x")


CONSTANT = """
from werkzeug import Request, Response

@Request.application
def app(request):
    return Response(b'{"current_host":"vm","allowed_hosts":["*"],"running":true}',
                    mimetype="application/json")
"""


@contextmanager
def served(target: str, folder: str) -> Iterator[int]:
    """Serve an app by gunicorn with one worker and eight threads; yield the port."""
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "8"]
    environment = os.environ | {"SCHEDULER_API_ALLOWED_FUNCS": FUNC}
    process = subprocess.Popen(
        [*command, "--chdir", folder, target], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    line = ""
    while "Listening at" not in line:
        line = process.stderr.readline()
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    try:
        yield int(line.rsplit(":", 1)[1].split()[0])
    finally:
        process.terminate()
        process.wait()
        reader.join()
        process.stderr.close()


def requests_per_second(port: int) -> float:
    """Return how many requests CLIENTS clients with connections kept alive get answered."""
    until = time.perf_counter() + LOAD_SECONDS
    counts = [0] * CLIENTS

    def client(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < until:
            connection.request("GET", "/scheduler")
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / LOAD_SECONDS


def under_gunicorn() -> None:
    """Compare GET /scheduler with a plain Werkzeug app that answers a constant."""
    ratios, ours_rps, constant_rps = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "constant.py").write_text(CONSTANT)
        for _ in range(3):
            with served("constant:app", folder) as port:
                constant_rps.append(requests_per_second(port))
            with served("schedhttp.wsgi:app", folder) as port:
                ours_rps.append(requests_per_second(port))
            ratios.append(ours_rps[-1] / constant_rps[-1])
    print("\nGET /scheduler under gunicorn, one worker, eight threads; requests a second, median")
    print(f"{'ours':>12}{'a constant':>14}{'ratio':>10}")
    our, constant = statistics.median(ours_rps), statistics.median(constant_rps)
    print(f"{our:>12.0f}{constant:>14.0f}{statistics.median(ratios):>10.2f}")


def main() -> None:
    """Print both tables."""
    in_process()
    under_gunicorn()


if __name__ == "__main__":
    main()
