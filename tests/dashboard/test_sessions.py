"""Who is let in: by a session, by credentials, or because they are on this computer."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from flask import Flask

from schedcore import InvalidOptionError, Scheduler
from schedhttp import create_app
from schedhttp.dashboard.site import FORMS, PAGES
from schedhttp.flask import FlaskScheduler
from schedhttp.settings import load
from tests.dashboard.conftest import SAME_SITE, USERS, Browser, wsgi

LINK = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}
CROSS_SITE = {"HTTP_SEC_FETCH_SITE": "cross-site"}


def test_without_users_only_this_computer_is_served(browser):
    elsewhere = {"REMOTE_ADDR": "10.0.0.3"}
    assert "only clients on this computer" in browser.get("/", 403, environ=elsewhere).text
    assert "Host" in browser.get("/", 403, environ={"HTTP_HOST": "evil.example"}).text
    proxied = {"HTTP_X_FORWARDED_FOR": "10.0.0.3"}
    assert browser.open("/", environ=proxied).status_code == 403


def test_who_has_to_sign_in_does_so_and_comes_back_to_the_page(mount):
    browser = mount(**USERS)
    page = browser.get("/jobs?q=x", 401)
    assert page.form("/sign-in")["to"] == "/jobs?q=x"
    answer = browser.sign_in("ann", "of ann")
    assert answer.headers["Location"] == browser.base + "/jobs"
    assert "Sign out ann" in browser.follow(answer).text
    browser.send("/sign-out")
    browser.get("/jobs", 401)


def test_the_session_is_a_cookie_that_no_script_and_no_other_site_uses(mount):
    browser = mount(**USERS)
    sets = browser.sign_in("ann", "of ann").headers["Set-Cookie"]
    assert "HttpOnly" in sets
    assert "SameSite=Strict" in sets
    assert f"Path={browser.base or '/'}" in sets
    assert "Secure" not in sets
    over_https = {"HTTP_ORIGIN": "https://localhost", "HTTP_HOST": "localhost"}
    data = {"user": "ann", "password": "of ann"}
    assert "Secure" in browser.send("/sign-in", data, over_https).headers["Set-Cookie"]


def test_a_token_is_a_password_without_a_user(mount):
    browser = mount(api_tokens={"robot": "x" * 20})
    assert browser.sign_in("", "x" * 20).status_code == 303
    assert "Sign out robot" in browser.get("/").text


def test_what_does_not_hold_is_refused_and_soon_not_even_looked_at(mount):
    browser = mount(**USERS)
    answer = browser.sign_in("ann", "wrong")
    assert answer.status_code == 401
    assert "Wrong user or password" in answer.text
    assert browser.sign_in("nobody", "of ann").status_code == 401
    statuses = {browser.sign_in("ann", f"wrong {n}").status_code for n in range(20)}
    assert statuses == {401, 429}


def test_a_session_ends_after_twelve_hours(mount, clock):
    browser = mount(**USERS)
    browser.sign_in("ann", "of ann")
    clock.advance(12 * 3600 - 1)
    browser.get("/")
    clock.advance(1)
    browser.get("/", 401)


def test_a_session_ends_with_the_password_and_with_the_user(scheduler):
    browser = wsgi(scheduler, {"dashboard": True, "dashboard_secret": "s", **USERS})
    browser.sign_in("ann", "of ann")
    client = browser._client
    other = {"ann": USERS["api_users"]["rob"]}
    for users, status in ((USERS["api_users"], 200), (other, 401), ({"bob": other["ann"]}, 401)):
        app = create_app(
            scheduler, dashboard=True, dashboard_prefix="", dashboard_secret="s", api_users=users
        )
        client.application = app
        assert browser.open("/").status_code == status


def test_a_session_ends_with_its_token_even_if_a_user_has_that_name(scheduler):
    users = {"dashboard_secret": "s", "api_users": USERS["api_users"]}
    browser = wsgi(scheduler, {"dashboard": True, **users, "api_tokens": {"ann": "x" * 20}})
    browser.sign_in("", "x" * 20)
    browser.get("/")
    for more in ({}, {"auth": lambda _: True}):
        browser._client.application = create_app(
            scheduler, dashboard=True, dashboard_prefix="", **users, **more
        )
        browser.get("/", 401)


def test_a_user_may_have_a_long_name(scheduler):
    name = "a" * 70
    users = {name: USERS["api_users"]["ann"], "a" * 64: USERS["api_users"]["rob"]}
    browser = wsgi(scheduler, {"dashboard": True, "api_users": users})
    browser.sign_in(name, "of ann")
    assert f"Sign out {name} " in browser.get("/").text.replace("\n", " ")


def test_who_may_only_look_by_now_may_not_more_by_an_older_session(scheduler):
    browser = wsgi(scheduler, {"dashboard": True, **USERS, "api_read_only": []})
    browser.sign_in("rob", "of rob")
    assert "Who changed what" in browser.get("/system").text
    browser._client.application = create_app(
        scheduler, dashboard=True, dashboard_prefix="", **USERS
    )
    assert "Who changed what" not in browser.get("/system").text


def test_a_session_is_one_of_all_workers_with_the_same_users(scheduler):
    browser = wsgi(scheduler, {"dashboard": True, **USERS})
    browser.sign_in("ann", "of ann")
    browser._client.application = create_app(
        Scheduler(clock=scheduler.clock), dashboard=True, dashboard_prefix="", **USERS
    )
    assert "Sign out ann" in browser.get("/").text


def test_a_forged_session_is_none(mount):
    browser = mount(**USERS)
    browser._client.set_cookie("schedcore_session", "WyJhbm4iLCJhbGwiXQ.x", path="/")
    browser.get("/", 401)


def test_a_callback_decides_too_and_what_it_says_of_reading_counts(mount):
    def check(given):
        return {"ann": True, "rob": "read"}.get(given.username, False)

    browser = mount(auth=check)
    browser.sign_in("rob", "any")
    assert "read-only" in browser.get("/").text


def test_programs_send_what_they_send_to_the_api(mount):
    browser = mount(**USERS)
    assert browser.open("/", auth=("ann", "of ann")).status_code == 200
    wrong = browser.open("/", auth=("ann", "wrong"))
    assert wrong.status_code == 401
    assert "WWW-Authenticate" not in wrong.headers


def test_a_form_has_to_be_one_of_our_pages(browser):
    browser.get("/")
    assert browser.send("/zone", {"zone": "UTC"}).status_code == 303
    assert browser.send("/zone", {"zone": "UTC"}, token=False).status_code == 403
    assert browser.send("/zone", {"zone": "UTC"}, CROSS_SITE).status_code == 403
    evil = {"HTTP_ORIGIN": "http://evil.example", "HTTP_SEC_FETCH_SITE": "same-site"}
    assert browser.send("/zone", {"zone": "UTC"}, evil).status_code == 403
    silent = browser.open("/zone", "POST", data={"zone": "UTC"})
    assert "expected a header Origin" in silent.text
    assert browser.open("/zone", environ=SAME_SITE).status_code == 405


@pytest.mark.parametrize("path", [*FORMS, "/sign-in"])
@pytest.mark.parametrize("how", ["no token", "another token", "another site"])
def test_each_form_has_to_be_one_of_our_pages(mount, scheduler, path, how):
    scheduler.add_job(len, "interval", hours=1, id="j", args=["four"])
    browser = mount()
    browser.get("/")
    before = scheduler.entries()
    fields = {"id": "j", "do": "remove", "which": "chosen", "confirm": "1", "user": "ann"}
    if how == "another token":
        data = {**fields, "form_token": "x" * 43}
        answer = browser.open(path, "POST", SAME_SITE, data=data)
    else:
        environ = CROSS_SITE if how == "another site" else {}
        answer = browser.send(path, fields, environ, token=how != "no token")
    assert answer.status_code == 403
    assert scheduler.entries() == before
    assert scheduler.state.name == "RUNNING"
    assert "schedcore_session" not in str(answer.headers.getlist("Set-Cookie"))


def test_what_one_has_seen_is_not_what_another_sees(mount, scheduler):
    """A version is of one visitor and one zone: a 304 never shows what was made for another."""
    scheduler.add_job(len, "interval", hours=1, id="j", args=["four"])
    browser = mount(**USERS)
    seen = set()
    for user in ("ann", "rob"):
        browser.sign_in(user, f"of {user}")
        for zone in ("UTC", "Asia/Tokyo"):
            browser.send("/zone", {"zone": zone})
            etag = browser.open("/jobs").headers["ETag"]
            assert browser.open("/jobs", headers={"If-None-Match": etag}).status_code == 304
            for other in seen:
                answer = browser.open("/jobs", headers={"If-None-Match": other})
                assert answer.status_code == 200, "made for somebody else"
            seen.add(etag)
        browser.send("/sign-out")
        for etag in seen:
            assert browser.open("/jobs", headers={"If-None-Match": etag}).status_code == 401
    assert len(seen) == 4


def test_no_header_is_made_of_what_was_sent(browser, scheduler):
    """Line breaks in ids, zones and targets end no header and begin none."""
    evil = "j\r\nX-Evil: 1\r\nSet-Cookie: evil=1"
    scheduler.add_job(len, "interval", hours=1, id=evil, args=["four"])
    browser.get("/")
    fields = {"id": evil, "to": f"/jobs?q={evil}", "zone": evil, "do": "pause", "confirm": "1"}
    answers = [browser.send(path, {**fields, "which": "chosen"}) for path in FORMS]
    answers += [browser.open(f"{path}?{urlencode({'id': evil, 'q': evil})}") for path in PAGES]
    assert any(answer.status_code == 303 for answer in answers)
    for answer in answers:
        assert "X-Evil" not in answer.headers
        for name, value in answer.headers:
            assert "\n" not in value, name
            assert not value.startswith("evil="), name


def test_a_link_on_another_site_leads_here_and_its_scripts_do_not(mount):
    browser = mount()
    assert browser.open("/", environ={**CROSS_SITE, **LINK}).status_code == 200
    assert browser.open("/", environ=CROSS_SITE).status_code == 403
    locked = mount(**USERS)
    page = locked.get("/jobs", environ={**CROSS_SITE, **LINK})
    assert any(meta.get("http-equiv") == "refresh" for meta in page.tags("meta"))


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "http://evil.example", "/\nx"])
def test_no_form_leads_to_another_site(browser, to):
    browser.get("/")
    location = browser.send("/zone", {"zone": "UTC", "to": to}).headers["Location"]
    assert location == browser.base + "/"


def test_a_long_form_is_refused(mount):
    browser = mount(api_max_body=1000)
    browser.get("/")
    assert browser.send("/zone", {"zone": "x" * 2000}).status_code == 413


def test_it_is_there_only_where_it_is_asked_for():
    assert create_app(Scheduler()).dashboard is None
    settings = load(None, {})
    assert (settings.dashboard, settings.dashboard_prefix) == (True, "")
    at_the_root = load(None, {"SCHEDULER_API_PREFIX": ""})
    assert at_the_root.dashboard_prefix == "/dashboard"
    assert not load(None, {"SCHEDULER_DASHBOARD": "off"}).dashboard


def test_one_prefix_cannot_be_of_both():
    with pytest.raises(InvalidOptionError, match="another path than the API's"):
        create_app(Scheduler(), dashboard=True, dashboard_prefix="/x", api_prefix="/x")


def test_two_dashboards_of_one_flask_app_have_paths_of_their_own():
    app = Flask("tests", root_path=".")
    app.config.update(SCHEDULER_API_ENABLED=True, SCHEDULER_DASHBOARD=True)
    FlaskScheduler(Scheduler(), app)
    second = FlaskScheduler(Scheduler())
    second.api_prefix, second.endpoint_prefix = "/other", "other."
    with pytest.raises(InvalidOptionError, match=r"DASHBOARD_PREFIX.*set on the extension"):
        second.init_app(app)
    second.dashboard_prefix = "/pages"
    second.init_app(app)
    for path in ("/dashboard", "/pages", "/scheduler/jobs", "/other/jobs"):
        assert Browser(app, path).open("").status_code == 200


def test_sessions_in_flask_are_of_one_app_and_signed_by_its_own_key(scheduler):
    def browser(key, name="tests", **settings):
        app = Flask(name, root_path=".")
        app.config.update(SCHEDULER_API_ENABLED=True, SCHEDULER_DASHBOARD=True, SECRET_KEY=key)
        app.config.update(SCHEDULER_AUTH=lambda given: given.password == "sesame", **settings)
        FlaskScheduler(scheduler, app)
        return Browser(app, "/dashboard")

    def statuses(given):
        first = browser("k", **given)
        first.sign_in("ann", "sesame")
        for key, other in (
            ("k", {}),
            ("another", {}),
            ("k", {"name": "another"}),
            ("k", {"SCHEDULER_NAME": "another"}),
            ("k", {"SCHEDULER_API_PREFIX": "/another"}),
        ):
            first._client.application = browser(key, **given, **other)._client.application
            yield first.open("/").status_code

    assert [*statuses({})] == [200, 401, 401, 401, 401]
    secret = {"SCHEDULER_DASHBOARD_SECRET": "s"}
    assert [*statuses(secret)] == [200, 200, 401, 401, 401], "the secret is used, and not the key"
