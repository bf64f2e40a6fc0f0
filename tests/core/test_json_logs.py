"""Log records as JSON, and what a record has for machines."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest

from schedcore import Retry, simulate
from schedcore.basics.logs import GuardedLogger
from schedcore.json_logs import JsonFormatter

log = logging.getLogger("test.json_logs")


class Unshown:
    def __repr__(self):
        raise RuntimeError("no")


CYCLE = []
CYCLE.append(CYCLE)


@pytest.fixture
def lines(caplog):
    """Return the records so far, each as it is written and read again."""
    caplog.set_level(logging.DEBUG)
    formatter = JsonFormatter()

    def read():
        texts = [formatter.format(record) for record in caplog.records]
        assert not any("\n" in text for text in texts)
        return [json.loads(text, parse_constant=pytest.fail) for text in texts]

    return read


def test_a_record_is_one_line(lines):
    log.warning("so\nit %s", "goes")
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "WARNING", "logger": "test.json_logs", "message": "so\nit goes"}


def test_a_traceback_is_inside(lines):
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("it failed")
    (line,) = lines()
    assert line["error"] == "ValueError"
    assert line["traceback"].startswith("Traceback")
    assert line["traceback"].endswith("ValueError: boom")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(3, 3, id="number"),
        pytest.param({"a": [1]}, {"a": [1]}, id="JSON"),
        pytest.param("\ud800\x00\u2028", "\ud800\x00\u2028", id="any text"),
        pytest.param(float("nan"), "nan", id="not a number"),
        pytest.param(b"x", "b'x'", id="no JSON"),
        pytest.param({(1, 2): 3}, "{(1, 2): 3}", id="a key that is no text"),
        pytest.param(CYCLE, "[[[[[[[...]]]]]]]", id="a cycle"),
    ],
)
def test_what_is_given_besides_is_shown(lines, value, shown):
    log.info("x", extra={"given": value})
    assert lines()[0]["given"] == shown


def test_what_cannot_be_shown_costs_no_line(lines):
    log.info("x", extra={"given": Unshown(), "level": "mine"})
    (line,) = lines()
    assert line["given"].startswith("<Unshown")
    assert line["level"] == "INFO"


def test_what_a_job_logs_names_its_run(virtual_scheduler, lines, monkeypatch):
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(json.loads(JsonFormatter().format(record)))
    log.addHandler(handler)
    virtual_scheduler.add_job(lambda: log.error("inside"), id="j")
    simulate(virtual_scheduler, timedelta(seconds=1))
    log.removeHandler(handler)
    run_id = str(virtual_scheduler.history("j")[0].run_id)
    assert [(t["job_id"], t["run_id"], t["attempt"]) for t in told] == [("j", run_id, 1)]


def fail():
    raise ValueError("no")


def test_a_record_about_a_run_has_its_fields(virtual_scheduler, lines):
    virtual_scheduler.add_job(fail, id="j", retry=Retry(1, delay=5, jitter=0))
    simulate(virtual_scheduler, timedelta(seconds=10))
    run_id = str(virtual_scheduler.history("j")[0].run_id)
    retried, failed = (line for line in lines() if line["logger"] == "schedcore.engine")
    assert {"job_id": "j", "run_id": run_id, "attempt": 1, "outcome": "failed"}.items() <= (
        retried.items()
    )
    assert {"attempt": 2, "late": 5.0, "took": 0.0, "error": "ValueError"}.items() <= failed.items()


def test_a_record_about_what_did_not_run_has_its_fields(virtual_scheduler, lines):
    virtual_scheduler.add_job(
        print, "date", run_date="1999-12-31 23:59:58", id="j", misfire_grace_time=1
    )
    simulate(virtual_scheduler, timedelta(seconds=1))
    (line,) = (line for line in lines() if line["level"] == "WARNING")
    assert {"job_id": "j", "outcome": "missed", "late": 2.0}.items() <= line.items()


def test_a_name_that_logging_has_itself_costs_the_line_and_no_more():
    quiet = GuardedLogger("test.json_logs")
    quiet.error("x", fields={"message": "mine"})
    assert quiet.failures == 1
