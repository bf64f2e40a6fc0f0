"""Between two workers: who is let in, what is sent twice and what is not, and what is told."""

from __future__ import annotations

import io
import socket
import stat
from threading import Event, Thread

import pytest
from werkzeug.test import EnvironBuilder

from schedcore import Election, Holder, ManualClock
from schedhttp.errors import Forbidden, Unauthorized, Unavailable
from schedhttp.request import Incoming
from schedhttp.security.authentication import Guard
from schedhttp.settings import Settings
from schedhttp.workers import leader, proxy, wire
from schedhttp.workers.leader import HolderDoors
from schedhttp.workers.proxy import Forwarder

SOON = 20
DONE = (200, [("X-A", "b")], b"done")


class Stand:
    """Stands for an election, as the forwarder sees it."""

    def __init__(self):
        self.told = None

    def holder(self):
        return self.told

    def hold(self, address, secret, term="1"):
        self.told = Holder(1, "host", 0, term, address, secret)


@pytest.fixture(params=["unix", "tcp"])
def doors(request, tmp_path, monkeypatch):
    """Open doors, behind which requests are noted and answered."""
    if request.param == "tcp":
        monkeypatch.setattr("schedhttp.workers.leader._LONGEST_PATH", 0)
    else:
        monkeypatch.setattr("schedhttp.workers.leader._LONGEST_PATH", 107)
    election = Election("e", folder=tmp_path / "f")
    election.attempt()
    asked = []

    def answer(environ):
        asked.append((environ, environ["wsgi.input"].read()))
        return DONE

    made = HolderDoors(election, lambda: True, answer, 1000)
    made.asked, made.election = asked, election
    made.where = made.open()
    assert made.where[0].startswith(request.param), "the path of a socket has its limits"
    yield made
    made.close()
    election.release()


@pytest.fixture
def closed(tmp_path):
    """Doors of a worker that holds nothing."""
    return HolderDoors(Election("e", folder=tmp_path / "g"), lambda: False, lambda _: DONE, 1000)


@pytest.fixture
def ask(closed, monkeypatch):
    """Send requests from another worker."""
    monkeypatch.setattr(proxy, "WAIT", 0.3)

    def here(request, unavailable):
        return (503, [], (unavailable or "").encode())

    stand = Stand()
    forwarder = Forwarder(stand, closed, Settings.of(api_max_body=1000), here, lambda _: None)

    def send(method="GET", path="/scheduler", **options):
        return forwarder(
            Incoming(EnvironBuilder(path, method=method, **options).get_environ(), 1000)
        )

    send.stand = stand
    return send


def test_the_holder_sees_the_request_as_the_client_sent_it(doors, ask):
    ask.stand.hold(*doors.where)
    answer = ask(
        "POST",
        data=b"\0\xff",
        environ_overrides={"PATH_INFO": "/scheduler/jobs/\xff/"},
        query_string="a=%00&b",
        headers={"X-Forwarded-For": "1.2.3.4", "Host": "h:1"},
        environ_base={"REMOTE_ADDR": "10.0.0.1"},
    )
    assert answer == DONE
    ((environ, body),) = doors.asked
    assert body == b"\0\xff"
    shown = {k: environ[k] for k in ("REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "HTTP_HOST")}
    assert shown == {
        "REMOTE_ADDR": "10.0.0.1",
        "HTTP_X_FORWARDED_FOR": "1.2.3.4",
        "HTTP_HOST": "h:1",
    }
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/scheduler/jobs/\xff/", "a=%00&b")


def test_of_a_body_that_is_too_long_only_its_length_is_told(doors, ask):
    ask.stand.hold(*doors.where)
    ask("POST", data=b"x" * 2000)
    ((environ, body),) = doors.asked
    assert (environ["CONTENT_LENGTH"], body) == ("2000", b"")


class Unread:
    """A body that must not be read."""

    def read(self, *_):
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        pytest.param({}, {"REMOTE_ADDR": "192.0.2.7"}, id="another computer"),
        pytest.param({}, {"HTTP_ORIGIN": "https://evil.example"}, id="another site"),
        pytest.param({}, {"HTTP_X_FORWARDED_FOR": "1.2.3.4"}, id="a proxy"),
        pytest.param({"api_tokens": {"robot": "x" * 16}}, {}, id="no credentials"),
    ],
)
def test_the_body_of_who_is_refused_anyway_is_not_read(doors, closed, settings, environ):
    stand = Stand()
    stand.hold(*doors.where)
    chosen = Settings.of(**settings)
    check = Guard(chosen, ManualClock()).check_sender
    forwarder = Forwarder(stand, closed, chosen, lambda *_: DONE, check)
    given = EnvironBuilder("/scheduler/jobs", method="POST", data=b"{}").get_environ()
    given |= {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "wsgi.input": Unread()}
    with pytest.raises((Forbidden, Unauthorized)):
        forwarder(Incoming(given | environ, 1000))
    assert doors.asked == []


@pytest.mark.parametrize(("status", "reads"), [(401, 0), (403, 0), (429, 0), (204, 1), (404, 1)])
def test_the_holder_tells_whether_a_body_is_to_be_read(doors, closed, status, reads):
    """Whether a password holds, it alone can tell, which counts those that do not."""
    stand = Stand()
    stand.hold(*doors.where)
    chosen = Settings.of(api_users={"ann": "scrypt:1024:8:1$s$00"})
    check = Guard(chosen, ManualClock()).check_sender
    forwarder = Forwarder(stand, closed, chosen, lambda *_: DONE, check)
    told = (status, [], b"told")
    doors._answer = lambda environ: (
        doors.asked.append(environ["REQUEST_METHOD"])
        or (told if environ["REQUEST_METHOD"] == "OPTIONS" else DONE)
    )
    body = io.BytesIO(b"{}")
    given = EnvironBuilder("/scheduler/jobs", method="POST", data=b"{}").get_environ()
    given |= {"HTTP_AUTHORIZATION": "Basic YTpi", "HTTP_HOST": "localhost", "wsgi.input": body}
    answer = forwarder(Incoming(given, 1000))
    assert answer == (DONE if reads else told)
    assert doors.asked == ["OPTIONS", "POST"][: 1 + reads]
    assert body.tell() == (2 if reads else 0)


def test_whom_nobody_knows_gets_no_thread_for_long(doors, monkeypatch):
    """Of the port, where there are no Unix sockets, any user of the computer knows the number."""
    idle = [connected(doors.where[0]) for _ in range(leader.MOST_GREETED + 1)]
    assert idle[-1].recv(1) == b""  # turned away at once
    for each in idle:
        each.close()


def test_the_socket_is_for_this_user_alone(doors, tmp_path):
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o700
    for file in doors.election.files(".sock"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def connected(where):
    kind, _, rest = where.partition(":")
    made = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    made.settimeout(SOON)
    made.connect(rest if kind == "unix" else ("127.0.0.1", int(rest)))
    return made


def shown_in(connection, secret):
    """Be a holder that lets a worker in."""
    nonce = wire.exactly(connection, wire.NONCE_LENGTH)
    connection.sendall(wire.proof(secret, nonce))
    assert wire.exactly(connection, wire.SECRET_LENGTH) == secret.encode()
    connection.sendall(wire.COME_IN)


NONCE = b"n" * wire.NONCE_LENGTH


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"0" * wire.SECRET_LENGTH, id="another secret"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"\r\n" * 40, id="HTTP"),
        pytest.param(b"\xff" * 100, id="no text"),
    ],
)
def test_who_does_not_know_the_secret_is_not_let_in(doors, said):
    with connected(doors.where[0]) as connection:
        connection.sendall(NONCE + said)
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(connection, wire.PROOF_LENGTH + 1)
    assert doors.asked == []


@pytest.mark.parametrize("frame", [b"\xff" * 8, b"\0\0\0\x02\0\0\0\0xx", b"\0\0\0\x02\0\0\0\x09{}"])
def test_a_frame_that_makes_no_sense_is_not_answered(doors, frame):
    with connected(doors.where[0]) as connection:
        connection.sendall(NONCE + doors.where[1].encode())
        wire.exactly(connection, wire.PROOF_LENGTH)
        assert wire.exactly(connection, 1) == wire.COME_IN
        connection.sendall(frame)
        connection.shutdown(socket.SHUT_WR)
        with pytest.raises((EOFError, ConnectionError)):
            wire.exactly(connection, 1)
    assert doors.asked == []
    assert doors.drain(SOON), "its place is free"


def test_closed_doors_let_nobody_in_and_leave_no_socket(doors, ask):
    ask.stand.hold(*doors.where)
    doors.close()
    assert not doors.enter()
    assert ask("POST", data=b"{}")[0] == 503
    assert doors.asked == []
    assert doors.election.files(".sock") == []


def test_without_a_holder_there_is_503(ask):
    assert ask()[0] == 503


def test_a_holder_that_came_late_is_found(doors, ask, monkeypatch):
    monkeypatch.setattr(proxy, "WAIT", SOON)
    answers = []
    thread = Thread(target=lambda: answers.append(ask("POST", data=b"{}")))
    thread.start()
    ask.stand.hold(*doors.where)
    thread.join(SOON)
    assert answers == [DONE]


class Dying:
    """A holder that takes a request and goes away."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:{self._listener.getsockname()[1]}"
        self.secret = "s" * wire.SECRET_LENGTH
        self.taken = 0
        self.ended = Event()
        Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                shown_in(connection, self.secret)
                wire.receive(connection, 1000)
                self.taken += 1

    def close(self):
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def dying():
    made = Dying()
    yield made
    made.close()


def test_what_may_have_been_carried_out_is_not_sent_again(ask, dying):
    ask.stand.hold(dying.address, dying.secret)
    with pytest.raises(Unavailable, match="look before it is sent again") as refused:
        ask("POST", data=b"{}")
    assert refused.value.headers == {"Retry-After": "1"}
    assert dying.taken == 1


def test_what_only_looks_is_sent_again(ask, dying):
    ask.stand.hold(dying.address, dying.secret)
    assert ask("GET")[0] == 503
    assert dying.taken > 1


def test_a_holder_that_hangs_is_given_up_when_there_is_another(ask, monkeypatch):
    """Its connection may be kept open by a process that it forked."""
    monkeypatch.setattr(proxy, "_SLICE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SOON)
        ask.stand.hold(f"tcp:{listener.getsockname()[1]}", "s" * wire.SECRET_LENGTH)
        refused = []

        def send() -> None:
            with pytest.raises(Unavailable):
                ask("POST", data=b"{}")
            refused.append(True)

        thread = Thread(target=send)
        thread.start()
        connection, _ = listener.accept()
        with connection:
            shown_in(connection, "s" * wire.SECRET_LENGTH)
            wire.receive(connection, 1000)
            ask.stand.hold("tcp:1", "", term="2")
            thread.join(SOON)
    assert refused


def test_who_cannot_show_that_he_holds_is_told_nothing(ask):
    """The port of a holder that was killed may be anybody's by now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SOON)
        ask.stand.hold(f"tcp:{listener.getsockname()[1]}", "s" * wire.SECRET_LENGTH)
        thread = Thread(target=lambda: ask("POST", data=b"{}"))
        thread.start()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(SOON)
            wire.exactly(connection, wire.NONCE_LENGTH)
            connection.sendall(b"x" * wire.PROOF_LENGTH)
            with pytest.raises((EOFError, ConnectionError)):
                wire.exactly(connection, 1)
        ask.stand.told = None
        thread.join(SOON)
