"""The REST API beside Flask-APScheduler in one process, and under gunicorn beside a constant.

Both sides are called as WSGI servers call them.
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
from urllib.parse import urlencode

from flask import Flask
from flask_apscheduler import APScheduler

from benchmarks.durable import a_path
from benchmarks.measuring import COST, OURS, Figures, Row, Scenario
from schedcore import Outcome, RunRecord, Scheduler
from schedcore.clock import from_us
from schedcore.stores.base import Change
from schedhttp import create_app

JOBS = 10_000
PEER, WERKZEUG = "Flask-APScheduler", "Werkzeug"
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

    def seconds(self, environ: dict[str, Any]) -> float:
        """Return the seconds that one request takes, until its body was read."""
        statuses: list[str] = []
        began = time.perf_counter()
        answer = self.app(environ, lambda status, *_: statuses.append(status))
        content = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        elapsed = time.perf_counter() - began
        assert statuses[0].startswith("2"), (statuses, content[:300])
        return elapsed

    def mean(self, *environs: dict[str, Any], before: Callable[[], object] | None = None) -> float:
        """Return the seconds that one of these requests takes, not counting *before* each."""
        total = 0.0
        for environ in environs:
            if before is not None:
                before()
            total += self.seconds(environ)
        return total / len(environs)

    def rename_one(self) -> None:
        self.modify(f"job-{next(self.numbers) % JOBS}", name=f"name {next(self.numbers)}")

    def fire_all(self) -> None:
        """Move every job, each to a time of its own, as when each has run.

        Each has a start: without one it would count on from that time, which changes its trigger.
        """
        base = LATER + timedelta(days=next(self.numbers) + 1)
        for n in range(JOBS):
            self.modify(f"job-{n}", next_run_time=base + timedelta(seconds=n, microseconds=7 * n))


def asked(method: str, path: str, body: object = None, query: str = "") -> dict[str, Any]:
    """Return a request as a WSGI server hands it over."""
    data = b"" if body is None else json.dumps(body).encode()
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost:5000",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "benchmark",
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


def ours() -> Side:
    scheduler = Scheduler(timezone="UTC")
    for n in range(JOBS):
        scheduler.add_job(
            FUNC,
            "interval",
            ARGS,
            id=f"job-{n}",
            hours=1,
            start_date=LATER + timedelta(seconds=n),
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
            start_date=LATER + timedelta(seconds=n),
        )
    return Side(flask.wsgi_app, extension.scheduler.modify_job)


LIST = "/scheduler/jobs"


def listed(side: Side, times: int, before: Callable[[], object] | None = None) -> float:
    return side.mean(*(asked("GET", LIST) for _ in range(times)), before=before)


def turns(side: Side, times: int) -> list[str]:
    """Return the addresses of different jobs."""
    return [f"{LIST}/job-{(next(side.numbers) * 7) % JOBS}" for _ in range(times)]


def add_and_forget(side: Side, times: int) -> float:
    body = {"func": FUNC, "args": ARGS, "trigger": "interval", "hours": 1}
    ids = [f"new-{next(side.numbers)}" for _ in range(times)]
    mean = side.mean(*(asked("POST", LIST, {"id": job_id, **body}) for job_id in ids))
    side.mean(*(asked("DELETE", f"{LIST}/{job_id}") for job_id in ids))
    return mean


def patch(side: Side, paths: list[str]) -> float:
    return side.mean(
        *(
            asked("PATCH", path, {"name": f"name {next(side.numbers)}", "max_instances": 2})
            for path in paths
        )
    )


CASES: dict[str, tuple[Callable[[Side, bool], float], float]] = {
    "list, unchanged": (lambda s, slow: listed(s, 2 if slow else 200), 500),
    "list, after one change": (lambda s, slow: listed(s, 2 if slow else 20, s.rename_one), 20),
    "list, after every job fired": (lambda s, _: listed(s, 2, s.fire_all), 5),
    "one job, each in turn": (
        lambda s, _: s.mean(*(asked("GET", path) for path in turns(s, 300))),
        3,
    ),
    "POST": (lambda s, _: add_and_forget(s, 200), 3),
    "PATCH": (lambda s, _: patch(s, turns(s, 200)), 2.5),
}
"""What is measured: given a side, and whether it is the slow one, the seconds for one request; and
how many times faster than the peer it should be."""
QUERIES = ("limit=10", "limit=10&offset=9000", "state=paused", "q=job-77&limit=10",
           "sort=name&limit=10", "fields=id,state")  # fmt: skip


def all_cases(make: Callable[[], Side], slow: bool) -> Figures:
    """Return the seconds that one request of each case takes: the median of three times."""
    side = make()
    figures = {}
    for name, (run, _) in CASES.items():
        run(side, slow)
        figures[name] = statistics.median(run(side, slow) for _ in range(3))
    return figures


def parts() -> Figures:
    """Return the seconds that parts of the list take, which the peer does not have."""
    side = ours()
    return {
        query: statistics.median(side.seconds(asked("GET", LIST, None, query)) for _ in range(9))
        for query in QUERIES
    }


METRICS = {
    "memory": lambda: Scheduler(timezone="UTC"),
    "SQLite": lambda: Scheduler(timezone="UTC", store=f"sqlite:///{a_path()}"),
}


def put_records(scheduler: Scheduler, records: list[RunRecord]) -> None:
    """Add outcomes to the history: the removal of another job passes over them."""
    store, other = scheduler._engine.store, scheduler.draft_job(FUNC, args=ARGS, id="passed over")
    store.write((other,), 0)
    store.write((Change(store.get("passed over"), None, records=records),), 0)


def scraped() -> Figures:
    """Return the seconds that metrics take once each job has run, by store and bound on labels."""
    figures = {}
    for store, make in METRICS.items():
        scheduler = make()
        scheduler.add_jobs(
            {"func": FUNC, "trigger": "interval", "args": ARGS, "id": f"job-{n}", "hours": 1}
            for n in range(JOBS)
        )
        records = [RunRecord(n, f"job-{n}", Outcome.EXECUTED, 0, n, 2 * n) for n in range(JOBS)]
        put_records(scheduler, records)
        for bound in (1_000, JOBS):
            side = Side(create_app(scheduler, metrics_jobs=bound), scheduler.modify_job)
            scrape = asked("GET", "/scheduler/metrics")
            taken = statistics.median(side.seconds(scrape) for _ in range(5))
            figures[f"{store}, {bound:,} with series"] = taken
    return figures


BEGAN_US = 1_700_000_000_000_000
"""When the first of many runs was due; there is one each second."""


def asked_of_runs(count: int) -> dict[str, tuple[str, str]]:
    """Return what is asked about so many runs: by its name, the path and the query."""
    middle = count // 2 + 1  # it was executed
    due_us = BEGAN_US + middle * 1_000_000
    since, until = (from_us(at_us).isoformat() for at_us in (due_us, due_us + 3_600_000_000))
    return {
        "one run": (f"/scheduler/runs/{middle}", ""),
        "the latest": ("/scheduler/runs", ""),
        "in the middle": ("/scheduler/runs", f"before={middle}"),
        "failed, in the middle": ("/scheduler/runs", f"outcome=failed,lost&before={middle}"),
        "of a job": ("/scheduler/jobs/job-7/runs", ""),
        "an hour": ("/scheduler/runs", urlencode({"since": since, "until": until})),
    }


def listed_runs(count: int) -> Figures:
    """Return the seconds that parts of a history of so many runs take, on SQLite."""
    scheduler = Scheduler(timezone="UTC", store=f"sqlite:///{a_path()}")
    for first in range(0, count, 50_000):
        records = [
            RunRecord(
                *(n, f"job-{n % 1_000}", Outcome.EXECUTED if n % 50 else Outcome.FAILED),
                *(BEGAN_US + n * 1_000_000 + late for late in (0, 500, 80_000)),
            )
            for n in range(first + 1, first + 50_001)
        ]
        put_records(scheduler, records)
    side = Side(create_app(scheduler), scheduler.modify_job)
    return {
        name: statistics.median(side.seconds(asked("GET", path, None, query)) for _ in range(9))
        for name, (path, query) in asked_of_runs(count).items()
    }


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


def under_gunicorn(target: str) -> Figures:
    """Return the seconds for one GET /scheduler, with eight clients at a time."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "constant.py").write_text(CONSTANT)
        with served(target, folder) as port:
            return {COST: 1 / requests_per_second(port)}


def scenarios(full: bool) -> list[Scenario]:
    """Return what is measured."""
    rounds = 5 if full else 3
    runs = 1_000_000 if full else 100_000
    return [
        Scenario(
            f"REST, {JOBS:,} jobs",
            {OURS: lambda: all_cases(ours, False), PEER: lambda: all_cases(theirs, True)},
            tuple(Row(name, name, peer=PEER, times_peer=bar) for name, (_, bar) in CASES.items()),
            rounds,
        ),
        Scenario(
            f"REST, {JOBS:,} jobs, parts of the list",
            {OURS: parts},
            tuple(Row(query, f"?{query}", peer="") for query in QUERIES),
            rounds,
        ),
        Scenario(
            f"REST, {JOBS:,} jobs, metrics",
            {OURS: scraped},
            tuple(
                Row(f"{store}, {bound:,} with series", f"{store}, {bound:,} with series", peer="")
                for store in METRICS
                for bound in (1_000, JOBS)
            ),
            rounds,
        ),
        Scenario(
            f"REST, {runs:,} runs on SQLite, 100 of them",
            {OURS: lambda: listed_runs(runs)},
            tuple(Row(name, name, peer="") for name in asked_of_runs(runs)),
            rounds=1,
            longest_s=300,
        ),
        Scenario(
            "REST, gunicorn, eight threads: constant",
            {
                OURS: lambda: under_gunicorn("schedhttp.wsgi:app"),
                WERKZEUG: lambda: under_gunicorn("constant:app"),
            },
            (Row(peer=WERKZEUG, times_peer=0.85),),
            rounds,
        ),
    ]
