"""Access to the dashboard: by a session, or by the same credentials as for the API."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import Any, NamedTuple

from itsdangerous import BadData, URLSafeSerializer
from werkzeug.datastructures import Authorization, MultiDict
from werkzeug.http import dump_cookie

from schedcore import Clock
from schedcore.clock import SECOND
from schedhttp.errors import Forbidden
from schedhttp.request import Incoming, reading
from schedhttp.security.authentication import Guard, Role
from schedhttp.security.origins import check_computer, check_origin
from schedhttp.settings import Settings

SESSION, FORM = "schedcore_session", "schedcore_form"
"""The cookies of the session, and of the token that each form must send back."""
_HOURS = 12
_TOKEN_LENGTH = 43


class Visitor(NamedTuple):
    """The visitor of a page."""

    role: Role
    user: str
    is_signed_in: bool
    """Whether they have a session of the dashboard, which can be ended."""


class Sessions:
    """Identifies the visitors of pages, and begins and ends sessions.

    Args:
        settings: All of them.
        guard: The API's guard, with its users and tokens.
        clock: Measures how old a session is.
    """

    def __init__(self, settings: Settings, guard: Guard, clock: Clock) -> None:
        self._settings = settings
        self._guard = guard
        self._clock = clock
        self._sealer = URLSafeSerializer(
            _secret_of(settings),
            salt=_salt_of(settings),
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    @property
    def needs_sign_in(self) -> bool:
        """Whether visitors must sign in."""
        return self._guard.has_credentials

    def admit(self, request: Incoming) -> Visitor | None:
        """Return the sender of *request*; None: they must sign in first.

        Raises:
            Forbidden: if it comes from another site, or from another computer while there is no
                authentication.
            Unauthorized: if it has an Authorization header with wrong credentials.
            TooManyFailures: if there were too many wrong credentials recently.
        """
        self._check_origin(request)
        if not self._guard.has_credentials:
            check_computer(request, self._settings)
            return Visitor(Role.ALL, request.user, False)
        if "HTTP_AUTHORIZATION" in request.environ:
            return Visitor(self._guard.admit(request), request.user, False)
        visitor = self._read(request.whole.cookies.get(SESSION, ""))
        if visitor is not None:
            request.user = visitor.user
        return visitor

    def _check_origin(self, request: Incoming) -> None:
        environ = request.environ
        if request.method == "POST":
            if "HTTP_ORIGIN" not in environ and "HTTP_SEC_FETCH_SITE" not in environ:
                raise Forbidden(
                    "a form has to say which page it is on: expected a header Origin or"
                    " Sec-Fetch-Site, which every browser sends; programs use the API"
                )
        elif is_link(environ):
            return  # a link in a mail or chat may open a page; the other site cannot read it
        check_origin(request, self._settings)

    # Forms

    def form_token(self, request: Incoming) -> str:
        """Return the token that forms must send back: the cookie's, or a new one."""
        known: str = request.whole.cookies.get(FORM, "")
        return known if len(known) == _TOKEN_LENGTH else secrets.token_urlsafe(32)

    def check_form(self, request: Incoming) -> None:
        """Refuse a form that is not from one of our own pages.

        Raises:
            Forbidden: if it does not send back the cookie's token.
        """
        known: str = request.whole.cookies.get(FORM, "")
        given: str = form_of(request).get("form_token", "")
        if len(known) != _TOKEN_LENGTH or not hmac.compare_digest(known.encode(), given.encode()):
            raise Forbidden("this form is too old, or from another page: load the page again")

    # Sessions

    def sign_in(self, request: Incoming, user: str, password: str) -> str | None:
        """Return a session for these credentials; None: they are wrong.

        Args:
            request: The request with the credentials.
            user: The user name; empty: the password is a token.
            password: The password.

        Raises:
            TooManyFailures: if there were too many wrong credentials recently.
        """
        given = (
            Authorization("basic", {"username": user, "password": password})
            if user
            else Authorization("bearer", token=password)
        )
        role = self._guard.sign_in(request, given)
        if role is None:
            return None
        name, is_token = request.user, not user
        _, proof = self._guard.role_and_proof_of(name, is_token) or (role, b"")
        until_us = self._clock.now_us() + _HOURS * 3600 * SECOND
        sealed = [name, is_token, role.value, self._digest(proof), until_us]
        return str(self._sealer.dumps(sealed))

    def _read(self, session: str) -> Visitor | None:
        try:
            user, is_token, role, proof, until_us = self._sealer.loads(session)
        except BadData:
            return None
        known = self._guard.role_and_proof_of(user, is_token)
        if known is None or self._clock.now_us() >= until_us:
            return None
        role_now, proof_now = known
        if not hmac.compare_digest(proof, self._digest(proof_now)):
            return None  # the password or the token has changed since then
        return Visitor(Role.READ if role == Role.READ.value else role_now, user, True)

    def _digest(self, proof: bytes) -> str:
        return hmac.new(self._sealer.secret_key, proof, "sha256").hexdigest()


def form_of(request: Incoming) -> MultiDict[str, str]:
    """Return the fields of a submitted form.

    Raises:
        RequestEntityTooLarge: if it is longer than a body is allowed to be.
        ClientDisconnected: if it does not come as announced.
    """
    whole = request.whole
    own = whole.max_content_length
    whole.max_content_length = request.most if own is None else min(request.most, own)
    with reading():
        return whole.form


def is_link(environ: dict[str, Any]) -> bool:
    """Return whether a browser opens a page by this request, in a window and not in a frame."""
    return (
        environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    )


def cookie(request: Incoming, name: str, value: str, path: str, seconds: int | None = None) -> str:
    """Return a header that sets one of our cookies, or removes it if *value* is empty."""
    environ = request.environ
    # Behind a proxy that terminates TLS, only the browser knows that it uses https.
    secure = "https" in (environ.get("wsgi.url_scheme"), environ.get("HTTP_ORIGIN", "")[:5])
    return dump_cookie(
        name,
        value,
        max_age=seconds if value else 0,
        path=path,
        secure=secure,
        httponly=True,
        samesite="Strict",
    )


SESSION_SECONDS = _HOURS * 3600


def _secret_of(settings: Settings) -> bytes:
    """Return the key that signs sessions: the same in all processes with the same settings.

    It is derived from hashes and tokens, which only those who can sign in may know.  With only a
    callback there is nothing to derive it from: sessions then belong to one process, until it ends.
    """
    known = [*settings.api_users.values(), *settings.api_tokens.values()]
    text = settings.dashboard_secret or "\0".join(sorted(known)) or secrets.token_hex(32)
    return hashlib.sha256(f"schedcore dashboard\0{text}".encode()).digest()


def _salt_of(settings: Settings) -> bytes:
    """Return what is the same in all processes of this app, and differs in others with its key."""
    own = [settings.name, settings.api_prefix, settings.dashboard_prefix]
    return json.dumps(["schedcore.dashboard", *own]).encode()
