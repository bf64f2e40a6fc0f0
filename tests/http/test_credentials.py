"""Authentication: Basic, Bearer, the callback, the read-only role, and the price of guessing."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import sys

import pytest
from werkzeug.security import generate_password_hash

from schedhttp.security import authentication
from schedhttp.security.ratelimit import MOST_FOR_ADDRESS, MOST_FOR_NAME, MOST_FOR_USER
from tests.naming import case

# pbkdf2 with few rounds: the tests are not about how slow a hash is.
USERS = {
    "ann": generate_password_hash("größe ☃", "pbkdf2:sha256:10"),
    "eve": generate_password_hash("looks", "pbkdf2:sha256:10"),
}
TOKEN = "a-token-that-is-long-enough"
FAR = {"REMOTE_ADDR": "192.0.2.7", "HTTP_HOST": "ops.example", "HTTP_X_FORWARDED_FOR": "1.2.3.4"}


def basic(user, password):
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def guarded(mount):
    return mount(
        api_users=USERS,
        api_tokens={"robot": TOKEN, "hashed": "sha256:" + hashlib.sha256(b"secret").hexdigest()},
        api_read_only=["eve", "hashed"],
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(basic("ann", "größe ☃"), 200, id="a user, in UTF-8"),
        pytest.param(basic("eve", "looks"), 200, id="another"),
        pytest.param(bearer(TOKEN), 200, id="a token"),
        pytest.param(bearer("secret"), 200, id="a token of which the digest is known"),
        pytest.param({}, 401, id="nobody"),
        pytest.param(basic("ann", "looks"), 401, id="somebody else's password"),
        pytest.param(basic("bob", "looks"), 401, id="an unknown user"),
        pytest.param(basic("", ""), 401, id="empty"),
        pytest.param(bearer(TOKEN[:-1]), 401, id="part of a token"),
        pytest.param(bearer(""), 401, id="no token"),
        pytest.param(basic(TOKEN, TOKEN), 401, id="a token as a password"),
        pytest.param({"Authorization": "Basic"}, 401, id="nothing in it"),
        pytest.param({"Authorization": "Basic !!!"}, 401, id="no base64"),
        pytest.param({"Authorization": "Basic /w=="}, 401, id="no UTF-8"),
        pytest.param({"Authorization": 'Digest username="ann"'}, 401, id="another scheme"),
    ],
)
def test_who_is_let_in(guarded, headers, status):
    answer = guarded("GET", "/jobs", headers=headers, environ=FAR)
    assert answer.status == status
    if status == 401:
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge == 'Basic realm="Authentication Required"'
        assert guarded("GET", "/nothing", headers=headers).status == 401


@pytest.mark.parametrize("headers", [basic("eve", "looks"), bearer("secret")])
def test_a_read_only_role_may_look_and_not_touch(guarded, scheduler, headers):
    scheduler.add_job(print, "interval", hours=1, id="j")
    for path in ("", "/jobs", "/jobs/j", "/jobs/j/next", "/runs", "/health", "/openapi.json"):
        assert guarded("GET", path, headers=headers).status == 200
    assert guarded("POST", "/preview", {"trigger": "date"}, headers=headers).status == 200
    before = scheduler.entries()
    for method, path in (
        ("POST", "/jobs"),
        ("DELETE", "/jobs/j"),
        ("PATCH", "/jobs/j"),
        ("POST", "/jobs/j/run"),
        ("POST", "/jobs/j/pause"),
        ("POST", "/shutdown"),
        ("POST", "/pause"),
    ):
        answer = guarded(method, path, {}, headers=headers)
        assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
        assert guarded(method, path, {}, headers=basic("ann", "x")).status == 401
    assert scheduler.entries() == before
    assert scheduler.running


@pytest.mark.parametrize("reference", ["imported_by_nobody:work", "imported_by_nobody:nothing"])
def test_a_read_only_role_imports_nothing(mount, tmp_path, monkeypatch, reference):
    (tmp_path / "imported_by_nobody.py").write_text("def work(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    for pattern in ("*", reference, "imported_by_nobody:*", "imp*:*"):
        api = mount(
            api_tokens={"robot": TOKEN}, api_read_only=["robot"], api_allowed_funcs=[pattern]
        )
        body = {"func": reference, "trigger": "interval", "hours": 1}
        answer = api("POST", "/preview", body, headers=bearer(TOKEN))
        assert answer.status == 200, answer.text
        assert answer.json["job"]["func"] == reference
        assert "imported_by_nobody" not in sys.modules
    answer = api("POST", "/preview", body | {"func": "os:system"}, headers=bearer(TOKEN))
    assert answer.status == 403


def test_other_sites_are_refused_also_with_credentials(guarded):
    """A browser sends what it remembers, whoever asks it to."""
    evil = {"HTTP_ORIGIN": "https://evil.example"}
    assert guarded("GET", "/jobs", headers=bearer(TOKEN), environ=evil).status == 403


def test_the_callback_gets_username_and_password(mount):
    api = mount(auth=lambda auth: auth.username == "guest" and auth.password == "guest")
    assert api("GET", "/jobs", headers=basic("guest", "guest")).status == 200
    assert api("GET", "/jobs", headers=basic("guest", "x")).status == 401
    assert api("GET", "/jobs").status == 401


def test_the_callback_can_say_read(mount):
    api = mount(auth=lambda auth: "read")
    assert api("GET", "/jobs", headers=basic("a", "b")).status == 200
    assert api("POST", "/pause", headers=basic("a", "b")).status == 403


@pytest.mark.parametrize("name", ["dashboard", "Dashboard", " dashboard", "DASHBOARD "])
def test_the_callback_lets_who_may_only_read_do_no_more(mount, scheduler, name):
    api = mount(auth=lambda auth: True, api_read_only=["dashboard", "eve"])
    assert api("GET", "/jobs", headers=basic(name, "b")).status == 200
    assert api("POST", "/pause", headers=basic(name, "b")).status == 403
    assert api("POST", "/resume", headers=basic("ann", "b")).status == 204


@pytest.mark.parametrize(
    "answer",
    [
        (False, "bad password"),
        "readonly",
        "READ",
        "no",
        "false",
        b"read",
        1,
        0,
        {},
        object(),
        NotImplemented,
        asyncio.Future,
        ["read"],
    ],
    ids=case,
)
def test_an_answer_that_is_not_understood_lets_nobody_in(mount, answer, caplog):
    api = mount(auth=lambda auth: answer, api_users=USERS)
    for _ in range(3):
        for method, path in (("GET", "/jobs"), ("POST", "/start")):
            assert api(method, path, headers=basic("ann", "größe ☃")).status == 401
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "denies access" in caplog.text


@pytest.mark.parametrize("answer", [False, None])
def test_who_the_callback_does_not_know_may_be_a_user(mount, answer):
    api = mount(auth=lambda auth: answer, api_users=USERS)
    assert api("GET", "/jobs", headers=basic("ann", "größe ☃")).status == 200
    assert api("GET", "/jobs", headers=basic("ann", "guess")).status == 401


async def answers_later(auth):
    return auth.password == "right"


async def answers_one_by_one(auth):
    yield True


class Later:
    async def __call__(self, auth):
        return False


@pytest.mark.parametrize(
    "check",
    [
        answers_later,
        answers_one_by_one,
        Later(),
        functools.partial(answers_later),
        lambda auth: (yield),
    ],
    ids=["async", "generator", "object", "partial", "yield"],
)
def test_a_callback_that_answers_later_is_refused(mount, check):
    with pytest.raises(ValueError, match=r"SCHEDULER_AUTH=.* without async"):
        mount(auth=check)


def test_a_callback_that_answers_later_in_disguise_lets_nobody_in(mount):
    def check(auth):
        return answers_later(auth)

    api = mount(auth=check)
    assert api("GET", "/jobs", headers=basic("ann", "wrong")).status == 401


def test_a_callback_that_raises_lets_nobody_in(mount):
    def check(auth):
        sys.exit(3)

    assert mount(auth=check)("GET", "/jobs", headers=basic("a", "b")).status == 500


@pytest.mark.parametrize("who", ["api_users", "api_tokens"])
def test_a_mistyped_name_of_who_may_only_read_is_an_error(mount, who):
    known = {"api_users": USERS, "api_tokens": {"ann": TOKEN}}[who]
    with pytest.raises(ValueError, match=r"SCHEDULER_API_READ_ONLY='anne'.*did you mean 'ann'"):
        mount(**{who: known}, api_read_only=["anne"])
    mount(**{who: known}, api_read_only=["anne"], auth=lambda auth: True)


BYTES = [b"Basic \xff", b"Basic YQ\xff==", b"Bearer \xff", b"\xff", b"Basic " + b"\xff" * 99]
BYTES += [b"Digest \xff=\xff", b'Digest a="\xff', b"Basic \x80:\x81", b"Bearer \xed\xa0\x80"]


@pytest.mark.parametrize("header", BYTES)
def test_credentials_that_are_no_utf_8_are_wrong_ones(guarded, header, caplog):
    environ = {"HTTP_AUTHORIZATION": header.decode("latin-1")}
    assert guarded("GET", "/jobs", environ=environ).status == 401
    pair = base64.b64encode(header).decode()
    assert guarded("GET", "/jobs", headers={"Authorization": f"Basic {pair}"}).status == 401
    assert caplog.records == []


def test_guessing_is_slowed_down(guarded, clock):
    for _ in range(MOST_FOR_USER):
        assert guarded("GET", "/jobs", headers=basic("ann", "guess")).status == 401
    answer = guarded("GET", "/jobs", headers=basic("ann", "größe ☃"))
    assert (answer.status, answer.json["error_type"]) == (429, "TooManyFailures")
    assert answer.headers["Retry-After"] == "61"
    # Others are not locked out, nor the same user from elsewhere.
    assert guarded("GET", "/jobs", headers=basic("eve", "looks")).status == 200
    assert guarded("GET", "/jobs", headers=basic("ann", "größe ☃"), environ=FAR).status == 200
    clock.advance(61)
    assert guarded("GET", "/jobs", headers=basic("ann", "größe ☃")).status == 200


def test_guessing_does_not_lock_out_who_was_let_in_before(guarded):
    assert guarded("GET", "/jobs", headers=basic("ann", "größe ☃")).status == 200
    for _ in range(MOST_FOR_USER + 1):
        guarded("GET", "/jobs", headers=basic("ann", "guess"))
    assert guarded("GET", "/jobs", headers=basic("ann", "guess")).status == 429
    assert guarded("GET", "/jobs", headers=basic("ann", "größe ☃")).status == 200


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8:1:2::{n:x}",
        "2001:db8:1:2:{n:x}:{n:x}:0:1",
        "2001:db8:1:2::{n:x}%eth0",
        "2001:DB8:1:2::{n:x}",
    ],
)
def test_a_household_is_one_address(guarded, address):
    for n in range(1, MOST_FOR_ADDRESS + 1):
        far = {**FAR, "REMOTE_ADDR": address.format(n=n)}
        assert guarded("GET", "/jobs", headers=basic(f"u{n}", "x"), environ=far).status == 401
    far["REMOTE_ADDR"] = address.format(n=40_000)
    assert guarded("GET", "/jobs", headers=basic("ann", "x"), environ=far).status == 429
    assert guarded("GET", "/jobs", headers=bearer("guess"), environ=far).status == 429
    far["REMOTE_ADDR"] = "2001:db8:1:3::1"
    assert guarded("GET", "/jobs", headers=basic("ann", "x"), environ=far).status == 401


def test_ipv4_in_ipv6_is_that_address(guarded):
    for n in range(MOST_FOR_USER):
        far = {**FAR, "REMOTE_ADDR": ("::ffff:192.0.2.9", "192.0.2.9")[n % 2]}
        assert guarded("GET", "/jobs", headers=basic("ann", "x"), environ=far).status == 401
    assert guarded("GET", "/jobs", headers=basic("ann", "x"), environ=far).status == 429


def test_guessing_one_user_from_everywhere_is_slowed_down(guarded, clock):
    assert guarded("GET", "/jobs", headers=basic("eve", "looks"), environ=FAR).status == 200
    for user in ("ann", "eve"):
        for n in range(MOST_FOR_NAME):
            far = {**FAR, "REMOTE_ADDR": f"198.51.{n}.1"}
            assert guarded("GET", "/jobs", headers=basic(user, "x"), environ=far).status == 401
        far["REMOTE_ADDR"] = "203.0.113.1"
        assert guarded("GET", "/jobs", headers=basic(user, "x"), environ=far).status == 429
    # Who was let in before is not locked out, nor is another user.
    assert guarded("GET", "/jobs", headers=basic("eve", "looks"), environ=far).status == 200
    assert guarded("GET", "/jobs", headers=basic("bob", "looks"), environ=far).status == 401
    clock.advance(61)
    assert guarded("GET", "/jobs", headers=basic("ann", "größe ☃"), environ=far).status == 200


def test_names_cannot_be_told_by_the_time_where_kinds_of_hashes_are_mixed(mount, monkeypatch):
    users = {
        "quick": generate_password_hash("a", "pbkdf2:sha256:10"),
        "slow": generate_password_hash("b", "scrypt:1024:8:1"),
        "slower": generate_password_hash("c", "pbkdf2:sha512:50000"),
    }
    asked = []
    real = authentication.check_password_hash

    def check(hashed, password):
        asked.append(hashed.partition("$")[0])
        return real(hashed, password)

    monkeypatch.setattr(authentication, "check_password_hash", check)
    api = mount(api_users=users)
    for name in (*users, "nobody"):
        asked.clear()
        assert api("GET", "/jobs", headers=basic(name, "wrong")).status == 401
        assert "pbkdf2:sha512:50000" in asked
    assert api("GET", "/jobs", headers=basic("quick", "a")).status == 200


def test_guessing_names_or_tokens_is_slowed_down_too(guarded):
    for n in range(MOST_FOR_ADDRESS):
        guarded("GET", "/jobs", headers=basic(f"name-{n}", "guess"))
    assert guarded("GET", "/jobs", headers=basic("another", "guess")).status == 429
    assert guarded("GET", "/jobs", headers=bearer("guess")).status == 429
    assert guarded("GET", "/jobs", headers=bearer(TOKEN)).status == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"api_users": {"ann": "plain-text"}},
        {"api_users": "ann:plain-text"},
        {"api_tokens": {"robot": "short-secret"}},
        {"api_tokens": {"robot": "sha256:short-secret"}},
        {"auth": "plain-text"},
    ],
)
def test_a_password_that_is_not_hashed_is_an_error_that_does_not_show_it(mount, settings):
    with pytest.raises(ValueError, match=r"(?i)api_users|api_tokens|auth") as caught:
        mount(**settings)
    if "auth" not in settings:
        assert "text" not in str(caught.value).replace("texts", "")
        assert "short" not in str(caught.value)
