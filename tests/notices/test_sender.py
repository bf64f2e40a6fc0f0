"""The sender of one channel: what it still sends after a failure, and when it ends."""

from __future__ import annotations

import threading

import pytest

from schedcore import MemoryStore, Notice, SystemClock
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import Deadline
from schedcore.notices.data import to_text
from schedcore.notices.sender import ChannelSender
from tests.patience import SOON


class Channel:
    """Raises for jobs named ``bad``, and waits in jobs named ``slow``; has only what it must."""

    def __init__(self):
        self.sent, self.busy, self.may_go_on = [], threading.Event(), threading.Event()

    def send(self, notice):
        if notice.job_id == "slow":
            self.busy.set()
            assert self.may_go_on.wait(SOON)
        if notice.job_id == "bad":
            raise ValueError("it broke")
        self.sent.append(notice.job_id)


@pytest.fixture
def channel():
    return Channel()


@pytest.fixture
def notices():
    return MemoryStore().notices


@pytest.fixture
def give(channel, notices):
    """Return what makes a sender that has notices, given as the ids of their jobs or as texts."""

    def make(*given):
        texts = [
            text if "{" in text else to_text(Notice("started", text, 0, 1, None)) for text in given
        ]
        notices.advance(None, "1", {}, [("ops", text) for text in texts], 0)
        sender = ChannelSender(
            "ops", channel, notices, SystemClock(), GuardedLogger("schedcore.notices")
        )
        sender.give(notices.waiting(["ops"], 10))
        return sender

    return make


def end(sender):
    sender.stop()
    sender.finish(Deadline(SOON))


@pytest.mark.parametrize("first", ["bad", '{"kind": "of another version"}'])
def test_a_notice_that_cannot_be_sent_is_given_up_and_the_next_one_sent(
    channel, notices, give, caplog, first
):
    end(give(first, "good"))
    assert channel.sent == ["good"]
    assert notices.waiting(["ops"], 10) == []
    (line,) = [each for each in caplog.messages if "was given up after 1 attempt(s)" in each]
    assert line.endswith(("job 'bad': run 1 has started", first))


def test_a_sender_that_was_not_awaited_ends_with_the_notice_that_it_sends(
    channel, notices, give, caplog
):
    sender = give("slow", "good")
    assert channel.busy.wait(SOON)
    sender.stop()
    sender.finish(Deadline(0))
    assert [each for each in caplog.messages if each.startswith("notices wait for channel 'ops'")]
    channel.may_go_on.set()
    end(sender)
    assert channel.sent == ["slow"]
    assert len(notices.waiting(["ops"], 10)) == 1  # for the next start
