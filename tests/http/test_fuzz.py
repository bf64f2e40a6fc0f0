"""Whatever is sent: a documented status, JSON, and after an error nothing has changed."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from schedcore import ManualClock, Scheduler
from schedcore.triggers.factory import option_names
from schedhttp import create_app
from schedhttp.codec import JOB_FIELDS
from tests.http.conftest import listed
from tests.patience import examples

DOCUMENTED = {200, 204, 400, 403, 404, 405, 409, 412, 413}
BOUNDED = settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KINDS = ("date", "interval", "cron", "calendarinterval", "and", "or")
NAMES = sorted(JOB_FIELDS.union(*map(option_names, KINDS)) | {"state", "replace_existing"})

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(
        ["math:sqrt", "*", "*/5", "mon", "UTC", "2026-01-05", "j", "default", 0, 1, -1]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
bodies = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), json_values, max_size=6)
# Most guesses fail at the first field, so some start from what is right but for a field or two.
good = st.sampled_from(
    [
        {"func": "math:sqrt", "args": [4], "trigger": "interval", "minutes": 5},
        {"func": "math:sqrt", "args": [4], "trigger": "cron", "hour": "*/2"},
        {"func": "math:sqrt", "args": [4], "trigger": "date", "run_date": "2030-01-01"},
    ]
)
jobs = bodies | st.builds(lambda right, wrong: {**right, **wrong}, good, bodies)


class Fuzzed:
    """A front over a scheduler whose time stands still and which runs nothing."""

    def __init__(self):
        self.scheduler = Scheduler(clock=ManualClock(), timezone="Europe/Berlin")
        self.scheduler.add_job("math:sqrt", "interval", [4], id="j", minutes=5)
        self.client = Client(create_app(self.scheduler, api_allowed_funcs=["math:sqrt"]))

    def send(self, method, path, data=None, headers=None, query=None):
        """Send a request; check the answer, and that an error has changed nothing."""
        before = self.scheduler.entries()
        answer = self.client.open(
            "/scheduler" + path,
            method=method,
            data=data,
            headers=headers,
            query_string=query,
            environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
        )
        text = answer.get_data(as_text=True)
        body = json.loads(text) if text else {}
        if answer.status_code == 500:
            assert body["error_type"] in {
                "InvalidOptionError",
                "InvalidTriggerError",
                "FuncRefError",
                "SchedulerNotRunningError",
            }, text
        else:
            assert answer.status_code in DOCUMENTED, text
        if answer.status_code >= 400:
            assert body["error_message"] if method != "HEAD" else not text
            assert self.scheduler.entries() == before
        return answer.status_code, body


@pytest.fixture(scope="module")
def fuzzed():
    return Fuzzed()


@BOUNDED
@given(job=jobs)
def test_any_job(fuzzed, job):
    fuzzed.scheduler.remove_all_jobs()
    status, shown = fuzzed.send("POST", "/jobs", json.dumps(job))
    if status == 200:
        assert fuzzed.send("GET", "/jobs")[1] == [listed(shown)]
        path = "/jobs/" + quote(shown["id"], safe="")
        assert fuzzed.send("GET", path) == (200, shown)
        assert fuzzed.send("PATCH", path, json.dumps(shown)) == (200, shown)
        assert fuzzed.send("GET", path + "/next?n=3")[0] == 200


@BOUNDED
@given(changes=jobs)
def test_any_change(fuzzed, changes):
    fuzzed.scheduler.add_job("math:sqrt", "interval", [4], id="j", minutes=5, replace_existing=True)
    fuzzed.send("PATCH", "/jobs/j", json.dumps(changes))


@BOUNDED
@given(job=jobs)
def test_any_preview(fuzzed, job):
    before = fuzzed.scheduler.entries()
    fuzzed.send("POST", "/preview", json.dumps(job))
    assert fuzzed.scheduler.entries() == before


@BOUNDED
@given(
    data=st.binary()
    | st.text().map(str.encode)
    | json_values.map(lambda v: json.dumps(v).encode()),
    path=st.sampled_from(
        ["/jobs", "/preview", "/start", "/shutdown", "/jobs/j/run", "/jobs/j/pause"]
    ),
)
def test_any_bytes(fuzzed, data, path):
    fuzzed.send("POST", path, data)
    if fuzzed.scheduler.running:
        fuzzed.scheduler.shutdown()


@BOUNDED
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    path=st.text(max_size=30),
    query=st.dictionaries(
        st.sampled_from(["limit", "offset", "state", "q", "sort", "fields", "n", "outcome"]),
        st.text(max_size=10),
        max_size=3,
    ),
    below=st.sampled_from(["/", "/jobs", "/jobs/", "/runs"]),
)
def test_any_address(fuzzed, method, path, query, below):
    fuzzed.send(method, quote(below + path, safe="/"), query=query)


@BOUNDED
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Authorization", "If-Match", "Content-Type", "Origin", "Sec-Fetch-Site", "Accept"]
        ),
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40),
        max_size=3,
    ),
)
def test_any_headers(fuzzed, headers):
    fuzzed.scheduler.add_job("math:sqrt", "interval", [4], id="j", minutes=5, replace_existing=True)
    fuzzed.send("PATCH", "/jobs/j", b'{"seconds": 60}', headers)
