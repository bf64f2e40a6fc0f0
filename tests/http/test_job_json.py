"""Jobs as JSON: always what would be written anew, however it is written, and not kept for long."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
import weakref
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from threading import Event, Thread
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from schedcore import ManualClock, Scheduler
from schedcore.jobdata import job_from_dict, job_to_dict
from schedcore.stores.base import Change
from schedhttp import codec, create_app
from schedhttp.job_json import JobJson, dumps, dumps_plainly
from tests.naming import case

START = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)
WAIT_S = 60
"""How long a test waits for what must happen before it fails."""
ODD = timezone(timedelta(hours=1, minutes=2, seconds=5))
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", ODD]

job_ids = st.sampled_from([f"job-{n}" for n in range(4)])
due = st.integers(0, 3 * 60 * 1_000_000).map(lambda us: START + timedelta(microseconds=us))
whole_seconds = st.integers(0, 200).map(lambda s: START + timedelta(seconds=s))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), job_ids, st.sampled_from(ZONES), due | whole_seconds),
        st.tuples(st.just("move"), job_ids, due | whole_seconds),
        st.tuples(st.just("rename"), job_ids, st.text("abö", min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["pause", "resume", "remove", "park", "show", "list"]), job_ids),
    ),
    max_size=60,
)


def expected(scheduler: Scheduler) -> bytes:
    """The list as it is written without anything that is kept."""
    return dumps([codec.job_to_dict(entry, False) for entry in scheduler.entries()])


def new_scheduler() -> Scheduler:
    return Scheduler(clock=ManualClock(START), timezone="UTC")


def park(scheduler: Scheduler, job_id: str) -> None:
    """Mark a job broken, as the engine does; where it is due stays."""
    entry = scheduler.entry(job_id)
    parked = entry._replace(broken="no such module")
    assert not scheduler._engine.store.write([Change(entry, parked)], 0).conflicts


def take(scheduler: Scheduler, kept: JobJson, step: tuple) -> None:
    action, job_id, *rest = step
    if action == "list":
        assert kept.all(kept.running()) == expected(scheduler)
    elif action == "add":
        zone, at = rest
        options = {"id": job_id, "next_run_time": at, "replace_existing": True}
        scheduler.add_job(print, "cron", hour=5, timezone=zone, **options)
    elif scheduler.get_job(job_id) is None:
        return
    elif action == "move":
        scheduler.modify_job(job_id, next_run_time=rest[0])
    elif action == "rename":
        scheduler.modify_job(job_id, name=rest[0])
    elif action == "park":
        park(scheduler, job_id)
    elif action == "show":
        entry = scheduler.entry(job_id)
        shown = {**codec.job_to_dict(entry, False), **kept.runs_of(job_id)}
        assert kept.one(entry)[0] == dumps(shown)
    else:
        getattr(scheduler, f"{action}_job")(job_id)


@settings(deadline=None)
@given(steps)
def test_the_list_is_what_would_be_written_anew(steps):
    """Whatever was kept before: jobs added, moved, changed, paused and removed in between."""
    scheduler = new_scheduler()
    kept = JobJson(scheduler)
    for step in steps:
        take(scheduler, kept, step)
    assert kept.all(kept.running()) == expected(scheduler)
    backwards = list(reversed(scheduler.entries()))
    assert json.loads(kept.some(backwards, frozenset())) == json.loads(expected(scheduler))[::-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"trigger": {"trigger": "interval", "hours": 2}},
        {"trigger": {"trigger": "interval", "hours": 1.0, "timezone": "Asia/Tokyo"}},
        {"args": [1]},
        {"max_instances": 2},
        {"func": repr, "args": [1]},
        {"next_run_time": None},
    ],
    ids=str,
)
def test_a_change_shows_at_once(changes):
    scheduler = new_scheduler()
    kept = JobJson(scheduler)
    for job_id in ("a", "b", "c"):
        scheduler.add_job(print, "interval", hours=1, id=job_id)
    kept.all(kept.running())
    before = kept.etag(scheduler.entry("b"))
    scheduler.modify_job("b", **changes)
    assert kept.all(kept.running()) == expected(scheduler)
    assert kept.one(scheduler.entry("b"))[1] != before


def test_a_broken_job_is_shown_as_such_until_it_is_not():
    scheduler = new_scheduler()
    kept = JobJson(scheduler)
    for job_id in ("a", "b", "c"):
        scheduler.add_job(print, "interval", hours=1, id=job_id)
    kept.all(kept.running())
    park(scheduler, "b")
    assert kept.all(kept.running()) == expected(scheduler)
    assert json.loads(kept.one(scheduler.entry("b"))[0])["state"] == "broken"
    scheduler.modify_job("b", max_instances=2)
    assert kept.all(kept.running()) == expected(scheduler)
    assert json.loads(kept.one(scheduler.entry("b"))[0])["state"] == "scheduled"


def test_jobs_of_other_zones_move_on_after_one_that_is_gone():
    """Each stands one place further to the front than in the list before, and none moves in it."""
    scheduler = new_scheduler()
    kept = JobJson(scheduler)
    for n in range(40):
        at = START + timedelta(minutes=n)
        options = {"id": str(n), "timezone": ZONES[n % 4], "next_run_time": at}
        scheduler.add_job(print, "cron", hour=5, **options)
    kept.all(kept.running())
    scheduler.remove_job("0")
    scheduler.remove_job("20")
    for n in [*range(10, 15), *range(30, 35)]:
        at = START + timedelta(minutes=n, seconds=5)
        scheduler.modify_job(str(n), next_run_time=at)
    assert kept.all(kept.running()) == expected(scheduler)


@pytest.mark.parametrize(
    "running",
    [set(), {"1"}, {"0", "4"}, {"2", "3"}, {"gone"}],
    ids=lambda value: str(sorted(value)),
)
def test_jobs_under_way_are_shown_as_such_and_no_others(running):
    scheduler = new_scheduler()
    for n in range(5):
        scheduler.add_job(print, "interval", hours=5 - n, id=str(n))
    park(scheduler, "2")
    scheduler.pause_job("1")
    entries = scheduler.entries()
    shown = json.loads(JobJson(scheduler).some(entries, frozenset(running)))
    written = [codec.job_to_dict(entry, entry.job.id in running) for entry in entries]
    assert shown == json.loads(dumps(written))


def test_a_list_in_which_everything_changes_again_and_again():
    """More differences than are looked for one by one, and the order turned round."""
    scheduler = new_scheduler()
    kept = JobJson(scheduler)
    for n in range(500):
        scheduler.add_job(print, "interval", hours=1, id=str(n))
    for round_ in range(4):
        for n in range(0, 500, round_ + 1):
            at = START + timedelta(seconds=n * (-1) ** round_ + 1000, microseconds=n * round_)
            scheduler.modify_job(str(n), next_run_time=at)
        assert kept.all(kept.running()) == expected(scheduler)


# How JSON is written

numbers = (
    st.integers() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters() | st.sampled_from('\ud83d\ude00\\"\x7f\u2028'), max_size=9)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


def typed(value):
    """A value in which true is not 1, nor 1.0."""
    return json.loads(json.dumps(value), parse_int=lambda text: ("int", text), parse_float=repr)


@given(json_values)
def test_both_writers_of_json_mean_the_same(value):
    quick, plain = json.loads(dumps(value)), json.loads(dumps_plainly(value))
    assert typed(quick) == typed(plain)


class TextOfItsOwn(str):
    """Text of another type."""

    __slots__ = ()


class Number(IntEnum):
    """Numbers of another type."""

    ONE = 1


Pair = namedtuple("Pair", "a b")


@dataclass
class Data:
    x: int = 1


@pytest.mark.parametrize(
    "value",
    [
        10**30, -(2**63), 2**64, 1e16, -0.0, "\ud800", "é\u2028", [TextOfItsOwn("x")], Number.ONE,
        (1, (2,)), Pair(1, (True,)), {2: 2, None: 3, True: 4, 1.5: 5}, OrderedDict(b=1, a=2),
        {"deep": [[[[[[]]]]]]},
    ],
    ids=repr,
)  # fmt: skip
def test_what_json_knows_in_other_types_is_written_alike(value):
    assert typed(json.loads(dumps([value]))) == typed(json.loads(dumps_plainly([value])))


@pytest.mark.parametrize("value", [Data(), {1, 2}, b"x", object()], ids=case)
def test_what_json_does_not_know_is_refused_by_both(value):
    for write in (dumps, dumps_plainly):
        with pytest.raises(TypeError):
            write([value])


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("us", [0, 1, 1_900_000_000_000_000, 1_900_000_000_000_001])
def test_due_times_are_written_as_iso_8601_by_both(us, zone):
    scheduler = new_scheduler()
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)
    job = scheduler.add_job(print, "date", run_date=at, timezone=zone)
    place = codec.place_to_dict(job.last_seen, False)
    told = {"next_run_time": job.next_run_time.isoformat(), "state": "scheduled"}
    assert json.loads(dumps(place)) == json.loads(dumps_plainly(place)) == told


def test_json_is_written_without_orjson():
    program = """
import sys
sys.modules["orjson"] = None
from schedhttp import job_json
assert job_json.dumps is job_json.dumps_plainly
from schedcore import Scheduler
scheduler = Scheduler(timezone="UTC")
scheduler.add_job(print, "interval", ["é"], hours=1, id="a")
print(job_json.JobJson(scheduler).all(frozenset()).decode())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    (job,) = json.loads(ran.stdout)
    assert (job["id"], job["args"], job["state"]) == ("a", ["é"], "scheduled")


def test_arguments_that_orjson_would_write_and_json_does_not_know_are_shown_as_repr():
    scheduler = new_scheduler()
    refused = [Data(), START, UUID(int=5), float("nan")]
    arguments = [*refused, Number.ONE, (1,), 10**30, "\ud800", {1: 2}]
    scheduler.add_job(print, "interval", arguments, hours=1, id="a")
    job = json.loads(JobJson(scheduler).one(scheduler.entry("a"))[0])
    assert job["shown_as_repr"] == ["args[0]", "args[1]", "args[2]", "args[3]"]
    assert job["args"][:4] == [repr(argument) for argument in refused]
    assert job["args"][4:] == [1, [1], 10**30, "\ud800", {"1": 2}]


class Blocking:
    """An argument that JSON cannot carry, and whose repr does not come back before it may."""

    def __init__(self) -> None:
        self.entered, self.may_go = Event(), Event()

    def __repr__(self) -> str:
        self.entered.set()
        assert self.may_go.wait(WAIT_S)
        return "blocking"


def test_jobs_are_added_changed_and_run_while_a_list_is_turned_into_json():
    """No lock of the engine's is held meanwhile."""
    scheduler, blocking, answers = Scheduler(timezone="UTC"), Blocking(), []
    for n in range(1_000):
        scheduler.add_job(print, "interval", hours=1, id=str(n))
    scheduler.add_job(print, "interval", args=[blocking], hours=1, id="blocking")
    kept, ran, done = JobJson(scheduler), Event(), Event()

    def change() -> None:
        scheduler.start()
        scheduler.add_job(ran.set, id="now")  # once, as soon as possible
        scheduler.modify_job("1", name="changed")
        scheduler.pause_job("2")
        scheduler.remove_job("3")
        scheduler.entries()
        done.set()

    listing = Thread(
        target=lambda: answers.append(json.loads(kept.all(kept.running()))), daemon=True
    )
    changing = Thread(target=change, daemon=True)
    listing.start()
    try:
        assert blocking.entered.wait(WAIT_S)
        changing.start()
        assert done.wait(WAIT_S), "a change waits until the list is written"
        assert ran.wait(WAIT_S), "a job that is due waits until the list is written"
        assert not answers
    finally:
        blocking.may_go.set()
        listing.join(WAIT_S)
        scheduler.shutdown(timeout=WAIT_S)
    (jobs,) = answers
    assert len(jobs) == 1_001, "as they were when they were asked for"
    assert {job["name"] for job in jobs} == {"print"}
    assert {"now", "3"} & {job["id"] for job in json.loads(kept.all(kept.running()))} == set()


def test_no_list_shows_two_moments_at_once():
    """Of two jobs that are there in turns, no list has both, however many ask at a time."""
    scheduler = new_scheduler()
    for n in range(50):
        scheduler.add_job(print, "interval", hours=n + 1, id=str(n))
    kept, over, seen = JobJson(scheduler), Event(), []

    def ask() -> None:
        while not over.is_set():
            ids = [job["id"] for job in json.loads(kept.all(kept.running()))]
            seen.append((len(ids), {"a", "b"} <= set(ids), len(ids) == len(set(ids))))

    readers = [Thread(target=ask) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(200):
            for job_id in ("a", "b"):
                scheduler.add_job(print, "interval", minutes=90, id=job_id)
                scheduler.remove_job(job_id)
    finally:
        over.set()
        for reader in readers:
            reader.join(WAIT_S)
    assert seen
    assert {size for size, _, _ in seen} <= {50, 51}
    assert not any(both for _, both, _ in seen)
    assert all(once for _, _, once in seen)


def test_the_list_before_is_let_go_of_before_the_next_is_joined():
    """Its memory is there again by then."""
    scheduler = new_scheduler()
    for n in range(100):
        scheduler.add_job(print, "interval", args=["x" * 10_000], hours=1, id=str(n))
    kept = JobJson(scheduler)
    kept.all(kept.running())
    scheduler.modify_job("1", next_run_time=START + timedelta(days=1))
    tracemalloc.start()
    try:
        kept.all(kept.running())
        scheduler.modify_job("1", next_run_time=START + timedelta(days=2))
        tracemalloc.reset_peak()
        size = len(kept.all(kept.running()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size


class Argument:
    """Something whose end can be noticed."""


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "only looked at one by one"])
def test_jobs_that_are_gone_are_let_go_of(listed):
    scheduler = new_scheduler()
    kept = JobJson(scheduler)
    argument = Argument()
    gone = weakref.ref(argument)
    scheduler.add_job(print, "interval", args=[argument], hours=1, id="gone")
    del argument
    kept.one(scheduler.entry("gone"))
    if listed:
        kept.all(kept.running())
    scheduler.remove_job("gone")
    for n in range(1_000):
        scheduler.add_job(print, "interval", hours=1, id=str(n))
        kept.one(scheduler.entry(str(n)))
        scheduler.remove_job(str(n))
    if listed:
        assert kept.all(kept.running()) == b"[]"
    gc.collect()
    assert gone() is None


def test_a_request_that_looks_like_tagged_data_is_a_dict_like_any_other():
    """Who writes a request does not choose types."""
    scheduler = new_scheduler()
    client = Client(create_app(scheduler, api_allowed_funcs=["pprint:pformat"]))
    here = {"REMOTE_ADDR": "127.0.0.1"}
    tagged = {"$type": "date", "value": "2026-01-05"}
    changes = {"kwargs": {"width": tagged}}
    body = {
        "id": "a",
        "func": "pprint:pformat",
        "args": [tagged],
        "trigger": "interval",
        "hours": 1,
    }
    answer = client.post("/scheduler/jobs", json=body, environ_base=here)
    assert answer.status_code == 200, answer.text
    shown = answer.json
    assert shown["args"] == [tagged]
    assert "shown_as_repr" not in shown
    assert client.patch("/scheduler/jobs/a", json=changes, environ_base=here).status_code == 200
    job = scheduler.entry("a").job
    assert (job.args, dict(job.kwargs)) == ((tagged,), {"width": tagged})
    back = job_from_dict(json.loads(json.dumps(job_to_dict(job))))
    assert (back.args, dict(back.kwargs)) == ((tagged,), {"width": tagged})
