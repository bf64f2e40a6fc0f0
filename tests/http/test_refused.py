"""Abuse: what must be refused, with nothing started and nothing changed."""

from __future__ import annotations

import asyncio
import functools
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from schedhttp.build import add_jobs

HOSTILE = '''
import os
from os import system
from subprocess import run

def helper():
    """The one function that may be named."""

def _private():
    pass

class Box:
    def method(self):
        pass
'''


@pytest.fixture
def hostile_tasks(tmp_path, monkeypatch):
    """A module like users have: with imports, and names that lead further."""
    (tmp_path / "hostile_tasks.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)


REFERENCES = [
    "os:system",
    "builtins:eval",
    "builtins:exec",
    "subprocess:run",
    "subprocess:Popen",
    "importlib:import_module",
    "hostile_tasks:system",
    "hostile_tasks:run",
    "hostile_tasks:os.system",
    "hostile_tasks:_private",
    "hostile_tasks:__builtins__",
    "hostile_tasks:helper.__globals__",
    "hostile_tasks:helper.__globals__.get",
    "hostile_tasks:helper.__class__",
    "hostile_tasks:Box.method",
    "hostile_tasks.os:system",
    "hostile_tasks_too:helper",
    "xhostile_tasks:helper",
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.usefixtures("hostile_tasks")
def test_only_functions_that_the_module_defines_may_be_named(mount, scheduler, reference):
    api = mount(api_allowed_funcs=["hostile_tasks:*"])
    for path in ("/jobs", "/preview"):
        answer = api("POST", path, {"id": "x", "func": reference, "trigger": "date"})
        assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
        assert "SCHEDULER_API_ALLOWED_FUNCS" in answer.json["error_message"]
    assert (scheduler.entries(), scheduler.history(), scheduler.runs()) == ([], [], [])


def plain(*args, **kwargs):
    """A function that a job in Python calls, and that nobody registered."""


def inner(scheduler):
    def no_reference(*args, **kwargs):
        pass

    return no_reference


DECLARED = {
    "by reference": lambda scheduler: f"{__name__}:plain",
    "in Python": lambda scheduler: plain,
    "no reference": inner,
    "partial": lambda scheduler: functools.partial(plain),
    "builtin": lambda scheduler: max,
    "method": lambda scheduler: scheduler.modify_job,
}
CALLS = [
    {"args": ["touch pwned"]},
    {"kwargs": {"command": "touch pwned"}},
    {"args": []},
    {"args": None},
    {"kwargs": None},
    {"args": ["touch pwned"], "name": "x"},
    {"args": ["touch pwned"], "trigger": {"type": "date"}},
    {"args": ["touch pwned"], "next_run_time": "2026-01-05T13:00:00+01:00"},
]


@pytest.mark.parametrize("declared", DECLARED)
def test_arguments_of_what_a_request_may_not_name_stay_as_they_are(mount, scheduler, declared):
    func = DECLARED[declared](scheduler)
    scheduler.add_job(func, "cron", hour=3, id="j", args=["true"], kwargs={"a": 1})
    api = mount()
    before, shown = scheduler.entry("j"), api("GET", "/jobs/j").json
    for call in CALLS:
        arguments = {k: v for k, v in call.items() if k in ("args", "kwargs")}
        for body in (call, {"func": shown["func"], **call}, {**shown, **arguments}):
            answer = api("PATCH", "/jobs/j", body)
            assert (answer.status, answer.json["error_type"]) == (403, "Forbidden"), body
            assert scheduler.entry("j")[:4] == before[:4]
    post = {"id": "j", "func": shown["func"], "args": ["touch pwned"], "trigger": "date"}
    for replace in (True, False):
        answer = api("POST", "/jobs", {**post, "replace_existing": replace})
        assert answer.status in (403, 500)
        assert answer.json["error_type"] in ("Forbidden", "FuncRefError")
    assert scheduler.entry("j")[:4] == before[:4]
    # What is not about the call stays possible, and what was shown can be sent back.
    assert api("PATCH", "/jobs/j", shown).status == 200
    assert api("PATCH", "/jobs/j", {"hour": 4, "name": "Other"}).status == 200
    assert list(scheduler.entry("j").job.args) == ["true"]


@pytest.mark.usefixtures("hostile_tasks")
def test_arguments_of_what_a_request_may_name_can_be_changed(mount, scheduler):
    import hostile_tasks

    @scheduler.scheduled_job("interval", hours=1, id="decorated", args=[1])
    def decorated(number):
        pass

    scheduler.add_job(hostile_tasks.helper, "interval", hours=1, id="python")
    scheduler.add_job("hostile_tasks:Box.method", "interval", hours=1, id="text", args=[1])
    api = mount(api_allowed_funcs=["hostile_tasks:*", "hostile_tasks:Box.method"])
    for job_id, change in (
        ("decorated", {"args": [2]}),
        ("decorated", {"args": [], "kwargs": {"number": 2}}),
        ("python", {"args": []}),
        ("text", {"args": [2]}),
        ("text", {"func": "hostile_tasks:helper", "args": []}),
    ):
        answer = api("PATCH", f"/jobs/{job_id}", change)
        assert answer.status == 200, answer.text


def test_jobs_of_the_settings_keep_their_arguments(mount, scheduler):
    job = {"id": "j", "func": "subprocess:run", "args": [["true"]], "trigger": "cron", "hour": 3}
    add_jobs(scheduler, [job])
    api = mount()
    for args in ([["touch", "pwned"]], [], [["true"], 1], None):
        assert api("PATCH", "/jobs/j", {"args": args}).status == 403
        assert api("PATCH", "/jobs/j", {"func": "subprocess:run", "args": args}).status == 403
    assert scheduler.entry("j").job.args == (["true"],)


PRIVATE = ["pkg.__main__:x", "pkg._private:danger", "pkg.sub._private:danger", "_pkg:danger"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a program, private modules, and names taken from them."""
    for folder in ("pkg", "pkg/sub", "_pkg"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("from pkg._private import danger\n")
        (tmp_path / folder / "_private.py").write_text("def danger(): pass\n")
        (tmp_path / folder / "__main__.py").write_text("import sys; sys.exit(3)\n")
        (tmp_path / folder / "open.py").write_text("def run(*a): pass\n")
        for end in ("SystemExit(3)", "KeyboardInterrupt", "BaseException('x')", "ValueError('x')"):
            name = end.partition("(")[0].lower()
            (tmp_path / folder / f"{name}.py").write_text(f"raise {end}\n")
        (tmp_path / folder / "lazy.py").write_text(
            "import sys\ndef __getattr__(name): sys.exit(3)\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("pkg", "_pkg")]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("reference", [*PRIVATE, "pkg:danger", "pkg.sub:danger"])
def test_a_star_stands_for_nothing_private_and_nothing_from_elsewhere(mount, reference):
    api = mount(api_allowed_funcs=["pkg.*:*", "pkg:*", "*pkg:*", "*:run_*", "p*g.s*b.*:*"])
    for path in ("/jobs", "/preview"):
        answer = api("POST", path, {"id": "x", "func": reference})
        assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
    if reference in PRIVATE:
        assert reference.partition(":")[0] not in sys.modules


@pytest.mark.usefixtures("package")
def test_what_a_pattern_spells_out_is_allowed(mount):
    mount(api_allowed_funcs=["pkg._private:*"]).add("a", func="pkg._private:danger", args=[])
    mount(api_allowed_funcs=["pkg:danger"]).add("b", func="pkg:danger", args=[])
    mount(api_allowed_funcs=["pkg.*:*"]).add("c", func="pkg.sub.open:run", args=[])


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "reference",
    [
        "pkg.__main__:x",
        "pkg.systemexit:x",
        "pkg.baseexception:x",
        "pkg.valueerror:x",
        "pkg.lazy:anything",
        "pkg.nothing:x",
    ],
)
def test_a_module_that_ends_the_process_ends_nothing_and_tells_nothing(mount, scheduler, reference):
    api = mount(api_allowed_funcs=[reference])
    for path in ("/jobs", "/preview"):
        answer = api("POST", path, {"id": "x", "func": reference})
        assert (answer.status, answer.json["error_type"]) == (500, "FuncRefError")
        assert "'x'" not in answer.json["error_message"]
    assert scheduler.entries() == []
    with pytest.raises(ValueError, match=r"expected (an importable module|a readable name)"):
        scheduler.add_job(reference)


@pytest.mark.usefixtures("package")
def test_whatever_is_raised_on_the_way_ends_no_thread(mount, scheduler, monkeypatch):
    api = mount()
    for error in (SystemExit(3), GeneratorExit(), BaseException("x"), asyncio.CancelledError()):

        def broken(job_id, error=error):
            raise error

        monkeypatch.setattr(scheduler, "entry", broken)
        assert api("GET", "/jobs/j").status == 500


def test_only_a_real_interrupt_passes(mount, scheduler, monkeypatch):
    """Ctrl-C reaches the main thread, where nobody else handles it; a module may raise it too."""
    api = mount()

    def broken(job_id):
        raise KeyboardInterrupt

    monkeypatch.setattr(scheduler, "entry", broken)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(api, "GET", "/jobs/j").result().status == 500
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # gunicorn has handlers of its own
    try:
        assert api("GET", "/jobs/j").status == 500
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(KeyboardInterrupt):
        api("GET", "/jobs/j")


@pytest.mark.parametrize(
    "reference",
    [
        "",
        ":",
        "a:",
        ":b",
        "a b:c",
        "a:b()",
        "a:b;c",
        "a/b:c",
        "../a:b",
        "a:b\n",
        "a:b" * 200,
        "é:\ud800",
    ],
)
def test_what_is_no_reference_is_an_error(api, scheduler, reference):
    answer = api("POST", "/jobs", {"id": "x", "func": reference, "trigger": "date"})
    assert answer.status in (403, 500)
    assert answer.json["error_type"] in ("Forbidden", "FuncRefError")
    assert scheduler.entries() == []


@pytest.mark.usefixtures("hostile_tasks")
def test_what_is_allowed_can_be_named(mount):
    api = mount(api_allowed_funcs=["hostile_tasks:*"])
    api.add("a", func="hostile_tasks:helper", args=[])
    mount(api_allowed_funcs=["hostile_tasks:Box.*"]).add(
        "b", func="hostile_tasks:Box.method", args=[1]
    )
    mount(api_allowed_funcs=["hostile_tasks:_private"]).add(
        "c", func="hostile_tasks:_private", args=[]
    )
    mount(api_allowed_funcs=["*"]).add("d", func="os.path:basename", args=["x"])


def test_a_registered_function_can_be_named_and_no_other(mount, scheduler):
    api = mount(api_allowed_funcs=[])

    @scheduler.register
    def mine():
        """No reference leads here, and none is followed."""

    reference = f"{mine.__module__}:{mine.__qualname__}"
    api.add("j", func=reference, args=[])
    assert scheduler.entry("j").job.func is mine
    assert api("POST", "/jobs", {"func": "math:sqrt", "args": [4]}).status == 403


@pytest.mark.parametrize("pattern", ["tasks", "tasks:", ":*", "tasks:*()", "tasks:/x*", "a b:c"])
def test_a_pattern_that_allows_nothing_is_an_error(mount, pattern):
    with pytest.raises(ValueError, match=r"expected a (pattern|reference)"):
        mount(api_allowed_funcs=[pattern])


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        pytest.param({"REMOTE_ADDR": "192.0.2.7"}, "API_LOOPBACK_ONLY", id="another computer"),
        pytest.param({"REMOTE_ADDR": "::ffff:192.0.2.7"}, "API_LOOPBACK_ONLY", id="IPv4 in IPv6"),
        pytest.param({"REMOTE_ADDR": ""}, "API_LOOPBACK_ONLY", id="no address"),
        pytest.param({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, "API_USERS", id="X-Forwarded-For"),
        pytest.param({"HTTP_FORWARDED": "for=127.0.0.1"}, "API_USERS", id="Forwarded"),
        pytest.param({"HTTP_VIA": "1.1 proxy"}, "API_USERS", id="Via"),
        pytest.param({"HTTP_HOST": "evil.example"}, "API_TRUSTED_HOSTS", id="a foreign Host"),
        pytest.param({"HTTP_HOST": "localhost.evil.example"}, "API_TRUSTED_HOSTS", id="nearly"),
        pytest.param({"HTTP_HOST": "127.0.0.1.evil.example"}, "API_TRUSTED_HOSTS", id="rebinding"),
        pytest.param({"HTTP_HOST": ""}, "API_TRUSTED_HOSTS", id="no Host"),
        pytest.param({"HTTP_ORIGIN": "http://evil.example"}, "API_TRUSTED_ORIGINS", id="a site"),
        pytest.param({"HTTP_ORIGIN": "null"}, "API_TRUSTED_ORIGINS", id="a sandbox"),
        pytest.param({"HTTP_ORIGIN": "http://["}, "API_TRUSTED_ORIGINS", id="no origin"),
        pytest.param({"HTTP_ORIGIN": "http://localhost:8080"}, "API_TRUSTED_ORIGINS", id="a port"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "cross-site"}, "API_TRUSTED_ORIGINS", id="a form"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "same-site"}, "API_TRUSTED_ORIGINS", id="a neighbour"),
    ],
)
def test_without_authentication_only_this_computer_is_served(api, scheduler, environ, setting):
    api.add("j")
    for method, path in (
        ("GET", "/jobs"),
        ("POST", "/jobs/j/run"),
        ("GET", "/nothing"),
        ("PUT", "/jobs"),
    ):
        answer = api(method, path, environ=environ)
        assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
        assert f"SCHEDULER_{setting}" in answer.json["error_message"]
    assert scheduler.history() == []


@pytest.mark.parametrize(
    "environ",
    [
        {"REMOTE_ADDR": "127.0.0.1"},
        {"REMOTE_ADDR": "127.8.9.1"},
        {"REMOTE_ADDR": "::1"},
        {"REMOTE_ADDR": "::ffff:127.0.0.1"},
        {"HTTP_HOST": "localhost:5000"},
        {"HTTP_HOST": "LOCALHOST"},
        {"HTTP_HOST": "[::1]:5000"},
        {"HTTP_HOST": "127.0.0.1:5000"},
        {"HTTP_HOST": "localhost:5000", "HTTP_ORIGIN": "http://localhost:5000"},
        {"HTTP_SEC_FETCH_SITE": "same-origin"},
        {"HTTP_SEC_FETCH_SITE": "none"},
    ],
)
def test_this_computer_is_served(api, environ):
    assert api("GET", "/jobs", environ=environ).status == 200


def test_each_refusal_names_the_setting_that_opens(mount):
    opened = mount(api_loopback_only=False, api_trusted_hosts=["ops.example:5000"])
    far = {"REMOTE_ADDR": "192.0.2.7", "HTTP_HOST": "ops.example:5000"}
    assert opened("GET", "/jobs", environ=far).status == 200
    site = {"HTTP_ORIGIN": "https://ops.example"}
    assert mount(api_trusted_origins=["https://ops.example"])("GET", environ=site).status == 200


def test_a_body_that_is_too_long_is_413(mount):
    api = mount(api_max_body=200)
    for length in (201, 202, 5000):
        answer = api("POST", "/jobs", b" " * length)
        assert (answer.status, answer.json["error_type"]) == (413, "RequestEntityTooLarge")
        assert "SCHEDULER_API_MAX_BODY" in answer.json["error_message"]
    assert api("POST", "/jobs", b'{"func": "math:sqrt", "args": [4]}'.ljust(200)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"args":' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"args": [' + b"9" * 5_000 + b"]}",
        b'{"args": [Infinity]}',
    ],
    ids=["objects", "arrays", "a long number", "no number"],
)
def test_a_body_that_is_made_to_hurt_is_400(api, body):
    assert api("POST", "/jobs", body).status == 400


def test_no_traceback_reaches_a_client(api, scheduler, caplog, monkeypatch):
    def broken(job_id):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(scheduler, "entry", broken)
    answer = api("GET", "/jobs/j")
    assert (answer.status, answer.json["error_type"]) == (500, "InternalError")
    assert "secret" not in answer.text
    number = answer.json["error_message"].split()[-1]
    (record,) = (r for r in caplog.records if number in r.getMessage())
    assert "a secret" in str(record.exc_info)


def test_a_form_of_a_browser_is_no_json(api):
    """A cross-site form can send text/plain without asking; an Origin comes with it."""
    body = json.dumps({"id": "x", "func": "math:sqrt", "args": [4]}).encode()
    form = {"HTTP_ORIGIN": "https://evil.example", "CONTENT_TYPE": "text/plain"}
    assert api("POST", "/jobs", body, environ=form).status == 403
    assert api("POST", "/jobs", body, environ={"CONTENT_TYPE": "text/plain"}).status == 200
