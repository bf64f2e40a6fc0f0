"""The lines of a crontab become jobs that run the same commands at the same times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schedcore import SqliteStore, jobs
from schedcore.clock import from_us
from schedcore.transfer.crontab import read_crontab, split_command

NOW = 1_767_225_600_000_000  # 2026-01-01T00:00:00 in UTC, a Thursday


def read(text, **more):
    given = {"home": Path("/home/me"), "timezone": "UTC"} | more
    return read_crontab(text.splitlines(), NOW, **given)


def only(text, **more):
    reading = read(text, **more)
    assert reading.rejected == []
    (taken,) = reading.importable
    return taken.entry


def left(text, **more):
    reading = read(text, **more)
    assert reading.importable == []
    return [(each.where, each.reason) for each in reading.rejected]


@pytest.mark.parametrize(
    ("times", "first"),
    [
        ("30 2 * * 1-5", "2026-01-01T02:30:00+00:00"),
        ("  0\t0 1  feb *", "2026-02-01T00:00:00+00:00"),
        ("0 0 13 * fri", "2026-01-02T00:00:00+00:00"),  # one that matches is enough
        ("@daily", "2026-01-02T00:00:00+00:00"),
        ("@Hourly", "2026-01-01T01:00:00+00:00"),
        ("-*/5 * * * *", "2026-01-01T00:05:00+00:00"),  # cron is not to log it
    ],
)
def test_times(times, first):
    entry = only(f"{times} true")
    # The moment of reading may be a fire time: cron runs what is due from the next minute on.
    assert from_us(entry.job.trigger.next_us(NOW)).isoformat() == first


def test_a_command_is_run_by_the_shell_in_the_home_folder():
    job = only("* * * * * cd x && ./run  'a  b' | tee log # note").job
    assert job.func_ref == "schedcore.jobs:run_command"
    assert job.args == (["/bin/sh", "-c", "cd x && ./run  'a  b' | tee log # note"],)
    assert job.kwargs == {"cwd": "/home/me"}
    assert job.name == "cd x && ./run  'a  b' | tee log # note"


def test_settings_count_for_the_lines_below_them():
    text = """
# comment

* * * * * first
SHELL=/bin/bash
PATH = "/usr/bin:/bin"
"MY NAME"='x y'
EMPTY=
HOME=/srv
CRON_TZ=Europe/Berlin
RANDOM_DELAY=2
0 9 * * * second
"""
    reading = read(text)
    first, second = (taken.entry.job for taken in reading.importable)
    assert "env" not in first.kwargs
    assert second.args[0][0] == "/bin/bash"
    assert second.kwargs == {
        "cwd": "/srv",
        "env": {
            "SHELL": "/bin/bash",
            "PATH": "/usr/bin:/bin",
            "MY NAME": "x y",
            "EMPTY": "",
            "HOME": "/srv",
        },
    }
    assert repr(second.trigger) == (
        "CronTrigger.from_crontab('0 9 * * *', timezone='Europe/Berlin', jitter=120)"
    )


@pytest.mark.parametrize(
    ("text", "command", "given"),
    [
        ("date", "date", None),
        (r"date +\%F", "date +%F", None),
        ("mail me%Hello", "mail me", "Hello\n"),
        ("mail me%Hello%%there%", "mail me", "Hello\n\nthere\n"),
        (r"cat%100\% \n", "cat", "100% \\n\n"),
        (r"echo \\%x", "echo \\\\", "x\n"),  # the backslash before it is one of its own
        ("cat%", "cat", "\n"),
        ("ends in \\", "ends in \\", None),
    ],
)
def test_percent_signs(text, command, given):
    assert split_command(text) == (command, given)


def test_what_cannot_come_over_is_told_with_its_line():
    text = "@reboot /opt/agent\n61 * * * * x\nhello there\n* * * * *\n@often x\n* * * * * %in"
    told = left(text)
    assert [where for where, _ in told] == [f"line {n}" for n in range(1, 7)]
    reasons = [reason for _, reason in told]
    assert reasons[0].startswith("it runs at boot, not at a time")
    assert "expected a minute of 0 to 59" in reasons[1]
    assert reasons[2] == reasons[3]
    assert reasons[2].startswith("it is neither a setting nor five fields of time")
    assert reasons[4].startswith("crontab='@often': expected one of @yearly")
    assert reasons[5] == "it has no command before its %"


def test_a_zone_that_is_not_known_is_told_for_each_line():
    ((where, reason),) = left("CRON_TZ=Europe/Berlni\n* * * * * x")
    assert where == "line 2"
    assert "(did you mean 'Europe/Berlin'?)" in reason


def test_mail_is_remarked():
    (remark,) = read("MAILTO=ops\n* * * * * x").remarks
    assert remark.startswith("MAILTO is not imported")


SYSTEM = "SHELL=/bin/sh\n17 *\t* * *\troot    cd / && run-parts\n5 4 * * * me  mine all\n"


def test_of_a_system_crontab_the_lines_of_one_user_are_taken():
    reading = read(SYSTEM, user="me")
    assert [taken.entry.job.name for taken in reading.importable] == ["mine all"]
    (other,) = reading.rejected
    assert other.where == "line 2"
    assert other.reason.startswith("it runs as root: import it with --user root")
    reading = read(SYSTEM, user="root")
    assert [taken.entry.job.name for taken in reading.importable] == ["cd / && run-parts"]


def test_ids_are_of_what_a_line_says():
    one = only("0  9 * * * work").job.id
    assert one == only("# moved\nPATH=/bin\n0 9 * * *   work").job.id
    assert one != only("0 9 * * * work more").job.id
    twice = read("H H * * * work\nH H * * * work").importable
    assert [taken.entry.job.trigger.hash_id for taken in twice] == [
        taken.entry.job.id for taken in twice
    ]
    twice = read("0 9 * * * work\n0 9 * * * work").importable
    assert [taken.entry.job.id for taken in twice] == [one, f"{one}-2"], "cron runs it twice"


# The command


def test_a_second_import_adds_nothing_twice(run, tmp_path):
    (tmp_path / "tab").write_text("@daily one\n0 9 * * * two\n@reboot three\n")
    ran = run("import-crontab", "tab", "--into", "sqlite:///jobs.db", "--tz", "UTC")
    assert ran.status == 1
    assert ran.out.splitlines()[-1] == "2 jobs added; 1 left, for the reasons above"
    (tmp_path / "tab").write_text("0 9 * * * two\n@daily one\n@daily four\n")
    ran = run("import-crontab", "tab", "--into", "sqlite:///jobs.db", "--tz", "UTC")
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == "1 job added; 2 there already"
    store = SqliteStore("jobs.db")
    names = sorted(entry.job.name for entry in store.entries())
    assert names == ["four", "one", "two"]
    store.close()


def test_a_line_ends_only_where_cron_ends_it(run, tmp_path):
    text = "# a note\x0c* * * * * other\r\n0 1 * * * echo a\u2028b\n"
    (tmp_path / "tab").write_bytes(text.encode())
    ran = run("import-crontab", "tab", "--dry-run", "--json")
    assert ran.out.isascii(), "JSON for an output of any encoding"
    (added,) = json.loads(ran.out)["added"]
    assert added["args"] == [["/bin/sh", "-c", "echo a\u2028b"]]


def test_the_jobs_run(run, tmp_path):
    (tmp_path / "tab").write_text(f"HOME={tmp_path}\n@daily cat > said%hello\n")
    told = json.loads(run("import-crontab", "tab", "--dry-run", "--json").out)
    (job,) = told["added"]
    assert job["func"] == f"{jobs.__name__}:{jobs.run_command.__name__}"
    jobs.run_command(*job["args"], **job["kwargs"])
    assert (tmp_path / "said").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none", "--dry-run"], "No such file"),
        (["tab", "--dry-run", "--user", "root"], "--user='root': expected --system beside it"),
        (["tab"], "into=None: expected a store on disk"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, told, run, tmp_path):
    (tmp_path / "tab").write_text("")
    ran = run("import-crontab", *arguments)
    assert ran.status == 2
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1
