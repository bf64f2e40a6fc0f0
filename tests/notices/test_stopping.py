"""What a scheduler still tells when it stops, or has lost a channel to another process."""

from __future__ import annotations

import threading

from schedcore import MemoryStore, Notice
from schedcore.notices.data import to_text
from schedcore.notices.sender import ChannelSender
from tests.notices.test_telling import add, fail_first, run
from tests.patience import SOON


def test_a_function_may_shut_the_scheduler_down(schedulers):
    ended = threading.Event()

    def end(notice):
        scheduler.shutdown(timeout=SOON)
        ended.set()

    scheduler = schedulers(notices={"ops": end})
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    assert ended.wait(SOON)


def test_a_shutdown_tells_what_has_just_ended(store, schedulers, told):
    scheduler = schedulers(store=store, notices={"ops": told})
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    scheduler.shutdown(timeout=SOON)
    assert [notice.kind for notice in told.rest()] == ["failure"]


def test_a_shutdown_tells_also_what_ends_while_its_channel_is_busy(
    store, schedulers, told, monkeypatch
):
    busy, may_go_on, stop = threading.Event(), threading.Event(), ChannelSender.stop

    def stopping(sender):
        stop(sender)
        may_go_on.set()

    def tell(notice):
        busy.set()
        assert may_go_on.wait(SOON)
        told(notice)

    monkeypatch.setattr(ChannelSender, "stop", stopping)
    scheduler = schedulers(store=store, notices={"ops": tell})
    add(scheduler, on_failure="ops", on_recovery="ops")
    run(scheduler, "failed")
    assert busy.wait(SOON)
    run(scheduler, "executed")
    scheduler.shutdown(timeout=SOON)
    assert [notice.kind for notice in told.rest()] == ["failure", "recovery"]


def test_a_shutdown_without_its_store_says_that_outcomes_were_not_told(
    schedulers, told, monkeypatch, caplog
):
    store = MemoryStore()
    scheduler = schedulers(store=store, notices={"ops": told})
    fail_first(monkeypatch, store.notices, "acquire", times=10**9)
    scheduler.shutdown(timeout=SOON)
    assert [each for each in caplog.messages if each.startswith("the last outcomes were not")]


def test_a_process_that_has_lost_a_channel_leaves_what_waits_to_the_next(
    schedulers, told, monkeypatch
):
    store = MemoryStore()
    lost, looks = threading.Event(), threading.Semaphore(0)

    def acquire(names):
        looks.release()
        return [""] if lost.is_set() else names

    def tell(notice):
        if not lost.is_set():
            lost.set()
            while looks.acquire(blocking=False):
                pass
            for _ in range(2):  # when the second one begins, the first one is over
                assert looks.acquire(timeout=SOON)
        told(notice)

    monkeypatch.setattr(store.notices, "acquire", acquire)
    texts = [to_text(Notice("started", job_id, 0, 1, None)) for job_id in "ab"]
    position, _ = store.ended_after(None, 0)
    store.notices.advance(None, position, {}, [("ops", text) for text in texts], 0)
    scheduler = schedulers(store=store, notices={"ops": tell})
    assert told.next().job_id == "a"
    scheduler.shutdown(timeout=SOON)
    assert told.rest() == []
    assert len(store.notices.waiting(["ops"], 10)) == 1
