"""The server's command, as a user starts it: real gunicorn, real requests, real signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.patience import SOON

CHORES = '''
import os

def tell(fifo):
    """Write this process's id to a named pipe: the test reads it as soon as the job runs."""
    with open(fifo, "w") as pipe:
        pipe.write(f"{os.getpid()}\\n")
'''


class Server:
    """``python -m schedhttp`` on a free loopback port, in a process group of its own."""

    def __init__(
        self, folder: Path, *arguments: str, listening: str | None = None, **environment: str
    ) -> None:
        port = [] if listening else ["--port", "0"]
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "chores.py").write_text(CHORES)
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULER_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "schedhttp", *port, *arguments],
            cwd=folder,
            env=inherited | {"TMPDIR": str(self.temporary)} | environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        told = re.escape(listening) if listening else r"http://127\.0\.0\.1:(\d+)"
        found = self.read_until(r"Listening at: " + told)
        self.port = int(found[1]) if found.lastindex else 0
        # Read to the end, or the server would block on a full pipe.
        self._reader = Thread(target=lambda: self.lines.extend(self._stderr))
        self._reader.start()

    @property
    def _stderr(self) -> Any:
        assert self.process.stderr is not None
        return self.process.stderr

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read what the server logs until a line matches."""
        for line in self._stderr:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        raise AssertionError("the server ended:\n" + "".join(self.lines))

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the JSON of one request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=SOON)
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, json.loads(data) if data else None

    def next_run(self) -> int:
        """Wait for the next run of a job that tells of it; return its process."""
        line = ""
        while not line:  # a worker that ends may open the pipe and not get to write
            with self.fifo.open() as pipe:
                line = pipe.readline()
        return int(line)

    def stop(self, number: signal.Signals, whole_group: bool) -> str:
        """Send a signal, wait for the end, and return what was logged."""
        (os.killpg if whole_group else os.kill)(self.process.pid, number)
        self.process.wait(timeout=SOON)
        self._reader.join()
        self._stderr.close()
        return "".join(self.lines)

    def kill(self) -> None:
        """Leave nothing behind, whatever happened to the test."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._reader.join()
            self._stderr.close()


@pytest.fixture
def start(tmp_path):
    """Start servers that do not outlive the test."""
    started = []

    def begin(*arguments: str, **environment: str) -> Server:
        server = Server(tmp_path, *arguments, **environment)
        started.append(server)
        return server

    yield begin
    for server in started:
        server.kill()


def gone(server: Server) -> bool:
    """Tell whether no process of the server's group is left."""
    try:
        os.killpg(server.process.pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C at a terminal"),
        pytest.param(signal.SIGTERM, False, id="a supervisor's TERM"),
    ],
)
def test_a_job_added_over_http_runs_and_the_server_leaves_nothing_behind(
    start, number, whole_group
):
    """The main job: serve, add, see it run by its effect, stop."""
    server = start(SCHEDULER_API_ALLOWED_FUNCS="chores:*")
    status, job = server.call(
        "POST",
        "/scheduler/jobs",
        {
            "id": "j",
            "func": "chores:tell",
            "args": [str(server.fifo)],
            "trigger": "interval",
            "hours": 1,
            "next_run_time": "2020-01-01",  # at once, and once: nobody would read the pipe again
        },
    )
    assert status == 200
    assert job["state"] in ("scheduled", "running")
    ran_in = server.next_run()
    assert ran_in != server.process.pid, "in the worker, not in gunicorn's master"
    assert server.call("DELETE", "/scheduler/jobs/j")[0] == 204

    log = server.stop(number, whole_group)
    assert server.process.returncode == 0
    assert "Traceback" not in log
    assert gone(server)
    assert list(server.temporary.iterdir()) == []


def test_hostile_bytes_over_a_real_connection(start):
    """What werkzeug's test client would not send."""
    server = start(SCHEDULER_API_MAX_BODY="1000")
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SOON)
    connection.request(
        "POST",
        "/scheduler/jobs",
        iter([b" " * 600] * 3),
        {"Transfer-Encoding": "chunked"},
        encode_chunked=True,
    )
    with closing(connection), connection.getresponse() as response:
        assert response.status == 413
    for path in ("/scheduler/jobs", "/zone"):
        headers = {
            "Transfer-Encoding": "chunked",
            "Origin": f"http://127.0.0.1:{server.port}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", path, b"no number\r\n{}\r\n", headers)
        with closing(connection), connection.getresponse() as response:
            assert response.status == 400
            assert b"the body does not come as announced" in response.read()
    assert server.call("GET", "/scheduler/jobs/%ff%00")[0] == 404
    assert server.call("GET", "/scheduler/jobs/" + "%E9" * 1000)[0] == 404
    log = server.stop(signal.SIGTERM, False)
    assert "Traceback" not in log


def test_a_reload_hands_the_jobs_of_the_settings_to_a_new_worker(start, tmp_path):
    """HUP: the new worker starts while the old one is there, and runs the jobs after it."""
    (tmp_path / "config.toml").write_text(
        f"""
        python_path = ["."]
        shutdown_timeout = 1  # the last run writes to a pipe that nobody reads any more
        [[jobs]]
        id = "beat"
        func = "chores:tell"
        args = ["{tmp_path / "fifo"}"]
        trigger = "interval"
        seconds = 0.1
        """
    )
    server = start("--config", "config.toml")
    before = server.next_run()
    os.kill(server.process.pid, signal.SIGHUP)
    while server.next_run() == before:
        pass
    log = server.stop(signal.SIGINT, True)
    assert "Traceback" not in log
    assert gone(server)


def test_a_job_under_way_is_given_until_the_deadline(start):
    """A run that would block for ever holds the server up for shutdown_timeout, and no longer."""
    server = start(SCHEDULER_API_ALLOWED_FUNCS="chores:*", SCHEDULER_SHUTDOWN_TIMEOUT="0.2")
    body = {"func": "chores:tell", "args": [str(server.fifo)], "trigger": "date"}
    assert server.call("POST", "/scheduler/jobs", body)[0] == 200  # blocks: nobody reads the pipe
    log = server.stop(signal.SIGTERM, False)
    assert server.process.returncode == 0
    assert "did not end in time" in log
    assert "Traceback" not in log
    assert gone(server)


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C at a terminal"),
        pytest.param(signal.SIGTERM, False, id="a supervisor's TERM"),
    ],
)
def test_a_request_that_waits_for_such_a_run_does_not_hold_the_end_up(start, number, whole_group):
    """It is not left to gunicorn's SIGKILL, after which nothing is put in order."""
    server = start(SCHEDULER_API_ALLOWED_FUNCS="chores:*", SCHEDULER_SHUTDOWN_TIMEOUT="0.2")
    body = {"id": "j", "func": "chores:tell", "args": [str(server.fifo)], "next_run_time": None}
    server.call("POST", "/scheduler/jobs", body)
    answers = []
    waiting = Thread(target=lambda: answers.append(server.call("POST", "/scheduler/jobs/j/run")))
    waiting.start()
    while server.call("GET", "/scheduler/jobs/j")[1]["state"] != "running":
        pass
    log = server.stop(number, whole_group)
    waiting.join()
    assert "did not end in time" in log
    assert "Traceback" not in log
    assert gone(server)
    assert list(server.temporary.iterdir()) == []
    assert "SIGKILL" not in log
    ((status, error),) = answers
    assert (status, error["error_type"]) == (500, "RunFailed")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        pytest.param({"SCHEDULER_BND": "x:1"}, "did you mean 'SCHEDULER_BIND'?", id="unknown"),
        pytest.param({"SCHEDULER_THREADS": "0"}, "SCHEDULER_THREADS='0'", id="wrong value"),
        pytest.param({"SCHEDULER_CONFIG": "/none.toml"}, "a TOML file, but", id="no file"),
        pytest.param({"SCHEDULER_LOG_LEVEL": "LOUD"}, "LOUD", id="log level"),
    ],
)
def test_a_wrong_setting_ends_the_command_with_one_line(tmp_path, environment, message):
    done = subprocess.run(
        [sys.executable, "-m", "schedhttp"],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_job_of_the_settings_that_makes_no_sense_ends_the_server_with_its_reason(tmp_path):
    jobs = json.dumps([{"id": "j", "func": "nowhere:f", "trigger": "date"}])
    done = subprocess.run(
        [sys.executable, "-m", "schedhttp", "--port", "0"],
        cwd=tmp_path,
        env=os.environ | {"SCHEDULER_JOBS": jobs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "func='nowhere:f': expected an importable module" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_is_a_program_ends_neither_the_worker_nor_the_server(start, tmp_path):
    """Exit code 3 would tell gunicorn's master that no worker can start, and end it too."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__main__.py").write_text("import sys\nsys.exit(3)\n")
    server = start(SCHEDULER_API_ALLOWED_FUNCS="pkg.__main__:main")
    worker = server.call("GET", "/scheduler")[1]["holder"]["pid"]
    for _ in range(3):
        for path in ("preview", "jobs"):
            status, answer = server.call(
                "POST", f"/scheduler/{path}", {"func": "pkg.__main__:main"}
            )
            assert (status, answer["error_type"]) == (500, "FuncRefError")
    assert server.call("GET", "/scheduler")[1]["holder"]["pid"] == worker
    server.stop(signal.SIGTERM, False)
    assert server.process.returncode == 0


def open_half(server, count, head):
    """Return connections that have sent *head* and no more."""
    made = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=SOON)
        connection.sendall(head)
        made.append(connection)
    return made


WITHHELD = {
    "a body, of who is refused": (
        b"POST /scheduler/jobs HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100000\r\n\r\n",
        b"403",
    ),
    "chunks": (
        b"POST /scheduler/jobs HTTP/1.1\r\nHost: evil.example\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"403",
    ),
    "a body that nobody reads": (
        b"POST /scheduler/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
        b"404",
    ),
    "to hang up": (
        b"GET /scheduler/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"200",
    ),
    "the same, 1.0": (b"GET /scheduler/health HTTP/1.0\r\nHost: localhost\r\n\r\n", b"200"),
}


def test_clients_that_withhold_something_hold_nobody_else_up(start):
    """Each would keep a thread, or the one that accepts, for seconds."""
    server = start("--threads", "2")
    for kind, (head, status) in WITHHELD.items():
        begun = time.monotonic()
        others = open_half(server, 40, head)
        for connection in others:
            assert status in connection.recv(4096), kind
        assert server.call("GET", "/scheduler/health")[0] == 200
        took = time.monotonic() - begun
        assert took < 20, kind  # waiting for each took 2 to 5 s, two at a time
        for connection in others:
            connection.close()


def test_a_refusal_of_a_body_that_was_sent_keeps_the_connection(start):
    server = start()
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SOON)
    with closing(connection):
        for path, status in (
            ("/scheduler/nothing", 404),
            ("/scheduler/jobs", 403),
            ("/scheduler/jobs", 403),
        ):
            host = {"Host": "evil.example"} if status == 403 else {}
            connection.request("POST", path, b"{" + b" " * 30_000, host)
            with connection.getresponse() as response:
                assert response.status == status
                assert json.loads(response.read())
            assert connection.sock is not None


def test_health_answers_while_others_wait_for_runs(start, tmp_path):
    """Half of the threads wait; who comes then is told at once, and the run goes on."""
    server = start("--threads", "4", SCHEDULER_API_ALLOWED_FUNCS="chores:*")
    for n in range(8):
        body = {"id": f"j{n}", "func": "chores:tell", "args": [str(server.fifo)], "trigger": "cron"}
        assert server.call("POST", "/scheduler/jobs", {**body, "year": 2090})[0] == 200

    def run(n):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=SOON)
        with closing(connection):
            connection.request("POST", f"/scheduler/jobs/j{n}/run")
            with connection.getresponse() as response:
                response.read()
                return response.status, response.headers["Preference-Applied"]

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(run, n) for n in range(8)]
        assert server.call("GET", "/scheduler/health")[0] == 200
        for _ in as_completed(answers):  # those that do not wait
            if sum(each.done() for each in answers) == 6:
                break
        assert [a.result() for a in answers if a.done()] == [(200, "respond-async")] * 6
        assert server.call("GET", "/scheduler/health")[1]["runs"] == 8
        with open(os.open(server.fifo, os.O_RDWR)) as pipe:  # all of them may write at once now
            for _ in answers:
                pipe.readline()
        assert sorted(map(str, (a.result() for a in answers)))[-2:] == ["(200, None)"] * 2


class UnixConnection(HTTPConnection):
    """What ``curl --unix-socket`` does."""

    def __init__(self, path):
        super().__init__("localhost", timeout=SOON)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_of_ones_own_is_served_without_credentials(start, tmp_path, workers):
    folder = Path(tempfile.mkdtemp(prefix="s-"))  # short: a path has 108 bytes at most
    path = folder / "s"
    server = start("--workers", workers, SCHEDULER_BIND=f"unix:{path}", listening=f"unix:{path}")

    def call(method, body=None, **headers):
        with closing(UnixConnection(path)) as connection:
            connection.request(method, "/scheduler/jobs", body, headers)
            with connection.getresponse() as response:
                return response.status, json.loads(response.read())

    while (found := call("GET"))[0] == 503:
        pass
    assert found == (200, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [call("GET")[0] for _ in range(10)] == [200] * 10
    assert call("POST", b"{}")[0] == 500  # the body, and not the sender
    assert call("GET", **{"X-Forwarded-For": "1.2.3.4"})[0] == 403
    path.chmod(0o666)
    status, refusal = call("GET")
    assert (status, refusal["error_type"]) == (403, "Forbidden")
    server.stop(signal.SIGTERM, False)
    shutil.rmtree(folder)
