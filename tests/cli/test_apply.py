"""A real server's jobs, made as a file says."""

from __future__ import annotations

import json

import pytest

from tests.cli.servers import real_server, typed

pytestmark = pytest.mark.usefixtures("server")


def jobs(run):
    return {job["id"]: job for job in json.loads(run("jobs", "--json").out)}


def job(job_id, **more):
    more = more or {"trigger": "interval", "hours": 1}
    return {"id": job_id, "func": "tasks:ok", **more}


@pytest.fixture
def apply(run, tmp_path):
    """Write jobs into a file and apply it; return the exit status and what was done, by id."""

    def apply(*wanted, name="jobs", options=("--yes",)):
        (tmp_path / f"{name}.json").write_text(json.dumps(wanted))
        ran = run("apply", f"{name}.json", "--json", *options)
        steps = json.loads(ran.out)["steps"] if ran.out else []
        return ran.status, {step["id"]: step["do"] for step in steps}

    return apply


def test_what_is_in_the_file_is_added_changed_and_removed_and_all_else_stays(run, apply):
    run("add", "others", "func=tasks:ok", "hours=1")
    assert apply(job("a"), job("b")) == (0, {"a": "add", "b": "add"})
    assert apply(job("a"), job("b")) == (0, {"a": "keep", "b": "keep"})
    assert apply(job("b", seconds=30), job("c")) == (0, {"b": "change", "c": "add", "a": "remove"})
    found = jobs(run)
    assert set(found) == {"others", "b", "c"}
    assert found["b"]["seconds"] == 30
    assert found["b"]["tags"] == ["applied:jobs"]
    for args in ([1], [True]):  # equal in Python
        assert apply(job("b", seconds=30, args=args), job("c"))[1] == {"b": "change", "c": "keep"}
        assert jobs(run)["b"]["args"][0] is args[0]
    assert apply() == (0, {"b": "remove", "c": "remove"})
    assert set(jobs(run)) == {"others"}


KINDS = {
    "interval": {"minutes": 5},
    "units": {"hours": 1, "minutes": 30, "start_date": "2030-01-01T00:00:00+00:00"},
    "cron": {"trigger": "cron", "hour": 2, "minute": 30},
    "fewer fields": {"trigger": "cron", "day_of_week": "mon-fri"},
    "crontab": {"crontab": "*/5 * * * mon-fri", "timezone": "Europe/Berlin", "jitter": 5},
    "date": {"run_date": "2040-01-01T00:00:00"},
    "calendar": {"trigger": "calendarinterval", "months": 1, "hour": 3},
    "either": {"trigger": {"type": "or", "triggers": [
        {"type": "interval", "hours": 2}, {"type": "cron", "hour": 3}]}},
    "options": {"seconds": 30, "args": [1, "a"], "kwargs": {"k": [None]}, "name": "N", "timeout": 9,
                "retry": {"count": 2}, "max_instances": 3, "coalesce": False, "tags": ["x", "y"]},
}  # fmt: skip


@pytest.mark.parametrize("after", KINDS)
@pytest.mark.parametrize("before", KINDS)
def test_a_job_is_changed_into_any_other_and_then_there_is_nothing_to_do(apply, run, before, after):
    assert apply(job("a", **KINDS[before])) == (0, {"a": "add"})
    if before != after:
        assert apply(job("a", **KINDS[after])) == (0, {"a": "change"})
    assert apply(job("a", **KINDS[after])) == (0, {"a": "keep"})
    changed = jobs(run)["a"]
    run("rm", "a")
    assert apply(job("a", **KINDS[after])) == (0, {"a": "add"})
    made = jobs(run)["a"]
    moving = {"next_run_time", "triggers"} | ({"start_date"} - set(KINDS[after]))
    assert {k: v for k, v in changed.items() if k not in moving} == {
        k: v for k, v in made.items() if k not in moving
    }


MONTHS = {"trigger": "calendarinterval", "months": 1}
SINCE = {"start_date": "2030-01-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"hours": 1, "minutes": 30}, {"hours": 1, "minutes": 45}),
        ({"hours": 1, "minutes": 30, "jitter": 5}, {"hours": 1}),
        ({"hours": 1}, {"hours": 1, "minutes": 45, "jitter": 5}),
        (MONTHS | {"days": 2, "hour": 3}, MONTHS | {"days": 4, "hour": 3}),
        ({"trigger": "cron", "hour": 9, **SINCE}, {"trigger": "cron", "hour": 9}),
        ({"hours": 1, **SINCE}, {"trigger": "cron", "hour": 9, **SINCE}),
    ],
)
def test_a_schedule_becomes_that_of_the_file_as_a_whole(apply, run, before, after):
    apply(job("a", **before))
    assert apply(job("a", **after)) == (0, {"a": "change"})
    found = jobs(run)["a"]
    names = {"hours", "minutes", "jitter", "months", "days", "hour"} & {*found}
    assert {name: found[name] for name in names} == {
        name: value for name, value in after.items() if name not in {"trigger", "start_date"}
    }
    if found["trigger"] == "cron":
        assert found.get("start_date") == after.get("start_date")
    assert apply(job("a", **after)) == (0, {"a": "keep"})


def test_what_the_file_leaves_out_goes_back_to_the_default(apply, run):
    apply(job("a"))
    run("edit", "a", "timeout=5", "max_instances=7")
    assert apply(job("a")) == (0, {"a": "change"})
    assert (jobs(run)["a"]["timeout"], jobs(run)["a"]["max_instances"]) == (None, 1)


def test_a_file_pauses_and_resumes_nothing(apply, run):
    apply(job("a"))
    run("pause", "a")
    assert apply(job("a")) == (0, {"a": "keep"})
    assert jobs(run)["a"]["state"] == "paused"


def test_a_date_that_has_passed_is_not_run_at_each_apply(apply, run):
    assert apply(job("a", run_date="2020-01-01T00:00:00")) == (0, {"a": "keep"})
    assert apply(job("a", trigger="date")) == (2, {"a": "refused"})
    assert jobs(run) == {}


def test_a_dry_run_changes_nothing(apply, run):
    assert apply(job("a"), options=["--dry-run"]) == (0, {"a": "add"})
    assert jobs(run) == {}


def test_nothing_is_done_unless_all_can_be(apply, run):
    status, steps = apply(job("a"), job("b", func="os:system", hours=1))
    assert (status, steps) == (2, {"a": "add", "b": "refused"})
    assert jobs(run) == {}


def test_what_others_do_between_the_plan_and_its_turn_stays(apply, run, monkeypatch):
    apply(job("changed"), job("removed"))

    def meanwhile(question, parsed):
        run("add", "added", "func=tasks:ok", "hours=5")
        run("edit", "changed", "hours=6")
        run("edit", "removed", "hours=7")

    monkeypatch.setattr("schedcore.cli.applying.confirm", meanwhile)
    wanted = [job("added", hours=1, replace_existing=True), job("changed", hours=2)]
    assert apply(*wanted, job("fine"))[0] == 1
    assert {job_id: job["hours"] for job_id, job in jobs(run).items()} == {
        "added": 5,
        "changed": 6,
        "removed": 7,
        "fine": 1,
    }


def test_two_files_do_not_fight_over_a_job(apply, run):
    apply(job("a"))
    assert apply(job("a", seconds=9), name="more") == (2, {"a": "refused"})
    assert apply(job("b"), name="more") == (0, {"b": "add"})
    assert apply(job("a"), name="jobs") == (0, {"a": "keep"}), "and the other's is not removed"


def test_nobody_can_be_asked_in_a_pipe(apply, run, tmp_path):
    assert apply(job("a"), options=[]) == (2, {})
    assert jobs(run) == {}
    asked = typed("apply", "jobs.json", stdin="y\n")
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert "1 to add, 0 to change, 0 to remove" in asked.stdout, "but it is told what would be done"
    assert jobs(run) == {}


def test_toml_with_times_of_its_own(run, tmp_path):
    (tmp_path / "jobs.toml").write_text(
        '[[jobs]]\nid = "a"\nfunc = "tasks:ok"\nrun_date = 2040-01-01T00:00:00Z\n'
    )
    assert run("apply", "jobs.toml", "--yes").status == 0
    assert jobs(run)["a"]["run_date"] == "2040-01-01T00:00:00+00:00"
    assert "0 to add, 0 to change, 0 to remove, 1 as they are" in run("apply", "jobs.toml").out


def test_what_a_server_shows_can_be_applied(run, tmp_path):
    run("add", "a", "func=tasks:ok", "hours=1", "timeout=5")
    (tmp_path / "jobs.json").write_text(run("jobs", "--json").out)
    assert run("apply", "jobs.json", "--yes").status == 0
    assert run("apply", "jobs.json").out == "0 to add, 0 to change, 0 to remove, 1 as they are\n"


def test_a_line_separator_within_text_ends_no_line_of_json(run, tmp_path):
    lines = (json.dumps(job(each, hours=1, args=["x\u2028y"]), ensure_ascii=False) for each in "ab")
    (tmp_path / "jobs.jsonl").write_bytes("\r\n".join(lines).encode())
    assert run("check", "jobs.jsonl").status == 0


def test_check_tells_of_each_job_when_it_would_run_and_what_is_wrong(run, tmp_path):
    wanted = [
        job("a", hour=2, timezone="Europe/Berlin"),
        job("b", hour=99),
        job("c", func="os:system", hours=1),
    ]
    (tmp_path / "jobs.json").write_text(json.dumps(wanted))
    ran = run("check", "jobs.json", "--json")
    assert ran.status == 1
    good, bad, forbidden = json.loads(ran.out)
    assert (good["ok"], len(good["next_fire_times"])) == (True, 3)
    assert (bad["ok"], "hour=99" in bad["error"]) == (False, True)
    assert "SCHEDULER_API_ALLOWED_FUNCS" in forbidden["error"]
    plain = run("check", "jobs.json")
    assert plain.status == 1
    assert [line.split()[:2] for line in plain.out.splitlines()[1:]] == [
        ["a", "ok"],
        ["b", "wrong"],
        ["c", "wrong"],
    ]
    assert jobs(run) == {}


@pytest.mark.parametrize("name", [" a", "a\nb", "x" * 57])
def test_a_name_that_can_be_no_tag(run, tmp_path, name):
    (tmp_path / "jobs.json").write_text("[]")
    assert run("apply", "jobs.json", f"--as={name}").status == 2


def test_the_input_has_no_name():
    assert "--as=''" in typed("apply", "-", stdin="[]").stderr
    assert typed("apply", "-", "--as", "x", stdin="[]").returncode == 0


def test_the_jobs_of_a_server_go_to_another_one(run, server, tmp_path):
    run("add", "a", "func=tasks:ok", 'args=["x"]', "hours=1", "timeout=5", 'tags=["t"]')
    run("add", "b", "func=tasks:ok", "hour=3", "max_instances=2")
    run("pause", "b")
    assert run("export", "--from", server, "jobs.jsonl").out == "2 jobs written\n"

    def there():
        found = jobs(run).values()
        tags = [[tag for tag in job["tags"] if tag != "applied:jobs"] for job in found]
        moving = {"next_run_time", "tags"}
        return tags, [{k: v for k, v in job.items() if k not in moving} for job in found]

    before = there()
    for adding in (["add", "--file"], ["apply", "--yes"]):
        run("rm", "a", "b")
        assert run(*adding, "jobs.jsonl").status == 0
        assert there() == before
    run("resume", "b")
    assert "0 to change, 0 to remove, 2 as they are" in run("apply", "jobs.jsonl").out


def test_what_the_server_hides_is_kept(run, tmp_path, apply, monkeypatch):
    """Of an argument with a secret the server shows stars, which are not to become the argument."""
    secret = {"args": ["secret-123"]}
    with real_server(tmp_path, SCHEDULER_REDACT="secret-[0-9]+") as url:
        monkeypatch.setenv("SCHEDCORE_URL", url)
        assert apply(job("a", hours=1, **secret)) == (0, {"a": "add"})
        assert "secret-123" not in run("job", "a", "--json").out
        assert apply(job("a", hours=1, **secret)) == (0, {"a": "keep"})
        assert apply(job("a", hours=2, **secret)) == (0, {"a": "change"})
        assert apply(job("a", hours=2, args=["secret-123", 5])) == (0, {"a": "change"})
    stored = json.loads(run("export", "--from", f"sqlite:///{tmp_path}/schedcore.db").out)
    assert stored["args"] == ["secret-123", 5]


def test_what_cannot_be_exported_is_told(run, fake):
    there = {"state": "paused", "next_run_time": None, "trigger": "date", "func": "f"}
    fake.answer = lambda asked: (
        200,
        [
            there | {"id": "a"},
            there | {"id": "b\x1b", "shown_as_repr": ["args[0]", "func"]},
            there | {"id": "c", "hidden": ["args"]},
        ],
    )
    ran = run("export", "--from", fake.url)
    assert ran.status == 1
    paused = {"next_run_time": None}
    assert json.loads(ran.out) == {"id": "a", "trigger": "date", "func": "f"} | paused
    assert ran.err == (
        "left: b\\x1b: JSON cannot represent its args[0], func\n"
        "left: c: read-only users do not see its args\n"
    )
