"""One scheduler behind each mount: the same tests ask them all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.datastructures import ImmutableDict
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from schedcore import ManualClock, Scheduler
from schedhttp import create_app
from schedhttp.flask import FlaskScheduler
from tests.patience import SOON

START = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)  # a Monday
LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}


NO_RUNS = {
    "last_run": None,
    "failures_in_a_row": 0,
    "mean_duration": None,
    "p95_duration": None,
}
"""What a job that has not run shows of its last runs."""


def listed(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job, as it was shown by itself, as a list shows it: without its last runs."""
    return {name: value for name, value in job.items() if name not in NO_RUNS}


class Answer(NamedTuple):
    """What came back."""

    status: int
    json: Any
    headers: Any
    text: str


class Api:
    """A client of one mount."""

    def __init__(self, app: Any, base: str) -> None:
        self.app = app
        self.base = base
        self._client = Client(app)

    def __call__(
        self, method: str, path: str = "", body: Any = None, *, environ: Any = None, **options: Any
    ) -> Answer:
        """Ask for *path* below the API's prefix, with *body* as JSON or, if it is bytes, as is."""
        if body is not None:
            options["data"] = body if isinstance(body, bytes) else json.dumps(body)
        answer = self._client.open(
            self.base + path,
            method=method,
            environ_overrides={**LOOPBACK, **(environ or {})},
            **options,
        )
        text = answer.get_data(as_text=True)
        if method == "HEAD" or not text or answer.mimetype == "text/plain":
            return Answer(answer.status_code, None, answer.headers, text)
        assert answer.content_type == "application/json", text
        return Answer(answer.status_code, json.loads(text), answer.headers, text)

    def add(self, job_id: str = "j", **job: Any) -> Any:
        """Add a job that runs every minute unless *job* says otherwise."""
        job = {"id": job_id, "func": "math:sqrt", "args": [4]} | job
        if "trigger" not in job:
            job |= {"trigger": "interval", "minutes": 1}
        answer = self("POST", "/jobs", job)
        assert answer.status == 200, answer.text
        return answer.json


def wsgi(scheduler: Scheduler, settings: dict[str, Any]) -> Api:
    return Api(create_app(scheduler, **settings), "/scheduler")


def dispatched(scheduler: Scheduler, settings: dict[str, Any]) -> Api:
    app = create_app(scheduler, **settings, api_prefix="/api/v1")
    return Api(DispatcherMiddleware(NotFound(), {"/ops": app}), "/ops/api/v1")


def flask(scheduler: Scheduler, settings: dict[str, Any]) -> Api:
    app = Flask("tests", root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    app.config.update({f"SCHEDULER_{name.upper()}": value for name, value in settings.items()})
    FlaskScheduler(scheduler, app)
    return Api(app, "/scheduler")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def scheduler(clock: ManualClock) -> Iterator[Scheduler]:
    """A started scheduler whose time stands still."""
    scheduler = Scheduler(clock=clock, timezone="Europe/Berlin")
    scheduler.start()
    yield scheduler
    if scheduler.running:
        scheduler.shutdown(timeout=10)


@pytest.fixture(params=[wsgi, dispatched, flask], ids=lambda mount: mount.__name__)
def mount(request: pytest.FixtureRequest, scheduler: Scheduler) -> Callable[..., Api]:
    """Make a client of each mount in turn, with the settings given."""

    def make(**settings: Any) -> Api:
        settings = {"api_allowed_funcs": ["math:sqrt"], **settings}
        return request.param(scheduler, settings)

    return make


@pytest.fixture
def api(mount: Callable[..., Api]) -> Api:
    """A client of each mount in turn; requests may name ``math:sqrt``."""
    return mount()


@pytest.fixture(autouse=True)
def tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the apps that tests make in this process keep their jobs in memory."""
    config = ImmutableDict(Flask.default_config, TESTING=True)
    monkeypatch.setattr(Flask, "default_config", config)


# Servers

CHORES = '''
import os, time
from schedcore import current_run

def beat(path):
    """Append when this occurrence was due, when it ran, and in which process."""
    line = f"{current_run().due_us} {time.time_ns() // 1000} {os.getpid()}\\n"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)

def hang(path):
    beat(path)
    time.sleep(60)

def work(path):
    """Take a second, and tell of the beginning and the end."""
    beat(path)
    time.sleep(1)
    beat(path)
'''
# Tells which worker answered, which the API itself does not.
FRONT = """
import os
from schedhttp.wsgi import app as inner

def app(environ, start_response):
    def start(status, headers):
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))])
    return inner(environ, start)
"""


class Beat(NamedTuple):
    """One line of a job's file."""

    due_us: int
    ran_us: int
    pid: int


class Reply(NamedTuple):
    """What came back."""

    status: int
    json: Any
    worker: int
    retry_after: str | None
    etag: str | None
    text: str
    headers: Any


class Served:
    """A server in a process group of its own, with temporary files of its own."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self.folder = folder
        # Short: the path of a socket has 108 bytes at most.
        self.temporary = Path(tempfile.mkdtemp(prefix="s-"))
        self.beats = folder / "beats"
        self._command = command
        self._environment = environment
        self.headers: dict[str, str] = {}
        (folder / "chores.py").write_text(CHORES)
        (folder / "front.py").write_text(FRONT)
        (folder / "gunicorn.conf.py").write_text("control_socket_disable = True")
        self.begin()

    def begin(self) -> None:
        """Start it (again)."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULER_")}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=inherited | {"TMPDIR": str(self.temporary)} | self._environment,
                stderr=log,
                stdout=log,
                start_new_session=True,
            )

    @staticmethod
    def until(condition: Callable[[], Any]) -> Any:
        """Return what *condition* returns once that is true."""
        deadline = time.monotonic() + SOON
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {SOON} s: {condition}"
            threading.Event().wait(0.02)
        return found

    def ran(self) -> list[Beat]:
        """Return what the job that beats has written."""
        if not self.beats.exists():
            return []
        return [Beat(*map(int, line.split())) for line in self.beats.read_text().splitlines()]

    @property
    def log(self) -> str:
        """What was logged so far."""
        return (self.folder / "log").read_text()

    @property
    def port(self) -> int:
        """Where it listens."""
        pattern = r"(?:Listening at: http|Running on http)://127\.0\.0\.1:(\d+)"
        found = self.until(lambda: re.findall(pattern, self.log) or self.process.poll() is not None)
        assert found is not True, self.log
        return int(found[-1])

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Return the answer to one request, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=SOON)
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body), self.headers | headers
            )
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        kind = response.headers.get_content_type()
        return Reply(
            response.status,
            json.loads(data) if kind == "application/json" and data else None,
            int(response.headers.get("X-Worker", 0)),
            response.headers.get("Retry-After"),
            response.headers.get("ETag"),
            data.decode(),
            response.headers,
        )

    def all_answer(self, workers: int) -> list[dict[str, Any]]:
        """Wait until so many workers are there, and serve; return them as nodes of the store.

        One that is told to end while it boots may miss that.
        """

        def there() -> list[dict[str, Any]] | None:
            nodes = self.patiently("GET", "/scheduler").json["nodes"]
            alive = [node for node in nodes if node["state"] == "alive"]
            return alive if len(alive) == workers else None

        return self.until(there)

    def burst(self, method: str, path: str, body: object = None) -> list[Reply]:
        """Return the answers to requests at the same time, that more than one worker meets."""
        answers: list[Reply] = []
        while len({answer.worker for answer in answers}) < 2:
            with ThreadPoolExecutor(8) as pool:
                answers += pool.map(lambda _: self.call(method, path, body), range(20))
            assert len(answers) < 1000, "only one worker answers"
        return answers

    def patiently(self, method: str, path: str, body: object = None) -> Reply:
        """Return the first answer that does not ask to try again; of a server that may start."""

        def answer() -> Reply | None:
            try:
                found = self.call(method, path, body)
            except (OSError, HTTPException):
                return None
            if found.status != 503:
                return found
            assert found.retry_after is not None
            return None

        return self.until(answer)

    def holder(self) -> int:
        """Return the process that takes due jobs."""

        def holder() -> Any:
            return (self.patiently("GET", "/scheduler").json["holder"] or {}).get("pid")

        return self.until(holder)

    def new_beats(self, count: int) -> list[Beat]:
        """Wait until the job has run so many times more, and return all of them."""
        before = len(self.ran())
        self.until(lambda: len(self.ran()) >= before + count)
        return self.ran()

    def left(self) -> list[str]:
        """Return the files of the store that it has left, and those for temporary use."""
        files = [*self.folder.rglob("*.db*"), *self.temporary.rglob("*")]
        return sorted(file.name for file in files if not file.is_dir())

    def gone(self) -> bool:
        """Tell whether no process of its group is left, but for those that ended."""
        return not any(
            _is_alive_in(self.process.pid, stat) for stat in Path("/proc").glob("*/stat")
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the master, and wait for the end of all its processes."""
        self.process.send_signal(number)
        self.process.wait(timeout=SOON)
        self.until(self.gone)

    def kill(self) -> None:
        """End all of it at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=SOON)
        self.until(self.gone)


def _is_alive_in(group: int, stat: Path) -> bool:
    try:
        state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:  # ended just now
        return False
    return int(process_group) == group and state not in "ZX"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers that do not outlive the test; jobs of theirs are in ``chores``."""
    started: list[Served] = []

    def begin(*command: str, **environment: str) -> Served:
        served = Served(tmp_path, *command, **environment)
        started.append(served)
        return served

    yield begin
    for served in started:
        served.kill()
        shutil.rmtree(served.temporary)


@pytest.fixture
def gunicorn(serve: Callable[..., Served], tmp_path: Path) -> Callable[..., Served]:
    """Start gunicorn with a job that beats every *seconds*, and others that are given."""

    def begin(*arguments: str, seconds: float = 0.5, app: str = "front:app", **more: str) -> Served:
        jobs = [
            {
                "id": "beat",
                "func": "chores:beat",
                "args": [str(tmp_path / "beats")],
                "trigger": "interval",
                "seconds": seconds,
                "coalesce": False,  # what is late is to be seen as well
            }
        ]
        environment = {
            "SCHEDULER_JOBS": json.dumps(jobs),
            "SCHEDULER_API_ALLOWED_FUNCS": "chores:*",
            "SCHEDULER_SHUTDOWN_TIMEOUT": "2",
        }
        return serve(
            *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"),
            *arguments,
            app,
            **(environment | more),
        )

    return begin
