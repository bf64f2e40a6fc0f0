"""Pages that lose nothing and repeat nothing, whatever moves meanwhile."""

from __future__ import annotations

import re
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from schedcore import ManualClock, Outcome, RunRecord, Scheduler
from schedhttp import create_app
from tests.patience import examples
from tests.stores.calls import put_records


def links(answer):
    return {
        name: query for query, name in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["Link"])
    }


def followed(api, path, query, each=lambda: None):
    """Yield the pages that following ``next`` leads through."""
    while query is not None:
        page = api("GET", path + query)
        assert page.status == 200, page.text
        yield page
        each()
        query = links(page).get("next")


@pytest.fixture
def ten(api):
    for n in range(10):
        api.add(f"job-{n}", trigger="interval", minutes=n + 1)
    return api


@pytest.mark.parametrize("sort", ["id", "-id"])
@pytest.mark.parametrize("query", ["?limit=3&sort={}", "?limit=3&sort={}&q=JOB&state=scheduled"])
def test_following_the_links_shows_every_job_once_while_all_of_them_move(
    ten, scheduler, sort, query
):
    turns = count()

    def move():
        """Move every job, remove one that was shown, and add one that comes before all."""
        turn = next(turns)
        for n, job in enumerate(scheduler.get_jobs()):
            job.modify(next_run_time=f"2027-01-{(7 * n + turn) % 28 + 1:02}")
        if turn < 3:
            ten("DELETE", f"/jobs/job-{turn}" if sort == "id" else f"/jobs/job-{9 - turn}")
            ten.add(f"a-job-{turn}" if sort == "id" else f"z-job-{turn}")

    seen = [
        job["id"] for page in followed(ten, "/jobs", query.format(sort), move) for job in page.json
    ]
    expected = sorted((f"job-{n}" for n in range(10)), reverse=sort == "-id")
    assert seen == expected


def test_after_is_by_id(ten):
    def ids(query):
        return [job["id"] for job in ten("GET", "/jobs" + query).json]

    assert ids("?after=job-7") == ["job-8", "job-9"]
    assert ids("?after=job-7&sort=id") == ["job-8", "job-9"]
    assert ids("?after=job-2&sort=-id") == ["job-1", "job-0"]
    assert ids("?after=job-20&limit=2") == ["job-3", "job-4"]
    assert ids("?after=zzz") == []
    assert ids("?after=") == [f"job-{n}" for n in range(10)]
    assert ids("?after=job-2&offset=1&limit=1") == ["job-4"]


@pytest.mark.parametrize("sort", ["name", "-name", "next_run_time", "-next_run_time"])
def test_after_in_an_order_that_moves_is_400(ten, sort):
    answer = ten("GET", f"/jobs?after=job-1&sort={sort}")
    assert answer.status == 400
    assert "sort=id" in answer.json["error_message"]


@pytest.mark.parametrize("query", ["?limit=3&sort=id", "?limit=3&sort=-id", "?limit=3"])
def test_links_lead_back_too(ten, query):
    forth = [page.json for page in followed(ten, "/jobs", query)]
    assert [len(page) for page in forth] == [3, 3, 3, 1]
    page = ten("GET", "/jobs" + links(ten("GET", "/jobs" + query))["last"])
    back = [page.json]
    while (prev := links(page).get("prev")) is not None:
        page = ten("GET", "/jobs" + prev)
        back.append(page.json)
    assert back[::-1] == forth
    assert ten("GET", "/jobs" + links(page)["first"]).json == forth[0]


@pytest.mark.parametrize("query", ["offset=90000&limit=10", "offset=10&limit=3", "after=z&limit=3"])
def test_beyond_the_end_prev_is_the_last_page_there_is(ten, query):
    beyond = ten("GET", f"/jobs?{query}&sort=id")
    assert beyond.json == []
    assert "next" not in links(beyond)
    assert links(beyond)["prev"] == links(beyond)["last"]
    assert ten("GET", "/jobs" + links(beyond)["prev"]).json[-1]["id"] == "job-9"


def test_an_empty_list_has_no_neighbours_that_lead_elsewhere(api):
    for path, words in (("/jobs", {"first", "last"}), ("/runs", {"first"})):
        assert set(links(api("GET", path + "?limit=5&offset=7"))) == words


def test_ids_of_any_kind_go_through_links(api):
    for job_id in ("a b", "ö&x=1", "<>; rel=", "%2F", "+", "日本", "z"):
        api.add(job_id)
    pages = list(followed(api, "/jobs", "?limit=1&sort=id"))
    assert len({page.json[0]["id"] for page in pages}) == 7


# Runs


def records_of(api, query):
    answer = api("GET", "/runs" + query)
    assert answer.status == 200, answer.text
    return answer.json


def test_runs_are_followed_while_new_ones_come(api, scheduler):
    api.add("j")
    for _ in range(10):
        api("POST", "/jobs/j/run")
    expected = records_of(api, "")

    for path in ("/runs", "/jobs/j/runs"):
        pages = followed(api, path, "?limit=3", lambda: api("POST", "/jobs/j/run"))
        first = next(pages)
        seen = first.json + [run for page in pages for run in page.json]
        assert seen == records_of(api, "")[-len(seen) :]
        assert seen[-10:] == expected
        assert len({run["run_id"] for run in seen}) == len(seen)


def test_before_names_a_run(api):
    api.add("j")
    for _ in range(4):
        api("POST", "/jobs/j/run")
    ids = [run["run_id"] for run in records_of(api, "")]
    assert [run["run_id"] for run in records_of(api, f"?before={ids[1]}")] == ids[2:]
    assert [run["run_id"] for run in records_of(api, f"?before={ids[0]}&limit=1&offset=1")] == [
        ids[2]
    ]
    assert records_of(api, f"?before={ids[3]}") == []
    for wrong in ("x", "-1", "1e3", "", "²", "9" * 30):
        assert api("GET", f"/runs?before={wrong}").status == 400


outcomes = st.sampled_from([Outcome.EXECUTED, Outcome.FAILED, Outcome.SKIPPED, Outcome.MISSED])


@settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    told=st.lists(outcomes, min_size=1, max_size=30),
    more=st.lists(st.lists(outcomes, max_size=3), max_size=8),
    outcome=st.none() | outcomes,
    limit=st.integers(1, 5),
)
def test_occurrences_without_a_run_are_neither_lost_nor_repeated(told, more, outcome, limit):
    """They have no id; a page that begins with one is named by a run before it."""
    scheduler = Scheduler(clock=ManualClock())
    app = create_app(scheduler, api_loopback_only=False, api_trusted_hosts=["*"])
    client, ids, serial = Client(app), count(1), count(1)

    def tell(each):
        run_id = next(ids) if each in (Outcome.EXECUTED, Outcome.FAILED) else None
        put_records(scheduler._engine.store, [RunRecord(run_id, "j", each, next(serial))])

    for each in (*told, Outcome.EXECUTED):  # the latest has an id, and names what is older
        tell(each)
    wanted = [
        record.scheduled.isoformat()
        for record in scheduler.history()
        if outcome in (None, record.outcome)
    ]
    seen, arrivals = [], iter(more)
    query = f"?limit={limit}" + (f"&outcome={outcome.value}" if outcome else "")
    while query is not None:
        page = client.get("/scheduler/runs" + query)
        seen += [record["scheduled"] for record in page.json]
        query = links(page).get("next")
        for each in next(arrivals, []):
            tell(each)
    assert seen == wanted


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?limit=1&limit=2",
        "/jobs?sort=id&sort=name",
        "/jobs?before=1",
        "/runs?after=x",
        "/runs?sort=id",
        "/jobs/j?x=1",
        "?x=1",
        "/health?verbose=1",
        "/live?x",
        "/openapi.json?format=yaml",
        "/jobs/j/next?limit=3",
        "/jobs/j/runs?n=3",
    ],
)
def test_parameters_that_are_not_known_are_refused_everywhere(api, path):
    api.add("j")
    answer = api("GET", path)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs?x=1"),
        ("POST", "/start?x=1"),
        ("POST", "/jobs/j/run?wait=false"),
        ("POST", "/jobs/j/pause?x"),
        ("PATCH", "/jobs/j?x=1"),
        ("DELETE", "/jobs/j?force=1"),
        ("POST", "/preview?m=1"),
    ],
)
def test_so_they_are_where_something_would_be_changed(api, scheduler, method, path):
    api.add("j")
    before = scheduler.entries()
    answer = api(method, path, {} if method != "DELETE" else None)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert scheduler.entries() == before
