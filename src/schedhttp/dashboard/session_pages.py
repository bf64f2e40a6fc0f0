"""Signing in and out, and the choice of the time zone."""

from __future__ import annotations

from urllib.parse import quote

from schedhttp.dashboard.sessions import SESSION, SESSION_SECONDS, Sessions, cookie
from schedhttp.dashboard.visit import ZONE, Page, Redirect, Visit, own_path
from schedhttp.errors import BadRequest

_YEAR = 31_536_000


def ask_to_sign_in(visit: Visit, status: int = 200, wrong: bool = False) -> Page:
    """Return the form that asks for credentials."""
    whole = visit.request.whole
    is_shown = visit.request.method in ("GET", "HEAD")
    here = visit.path
    query = f"?{whole.query_string.decode('latin-1')}" if whole.query_string else ""
    to = "/"
    if here != "/sign-in":
        to = quote(here) + query if is_shown else "/"
    elif not is_shown:
        to = visit.form.get("to", "/")
    return Page("sign_in.html", {"to": to, "wrong": wrong}, status)


def sign_in(visit: Visit, sessions: Sessions) -> Page | Redirect:
    """Begin a session if the credentials are correct."""
    form = visit.form
    session = sessions.sign_in(visit.request, form.get("user", ""), form.get("password", ""))
    if session is None:
        return ask_to_sign_in(visit, 401, wrong=True)
    sets = cookie(visit.request, SESSION, session, visit.root, SESSION_SECONDS)
    return Redirect(own_path(form.get("to", "/")), cookies=(sets,))


def go_on(visit: Visit) -> Redirect:
    """Leave the form for credentials, if none are needed or there is a session."""
    return Redirect("/")


def sign_out(visit: Visit) -> Redirect:
    """End the session of this browser."""
    return Redirect("/", cookies=(cookie(visit.request, SESSION, "", visit.root),))


def choose_zone(visit: Visit) -> Redirect:
    """Show times in another zone from now on."""
    zone = visit.form.get("zone", "")
    if len(zone) > 80 or not zone.isprintable():
        raise BadRequest(f"zone={zone[:80]!r}: expected the name of a zone")
    sets = cookie(visit.request, ZONE, zone, visit.root, _YEAR)
    return Redirect(own_path(visit.form.get("to", "/")), cookies=(sets,))
