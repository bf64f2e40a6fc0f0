"""Use what is installed beside the Python that runs this, as somebody would in a first minute.

Anything that is not as it should be is raised.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import schedcore
from schedcore import Outcome, Scheduler

BIN = Path(sys.executable).parent
PATIENCE = 60.0


def main() -> None:
    """Run a job, the commands, and the server if it is installed."""
    run_a_job()
    for command in ("schedcore", "schedhttp"):
        assert output_of(command, "--version") == f"{command} {schedcore.__version__}\n"
    assert "CEST" in output_of("schedcore", "next", "0 9 1 7 *", "--tz", "Europe/Berlin")
    if importlib.util.find_spec("gunicorn") is not None:
        serve()


def run_a_job() -> None:
    """Run one, in a store on disk."""
    scheduler = Scheduler(timezone="UTC", store="sqlite:///smoke.db")
    job = scheduler.add_job(time.ctime, "date", args=[0.0])
    scheduler.run_forever(until_idle=True)
    (record,) = scheduler.history(job.id)
    assert record.outcome is Outcome.EXECUTED, record


def output_of(command: str, *arguments: str) -> str:
    """Return what an installed command prints."""
    done = subprocess.run(
        [BIN / command, *arguments], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return done.stdout


def serve() -> None:
    """Start the server, ask its API and its first page, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([BIN / "schedhttp", "--port", str(port)])
    try:
        answer = answer_of(server, f"http://127.0.0.1:{port}/scheduler")
        assert json.loads(answer)["running"] is True, answer
        assert b"<html" in answer_of(server, f"http://127.0.0.1:{port}/")
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0


def answer_of(server: subprocess.Popen[bytes], url: str) -> bytes:
    """Return what *url* answers, as soon as it does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(url, timeout=PATIENCE) as answer:
                return bytes(answer.read())
        except OSError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            threading.Event().wait(0.1)


if __name__ == "__main__":
    main()
