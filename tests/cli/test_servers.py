"""Commands that ask a running server: where it is, who asks, and what comes of trouble."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile

import pytest

from tests.cli.servers import PROGRAM, on_a_terminal, real_server, typed

pytestmark = pytest.mark.usefixtures("home")


def write(home, text, mode=0o600):
    path = home / "cli.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


# Where


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("{}", "/scheduler/jobs"),
        ("{}/", "/scheduler/jobs"),
        ("{}/scheduler", "/scheduler/jobs"),
        ("{}/ops/api/v1/", "/ops/api/v1/jobs"),
    ],
)
def test_a_url_without_a_path_has_the_usual_prefix(run, fake, url, path):
    assert run("jobs", "--url", url.format(fake.url)).status == 0
    assert fake.asked[0].path == path


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:5000", "ftp://x", "http://", "http://h:port", "http://h/?q", "unix:", "unix:a:b",
     "http://h/ x", "http://\x1b"],
)  # fmt: skip
def test_what_is_no_url_is_told_in_one_line(run, url):
    ran = run("jobs", "--url", url)
    assert ran.status == 2
    assert ran.err.startswith("schedcore: --url=")
    assert "expected a URL such as http://127.0.0.1:5000/scheduler" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_url_with_a_password_is_refused_and_not_shown(run):
    ran = run("jobs", "--url", "http://me:secret@127.0.0.1:5000")
    assert ran.status == 2
    assert "--user" in ran.err
    assert "secret" not in ran.err
    ran = run("jobs", "--url", "http://me:secret@127.0.0.1:port")
    assert "--url='http://me:***@127.0.0.1:port'" in ran.err


def test_options_come_before_the_environment_and_that_before_the_file(run, fake, home, monkeypatch):
    write(home, f'url = "{fake.url}/file"\n')
    run("jobs")
    monkeypatch.setenv("SCHEDCORE_URL", f"{fake.url}/environment")
    run("jobs")
    run("jobs", "--url", f"{fake.url}/option")
    assert [asked.path for asked in fake.asked] == [
        "/file/jobs",
        "/environment/jobs",
        "/option/jobs",
    ]


@pytest.fixture
def socket_path():
    """Return a path for a socket that is short: it has 108 bytes at most."""
    folder = tempfile.mkdtemp(prefix="s-")
    yield f"{folder}/s"
    shutil.rmtree(folder)


def test_a_unix_socket_is_asked(tmp_path, run, socket_path):
    (tmp_path / "socket.toml").write_text(f'bind = "unix:{socket_path}"\napi_prefix = "/ops"')
    with real_server(tmp_path, "--config", "socket.toml"):
        ran = run("jobs", "--json", "--url", f"unix:{socket_path}:/ops")
        assert ran == (0, "[]\n", "")
        assert run("jobs", "--url", f"unix:{socket_path}").status != 0, "with another prefix"
    assert run("jobs", "--url", f"unix:{socket_path}").status == 3


def test_a_unix_socket_that_the_server_closes_is_opened_again(tmp_path, run, socket_path):
    (tmp_path / "socket.toml").write_text(f'bind = "unix:{socket_path}"')
    closing = {"GUNICORN_CMD_ARGS": "--keep-alive 0"}
    with real_server(tmp_path, "--config", "socket.toml", **closing):
        ran = run("top", "--json", "--url", f"unix:{socket_path}")
    assert ran.status == 0, ran.err


@pytest.fixture
def certificate(tmp_path):
    """Return a certificate for 127.0.0.1 that nobody has signed but itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path,
         "-out", tmp_path / "public.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (tmp_path / "public.pem").read_text())
    return path


def test_a_certificate_is_checked(run, fake, certificate, monkeypatch):
    fake.encrypt(certificate)
    ran = run("jobs", "--json", "--url", fake.url, "--token", "secret")
    assert ran.status == 3
    assert "certificate verify failed" in ran.err
    assert fake.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert run("jobs", "--json", "--url", fake.url).status == 0


# Who


def authorization(asked):
    return asked.headers.get("Authorization")


def basic(text):
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_credentials_come_from_options_the_environment_and_the_file(run, fake, home, monkeypatch):
    write(home, f'url = "{fake.url}"\ntoken = "of-the-file"\n')
    run("jobs")
    monkeypatch.setenv("SCHEDCORE_USER", "me:of the environment")
    run("jobs")
    monkeypatch.setenv("SCHEDCORE_TOKEN", "of-the-environment")
    run("jobs")
    run("jobs", "--user", "me:ö")
    run("jobs", "--token", "given")
    assert list(map(authorization, fake.asked)) == [
        "Bearer of-the-file",
        basic("me:of the environment"),
        "Bearer of-the-environment",
        basic("me:ö"),
        "Bearer given",
    ]


def test_what_the_file_has_for_its_server_no_other_one_gets(run, fake, home, monkeypatch):
    write(home, 'url = "http://127.0.0.1:1"\ntoken = "secret"\n')
    run("jobs", "--url", fake.url)
    monkeypatch.setenv("SCHEDCORE_URL", fake.url)
    run("jobs")
    assert list(map(authorization, fake.asked)) == [None, None]


def test_a_file_that_others_may_read_is_told_of(run, fake, home):
    path = write(home, f'url = "{fake.url}"\ntoken = "secret"\n', 0o644)
    ran = run("jobs")
    assert ran.status == 0
    assert ran.err == f"schedcore: others may read {path}: chmod 600 {path}\n"
    write(home, f'url = "{fake.url}"\n', 0o644)
    assert run("jobs").err == "", "there is no secret in it"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("url", "expected TOML"),
        ("tokem = 'secret'", "tokem='...': expected one of url, token, user in "),
        ("token = 3", "token='...': expected text in quotes in "),
        ("token = 'sec ret'", "token='...': expected letters, digits"),
    ],
)
def test_mistakes_in_the_file_are_told_without_its_secrets(run, home, text, told):
    write(home, text)
    ran = run("jobs")
    assert ran.status == 2
    assert told in ran.err
    assert "sec" not in ran.err.replace(str(home), "")


def test_a_token_cannot_bring_a_header_of_its_own(run, fake):
    ran = run("jobs", "--url", fake.url, "--token", "a\r\nX-Other: b")
    assert (ran.status, fake.asked) == (2, [])


# Trouble


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, 2), (401, 2), (403, 2), (404, 2), (409, 2), (412, 2), (429, 2), (500, 2),
     (502, 3), (503, 3), (504, 3)],
)  # fmt: skip
def test_what_the_server_says_is_told_and_the_exit_status_tells_the_kind(
    run, fake, status, expected
):
    fake.answer = lambda asked: (status, {"error_message": "it is \x1b[2J so", "error_type": "T"})
    ran = run("job", "x", "--url", fake.url)
    assert ran.status == expected
    assert r"it is \x1b[2J so" in ran.err
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "answer"), [(200, b"<html>"), (404, b"<html>\x1b[2J"), (403, b"\xff\xfe")]
)
def test_somebody_elses_server_is_told_apart(run, fake, status, answer):
    fake.answer = lambda asked: (status, answer)
    ran = run("jobs", "--url", fake.url)
    assert ran.status == 3
    assert f"{fake.url} answers {status} with " in ran.err


COMMANDS = [
    ["jobs"], ["job", "a"], ["ps"], ["runs"], ["logs", "1"], ["logs", "a"], ["top"], ["run", "a"],
    ["run", "--all", "--yes"], ["pause", "--all", "--yes"], ["cancel", "1"], ["add", "a", "x=1"],
    ["edit", "a", "x=1"], ["check", "jobs.json"], ["apply", "jobs.json", "--yes"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_answer_of_another_shape_is_no_traceback(run, fake, tmp_path, command):
    (tmp_path / "jobs.json").write_text('{"id": "a", "func": "f"}')
    for answer in ([1], [[]], {"a": 1}, [{"a": 1}], "text", None, 5):
        fake.answer = lambda asked, answer=answer: (200, answer)
        ran = run(*command, "--url", fake.url)
        assert ran.status == 3, (answer, ran)
        assert "does not answer as this schedcore expects" in ran.err
        assert len(ran.err.splitlines()) == 1


def test_no_redirect_is_followed(run, fake):
    fake.answer = lambda asked: (302, b"")
    fake.headers["Location"] = "http://elsewhere/"
    ran = run("jobs", "--url", fake.url, "--token", "secret")
    assert ran.status == 3
    assert "redirects to http://elsewhere/" in ran.err
    assert len(fake.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no.such.host.invalid", "unix:/no"])
def test_a_server_that_is_not_there(run, url):
    ran = run("jobs", "--url", url)
    assert ran.status == 3
    assert ran.err.startswith(f"schedcore: {url} cannot be reached: ")


def test_a_view_of_what_is_not_there_does_not_begin():
    status, shown = on_a_terminal("top", "--url", "http://127.0.0.1:1")
    assert status == 3
    assert shown.startswith("schedcore: http://127.0.0.1:1 cannot be reached: ")


@pytest.mark.parametrize("job_id", ["..", ".", ""])
def test_an_id_that_proxies_shorten_is_not_sent(run, fake, job_id):
    """``/jobs/../pause`` would pause the scheduler."""
    ran = run("pause", job_id, "--url", fake.url)
    assert (ran.status, fake.asked) == (2, [])


@pytest.mark.parametrize("job_id", ["a/b", "a?b#c", "50%", "ä b", "../x"])
def test_an_id_is_one_part_of_the_address(run, fake, job_id):
    fake.answer = lambda asked: (404, {"error_message": "no"})
    run("rm", job_id, "--url", fake.url)
    path = fake.asked[0].path.removeprefix("/scheduler/jobs/")
    assert not set("/?# ") & set(path)


def test_a_connection_that_was_closed_meanwhile_is_opened_again(run, fake):
    fake.hangs_up = True
    job = {"id": "a", "state": "paused", "next_run_time": None, "trigger": "date", "func": "f"}
    fake.answer = lambda asked: (200, [] if asked.path.endswith("runs?limit=5") else job)
    assert run("job", "a", "--url", fake.url).status == 0
    assert [asked.method for asked in fake.asked] == ["GET", "GET"]


def test_a_connection_is_used_again_and_what_may_not_be_done_twice_is_sent_once(run, fake):
    """A connection may break before an answer comes, and the server have done what was asked."""
    fake.answer = lambda asked: (200, {"state": "paused"}) if asked.method == "GET" else None
    ran = run("edit", "a", "hour=5", "--url", fake.url)
    assert ran.status == 3
    assert [asked.method for asked in fake.asked] == ["GET", "PATCH"]
    fake.asked.clear()
    fake.answer = lambda asked: (200, [])
    run("top", "--json", "--url", fake.url)
    assert len(fake.asked) > 2
    assert len({asked.port for asked in fake.asked}) == 1


def test_a_job_is_changed_only_as_it_was_seen(run, fake):
    fake.answer = lambda asked: (
        (412, {"error_message": "it was changed"}) if asked.method == "PATCH" else (200, {})
    )
    fake.headers["ETag"] = '"abc.d"'
    ran = run("edit", "a", "hour=5", "--url", fake.url)
    assert ran == (2, "", "schedcore: it was changed\n")
    assert fake.asked[1].headers["If-Match"] == '"abc.d"'
    run("edit", "a", "hour=5", "--url", fake.url, "--if-match", '"mine"')
    assert fake.asked[3].headers["If-Match"] == '"mine"'


# As a process


def test_who_is_refused_is_told_why(tmp_path):
    tokens = json.dumps({"ops": "a" * 40, "looker": "b" * 40})
    with real_server(
        tmp_path,
        SCHEDULER_API_TOKENS=tokens,
        SCHEDULER_API_READ_ONLY='["looker"]',
        SCHEDULER_API_HIDE_ARGS="true",
    ) as url:
        none = typed("jobs", SCHEDCORE_URL=url)
        assert none.returncode == 2
        assert "credentials are needed" in none.stderr
        assert "SCHEDCORE_TOKEN" in none.stderr
        add = ["add", "a", "func=tasks:ok", "seconds=9"]
        reader = typed(*add, SCHEDCORE_URL=url, SCHEDCORE_TOKEN="b" * 40)
        assert reader.returncode == 2
        assert "SCHEDULER_API_READ_ONLY" in reader.stderr
        assert typed(*add, SCHEDCORE_URL=url, SCHEDCORE_TOKEN="a" * 40).returncode == 0
        assert typed("jobs", SCHEDCORE_URL=url, SCHEDCORE_TOKEN="b" * 40).returncode == 0
        apply = ["apply", "-", "--as", "x", "--yes", "--json"]
        wanted = '{"id": "b", "func": "tasks:ok", "hours": 1, "args": [1]}'
        made = typed(*apply, stdin=wanted, SCHEDCORE_URL=url, SCHEDCORE_TOKEN="a" * 40)
        assert made.returncode == 0
        planned = typed(*apply, stdin=wanted, SCHEDCORE_URL=url, SCHEDCORE_TOKEN="b" * 40)
        assert [step["do"] for step in json.loads(planned.stdout)["steps"]] == ["keep"]


def test_a_reader_that_goes_away_is_no_trouble(fake):
    job = {"id": "a", "state": "paused", "next_run_time": None, "trigger": "date", "func": "f"}
    fake.answer = lambda asked: (200, [job] * 10_000)
    process = subprocess.Popen(
        [*PROGRAM, "jobs", "--url", fake.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141
