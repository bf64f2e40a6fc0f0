"""What a prompt, a log line or a failed assertion shows of each public object."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest

import schedcore
import schedhttp.flask
from schedcore import (
    AuditRecord,
    ChangeEvent,
    ChannelState,
    Forecast,
    History,
    LoadForecast,
    ManualClock,
    MemoryStore,
    NodeInfo,
    Notice,
    Outcome,
    ProcessPool,
    RunRecord,
    Scheduler,
    SystemClock,
    ThreadPool,
)
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.futures import FuturesAdapter
from schedcore.history.totals import Histogram
from schedcore.metrics import SchedulerCollector

NOON = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
AT = int(NOON.timestamp()) * 1_000_000
RECORD = RunRecord(5, "backup", Outcome.FAILED, AT, error_type="OSError", error_text="full")


PUBLIC = [
    *(getattr(schedcore, name) for name in schedcore.__all__),
    *(getattr(schedhttp.flask, name) for name in schedhttp.flask.__all__),
    *(CoroutineLoop, FuturesAdapter, Histogram, SchedulerCollector),
]
# A protocol has no objects of its own, but what follows it has.
CLASSES = [c for c in PUBLIC if isinstance(c, type) and not getattr(c, "_is_protocol", False)]


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.__name__)
def test_no_public_object_shows_its_address_alone(of):
    assert of.__repr__ is not object.__repr__


def test_there_are_public_classes_to_look_at():
    assert len(CLASSES) > 50


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (History(5, 50), "History(per_job=5, overall=50, removed_jobs=1000)"),
        (MemoryStore(), "<MemoryStore of 0 job(s)>"),
        (ThreadPool(3), "ThreadPool(max_workers=3, max_queue=None)"),
        (ProcessPool(3, 9), "ProcessPool(max_workers=3, max_queue=9)"),
        (CoroutineLoop("mine"), "CoroutineLoop('mine')"),
        (SystemClock(), "SystemClock()"),
        (ManualClock(NOON), "<ManualClock at 2030-01-01T12:00:00+00:00>"),
        (
            AuditRecord(3, AT, "ann", "10.0.0.9", "paused", "backup"),
            "<AuditRecord 3: job 'backup' was paused by ann at 10.0.0.9,"
            " 2030-01-01T12:00:00+00:00>",
        ),
        (
            ChangeEvent("job_added", AT, "backup"),
            "<ChangeEvent job_added of 'backup', 2030-01-01T12:00:00+00:00>",
        ),
        (
            ChangeEvent("scheduler_paused", AT, None),
            "<ChangeEvent scheduler_paused, 2030-01-01T12:00:00+00:00>",
        ),
        (
            ChannelState("ops", 3, AT, "no route to host"),
            "<ChannelState 'ops', 3 waiting since 2030-01-01T12:00:00+00:00: no route to host>",
        ),
        (ChannelState("ops", 0, None, None), "<ChannelState 'ops', 0 waiting>"),
        (
            NodeInfo(7, "a", 99, AT, "alive", True, None, 2, ("default",), ""),
            "<NodeInfo 7: process 99 on 'a', alive, takes due jobs, 2 open run(s),"
            " since 2030-01-01T12:00:00+00:00>",
        ),
        (
            Forecast([], {}, 1.5, 2, False),
            "<Forecast: 0 or more run(s), 2 skipped, longest wait 1.500 s>",
        ),
        (
            LoadForecast(AT, AT + 3_600_000_000, 60_000_000, (), (), (), AT, ()),
            "<LoadForecast 2030-01-01T12:00:00+00:00 to 2030-01-01T13:00:00+00:00:"
            " 0 run(s) of 0 job(s)>",
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_it_shows_what_one_would_ask_for(shown, expected):
    assert repr(shown) == expected


def test_a_printed_job_says_what_it_calls_and_when():
    scheduler = Scheduler(timezone="UTC", clock=ManualClock(NOON))
    job = scheduler.add_job("shutil:disk_usage", "cron", hour=3, id="disk", args=["/"])
    shown = "disk: shutil:disk_usage, CronTrigger(hour=3, timezone='UTC'), next run: "
    assert str(job) == f"{shown}2030-01-02 03:00:00+00:00"
    assert str(job.pause()) == f"{shown}none"


def test_an_event_of_a_run_shows_the_run():
    shown = repr(ChangeEvent("run_ended", AT, "backup", RECORD))
    assert shown.startswith("<ChangeEvent run_ended of 'backup'")
    assert "OSError: full" in shown


def test_a_notice_shows_what_it_says():
    notice = Notice("failure", "backup", AT, 5, RECORD)
    assert repr(notice) == f"<Notice failure, 2030-01-01T12:00:00+00:00: {notice.text}>"


def test_what_wraps_another_object_shows_that():
    with ThreadPoolExecutor(1) as pool:
        assert repr(FuturesAdapter(pool)) == f"<FuturesAdapter of {pool!r}>"
    scheduler = Scheduler(timezone="UTC")
    assert repr(SchedulerCollector(scheduler)) == f"<SchedulerCollector of {scheduler!r}>"


def test_the_flask_extension_shows_its_app_and_its_scheduler():
    flask = pytest.importorskip("flask")
    extension = schedhttp.flask.APScheduler()
    assert repr(extension) == "<FlaskScheduler of no app: no scheduler yet>"
    app = flask.Flask("shop", root_path=".")  # another test has a module of this name
    app.testing = True
    extension.init_app(app)
    assert re.fullmatch(r"<FlaskScheduler of app 'shop': <Scheduler stopped, .*>>", repr(extension))
