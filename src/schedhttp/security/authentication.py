"""Authentication: whether a client may send requests, who it is, and what it may do."""

from __future__ import annotations

import enum
import hashlib
import hmac
import inspect
import logging
import math
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from schedcore import Clock, InvalidOptionError
from schedcore.errors import did_you_mean
from schedhttp.errors import Forbidden, Unauthorized
from schedhttp.request import Incoming
from schedhttp.security.origins import check_computer, check_origin
from schedhttp.security.ratelimit import Failures
from schedhttp.settings import Settings

log = logging.getLogger(__name__)

_LATER = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
_HASH = re.compile(r"(scrypt(:\d+){3}|pbkdf2:sha\d+:\d+)\$[^$]+\$[0-9a-f]+")
_MIN_TOKEN = 16
_LONGEST_USER = 64
_CHALLENGES = (
    'Basic realm="Authentication Required"',
    'Bearer realm="Authentication Required"',
)


class Role(enum.Enum):
    """What a client may do."""

    READ = "read"
    ALL = "all"

    def check_may_change(self) -> None:
        """Refuse clients with read-only access.

        Raises:
            Forbidden: if this role is read-only.
        """
        if self is Role.READ:
            raise Forbidden("these credentials may only read: SCHEDULER_API_READ_ONLY names them")


class HTTPBasicAuth:
    """The setting ``SCHEDULER_AUTH`` for a Flask app with its own check.

    It requires credentials; ``@scheduler.authenticate`` marks the function that checks them.
    Without such a function, no credentials are accepted.
    """

    def __repr__(self) -> str:
        return "HTTPBasicAuth()"


class Guard:
    """Decides which requests are served.

    Args:
        settings: Users, tokens, and what is allowed without them.
        clock: Measures how long clients wait after wrong credentials.

    Raises:
        InvalidOptionError: if a password is not hashed, or a token too short.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._failures = Failures(clock)
        self._users = {name: _checked_hash(name, h) for name, h in settings.api_users.items()}
        self._tokens = _digests_of(settings.api_tokens)
        self._authenticate: Callable[[Any], object] | None = None
        if callable(settings.auth):
            self.authenticate(settings.auth)
        elif settings.auth is not None and not isinstance(settings.auth, HTTPBasicAuth):
            raise InvalidOptionError(
                "SCHEDULER_AUTH",
                settings.auth,
                "a callable, schedhttp.flask.HTTPBasicAuth() or None",
            )
        self._read_only = frozenset(map(_folded, settings.api_read_only))
        if self._authenticate is None and settings.auth is None:
            _check_known(settings)
        # Digests of correct passwords: scrypt takes 50 ms on purpose, and clients ask often.
        self._salt = os.urandom(16)
        self._verified: dict[str, bytes] = {}
        self._was_logged = False
        slowest = max(self._users.values(), key=_cost, default=None)
        self._nobody = "" if slowest is None else _hash_like(slowest)
        if settings.api_require_credentials and not self.has_credentials:
            raise InvalidOptionError(
                "SCHEDULER_API_REQUIRE_CREDENTIALS",
                True,
                "credentials to require: SCHEDULER_API_USERS, SCHEDULER_API_TOKENS or"
                " SCHEDULER_AUTH; python -m schedhttp --make-token makes a token",
            )

    def authenticate(self, check: Callable[[Any], object]) -> None:
        """Let *check* decide whether a user name and a password are correct.

        Args:
            check: Gets an object with ``username`` and ``password``, and returns True, False, or
                "read" for read-only access.  Users in ``SCHEDULER_API_READ_ONLY`` have read-only
                access in any case.  Any other result refuses the client.

        Raises:
            InvalidOptionError: if calling it returns an awaitable and not a result.
        """
        if any(isit(each) for each in (check, getattr(check, "__call__", None)) for isit in _LATER):  # noqa: B004
            raise InvalidOptionError(
                "SCHEDULER_AUTH",
                check,
                'a function that returns True, False or "read"; calling this one returns an'
                " awaitable: write it without async",
            )
        self._authenticate = check

    @property
    def has_credentials(self) -> bool:
        """Whether credentials are configured; if not, the client's address decides."""
        return bool(self._users or self._tokens or self._authenticate or self._settings.auth)

    def admit(self, request: Incoming) -> Role:
        """Return what the sender of *request* may do.

        Raises:
            Forbidden: if it comes from another site, or from another computer while there is no
                authentication.
            Unauthorized: if there is authentication, and its credentials are wrong.
            TooManyFailures: if there were too many wrong credentials recently.
        """
        self._check_sender(request)
        if not self.has_credentials:
            return Role.ALL
        given = _credentials(request)
        role = None if given is None else self._role_of(request, given)
        if role is None:
            raise _unauthorized()
        return role

    def sign_in(self, request: Incoming, given: Authorization) -> Role | None:
        """Return the role for credentials that were *given* in a form; None: they are wrong.

        Sets ``request.user`` to the user's name.

        Raises:
            TooManyFailures: if there were too many wrong credentials recently.
        """
        return self._role_of(request, given)

    def role_and_proof_of(self, name: str, is_token: bool) -> tuple[Role, bytes] | None:
        """Return the current role of a user or token, and a value that changes with the password.

        None: there is none of that name, and no callback that may know the user.
        """
        known = self._tokens.get(name, b"") if is_token else self._users.get(name, "").encode()
        if not known and (is_token or self._authenticate is None):
            return None
        return self._role_of_name(name) or Role.READ, known

    def _check_sender(self, request: Incoming) -> None:
        """Check the sender without checking credentials.

        Raises:
            Forbidden: as :meth:`admit` does.
            Unauthorized: if credentials are required, and the request has none.
        """
        check_origin(request, self._settings)
        if not self.has_credentials:
            check_computer(request, self._settings)
        elif "HTTP_AUTHORIZATION" not in request.environ:
            raise _unauthorized()

    def _role_of(self, request: Incoming, given: Authorization) -> Role | None:
        address = request.whole.remote_addr or ""
        if given.type == "bearer":
            name = self._token_name(given.token or "")
            user, role = name or "a token", self._role_of_name(name)
            if role is None:
                self._failures.check(address, user)
        elif given.type == "basic":
            role = self._role_of_basic(given, address)
            # What nobody is called may be of any length.
            user = (given.username or "")[: _LONGEST_USER if role is None else None]
        else:
            return None
        request.user = user
        if role is None:
            self._failures.note(address, user)
        return role

    def _role_of_basic(self, given: Authorization, address: str) -> Role | None:
        username, password = given.username or "", given.password or ""
        if self._was_verified(username, password):
            return self._role_of_name(username)
        # Before the password is checked: while a client has to wait, its guesses are not checked.
        self._failures.check(address, username[:_LONGEST_USER])
        if self._authenticate is not None:
            answer = self._authenticate(given)
            if answer is True:
                return self._role_of_name(username)
            if isinstance(answer, str) and answer == Role.READ.value:
                return Role.READ
            if answer is not False and answer is not None:
                self._log_invalid(answer)
                return None
        return self._role_of_name(self._user_name(username, password))

    def _log_invalid(self, answer: object) -> None:
        """Log once that the callback returned an invalid result."""
        if isinstance(answer, Coroutine):
            answer.close()  # otherwise it warns that it was never awaited
        if not self._was_logged:
            self._was_logged = True
            log.error(
                "the function that checks credentials returned %s, which denies access:"
                ' expected True, False or "read"',
                type(answer).__name__,
            )

    def _role_of_name(self, name: str | None) -> Role | None:
        if name is None:
            return None
        # A callback may ignore case, or spaces around names.
        return Role.READ if _folded(name) in self._read_only else Role.ALL

    def _token_name(self, token: str) -> str | None:
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for name, known in self._tokens.items():  # all of them, so that the time reveals nothing
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _was_verified(self, username: str, password: str) -> bool:
        proof = self._proof(username, password)
        return hmac.compare_digest(self._verified.get(username, b""), proof)

    def _user_name(self, username: str, password: str) -> str | None:
        if not self._users:
            return None
        # An unknown user takes as long as a wrong password, so that names cannot be guessed.  So
        # does a user whose password has a faster hash than those of others.
        hashed = self._users.get(username, self._nobody)
        holds = check_password_hash(hashed, password)
        if not holds and _cost(hashed) < _cost(self._nobody):
            check_password_hash(self._nobody, password)
        if not holds or username not in self._users:
            return None
        self._verified[username] = self._proof(username, password)
        return username

    def _proof(self, username: str, password: str) -> bytes:
        return hmac.digest(self._salt, f"{username}\0{password}".encode(), "sha256")


def _unauthorized() -> Unauthorized:
    return Unauthorized(
        "credentials are needed: a user and a password, or a token",
        {"WWW-Authenticate": _CHALLENGES},
    )


def _credentials(request: Incoming) -> Authorization | None:
    """Parse the Authorization header; None: it is missing or unreadable."""
    try:
        return request.whole.authorization
    except ValueError:  # not valid base64 or UTF-8
        return None


def _folded(name: str) -> str:
    return name.strip().casefold()


def _check_known(settings: Settings) -> None:
    """Check that users and tokens with read-only access exist: a typo would give them all rights.

    Raises:
        InvalidOptionError: naming the first one that does not.
    """
    known = [*settings.api_users, *settings.api_tokens]
    for name in settings.api_read_only if known else ():
        if name not in known:
            raise InvalidOptionError(
                "SCHEDULER_API_READ_ONLY",
                name,
                "names of SCHEDULER_API_USERS and SCHEDULER_API_TOKENS" + did_you_mean(name, known),
            )


def _cost(hashed: str) -> float:
    """Return roughly how long checking a hash takes, in microseconds."""
    kind, *numbers = hashed.partition("$")[0].split(":")
    if kind == "scrypt":
        return 0.2 * math.prod(map(int, numbers))
    return (0.8 if numbers[0] == "sha512" else 0.3) * int(numbers[1])


def _hash_like(hashed: str) -> str:
    """Return a hash that no password matches, and that takes as long to check as *hashed*."""
    return generate_password_hash(os.urandom(16).hex(), hashed.partition("$")[0])


def _checked_hash(name: str, hashed: str) -> str:
    if not _HASH.fullmatch(hashed):
        raise InvalidOptionError(
            "SCHEDULER_API_USERS",
            {name: ...},
            "a hashed password; `python -m schedhttp --hash-password` makes one",
        )
    return hashed


def _digests_of(tokens: Mapping[str, str]) -> dict[str, bytes]:
    """Return the digest of each token by name.

    Raises:
        InvalidOptionError: if a token is too short, or two names have the same: whether its client
            may only read would depend on their order.
    """
    names: dict[bytes, str] = {}
    for name, token in tokens.items():
        other = names.setdefault(_digest_of(name, token), name)
        if other != name:
            expected = f"another token than that of {other!r}"
            raise InvalidOptionError("SCHEDULER_API_TOKENS", {name: ...}, expected)
    return {name: digest for digest, name in names.items()}


def _digest_of(name: str, token: str) -> bytes:
    if token.startswith("sha256:"):
        digest = token[len("sha256:") :]
        if re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            return bytes.fromhex(digest)
        token = ""
    if len(token) < _MIN_TOKEN:
        raise InvalidOptionError(
            "SCHEDULER_API_TOKENS",
            {name: ...},
            f'a token of {_MIN_TOKEN} characters or more, or "sha256:" and its digest in hex',
        )
    return hashlib.sha256(token.encode()).digest()
