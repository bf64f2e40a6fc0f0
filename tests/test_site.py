"""The documentation's site is built without a warning, and says of the code what holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from werkzeug.test import Client

import schedcore
import schedhttp
from schedcore import CronTrigger, IntervalTrigger, Outcome, Scheduler, ThreadPool
from schedcore.errors import SchedError
from schedcore.running.announce import EVENT_OF
from schedhttp.problems import STATUSES

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
WHOLE = ("errors", "events", "typed_options")
"""Modules that the API's pages show as they are."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, which is built without a warning."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_is_whole(site):
    api = "".join(page.read_text("utf-8") for page in (site / "reference/api").rglob("*.html"))
    check_that_every_public_name_is_in(api)
    assert re.findall(r":(?:class|meth|func|data|attr|mod):", api) == []
    assert re.search(r'<a[^>]*href="#schedcore.Scheduler.resume"[^>]*><code>resume</code>', api)
    app = schedhttp.create_app(Scheduler(timezone="UTC"))
    served = Client(app).get("/scheduler/openapi.json", environ_base=HERE).json
    assert json.loads((site / "reference/openapi.json").read_text("utf-8")) == served


def check_that_every_public_name_is_in(api: str) -> None:
    anchors = set(re.findall(r' id="([\w.]+)"', api))
    told = {name.rpartition(".")[2] for name in anchors if name.count(".") == 1}
    told |= {name.removeprefix(f"schedcore.{module}.") for name in anchors for module in WHOLE}
    assert {*schedcore.__all__, *schedhttp.__all__} - {"__version__"} - told == set()


def rows_of(page: str) -> list[list[str]]:
    """Return the rows of a page's tables, by cells."""
    lines = (REFERENCE / page).read_text("utf-8").splitlines()
    return [
        [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        for line in lines
        if line.startswith("| `")
    ]


def test_each_outcome_is_told_with_its_event():
    told = {row[0]: row[2] for row in rows_of("outcomes.md") if len(row) == 4}
    assert told.keys() == {outcome.value for outcome in Outcome}
    own = {"missed": "EVENT_JOB_MISSED", "skipped": "EVENT_JOB_MAX_INSTANCES", "coalesced": ""}
    for outcome in Outcome:
        code = EVENT_OF.get(outcome)
        assert own.get(outcome.value) or getattr(schedcore, told[outcome.value], None) == code


def test_each_event_is_told():
    told = {row[0] for row in rows_of("events.md")}
    assert told == {name for name in dir(schedcore) if name.startswith("EVENT_")} - {"EVENT_ALL"}


def test_each_error_is_told_with_its_statuses():
    told = {row[0]: row for row in rows_of("errors.md")}
    public = {
        name
        for name in schedcore.__all__
        if name.endswith("Error") and issubclass(getattr(schedcore, name), SchedError)
    }
    assert told.keys() == public - {"SchedError"}
    for name, (_, parent, _, documented, precise) in told.items():
        assert not parent or parent in {base.__name__ for base in getattr(schedcore, name).__mro__}
        for kind, *statuses in STATUSES:
            if kind.__name__ == name:
                assert [int(documented), int(precise)] == statuses


def test_each_logger_that_is_told_is_there():
    files = "\n".join(str(path) for path in sorted((ROOT / "src").rglob("*.py")))
    names = [name for row in rows_of("logs.md") for name in row[0].split("`, `")]
    assert len(names) > 10
    for name in set(names) - {"schedcore.audit"}:
        assert re.search(rf"/src/{name.replace('.', '/')}(\.py|/)", files), name


_HELD: list[threading.Event] = []


def wait() -> None:
    _HELD[0].wait(60)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """The names of all that Prometheus can read of a scheduler."""
    prometheus = pytest.importorskip("prometheus_client")
    from schedcore.metrics import SchedulerCollector

    store = f"sqlite:///{tmp_path_factory.mktemp('metrics')}/jobs.db"
    executors = {"default": ThreadPool(1), "other": ThreadPool(1)}
    scheduler = Scheduler(store=store, timezone="UTC", notices={"me": print}, executors=executors)
    scheduler.add_job("shutil:disk_usage", "interval", args=["/"], hours=1, id="disk")
    scheduler.start()
    scheduler.run_job("disk")
    held = threading.Event()
    _HELD.append(held)
    for number in range(2):
        scheduler.add_job(wait, "date", id=f"wait-{number}", executor="other")
    deadline = time.monotonic() + 60
    # In this order: what waits while another holds the one worker goes on waiting.
    while not (any(r.started_us for r in scheduler.runs()) and scheduler.health().waiting):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    registry = prometheus.CollectorRegistry()
    registry.register(SchedulerCollector(scheduler))
    text = prometheus.generate_latest(registry).decode()
    held.set()
    scheduler.shutdown()
    return set(re.findall(r"^(schedcore_\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(
    "page", ["how-to/grafana-dashboard.json", "how-to/grafana.md", "reference/metrics.md"]
)
def test_metrics_that_are_asked_for_are_there(metrics, page):
    text = (ROOT / "docs" / page).read_text("utf-8")
    asked = set(re.findall(r"\bschedcore_\w+", text))
    assert len(asked) > 3 or page.startswith("reference")
    assert asked - metrics == {"schedcore_"} & asked  # what the table's names begin with


def test_the_dashboard_for_grafana_is_whole():
    shown = json.loads((ROOT / "docs" / "how-to" / "grafana-dashboard.json").read_text("utf-8"))
    panels = shown["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)), "panels lie on one another"
    assert max(x for x, _ in taken) < 24
    for panel in panels:
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")"), target["expr"]


@pytest.mark.parametrize(
    ("picture", "start"), [("gap", "2026-03-29T00:00"), ("fold", "2026-10-25T01:00")]
)
def test_pictures_of_clock_changes_show_what_triggers_do(picture, start):
    drawn = ElementTree.parse(ROOT / "docs" / "images" / f"{picture}.svg").getroot()
    texts = [element for element in drawn if element.tag.endswith("text")]
    columns = {float(e.get("x")): e.text for e in texts if re.fullmatch(r"\d\d:\d\d", e.text)}
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    halves = [first.timestamp() + 1800 * n for n in range(len(columns))]
    for text in texts:
        trigger = trigger_named(text.text, first)
        if trigger is None:
            continue
        dots = sorted(
            float(e.get("cx"))
            for e in drawn
            if e.tag.endswith("circle") and float(e.get("cy")) == float(text.get("y")) - 5
        )
        times = trigger.next_fire_times(len(columns), first - timedelta(seconds=1))
        due = [time for time in times if time.timestamp() <= halves[-1]]
        at = [
            x
            for x, moment in zip(sorted(columns), halves, strict=True)
            if moment in {time.timestamp() for time in due}
        ]
        assert dots == at
        assert [columns[x] for x in dots] == [time.strftime("%H:%M") for time in due]


def trigger_named(text: str, first: datetime) -> CronTrigger | IntervalTrigger | None:
    """Return the trigger that a row of a picture is about, or None: the text is no such row."""
    if re.fullmatch(r"[\d*/-]+( [\d*/-]+){4}", text):
        return CronTrigger.from_crontab(text, "Europe/Berlin")
    if text == "every 90 minutes":
        return IntervalTrigger(minutes=90, start_date=first, timezone="Europe/Berlin")
    return None
