"""The kinds of channels: a function, a webhook, a ping; and how settings describe them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

from schedcore.basics import funcref
from schedcore.basics.callables import makes_coroutine, makes_generator
from schedcore.basics.http_request import is_url, request
from schedcore.clock import SECOND, Clock, SystemClock
from schedcore.errors import InvalidOptionError, did_you_mean
from schedcore.notices.base import Channel, RefusedError, patience_of
from schedcore.notices.data import to_json
from schedcore.notices.notice import Notice

_HOUR: Final = 3600.0
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_TIMEOUT: Final = 60.0
_AGENT: Final = {"User-Agent": "schedcore"}
_LATER: Final = (408, 425, 429)
"""Client error statuses that allow a retry."""


class Function:
    """Calls a function with each notice, in the channel's own thread.

    Args:
        func: Takes one :class:`~schedcore.notices.notice.Notice`; a callable, or its reference.

    Raises:
        InvalidOptionError: if it is not callable, or is a coroutine function.
    """

    def __init__(self, func: Callable[[Notice], object] | str) -> None:
        found = funcref.resolve(func) if isinstance(func, str) else func
        if not callable(found) or makes_coroutine(found) or makes_generator(found):
            raise InvalidOptionError("func", func, "a plain function that takes one notice")
        self._func = found

    def send(self, notice: Notice) -> None:
        """Call the function; if it raises, the notice is retried."""
        self._func(notice)


class Webhook:
    """Posts each notice as JSON, signed as https://www.standardwebhooks.com defines.

    Args:
        url: The target. secret: What the signature is made with; after ``whsec_``, it is base64.
            None: no signature.
        headers: Additional headers, such as ``Authorization``.
        timeout: Seconds that one attempt may take.
        clock: Gives the signed time, so that a request cannot be replayed later.

    Raises:
        InvalidOptionError: if an argument makes no sense.
    """

    patience = 6 * _HOUR

    def __init__(
        self,
        url: str,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._url = _check_url("url", url)
        self._secret = None if secret is None else _read_secret(secret)
        self._headers = _check_headers(headers or {})
        self._timeout = _check_timeout(timeout)
        self._clock = clock or SystemClock()

    def send(self, notice: Notice) -> None:
        """Post a notice; any status other than 200 to 299 is an error."""
        body = json.dumps(to_json(notice)).encode("ascii")
        stamp = str(self._clock.now_us() // SECOND)
        headers = {
            **_AGENT,
            "Content-Type": "application/json",
            **self._headers,
            "webhook-id": notice.id,
            "webhook-timestamp": stamp,
        }
        if self._secret is not None:
            signed = b".".join((notice.id.encode("ascii"), stamp.encode("ascii"), body))
            digest = hmac.new(self._secret, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode("ascii")
        _send(_for_job(self._url, notice.job_id), "POST", body, headers, self._timeout)


class Ping:
    """Requests one URL after a success, and others at a start and after a failure.

    For services such as https://healthchecks.io.  In each URL, ``{job_id}`` is the job's id, and
    ``{run_id}`` the run's id as a UUID, so that the service can distinguish overlapping runs.

    Args:
        url: After a success.
        start: When a run starts; default: *url* with ``/start`` after its path.
        fail: After a failure; default: *url* with ``/fail`` after its path.
        method: ``"POST"``, with the output's end as the body, or ``"GET"``, without.
        timeout: Seconds that one attempt may take.
        clock: Gives the age of a notice.

    Raises:
        InvalidOptionError: if an argument makes no sense.
    """

    patience = 600.0

    def __init__(
        self,
        url: str,
        start: str | None = None,
        fail: str | None = None,
        method: str = "POST",
        timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._url = _check_url("url", url)
        self._start = _below(url, "start") if start is None else _check_url("start", start)
        self._fail = _below(url, "fail") if fail is None else _check_url("fail", fail)
        if method not in ("POST", "GET"):
            raise InvalidOptionError("method", method, "'POST' or 'GET'")
        self._method = method
        self._timeout = _check_timeout(timeout)
        self._clock = clock or SystemClock()

    def send(self, notice: Notice) -> None:
        """Request the URL for the notice."""
        age = (self._clock.now_us() - notice.time_us) / SECOND
        if notice.good and age > self.patience:  # told as if it were now, it would hide silence
            raise RefusedError(f"it is {age:.0f} s old, and would be taken for a new one")
        url = self._url if notice.good else self._fail
        if notice.kind == "started":
            url = self._start
        body = None
        if self._method == "POST":
            body = f"{notice.text}\n\n{notice.output}".strip().encode("utf-8", "replace")
        url = _for_job(url, notice.job_id).replace("{run_id}", _run_of(notice))
        headers = {**_AGENT, "Content-Type": "text/plain; charset=utf-8"}
        _send(url, self._method, body, headers, self._timeout)


def _below(url: str, name: str) -> str:
    """Return a URL with one more segment in its path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def _for_job(url: str, job_id: str) -> str:
    if "{job_id}" not in url:
        return url
    if job_id in (".", ".."):  # which mean other places in a path, encoded or not
        raise RefusedError(f"the id {job_id!r} cannot be part of a URL")
    return url.replace("{job_id}", quote(job_id, safe=""))


def _run_of(notice: Notice) -> str:
    """Return the id of a run as a UUID."""
    return str(UUID(int=notice.run_id or 0))


def _read_secret(secret: object) -> bytes:
    """Return the bytes of a secret, which is in no error's text."""
    if isinstance(secret, str):
        text = secret.removeprefix("whsec_")
        try:
            key = secret.encode() if text == secret else base64.b64decode(text, validate=True)
        except binascii.Error:
            key = b""
        if len(key) >= 16:
            return key
    raise InvalidOptionError("secret", "...", "16 bytes or more, as text, or as whsec_ and base64")


def _check_url(option: str, url: object) -> str:
    """Return the URL of a channel; it may contain a secret, so no error text contains it.

    Raises:
        InvalidOptionError: if it is none.
    """
    if isinstance(url, str) and is_url(url):
        return url
    raise InvalidOptionError(
        option, "...", 'a URL such as "https://example.com/hook", without a password'
    )


def _send(
    url: str, method: str, body: bytes | None, headers: Mapping[str, str], timeout: float
) -> None:
    """Send a request, and return after a status of 200 to 299, without reading the body.

    Args:
        url: Where to; of http or https.
        method: Such as ``"POST"``.
        body: What to send, if anything.
        headers: Of the request.
        timeout: Seconds that all of it may take, but for the look-up of the name.

    Raises:
        RefusedError: after a redirect, or a status that makes a retry useless.
        OSError: after any other status, or without one.
    """
    status, place, _ = request(url, method, body, headers, timeout)
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        host = "elsewhere" if place is None else (urlsplit(place).netloc or "another path")[:200]
        raise RefusedError(f"it answered {status} with a redirect to {host}, which is not followed")
    if 400 <= status < 500 and status not in _LATER:
        raise RefusedError(f"it answered {status}")
    raise OSError(f"it answered {status}")


def _check_headers(headers: object) -> dict[str, str]:
    if isinstance(headers, Mapping) and all(
        isinstance(name, str)
        and _HEADER.fullmatch(name)
        and isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        for name, value in headers.items()
    ):
        return dict(headers)
    raise InvalidOptionError(
        "headers", "...", "a table of names of headers to printable ASCII texts"
    )


def _check_timeout(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        timeout = 0.0
    if 0 < timeout <= _LONGEST_TIMEOUT:
        return float(timeout)
    raise InvalidOptionError("timeout", timeout, f"seconds, up to {_LONGEST_TIMEOUT:g}")


_KINDS: Final[Mapping[str, tuple[Callable[..., Channel], tuple[str, ...]]]] = {
    "function": (Function, ("func",)),
    "webhook": (Webhook, ("url", "secret", "headers", "timeout")),
    "ping": (Ping, ("url", "start", "fail", "method", "timeout")),
}
"""The kinds of channels by name, with their options: the first one must be given."""


def make_channels(described: object) -> dict[str, Channel]:
    """Return channels by name, as ``Scheduler(notices=...)`` describes them.

    Raises:
        InvalidOptionError: naming the channel, and what is wrong with it.
    """
    if not isinstance(described, Mapping):
        raise InvalidOptionError("notices", "...", "a mapping of names to channels")
    return {_check_name(name): _make(name, what) for name, what in described.items()}


def _check_name(name: object) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidOptionError(
        "notices", name, "names of up to 64 letters, digits and . _ -, each of a channel"
    )


def _make(name: str, what: Any) -> Channel:
    """Return the channel that *what* is or describes."""
    option = f"notices[{name!r}]"
    try:
        if isinstance(what, Mapping):
            return _described(what)
        if isinstance(what, str) and "://" in what:  # which may be a secret
            raise InvalidOptionError("", "...", 'for a URL: {"type": "webhook", "url": ...}')
        if callable(getattr(what, "send", None)):
            patience_of(what)
            return what  # type: ignore[no-any-return]
        return Function(what)
    except InvalidOptionError as error:
        inner = "" if error.option == "func" and not isinstance(what, Mapping) else error.option
        where = f"{option}.{inner}" if inner else option
        raise InvalidOptionError(where, error.value, error.expected) from None


def _described(table: Mapping[str, Any]) -> Channel:
    options = dict(table)
    kind = options.pop("type", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = did_you_mean(str(kind), _KINDS)
        raise InvalidOptionError("type", kind, f"one of {', '.join(_KINDS)}{hint}")
    make, names = _KINDS[kind]
    for name in options:
        if name not in names:  # its value may be a secret under a mistyped name
            hint = did_you_mean(str(name), names)
            raise InvalidOptionError(str(name), "...", f"one of {', '.join(names)}{hint}")
    if names[0] not in options:
        raise InvalidOptionError(names[0], None, f"the {names[0]} of a {kind}")
    return make(**options)
