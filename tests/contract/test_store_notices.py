"""What a store promises about notices: they wait in order, and move with the place of reading."""

from __future__ import annotations

import pytest

from schedcore.notices.notice import MOST_WAITING, ChannelState, JobChannels, NoticeState
from schedcore.stores.base import Change
from tests.contract.conftest import STORES
from tests.stores.calls import add, end, entry, settle


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request):
    made = STORES[request.param]()
    yield made
    made.close()


def put(store, *letters, now_us=5):
    """Have notices wait; each is a channel and a text."""
    position = store.notices.position()
    assert store.notices.advance(position, f"{position}+", {}, letters, now_us)


def waiting(store, *channels, limit=10):
    return [(each.channel, each.text) for each in store.notices.waiting(channels, limit)]


def test_outcomes_are_judged_up_to_a_position_by_one_alone(store):
    notices = store.notices
    assert notices.position() is None
    assert notices.advance(None, "1", {}, (), 0)
    assert not notices.advance(None, "1", {}, [("ops", "again")], 0)
    assert notices.advance("1", "2", {"a": NoticeState(failures=1)}, [("ops", "first")], 0)
    assert not notices.advance("1", "2", {"a": NoticeState(failures=2)}, [("ops", "again")], 0)
    assert notices.position() == "2"
    assert waiting(store, "ops") == [("ops", "first")]
    assert notices.job_states(["a", "b"]) == {"a": NoticeState(failures=1)}


def test_notices_wait_in_their_order_until_they_are_removed(store):
    put(store, ("ops", "1"), ("mail", "2"), ("ops", "3 \u00fc"))
    put(store, ("ops", "4"))
    assert waiting(store, "ops") == [("ops", "1"), ("ops", "3 \u00fc"), ("ops", "4")]
    assert waiting(store, "ops", limit=2) == [("ops", "1"), ("ops", "3 \u00fc")]
    assert sorted(waiting(store, "ops", "mail", "x", limit=1)) == [("mail", "2"), ("ops", "1")]
    first, *_ = store.notices.waiting(["ops"], 1)
    assert first.made_us == 5
    store.notices.remove([first.seq])
    assert waiting(store, "ops", "mail", limit=1) in (
        [("ops", "3 \u00fc"), ("mail", "2")],
        [("mail", "2"), ("ops", "3 \u00fc")],
    )


def test_of_too_many_the_oldest_are_dropped_and_that_is_logged(store, caplog):
    put(store, ("mail", "kept"), *(("ops", str(n)) for n in range(MOST_WAITING + 5)))
    found = waiting(store, "ops", limit=2 * MOST_WAITING)
    assert [text for _, text in found] == [str(n) for n in range(5, MOST_WAITING + 5)]
    assert waiting(store, "mail") == [("mail", "kept")]
    assert caplog.messages == ["5 notice(s) dropped: too many wait for channel 'ops'"]


def test_what_is_known_of_a_job_is_replaced(store):
    place, news = None, NoticeState(3, 1, 2, 1, 4, 5)
    for number, each in enumerate((NoticeState(1), news)):
        assert store.notices.advance(place, str(number), {"a": each, "b": each}, (), 0)
        place = str(number)
    assert store.notices.job_states(["a", "c"]) == {"a": news}


def test_how_channels_do_can_be_seen(store):
    put(store, ("ops", "1"), now_us=7)
    put(store, ("ops", "2"), now_us=8)
    store.notices.note("ops", "away")
    store.notices.note("mail", "gone")
    expected = [ChannelState("mail", 0, None, "gone"), ChannelState("ops", 2, 7, "away")]
    assert store.notices.states() == expected
    store.notices.note("mail", "OSError: M\udcfcller\x00.csv")
    store.notices.note("ops", None)
    assert store.notices.states()[-1] == ChannelState("ops", 2, 7, None)


def test_what_jobs_want_is_known_also_once_they_are_gone(store):
    add(store, entry("a", 5, on_failure=("ops",)), entry("b", 6), entry("c", 7, on_run=("hc",)))
    asked = ["a", "b", "c", "never there"]
    wanted = {
        "a": JobChannels(on_failure=("ops",)),
        "b": JobChannels(),
        "c": JobChannels(on_run=("hc",)),
    }
    assert store.notices.channels(asked) == wanted
    with store.take(5, 1) as batch:
        batch.settle([None], 5)  # it had its last fire time, and runs now
    store.write([Change(store.get(job_id), None) for job_id in ("b", "c")], 6)
    del wanted["b"]  # it wanted nothing
    assert {each: it for each, it in store.notices.channels(asked).items() if any(it)} == wanted
    add(store, entry("a", 9))
    assert store.notices.channels(["a"]) == {"a": JobChannels()}
    store.write([Change(store.get("a"), None)], 7)
    assert not any(store.notices.channels(["a"]).get("a", ())), "not what an earlier one wanted"


def test_a_start_is_told_of_runs_that_are_open_still(store):
    add(store, entry("a", 5), entry("b", 5))
    runs = settle(store, 5).runs
    if store.notices.acquire([""]):  # of one process, which asks the run itself
        expected = [("ops", "a"), ("ops", "b")]
    else:
        end(store, *[run for run in runs if run.job_id == "a"])
        expected = [("ops", "b")]
    store.notices.add_starts([(run.id, "ops", run.job_id) for run in runs], 5)
    assert sorted(waiting(store, "ops")) == expected


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_office_is_held_by_one_node_until_that_is_gone(kind, tmp_path):
    one, other = two_clients(kind, tmp_path)
    try:
        assert set(one.notices.acquire(["", "ops"])) == set()  # it has not joined
        for client in (one, other):
            client.cluster.join("app", ("default",))
        assert set(one.notices.acquire(["", "ops"])) == {"", "ops"}
        assert set(other.notices.acquire(["", "ops", "mail"])) == {"mail"}
        one.cluster.leave()
        assert set(one.notices.acquire(["", "ops"])) == set()
        assert set(other.notices.acquire(["", "ops", "mail"])) == {"", "ops", "mail"}
    finally:
        one.close()
        other.close()


def two_clients(kind, tmp_path):
    """Return two stores on the same tables, as two processes have them."""
    if kind == "postgresql":
        from tests.stores.postgres import beside, postgres_store

        one = postgres_store()
        return one, beside(one)
    from schedcore.stores.sqlite import SqliteStore

    return SqliteStore(tmp_path / "jobs.db"), SqliteStore(tmp_path / "jobs.db")
