"""What a start says: everything that is wrong before gunicorn begins, and then what is served."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from werkzeug.test import Client

from schedcore import InvalidOptionError, Scheduler
from schedhttp import checks, create_app
from schedhttp.__main__ import main
from schedhttp.settings import ConfigError, Settings, load
from schedhttp.startup_log import log_readable_config, log_serving
from schedhttp.workers import gunicorn

TASKS = "def f(): pass\n"
EXITS = "import sys\nprint('noise')\nsys.exit('no')\n"
GOOD = '[[jobs]]\nid = "first"\nfunc = "tasks:f"\ntrigger = "cron"\nhour = 3\n'


@pytest.fixture
def command(tmp_path):
    """Call the command, or gunicorn's, beside a module ``tasks``; return status and errors."""
    (tmp_path / "tasks.py").write_text(TASKS)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULER_")}

    def call(*arguments, program=("-m", "schedhttp"), **environment):
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=tmp_path,
            env=inherited | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    return call


WRONG = [
    ('id = "x"\nfunc = "tasks:f"\ntrigger = "cron"\nhour = 25', "jobs[1] 'x': hour=25: expected 0"),
    ('id = "x"\nfunc = "tasks:f"\ntrigger = "corn"', "jobs[1] 'x': trigger='corn': expected"),
    ('id = "x"\nfunc = "tasks:f"\ntrigger = "date"\nmax_instance = 2', "jobs[1] 'x': "),
    (
        'id = "x"\nfunc = "tasks:g"\ntrigger = "date"',
        "jobs[1] 'x': func='tasks:g': expected a name",
    ),
    ('id = "x"\nfunc = "taks:f"\ntrigger = "date"', "jobs[1] 'x': func='taks:f': expected an imp"),
    (
        'id = "x"\nfunc = "tasks:f"\ntrigger = "date"\nargs = [1]',
        "jobs[1] 'x': args=(1,): expected",
    ),
    ('id = "x"\nfunc = "tasks:f"\ntrigger = "date"\nexecutor = "y"', "jobs[1] 'x': executor='y'"),
    ('id = "x"\nfunc = "tasks:f"\ntrigger = "date"\nself = 1', "jobs[1] 'x': "),
    ('id = "x"\ntrigger = "date"', "jobs[1] 'x': func=None: expected text such as"),
    ('id = 5\nfunc = "tasks:f"\ntrigger = "date"', "jobs[1] 5: id=5: expected text"),
    ('func = "tasks:g"\ntrigger = "date"', "jobs[1]: func='tasks:g': expected"),
    (
        'id = "first"\nfunc = "tasks:f"\ntrigger = "date"',
        "jobs[1] 'first': another job has this id",
    ),
    (
        'id = "x"\nfunc = "exits:f"\ntrigger = "date"',
        "jobs[1] 'x': func='exits:f': expected an importable",
    ),
]


@pytest.mark.parametrize(("job", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_job_is_named_by_file_index_and_id(tmp_path, monkeypatch, job, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "exits.py").write_text(EXITS)
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\n{GOOD}\n[[jobs]]\n{job}\n')
    assert what_is_wrong().startswith(f"s.toml: {message}")


def what_is_wrong():
    """Return what checks find wrong in s.toml: one line."""
    with pytest.raises(InvalidOptionError) as found:
        checks.check_app(load("s.toml", {}), "s.toml")
    assert "\n" not in str(found.value)
    return str(found.value)


def test_it_is_told_before_gunicorn_starts(command, tmp_path):
    job, message = WRONG[-1]
    (tmp_path / "exits.py").write_text(EXITS)
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\n{GOOD}\n[[jobs]]\n{job}\n')
    status, told = command("--config", "s.toml")
    assert told.startswith(f"schedhttp: s.toml: {message}")
    assert (status, told.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "api_prefx = 1",
            "api_prefx=...: expected the name of a setting (did you mean 'api_prefix'",
        ),
        ("api_prefix = \nx = 1", "expected TOML, but: Invalid value (at line 1"),
        ("threads = 0", "threads=0: expected a whole number of 1 or more"),
        ('timezone = "Mars"', "timezone='Mars': expected a zone name"),
        ("jobs = [{}, 5]", "jobs[1]=5: expected a table"),
        ("[job_defaults]\nmax_instance = 1", "job_defaults: max_instance=1: expected one of"),
        ('[executors.io]\ntype = "treadpool"', "executors['io']={'type': 'treadpool'}: exp"),
        ("[executors.io]\nmax_workers = 0", "executors['io'].max_workers=0: expected a whole"),
        ('[api_tokens]\nrobot = "short"', "SCHEDULER_API_TOKENS={'robot': Ellipsis}: expected"),
        (
            f'[api_tokens]\nrobot = "{"x" * 16}"\nviewer = "{"x" * 16}"',
            "SCHEDULER_API_TOKENS={'viewer': Ellipsis}: expected another token than",
        ),
        ('log_level = "LOUD"', "log_level='LOUD': expected one of DEBUG, INFO"),
    ],
)
def test_whatever_is_wrong_in_a_file_is_told_with_its_name(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(text)
    assert what_is_wrong().startswith(f"s.toml: {message}")


def test_so_does_the_command(command, tmp_path):
    (tmp_path / "s.toml").write_text("threads = 0")
    status, told = command("--config", "s.toml")
    assert told.startswith("schedhttp: s.toml: threads=0: expected a whole number of 1 or more")
    assert (status, told.count("\n")) == (2, 1)


def test_a_file_that_is_not_there(command):
    assert command("--config", "none.toml") == (
        2,
        "schedhttp: none.toml: expected a TOML file, but: No such file or directory\n",
    )


def test_a_wrong_job_of_the_environment_is_named_by_variable_and_index(command, tmp_path):
    (tmp_path / "s.toml").write_text(GOOD)
    told = command("--config", "s.toml", SCHEDULER_JOBS='[{"id": "q", "func": "nowhere:f"}]')
    assert told[0] == 2
    assert told[1].startswith("schedhttp: SCHEDULER_JOBS[0] 'q': func='nowhere:f': expected")


def test_a_module_that_crashes_the_interpreter_is_told_of(command, tmp_path):
    (tmp_path / "tasks.py").write_text("import os\nos.abort()\n")
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\n{GOOD}')
    status, told = command("--config", "s.toml")
    assert (status, told) == (
        2,
        "schedhttp: s.toml: importing the jobs' modules ended by SIGABRT\n",
    )


def test_gunicorn_s_own_command_checks_the_same(command, tmp_path):
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\n{GOOD}minute = 60\n')
    status, told = command(
        *("-c", "python:schedhttp.gunicorn_conf", "schedhttp.wsgi:app"),
        program=("-m", "gunicorn"),
        SCHEDULER_CONFIG="s.toml",
    )
    assert told.startswith("schedhttp: s.toml: jobs[0] 'first': minute=60: expected 0 to 59")
    assert (status, told.count("\n")) == (2, 1)


# The store


STORES = [
    ("nowhere/s.db", "it cannot be written (No such file or directory): name a file in a folder"),
    (
        "text.db",
        "it is no SQLite database, or a damaged one (file is not a database): name another",
    ),
]


@pytest.mark.parametrize(("path", "message"), STORES, ids=["folder", "file"])
def test_a_store_that_cannot_be_used_is_one_line_that_names_the_setting(
    command, tmp_path, path, message
):
    (tmp_path / "text.db").write_text("something else, and long enough to be looked at" * 30)
    (tmp_path / "s.toml").write_text(f'store = "sqlite:///{path}"\nbind = "127.0.0.1:0"')
    status, told = command("--config", "s.toml")
    assert told.startswith(f"schedhttp: s.toml: store: store {tmp_path / path}: {message}")
    assert (status, told.count("\n")) == (2, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_working_folder_that_cannot_be_written_is_told_with_the_setting(command, tmp_path):
    tmp_path.chmod(0o500)
    status, told = command(SCHEDULER_BIND="127.0.0.1:0")
    tmp_path.chmod(0o700)
    assert told.startswith("schedhttp: SCHEDULER_STORE: store ")
    assert (status, told.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (("-m", "schedhttp"), ("--workers", "2")),
        (
            ("-m", "gunicorn", "-c", "python:schedhttp.gunicorn_conf"),
            ("-w", "2", "schedhttp.wsgi:app"),
        ),
    ],
    ids=["schedhttp", "gunicorn"],
)
def test_several_workers_with_jobs_in_memory_are_refused_with_the_way_out(
    command, program, arguments
):
    status, told = command(
        *arguments, program=program, SCHEDULER_STORE="memory", SCHEDULER_BIND="127.0.0.1:0"
    )
    assert "schedhttp: SCHEDULER_STORE: in memory each process has its own jobs" in told
    assert "SCHEDULER_STORE=sqlite:///schedcore.db, or start one worker\n" in told
    assert (status, "Traceback" in told) == (2, False)


def test_a_server_that_cannot_start_leaves_the_store_of_another_alone(command, tmp_path):
    """The jobs of its settings would take the place of those that are there."""
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\n{GOOD}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command("--config", "s.toml", "--port", str(port))[0] == 1
    assert not (tmp_path / "schedcore.db").exists()


def test_executors_that_need_a_store_on_disk_are_tried_with_one(tmp_path):
    pytest.importorskip("celery", reason="Celery is not installed")
    far = {"type": "celery", "broker": "redis://127.0.0.1:1/0"}
    settings = Settings.of(executors={"far": far}, store=f"sqlite:///{tmp_path}/jobs.db")
    checks.check_app(settings, None)
    assert not list(tmp_path.iterdir())  # and not with the one that is served
    with pytest.raises(ConfigError, match="a store that its workers can reach"):
        checks.check_app(settings.changed({"store": "memory"}), None)


# The address


def test_a_port_in_use_is_found_before_gunicorn_starts(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, told = command("--port", str(port))
    assert (status, told) == (
        1,
        f"schedhttp: bind='127.0.0.1:{port}': the port is in use by another program;"
        f" --port {port + 1} takes another\n",
    )


def test_the_usual_port_in_use_has_a_hint_at_airplay(monkeypatch):
    def refuse(_self, _address):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(checks.AddressError, match=r"AirPlay.*--port 5001"):
        checks.check_address("127.0.0.1:5000")


@pytest.mark.parametrize(
    ("bind", "message"),
    [
        ("192.0.2.7:5000", "this computer has no such address"),
        ("nowhere.invalid:5000", "the name of the host is not known"),
        ("unix:/nowhere/s.sock", "there is no such folder"),
    ],
)
def test_an_address_that_cannot_be_listened_at(bind, message):
    with pytest.raises(checks.AddressError, match=message):
        checks.check_address(bind)


def test_a_unix_socket_at_which_somebody_answers_is_not_taken_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket has 108 bytes at most
    bind = f"unix:{tmp_path / 's'}"
    checks.check_address(bind)
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind("s")
        checks.check_address(bind)  # left behind by one that ended
        taken.listen()
        with pytest.raises(checks.AddressError, match="another server answers there"):
            checks.check_address(bind)
    checks.check_address(bind)


def test_sockets_that_gunicorn_was_given_are_not_tried(monkeypatch):
    """A newer gunicorn takes over those of an older one, by USR2; or systemd opened them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        for variable in ("GUNICORN_FD", "LISTEN_FDS"):
            with monkeypatch.context() as patched:
                patched.setenv(variable, "3")
                checks.check_address(bind)


# Where gunicorn is not


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("gunicorn", "gunicorn is not installed (pip install gunicorn)"),
        ("fcntl", "gunicorn does not run on Windows, or on other systems without fcntl"),
        ("pwd", "gunicorn does not run on Windows, or on other systems without pwd"),
    ],
)
def test_without_gunicorn_or_what_it_needs_the_way_out_is_told(command, module, message):
    program = (
        f"import sys; sys.modules[{module!r}] = None;"
        " from schedhttp.__main__ import main; sys.exit(main([]))"
    )
    status, told = command(program=("-c", program))
    assert (status, told.count("\n")) == (1, 1)
    assert told.startswith(f"schedhttp: {message}; ")
    assert "waitress" in told


# What a start says


JOBS = "".join(
    f'[[jobs]]\nid = "job{n}"\nfunc = "chores:beat"\nargs = ["/dev/null"]\n'
    f'trigger = "cron"\nyear = {2990 + n}\ntimezone = "UTC"\n'
    for n in range(4)
)
STARTED = (
    "with 4 jobs; next: 'job0' at 2990-01-01 00:00:00+00:00, 'job1' at 2991-01-01 00:00:00+00:00,"
    " 'job2' at 2992-01-01 00:00:00+00:00\n"
)


PROGRAMS = pytest.mark.parametrize(
    "program",
    [
        pytest.param(["schedhttp", "--config", "s.toml"], id="schedhttp"),
        pytest.param(
            ["gunicorn", "-c", "python:schedhttp.gunicorn_conf", "schedhttp.wsgi:app"],
            id="gunicorn",
        ),
    ],
)


@PROGRAMS
def test_a_start_says_where_what_and_when_and_each_order_has_a_line(serve, tmp_path, program):
    (tmp_path / "s.toml").write_text(
        f'python_path = ["."]\nbind = "127.0.0.1:0"\nworkers = 2\nthreads = 3\n{JOBS}'
    )
    server = serve(sys.executable, "-m", *program, SCHEDULER_CONFIG="s.toml")
    server.all_answer(2)
    for order in ("pause", "resume", "shutdown", "start"):
        assert server.patiently("POST", f"/scheduler/{order}").status == 204
    server.stop()
    assert server.process.returncode == 0
    log = server.log
    assert f"the scheduler is running, {STARTED}" in log
    check_where(server, starts=1)
    for what in ("paused", "resumed", "stopped", "started"):
        line = f"INFO schedcore.audit: the scheduler was {what} by anybody at 127.0.0.1\n"
        assert log.count(line) == 1
    assert "WARNING" not in log
    assert log.count("Booting worker") == 2
    assert "Using worker: gthread" in log


def check_where(server, starts):
    """Check that each start says once where jobs are stored and where the API is."""
    stored = f"jobs are stored in sqlite:///{server.folder}/schedcore.db\n"
    base = f"http://127.0.0.1:{server.port}/scheduler"
    assert server.log.count(stored) == starts
    assert server.log.count(f"the API is at {base}, described at {base}/openapi.json") == starts


def test_one_of_many_workers_says_where_jobs_are_whoever_takes_them(serve, tmp_path):
    scheduler = Scheduler(store=f"sqlite:///{tmp_path}/schedcore.db")
    scheduler.start()
    (tmp_path / "s.toml").write_text('bind = "127.0.0.1:0"\nworkers = 2')
    server = serve(sys.executable, "-m", "schedhttp", "--config", "s.toml")
    server.all_answer(3)
    server.stop()
    scheduler.shutdown()
    check_where(server, starts=1)


@PROGRAMS
def test_the_log_of_a_server_is_json_where_a_setting_says_so(serve, tmp_path, program):
    (tmp_path / "s.toml").write_text(
        f'log_format = "json"\npython_path = ["."]\nbind = "127.0.0.1:0"\n{JOBS}'
    )
    server = serve(sys.executable, "-m", *program, SCHEDULER_CONFIG="s.toml")
    server.all_answer(1)
    server.stop()
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert {line["logger"] for line in lines} >= {"gunicorn.error", "schedhttp.startup_log"}
    assert any(f"the scheduler is running, {STARTED}".startswith(line["message"]) for line in lines)


def test_each_order_over_http_has_one_line_in_the_log_on_every_mount(api, caplog):
    caplog.set_level("INFO", "schedcore.audit")
    for order, done in [
        ("pause", "paused"),
        ("resume", "resumed"),
        ("shutdown", "stopped"),
        ("start", "started"),
    ]:
        assert api("POST", f"/{order}").status == 204
        (record,) = caplog.records
        assert record.getMessage() == f"the scheduler was {done} by anybody at 127.0.0.1"
        caplog.clear()


def test_a_reload_finds_changed_code_although_it_was_imported_to_be_checked(serve, tmp_path):
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\nbind = "127.0.0.1:0"\n{JOBS}')
    server = serve(sys.executable, "-m", "schedhttp", "--config", "s.toml")
    before = server.holder()
    server.all_answer(1)
    chores = tmp_path / "chores.py"
    chores.write_text(chores.read_text() + "\nprint('changed code', flush=True)\n")
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.holder() != before)
    assert "changed code" in server.log


def pids(server):
    return {node["pid"] for node in server.all_answer(1) if node["state"] == "alive"}


def test_a_reload_reads_the_settings_again(serve, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(f'python_path = ["."]\nbind = "127.0.0.1:0"\n{JOBS}')
    server = serve(sys.executable, "-m", "schedhttp", "--config", "s.toml")
    before = pids(server)
    added = '[[jobs]]\nid = "new"\nfunc = "chores:beat"\nargs = ["x"]\ntrigger = "date"\n'
    added += "run_date = 2999-01-01T00:00:00Z\n"
    file.write_text(f'log_format = "json"\nlog_level = "debug"\n{file.read_text()}{added}')
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.holder() not in before)
    assert server.patiently("GET", "/scheduler/jobs/new").status == 200
    server.stop()
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    assert {line["logger"] for line in lines} >= {"gunicorn.error", "schedhttp.startup_log"}
    assert "DEBUG" in {line["level"] for line in lines}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "s.toml",
            'log_format = "json"\nlog_level = "debug"\nworkers = 2\nstore = "memory"\n',
            "s.toml: store: in memory each process has its own jobs",
        ),
        ("s.toml", "threads =", "s.toml: "),
        ("chores.py", "raise OSError('no disk')\n", "importing 'chores' failed: no disk"),
    ],
    ids=["a wrong setting", "no TOML", "a module that cannot be imported"],
)
def test_a_reload_with_a_mistake_leaves_all_as_it_is(serve, tmp_path, name, text, told):
    """gunicorn alone would end with the first worker that cannot load its app."""
    (tmp_path / "s.toml").write_text(f'python_path = ["."]\nbind = "127.0.0.1:0"\n{JOBS}')
    server = serve(sys.executable, "-m", "schedhttp", "--config", "s.toml")
    before = pids(server)
    file = tmp_path / name
    file.write_text(text + file.read_text())
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: "the server goes on as it is" in server.log)
    assert told in server.log
    assert pids(server) == before
    assert '\n{"' not in server.log, "the log stays as it is, too"


# Whom it is open to

EVERYWHERE = ["http://0.0.0.0:5000"]
USERS = {"api_tokens": {"robot": "x" * 16}}


@pytest.mark.parametrize(
    ("addresses", "settings", "warning"),
    [
        (["http://127.0.0.1:5000"], {}, ""),
        (["http://[::1]:5000"], {}, ""),
        (["http://localhost:5000"], {}, ""),
        (["unix:/run/s.sock"], {}, ""),
        ([], {}, ""),
        (EVERYWHERE, {}, "only this one is served"),
        (["http://[::]:5000"], {}, "only this one is served"),
        (["http://127.0.0.1:5000", "http://192.0.2.7:5000"], {}, "only this one is served"),
        (["http://ops.example:5000"], {}, "only this one is served"),
        (EVERYWHERE, {"api_loopback_only": False}, "every client that can connect is served"),
        (EVERYWHERE, USERS, ""),
        (EVERYWHERE, {"auth": lambda _credentials: False}, ""),
        (EVERYWHERE, {"api_enabled": False}, ""),
    ],
)
def test_who_listens_to_other_computers_without_credentials_is_warned_once(
    caplog, addresses, settings, warning
):
    app = create_app(Scheduler(), **settings)
    log_serving(app, addresses)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == bool(warning)
    assert warning in "".join(warnings)


@pytest.mark.parametrize(
    ("workers", "more", "warned"),
    [(2, {}, True), (1, {}, False), (2, {"dashboard_secret": "x"}, False), (2, USERS, False)],
)
def test_workers_that_do_not_share_sessions_are_warned_of(caplog, workers, more, warned):
    settings = {"auth": lambda _credentials: True, "dashboard": True, **more}
    gunicorn.post_fork(None, SimpleNamespace(cfg=SimpleNamespace(workers=workers, threads=1)))
    try:
        log_serving(create_app(Scheduler(), **settings), [])
    finally:
        gunicorn.post_fork(None, None)
    assert ("SCHEDULER_DASHBOARD_SECRET" in caplog.text) == warned


@pytest.mark.parametrize(
    ("addresses", "settings", "is_told"),
    [
        (["http://127.0.0.1:5000"], {}, True),
        (["http://127.0.0.1:5000", "unix:/run/s.sock"], {}, True),
        (EVERYWHERE, {}, True),
        ([], {}, True),
        (["unix:/run/s.sock"], {}, False),
        (["http://127.0.0.1:5000"], USERS, False),
        (["http://127.0.0.1:5000"], {"api_enabled": False}, False),
        (["http://127.0.0.1:5000"], {"api_loopback_only": False}, False),
    ],
)
def test_what_the_rule_of_this_computer_cannot_see_is_told_once(
    caplog, addresses, settings, is_told
):
    caplog.set_level("INFO")
    log_serving(create_app(Scheduler(), **settings), addresses)
    lines = [r.getMessage() for r in caplog.records if "adds no header" in r.getMessage()]
    assert len(lines) == is_told
    assert all("every user of this computer" in line and "--make-token" in line for line in lines)


@pytest.mark.parametrize("secrets", [USERS, {"api_users": {"ann": "scrypt:1:1:1$s$0"}}])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o600, 0o400])
def test_a_file_with_secrets_that_others_can_read_is_warned_of_once(
    caplog, tmp_path, secrets, mode
):
    file = tmp_path / "s.toml"
    file.write_text("")
    file.chmod(mode)
    log_readable_config(Settings.of(**secrets), str(file))
    assert len(caplog.records) == (mode & 0o044 != 0)
    assert all("chmod 600" in record.getMessage() for record in caplog.records)
    caplog.clear()
    log_readable_config(Settings(), str(file))
    log_readable_config(Settings.of(**secrets), None)
    log_readable_config(Settings.of(**secrets), str(tmp_path / "none"))
    assert caplog.records == []


def test_a_made_token_is_let_in_by_its_digest(capsys):
    assert main(["--make-token"]) == 0
    told = capsys.readouterr().out
    token = re.search(r"Authorization: Bearer (\S+)", told)[1]
    digest = re.search(r'"(sha256:\w{64})"', told)[1]
    client = Client(create_app(Scheduler(), api_tokens={"robot": digest}))
    for given, status in ((token, 200), (token[:-1], 401), (digest, 401)):
        answer = client.get("/scheduler/jobs", headers={"Authorization": f"Bearer {given}"})
        assert answer.status_code == status
    assert main(["--make-token"]) == 0
    assert token not in capsys.readouterr().out


def test_the_server_tells_both_of_a_readable_file_and_of_the_rule(serve, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(f'bind = "127.0.0.1:0"\napi_tokens = {{ robot = "{"x" * 16}" }}\n')
    file.chmod(0o644)
    server = serve(sys.executable, "-m", "schedhttp", "--config", "s.toml", "--workers", "2")
    server.until(lambda: "chmod 600" in server.log)
    token = {"Authorization": f"Bearer {'x' * 16}"}
    server.until(lambda: len(server.call("GET", "/scheduler", **token).json["nodes"]) == 2)
    told = server.log  # not once it ends: the worker that is left alone for a moment tells it, too
    server.stop()
    assert told.count("chmod 600") == 1


def test_a_level_of_the_log_is_one_that_gunicorn_has_as_well():
    assert Settings.of(log_level="warning").log_level == "WARNING"
    with pytest.raises(InvalidOptionError, match=re.escape("log_level='NOTSET': expected one of")):
        Settings.of(log_level="NOTSET")


def test_a_worker_is_known_whatever_a_module_does_to_its_signals(serve, tmp_path):
    """gunicorn's hooks tell it, and nothing has to be guessed."""
    (tmp_path / "signals.py").write_text(
        "import signal\nsignal.signal(signal.SIGABRT, signal.SIG_DFL)\ndef f():\n    pass\n"
    )
    (tmp_path / "s.toml").write_text(
        'python_path = ["."]\nbind = "127.0.0.1:0"\n'
        '[[jobs]]\nid = "j"\nfunc = "signals:f"\ntrigger = "cron"\nyear = 2999\n'
    )
    for program in (
        ("schedhttp", "--config", "s.toml"),
        ("gunicorn", "-c", "python:schedhttp.gunicorn_conf", "schedhttp.wsgi:app"),
    ):
        server = serve(sys.executable, "-m", *program, SCHEDULER_CONFIG="s.toml")
        server.until(lambda server=server: "the scheduler is running, with 1 job" in server.log)
        assert server.patiently("GET", "/scheduler").json["running"] is True
        server.stop()
        assert server.process.returncode == 0
