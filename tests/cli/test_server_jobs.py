"""The jobs of a real server, looked at and changed from a shell."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.servers import on_a_terminal, typed

pytestmark = pytest.mark.usefixtures("server")


def test_a_session():
    """A job is added, looked at, changed, paused, resumed and removed; each as a process."""
    added = typed("add", "report", "func=tasks:ok", "hour=6", "minute=30", 'args=["a", 1]')
    assert added.returncode == 0, added.stderr
    assert re.search(
        r"^report +scheduled +.* \(in \d+ (?:s|min|h)\) +cron hour=6 minute=30 ", added.stdout, re.M
    )
    job = json.loads(typed("job", "report", "--json").stdout)
    assert (job["trigger"], job["hour"], job["args"]) == ("cron", 6, ["a", 1])
    edited = typed("edit", "report", "hour=7", "name=Report")
    assert edited.returncode == 0
    assert re.search(r"^hour +6 +7$", edited.stdout, re.M)
    assert "fields of report changed" in edited.stdout
    stale = typed("edit", "report", "hour=8", "--if-match", job["etag"])
    assert stale.returncode == 2
    assert typed("pause", "report").stdout == "1 job paused\n"
    assert [
        job["id"] for job in json.loads(typed("jobs", "--state", "paused", "--json").stdout)
    ] == ["report"]
    assert json.loads(typed("resume", "report", "--json").stdout) == ["report"]
    assert json.loads(typed("job", "report", "--json").stdout)["state"] == "scheduled"
    assert typed("rm", "report").stdout == "1 job removed\n"
    gone = typed("job", "report")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "no job with id 'report'" in gone.stderr


def test_some_of_several_is_partly(run):
    run("add", "there", "func=tasks:ok", "seconds=60")
    assert run("add", "there", "func=tasks:ok", "seconds=60").status == 2
    ran = run("pause", "there", "not-there", "--json")
    assert ran.status == 1
    assert json.loads(ran.out) == ["there"]
    assert "not-there" in ran.err
    assert run("rm", "there", "not-there")[:2] == (1, "1 job removed\n")
    assert run("rm", "there")[:2] == (2, "0 jobs removed\n")


def test_jobs_of_a_file_and_of_the_input(run, tmp_path):
    (tmp_path / "jobs.toml").write_text(
        '[[jobs]]\nid = "a"\nfunc = "tasks:ok"\ntrigger = "interval"\nseconds = 30\n'
        '[[jobs]]\nid = "b"\nfunc = "tasks:nope"\ntrigger = "interval"\nhours = 1\n'
    )
    ran = run("add", "--file", "jobs.toml", "--json")
    assert (ran.status, ran.out) == (2, ""), "all or none"
    assert "tasks:nope" in ran.err
    path = tmp_path / "jobs.toml"
    path.write_text(path.read_text().replace("nope", "fail"))
    assert [job["id"] for job in json.loads(run("add", "--file", "jobs.toml", "--json").out)] == [
        "a",
        "b",
    ]
    lines = '{"id": "c", "func": "tasks:ok"}\n\n{"id": "d", "func": "tasks:ok"}\n'
    assert typed("add", "--file", "-", stdin=lines).returncode == 0
    assert run("add", "--file", "jobs.toml").status == 2
    assert run("add", "--file", "jobs.toml", "--replace").status == 0
    assert run("rm", "a", "b").status == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected jobs"),
        ('"text"', "expected jobs"),
        ('{"jobs": {}}', "expected an id"),
        ('[{"func": "tasks:ok"}]', "id=None: expected an id for each job"),
        ('[{"id": "x"}, {"id": "x"}]', "id='x': expected one job with it"),
    ],
)
def test_a_file_that_makes_no_sense_changes_nothing(run, tmp_path, text, told):
    (tmp_path / "jobs.json").write_text(text)
    ran = run("add", "--file", "jobs.json")
    assert (ran.status, ran.out) == (2, "")
    assert told in ran.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add"], "ID=None: expected an id, or --file"),
        (["add", "x", "hour"], "NAME=VALUE='hour': expected a pair"),
        (["add", "x", "func=tasks:ok", "hour=25"], "hour=25: expected"),
        (["edit", "x", "=5"], "NAME=VALUE='=5': expected a pair"),
        (["jobs", "--sort", "size"], "sort='size': expected one of"),
    ],
)
def test_mistakes_are_told_in_one_line(run, arguments, told):
    ran = run(*arguments)
    assert ran.status == 2
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


HOSTILE = "a\x1b[2J\x1b]0;owned\x07\u202e\x9b31mb\r\nc"


def test_a_hostile_text_cannot_command_a_terminal(run, fake, monkeypatch):
    job = {
        "id": HOSTILE, "state": HOSTILE, "func": HOSTILE, "next_run_time": HOSTILE,
        "trigger": "cron", "hour": HOSTILE, "args": [HOSTILE], "name": HOSTILE,
    }  # fmt: skip
    record = {
        "run_id": HOSTILE, "job_id": HOSTILE, "outcome": HOSTILE, "state": HOSTILE,
        "scheduled": None, "started": None, "ended": None, "result": HOSTILE,
        "error_type": HOSTILE, "error_text": HOSTILE, "why": HOSTILE,
    }  # fmt: skip

    def answer(asked):
        if asked.method == "PATCH":
            return 200, job | {"hour": 2}
        if asked.path.endswith("/a"):
            return 200, job
        return 200, [record if "runs" in asked.path else job]

    fake.answer = answer
    monkeypatch.setenv("SCHEDCORE_URL", fake.url)
    for command in (["jobs"], ["job", "a"], ["runs"], ["edit", "a", "hour=2"]):
        _, shown = on_a_terminal(*command, NO_COLOR="1")
        assert r"\x1b[2J" in shown
        assert all(char.isprintable() or char in "\r\n" for char in shown), repr(shown)
        plain = run(*command).out
        assert all(char.isprintable() or char == "\n" for char in plain), repr(plain)
        told = json.loads(run(*command, "--json").out)
        assert HOSTILE in (told[0] if isinstance(told, list) else told).values()


def test_there_are_colours_on_a_terminal_unless_nobody_wants_them(run):
    assert run("add", "colourful", "func=tasks:ok", "hours=1").status == 0
    run("pause", "colourful")
    assert "\x1b[" in on_a_terminal("jobs")[1]
    assert "\x1b[" not in on_a_terminal("jobs", NO_COLOR="1")[1]
    assert "\x1b[" not in typed("jobs").stdout


def test_without_rich_the_tables_are_plain(run, tmp_path):
    assert run("add", "plain", "func=tasks:ok", "hours=1").status == 0
    (tmp_path / "rich.py").write_text("raise ImportError")
    _, shown = on_a_terminal("jobs", PYTHONPATH=str(tmp_path))
    assert "\x1b[" not in shown
    assert re.search(r"^plain +scheduled", shown, re.M)


@pytest.fixture
def nightly(run):
    """Add three jobs, two of which have a tag; return the ids of those two."""
    for job_id, tags in (("a", ["nightly"]), ("b", ["nightly", "x"]), ("c", ["x"])):
        words = [f"tags={json.dumps(tags)}", "func=tasks:ok", "hours=1"]
        assert run("add", job_id, *words).status == 0
    return ["a", "b"]


def states(run):
    return {job["id"]: job["state"] for job in json.loads(run("jobs", "--json").out)}


def test_all_jobs_with_a_tag_are_changed_together(run, nightly):
    listed = json.loads(run("jobs", "--tag", "nightly", "--json").out)
    assert sorted(job["id"] for job in listed) == nightly
    ran = run("pause", "--tag", "nightly", "--yes")
    assert ran == (0, "2 jobs paused\n", "")
    assert states(run) == {"a": "paused", "b": "paused", "c": "scheduled"}
    assert json.loads(run("resume", "--tag", "nightly", "--tag", "x", "--yes", "--json").out) == [
        "b"
    ]
    assert run("resume", "--state", "paused", "--yes").out == "1 job resumed\n"
    assert run("rm", "--q", "A", "--yes").out.endswith(" removed\n")
    assert run("pause", "--tag", "nobody-has-it", "--yes") == (0, "0 jobs paused\n", "")
    assert run("rm", "--all", "--yes").status == 0
    assert states(run) == {}


def test_many_jobs_are_changed_only_once_that_is_confirmed(run, nightly):
    ran = run("rm", "--tag", "nightly")
    assert ran.status == 2
    assert "rm 2 jobs (a, b)?" in ran.err
    status, shown = on_a_terminal("rm", "--tag", "nightly", answer="n\n")
    assert (status, "rm 2 jobs (a, b)? [y/N]" in shown) == (2, True)
    assert set(states(run)) == {"a", "b", "c"}
    status, shown = on_a_terminal("rm", "--tag", "nightly", answer="y\n")
    assert (status, "2 jobs removed" in shown) == (0, True)
    assert set(states(run)) == {"c"}


def test_a_filter_that_meets_others_meanwhile_changes_nothing(run, fake):
    """The number that was confirmed goes along."""
    fake.answer = lambda asked: (
        409,
        {"error_message": "expected confirm=3", "error_type": "NotConfirmed"}
        | ({} if "confirm" in asked.path else {"count": 2, "ids": ["a", "b"]}),
    )
    ran = run("pause", "--tag", "t&u", "--yes", "--url", fake.url)
    assert ran == (2, "", "schedcore: expected confirm=3\n")
    assert [asked.path for asked in fake.asked] == [
        "/scheduler/jobs/pause?tag=t%26u",
        "/scheduler/jobs/pause?tag=t%26u&confirm=2",
    ]
