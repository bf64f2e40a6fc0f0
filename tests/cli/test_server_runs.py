"""The runs of a real server: started, watched, cancelled and read from a shell."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.cli.servers import PROGRAM, on_a_terminal, typed

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def held(run, tmp_path):
    """Start a run that goes on until a file is gone; return its id, and the file."""
    path = tmp_path / "held"
    path.unlink(missing_ok=True)
    run("add", "held", "func=tasks:hold", f"args={json.dumps([str(path)])}", "hours=1")
    told = run("run", "held")
    assert told.status == 0, told.err
    run_id = re.fullmatch(r"run (\d+) of held has been started\n", told.out)[1]
    wait_until(path.exists)
    yield run_id, path
    path.unlink(missing_ok=True)


def wait_until(condition):
    import threading

    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("not within a minute")


def add(run, job_id, func, **more):
    words = [f"{name}={json.dumps(value)}" for name, value in more.items()]
    assert run("add", job_id, f"func=tasks:{func}", "hours=1", *words).status == 0


def test_a_run_that_is_waited_for_tells_how_it_went(run):
    add(run, "good", "ok")
    add(run, "bad", "fail")
    good = run("run", "good", "--wait", "--json")
    assert good.status == 0
    (record,) = json.loads(good.out)
    assert (record["job_id"], record["state"], record["outcome"]) == ("good", "ended", "executed")
    assert record["cause"] == "manual"
    bad = typed("run", "bad", "--wait")
    assert bad.returncode == 1
    assert r"no \x1b]0;owned\x07 such \u202egpj.exe" in bad.stdout
    both = run("run", "good", "bad", "--wait", "--json")
    assert both.status == 1
    assert [record["outcome"] for record in json.loads(both.out)] == ["executed", "failed"]
    assert run("run", "nobody", "--wait").status == 2
    assert run("run", "good", "nobody", "--wait").status == 1


def test_a_run_has_arguments_of_its_own(run):
    add(run, "j", "ok")
    ran = run("run", "j", "--wait", "--json", "--args", '["a", 1]', "--kwargs", '{"k": null}')
    assert ran.status == 0, ran.err
    run_id = json.loads(ran.out)[0]["run_id"]
    assert run("logs", run_id).out == "called with ('a', 1) {'k': None}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "new", "--args", "{}"], "--args='{}': expected a JSON array"),
        (["run", "new", "--args", "["], "--args='[': expected a JSON array"),
        (["run", "new", "--kwargs", "[]"], "--kwargs='[]': expected a JSON object"),
        (["run"], "ID=[]: expected ids, or one of --q, --tag, --state and --all"),
        (["run", "new", "--all"], "expected ids, or one of"),
        (["runs", "--since", "yesterdayish"], "since='yesterdayish'"),
        (["runs", "--outcome", "faild"], "outcome='faild'"),
        (["cancel", "x"], "run_id='x'"),
        (["cancel", "1"], "run"),
        (["logs", "nobody"], "no job with id 'nobody'"),
        (["logs", "new"], "expected a run, or a job that has run"),
    ],
)
def test_mistakes_are_told_in_one_line(run, arguments, told):
    add(run, "new", "ok")
    ran = run(*arguments)
    assert ran.status == 2
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


def test_what_runs_is_listed_and_cancelled(run, held):
    run_id, _ = held
    shown = run("ps").out
    assert re.search(rf"^{run_id} +held +running +\S+ \(.*\) +manual ", shown, re.M)
    (record,) = json.loads(run("ps", "--json").out)
    assert (record["run_id"], record["state"]) == (run_id, "running")
    cancelled = run("cancel", run_id, "--json")
    assert cancelled.status == 0
    assert json.loads(cancelled.out)[0]["outcome"] == "cancelled"
    assert json.loads(run("ps", "--json").out) == []
    again = run("cancel", run_id)
    assert again.status == 2, "it has ended"
    assert again.err.endswith("has ended; 'schedcore runs' shows how\n")
    assert "'schedcore jobs' lists" in run("run", "nonsense").err
    assert "'schedcore ps' lists the open ones, 'schedcore runs'" in run("cancel", "999").err
    found = json.loads(run("runs", "--job", "held", "--outcome", "cancelled", "--json").out)
    assert [each["run_id"] for each in found] == [run_id]
    assert run("cancel", run_id, "1").status == 2


def test_ctrl_c_while_waiting_leaves_the_run_and_tells_how_to_end_it(run, tmp_path):
    path = tmp_path / "held"
    add(run, "held", "hold", args=[str(path)])
    out = err = ""
    while not err:
        # Once more, if it was interrupted before it had the answer that names the run.
        path.unlink(missing_ok=True)
        wait_until(lambda: not json.loads(run("ps", "--json").out))
        process = subprocess.Popen(
            [*PROGRAM, "run", "held", "--wait"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(path.exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
    run_id = json.loads(run("ps", "--json").out)[0]["run_id"]
    assert (out, err) == (
        "",
        f"schedcore: the runs continue; to end them: schedcore cancel {run_id}\n",
    )
    path.unlink()


def test_output_is_read_while_the_run_goes_on_and_afterwards(run, held):
    run_id, path = held
    process = subprocess.Popen([*PROGRAM, "logs", "-f", "held"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "holding\n"
    assert process.poll() is None, "it goes on"
    path.unlink()
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    assert run("logs", run_id).out == "holding\n"
    assert run("logs", "held").out == "holding\n"
    assert json.loads(run("logs", "-f", "held", "--json").out)["text"] == "holding\n"
    told = json.loads(run("logs", run_id, "--json").out)
    assert (told["run_id"], told["text"], told["ended"]) == (run_id, "holding\n", True)


@pytest.mark.parametrize(("since", "found"), [("1h", 1), ("2020-01-01", 1), ("2040-01-01", 0)])
def test_runs_since_a_moment(run, since, found):
    add(run, f"timed-{since}", "ok")
    run("run", f"timed-{since}", "--wait")
    listed = run("runs", "--job", f"timed-{since}", "--since", since, "--json").out
    assert len(json.loads(listed)) == found


def test_how_long_ago_is_told_to_the_server_as_a_moment(run, fake):
    run("runs", "--since", "90m", "--until", "5d", "--url", fake.url)
    asked = dict(parse_qsl(urlsplit(fake.asked[0].path).query))
    hours = datetime.fromisoformat(asked["since"]) - datetime.fromisoformat(asked["until"])
    assert timedelta(days=4, hours=22) < hours < timedelta(days=4, hours=23)


def test_hostile_output_is_made_harmless_unless_it_is_wanted_raw(run):
    add(run, "bad", "fail")
    run("run", "bad", "--wait")
    plain = run("logs", "bad").out
    assert r"about to \x1b[2Jfail" in plain
    assert "Traceback" in plain
    assert all(char.isprintable() or char == "\n" for char in plain)
    assert "about to \x1b[2Jfail" in run("logs", "bad", "--raw").out


def test_a_view_for_a_pipe_is_one_look(run, held):
    run_id, _ = held
    add(run, "bad", "fail")
    run("run", "bad", "--wait")
    shown = run("top").out
    assert "the scheduler is running, and works" in shown
    assert "1 run under way or waiting" in shown
    assert re.search(rf"^{run_id} +held +running", shown, re.M)
    assert re.search(r"^\d+ +bad +failed", shown, re.M)
    told = json.loads(run("top", "--json").out)
    assert set(told) == {"health", "runs", "next", "wrong"}
    assert run("top", "-n", "0").status == 2


def test_a_list_is_read_in_as_many_parts_as_it_takes(run, fake):
    record = {
        "run_id": "1", "job_id": "j", "outcome": "executed", "scheduled": None, "started": None,
        "ended": None, "why": None, "state": "ended",
    }  # fmt: skip
    fake.answer = lambda asked: (200, [record] * (1000 if "limit=1000" in asked.path else 500))
    fake.headers["Link"] = '<?job=j&limit=9>; rel="first", <?job=j&limit=9&before=7>; rel="next"'
    ran = run("runs", "--job", "j", "--limit", "2500", "--json", "--url", fake.url)
    assert len(json.loads(ran.out)) == 2500
    assert [asked.path for asked in fake.asked] == [
        "/scheduler/runs?job=j&limit=1000",
        "/scheduler/runs?job=j&limit=1000&before=7",
        "/scheduler/runs?job=j&limit=500&before=7",
    ]


def test_a_view_on_a_terminal_goes_on_until_it_is_interrupted(run, held):
    run_id, _ = held
    status, shown = on_a_terminal("top", "-n", "0.2", until="went wrong")
    assert status == 130
    assert run_id in shown
    assert "\x1b[?1049h" in shown, "on a screen of its own"
    assert "\x1b[?1049l" in shown, "and it gives the other one back"


def test_how_the_last_runs_of_each_job_went(run):
    for job_id, func in (("bad", "fail"), ("good", "ok"), ("new", "ok")):
        add(run, f"last-{job_id}", func)
    run("run", "last-bad", "last-good", "--wait")
    run("run", "last-bad", "--wait")
    shown = run("jobs", "--q", "last-", "--last").out
    assert re.search(r"^last-bad .* failed \S+ \(.*\), 2 failures in a row$", shown, re.M)
    assert re.search(r"^last-good .* executed \S+ \(.*\)$", shown, re.M)
    assert re.search(r"^last-new .* -$", shown, re.M)
    found = json.loads(run("jobs", "--q", "last-", "--last", "--json").out)
    assert [job["failures_in_a_row"] for job in found] == [2, 0, 0]
    assert re.search(r"^last_run +failed ", run("job", "last-bad").out, re.M)
    assert "last_run" not in run("edit", "last-bad", "hours=3").out


def test_a_job_is_run_for_due_times_that_have_passed_once_they_are_confirmed(run):
    add(run, "past", "ok", start_date="2026-01-05T00:00Z")
    asked = ["backfill", "past", "--since", "2026-01-05T08:00Z", "--until", "2026-01-05T10:00Z"]
    refused = run(*asked)
    assert refused.status == 2
    assert "run past for 2 due times, from 2026-01-05T08:00:00+00:00" in refused.err
    assert run(*asked, "--yes").out == "2 runs of past have been started\n"
    wait_until(lambda: json.loads(run("ps", "--json").out) == [])
    found = json.loads(run("runs", "--job", "past", "--json").out)
    assert {each["cause"] for each in found} == {"backfill"}
    assert run(*asked, "--yes").out == "0 runs of past have been started\n"
    assert run("backfill", "past", "--since", "soon", "--yes").status == 2
