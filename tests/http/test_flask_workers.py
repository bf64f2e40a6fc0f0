"""The Flask extension in several processes on one store: gunicorn's workers, a reloader's."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.patience import SOAK

KEPT = {"schedcore.db", "schedcore.db-wal", "schedcore.db-shm"}
JOB = {"id": "j", "func": "chores:beat", "args": ["/dev/null"], "trigger": "cron", "year": 2999}
APP = """
import os
import sys
from flask import Flask, jsonify, request
from schedhttp.flask import FlaskScheduler
from chores import beat

app = Flask(__name__)
app.config.update(SCHEDULER_API_ENABLED=True, SCHEDULER_API_ALLOWED_FUNCS=["chores:*"])
app.config["SCHEDULER_AUTH"] = print
scheduler = FlaskScheduler(app=app)

@scheduler.authenticate
def authenticate(auth):
    return auth.username == request.args.get("user", "guest")

HOURLY = {"args": ["/dev/null"], "trigger": "interval", "hours": 1}
scheduler.add_job("before", beat, **HOURLY)
scheduler.start()
# After start(), in every worker and at each start: still one job of each.
scheduler.task("interval", seconds=0.5, coalesce=False, args=["BEATS"])(beat)
scheduler.add_job("after", beat, **HOURLY)

@app.post("/view")
def view():
    job = scheduler.add_job("viewed", beat, **HOURLY)
    return jsonify(str(job.next_run_time))

@app.after_request
def tell(response):
    response.headers["X-Worker"] = os.getpid()
    return response

if __name__ == "__main__":
    app.run(port=0, debug=True, threaded=True, reloader_type="stat")
"""
TWO_APPS = """
import sys
from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import run_simple
from schedhttp.flask import FlaskScheduler
from chores import beat

def made(name, beats):
    app = Flask(name, root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    scheduler = FlaskScheduler(app=app)
    scheduler.add_job("beat", beat, args=[beats], trigger="interval", seconds=0.2)
    scheduler.start()
    return app

both = DispatcherMiddleware(NotFound(), {
    "/one": made("shop", "BEATS"), "/two": made("OTHER", "BEATS2"),
})

if __name__ == "__main__":
    run_simple("127.0.0.1", 0, both, threaded=True, use_reloader=True, reloader_type="stat")
"""
AGAIN = """
from flask import Flask
from schedcore import SchedulerAlreadyRunningError
from schedhttp.flask import FlaskScheduler
from chores import beat

app = Flask(__name__)
app.config["SCHEDULER_API_ENABLED"] = True
scheduler = FlaskScheduler(app=app)
scheduler.task("interval", id="beat", seconds=0.2, args=["BEATS"])(beat)
scheduler.start()
# While the app is still loaded: the last word counts.
scheduler.shutdown()
scheduler.start()

@app.post("/end")
def end():
    scheduler.shutdown()
    return {"state": scheduler.state.name}

@app.post("/again")
def again():
    scheduler.start()
    return {"taken": True}

@app.post("/next")
def next_app():
    try:
        scheduler.init_app(Flask(__name__))
    except SchedulerAlreadyRunningError:
        return {"taken": False}
    scheduler.start()
    return {"taken": True}
"""
GUEST = {"Authorization": "Basic Z3Vlc3Q6eA=="}


@pytest.fixture
def flask_app(tmp_path):
    (tmp_path / "shop.py").write_text(APP.replace("BEATS", str(tmp_path / "beats")))


def once_each(ran):
    due = [beat.due_us for beat in ran]
    assert len(set(due)) == len(due), f"doubled: {ran}"
    assert {(time_us - due[0]) % 500_000 for time_us in due} == {0}, f"off the beat: {ran}"


MANY = 4 if SOAK else 2
GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", "--workers")
WAYS = {
    "one": (*GUNICORN, "1", "shop:app"),
    "many": (*GUNICORN, str(MANY), "shop:app"),
    "preload": (*GUNICORN, str(MANY), "--preload", "shop:app"),
    "reloader": ("shop.py",),
}


@pytest.mark.parametrize("way", WAYS)
def test_whenever_an_app_adds_its_jobs_it_may_be_started_again(serve, flask_app, way):
    """Before start(), after it, by decorator, from a view: each is one job, on its beat."""
    workers = {"many": MANY, "preload": MANY}.get(way, 1)
    server = serve(sys.executable, *WAYS[way], PYTHONUNBUFFERED="1")
    server.headers = GUEST
    server.all_answer(workers)
    views = [server.call("POST", "/view").json for _ in range(6)]
    assert len(set(views)) == 1, "the very same job is no conflict"
    before = {job["id"]: job for job in server.patiently("GET", "/scheduler/jobs").json}
    assert len(before) == 4
    assert {"before", "after", "viewed"} < before.keys()
    server.new_beats(2)
    end_all(server)
    server.begin()
    server.all_answer(workers)
    after = {job["id"]: job for job in server.patiently("GET", "/scheduler/jobs").json}
    assert after.keys() == before.keys()
    for job_id in ("before", "after", "viewed"):
        assert after[job_id]["next_run_time"] == before[job_id]["next_run_time"]
    once_each(server.new_beats(2))
    end_all(server)
    assert "Traceback" not in server.log


def end_all(server):
    """End a server as a terminal does: all of its processes get a signal."""
    os.killpg(server.process.pid, signal.SIGINT)
    server.process.wait()
    server.until(server.gone)


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_under_gunicorn_one_worker_takes_due_jobs_and_each_one_answers(serve, flask_app, preload):
    server = serve(sys.executable, *GUNICORN, str(MANY), *preload, "shop:app")
    server.headers = GUEST
    server.all_answer(MANY)
    server.new_beats(2)
    assert server.patiently("POST", "/scheduler/jobs", JOB).status == 200
    assert {answer.status for answer in server.burst("GET", "/scheduler/jobs/j")} == {200}
    killed = server.holder()
    os.kill(killed, signal.SIGKILL)
    server.until(lambda: server.holder() != killed)
    server.new_beats(2)
    before = {node["pid"] for node in server.all_answer(MANY)}
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.holder() not in before)
    once_each(server.new_beats(2))
    assert server.patiently("GET", "/scheduler/jobs/j").status == 200
    server.all_answer(MANY)
    # The app's own check finds the request, wherever it was met; then all are kept waiting.
    asked = server.burst("GET", "/scheduler?user=other")
    assert {answer.status for answer in asked} <= {401, 429}
    server.stop()
    assert set(server.left()) <= KEPT
    assert "Traceback" not in server.log


def test_under_a_reloader_its_child_alone_runs_the_jobs(serve, flask_app, tmp_path):
    """Neither doubled nor absent; after a change of the code the next child goes on with all."""
    server = serve(sys.executable, "shop.py", PYTHONUNBUFFERED="1")
    server.headers = GUEST
    assert server.patiently("POST", "/scheduler/jobs", JOB).status == 200
    server.until(lambda: server.holder() != server.process.pid)
    child = server.holder()
    server.until(lambda: server.new_beats(1)[-1].pid == child)
    code = tmp_path / "shop.py"

    def goes_on_in_another():
        # Once more: the reloader takes for the first state what it finds when it looks first.
        code.write_text(code.read_text() + "\n# changed\n")
        return server.new_beats(1)[-1].pid != child

    server.until(goes_on_in_another)
    ran = server.new_beats(2)
    assert len({beat.due_us for beat in ran}) == len(ran)
    assert server.patiently("GET", "/scheduler/jobs/j").status == 200
    assert server.holder() not in (server.process.pid, child)
    end_all(server)
    assert set(server.left()) <= KEPT


TWO = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "-w", "2")


@pytest.mark.parametrize(
    ("command", "other"),
    [
        ([*TWO, "--threads", "4", "shop:both"], "shop"),
        ([*TWO, "--threads", "4", "shop:both"], "second_shop"),
        ([*TWO, "--preload", "shop:both"], "shop"),
        (["shop.py"], "second_shop"),
    ],
    ids=["one name", "two names", "preload", "reloader"],
)
def test_two_apps_of_one_server_run_their_jobs_each(serve, tmp_path, command, other):
    """Each has a store of its own, between the same processes."""
    beats = tmp_path / "beats2"
    code = TWO_APPS.replace("OTHER", other).replace("BEATS2", str(beats))
    (tmp_path / "shop.py").write_text(code.replace("BEATS", str(tmp_path / "beats")))
    server = serve(sys.executable, *command, PYTHONUNBUFFERED="1")
    lines = lambda: len(beats.read_text().splitlines()) if beats.exists() else 0  # noqa: E731
    server.new_beats(2)
    server.until(lambda: lines() >= 2)
    # What ends one of them, for all workers, is nothing to the other.
    assert server.patiently("POST", "/one/scheduler/shutdown").status == 204
    assert server.patiently("GET", "/one/scheduler").json["state"] == "stopped"
    before = lines()
    server.until(lambda: lines() >= before + 3)
    assert server.patiently("GET", "/two/scheduler").json["state"] in ("running", "standby")
    ran = server.ran()
    assert len({beat.due_us for beat in ran}) == len(ran)


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_in_a_worker_an_extension_can_be_started_again(serve, tmp_path, preload):
    (tmp_path / "shop.py").write_text(AGAIN.replace("BEATS", str(tmp_path / "beats")))
    server = serve(
        *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", *preload),
        "shop:app",
    )
    server.new_beats(2)
    for how, taken_while_it_runs in (("/again", True), ("/next", False)):
        assert server.call("POST", "/end").json == {"state": "STOPPED"}
        assert server.call("POST", how).json == {"taken": True}
        server.new_beats(2)
        assert server.call("POST", how).json == {"taken": taken_while_it_runs}
        server.new_beats(2)
    server.stop()
    assert "Traceback" not in server.log
