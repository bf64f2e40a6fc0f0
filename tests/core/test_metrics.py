"""Metrics: what a registry of prometheus-client gets, read by that package's own parser."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schedcore import InvalidOptionError, ManualClock, Scheduler
from schedcore.metrics import SchedulerCollector
from tests.contract.conftest import STORES
from tests.patience import SOON
from tests.stores.postgres import need_server

START = datetime(2030, 1, 1, tzinfo=timezone.utc)
START_S = 1893456000.0


def fail():
    raise ValueError("boom")


clocks = []


def take_45_seconds():
    clocks.pop().advance(45)


class Scraped(dict):
    """The values by name and labels, and the kinds of the metrics by name."""

    def __init__(self, registry):
        super().__init__()
        self.kinds = {}
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            self.kinds[family.name] = family.type
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                assert key not in self, f"{key} stands twice"
                self[key] = sample.value

    def __call__(self, name, **labels):
        return self[f"schedcore_{name}", tuple(sorted(labels.items()))]

    def labels(self, name, label):
        return [dict(labels)[label] for key, labels in self if key == f"schedcore_{name}"]


@pytest.fixture(params=[*STORES])
def scheduler(request):
    """A scheduler on each store, whose time stands still."""
    if request.param == "postgresql":
        need_server()
    store = STORES[request.param]()
    scheduler = Scheduler(clock=ManualClock(START), timezone="UTC", store=store, name="test")
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=SOON)
    store.close()


@pytest.fixture
def scrape(scheduler):
    def scrape(**options):
        registry = CollectorRegistry()
        registry.register(SchedulerCollector(scheduler, **options))
        return Scraped(registry)

    return scrape


def test_runs_are_counted_by_job_and_outcome(scheduler, scrape):
    scheduler.add_job(int, "interval", hours=1, id="good")
    scheduler.add_job(fail, "interval", hours=1, id="bad")
    for job_id in ("good", "good", "bad"):
        scheduler.run_job(job_id)
    seen = scrape()
    assert seen("job_runs_total", job_id="good", outcome="executed") == 2
    assert seen("job_runs_total", job_id="bad", outcome="failed") == 1
    assert seen("runs_total", outcome="executed") == 2
    assert seen("runs_total", outcome="failed") == 1
    assert seen("runs_total", outcome="missed") == 0, "a rate needs a beginning"
    assert seen.kinds["schedcore_runs"] == seen.kinds["schedcore_job_runs"] == "counter"


def test_spans_are_histograms(scheduler, scrape):
    clocks.append(scheduler.clock)
    scheduler.add_job(take_45_seconds, run_date="2031-01-01", id="slow")
    scheduler.run_job("slow")
    seen = scrape()
    assert seen.kinds["schedcore_run_duration_seconds"] == "histogram"
    assert seen("run_duration_seconds_bucket", le="30.0") == 0
    assert seen("run_duration_seconds_bucket", le="60.0") == 1
    assert seen("run_duration_seconds_bucket", le="+Inf") == 1
    assert (seen("run_duration_seconds_count"), seen("run_duration_seconds_sum")) == (1, 45)
    assert (seen("run_lateness_seconds_count"), seen("run_lateness_seconds_sum")) == (1, 0)
    assert seen("job_run_seconds_total", job_id="slow") == 45
    assert seen("job_last_success_timestamp_seconds", job_id="slow") == START_S + 45


def test_when_jobs_are_due_and_how_many_are_in_which_state(scheduler, scrape):
    scheduler.add_job(int, run_date="2030-01-01 00:01", id="soon")
    scheduler.add_job(int, run_date="2030-01-01 00:02", id="later")
    scheduler.add_job(int, "interval", hours=1, id="never")
    scheduler.pause_job("never")
    seen = scrape()
    assert seen("next_due_timestamp_seconds") == START_S + 60
    assert seen("job_next_due_timestamp_seconds", job_id="later") == START_S + 120
    assert seen.labels("job_next_due_timestamp_seconds", "job_id") == ["later", "soon"]
    states = {name: seen("jobs", state=name) for name in seen.labels("jobs", "state")}
    assert states == {"scheduled": 2, "running": 0, "paused": 1, "broken": 0}
    assert seen.labels("job_last_success_timestamp_seconds", "job_id") == []


def test_open_runs_are_told(started, gate):
    started.add_job(gate, "interval", hours=1, id="long")
    run = started.run_job("long", wait=False)
    gate.wait()
    registry = CollectorRegistry()
    registry.register(SchedulerCollector(started))
    seen = Scraped(registry)
    assert (seen("open_runs", state="running"), seen("open_runs", state="waiting")) == (1, 0)
    assert seen("jobs", state="running") == 1
    gate.open()
    assert run.wait(SOON)
    assert Scraped(registry)("open_runs", state="running") == 0


def test_the_first_jobs_by_id_have_series_of_their_own_and_all_are_counted(scheduler, scrape):
    for job_id in ("b", "c", "a"):
        scheduler.add_job(int, "interval", hours=1, id=job_id)
        scheduler.run_job(job_id)
    seen = scrape(most_jobs=2)
    assert seen.labels("job_runs_total", "job_id") == ["a", "b"]
    assert seen.labels("job_next_due_timestamp_seconds", "job_id") == ["a", "b"]
    assert seen("runs_total", outcome="executed") == 3
    assert seen("jobs", state="scheduled") == 3


@pytest.mark.parametrize("job_id", ['a "b"', "a\nb", "a\\nb", "\u2028", "ü", "\r", 'x",y="z'])
def test_any_id_is_a_label(scheduler, scrape, job_id):
    scheduler.add_job(int, "interval", hours=1, id=job_id)
    assert scrape().labels("job_next_due_timestamp_seconds", "job_id") == [job_id]


def test_the_process_that_answers_tells_how_it_does(scheduler, scrape):
    seen = scrape()
    assert (seen("state", state="running"), seen("healthy")) == (1, 1)
    assert (seen("loop_behind_seconds"), seen("loop_failures_total")) == (0, 0)
    scheduler.pause()
    assert (scrape()("state", state="running"), scrape()("state", state="paused")) == (0, 1)


def test_of_several_processes_it_is_told_which_are_alive(scheduler, scrape):
    nodes = {takes: scrape()("nodes", takes=takes) for takes in scrape().labels("nodes", "takes")}
    assert nodes == ({"yes": 1, "no": 0} if scheduler.nodes() else {})


def test_notices_that_wait_are_told_by_channel():
    scheduler = Scheduler(timezone="UTC", notices={"me": print, "you": print})
    registry = CollectorRegistry()
    registry.register(SchedulerCollector(scheduler))
    assert Scraped(registry)("notices_waiting", channel="me") == 0
    assert Scraped(registry).labels("notices_waiting", "channel") == ["me", "you"]


def test_a_store_that_cannot_be_read_is_told_and_hides_nothing_else(started, monkeypatch, caplog):
    registry = CollectorRegistry()
    registry.register(SchedulerCollector(started))
    assert Scraped(registry)("store_reachable") == 1

    def away(job_ids):
        raise OSError("the disk is gone")

    monkeypatch.setattr(started._engine.store, "totals", away)
    seen = Scraped(registry)
    assert (seen("store_reachable"), seen("healthy")) == (0, 1)
    assert "the disk is gone" in caplog.text


def test_to_register_a_collector_asks_the_store_nothing(started, monkeypatch):
    asked = threading.Event()
    monkeypatch.setattr(started._engine.store, "totals", lambda _ids: asked.set())
    CollectorRegistry(auto_describe=True).register(SchedulerCollector(started))
    assert not asked.is_set()


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "5"])
def test_the_bound_is_a_whole_number(started, most):
    with pytest.raises(InvalidOptionError, match="most_jobs="):
        SchedulerCollector(started, most)
