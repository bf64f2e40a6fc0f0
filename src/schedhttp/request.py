"""A request as the views see it, its JSON body and its query: each byte of them may be hostile.

Only what is needed is parsed.  Most requests need their method, their path and maybe their body.
Werkzeug's ``Request`` takes 2 us to create and 10 us to read a body.  So it is created only for
what is needed rarely: the query, credentials, conditions, and chunked bodies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from werkzeug import Request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from schedcore import InvalidOptionError
from schedcore.errors import did_you_mean
from schedhttp.errors import BadRequest

SEVERAL = frozenset({"id", "tag"})
"""Parameters that may occur several times in a query."""
MAX_DEPTH = 64
"""How deeply a body may be nested; the deepest valid one has 20 levels."""


class Incoming:
    """One request.

    Args:
        environ: The WSGI environment (PEP 3333).
        most: The maximum length of its body, in bytes.
        whole: The same as Werkzeug's request, if a framework has already created it.
    """

    __slots__ = (
        *("_whole", "came_by_own_socket", "environ", "longest_wait", "may_change", "may_wait"),
        *("method", "most", "path", "user"),
    )

    def __init__(self, environ: dict[str, Any], most: int, whole: Request | None = None) -> None:
        self.environ = environ
        self.most = most
        self.may_change = False
        """Whether its sender has all rights."""
        self.user = "anybody"
        """The sender's user name, or the name of their token."""
        self.came_by_own_socket = False
        """Whether it came over a Unix socket that only this server's user can open."""
        self.may_wait = True
        """Whether a thread of the server is free to wait for a run."""
        self.longest_wait = math.inf
        """For how many seconds it may wait, if the server limits that."""
        self.method: str = environ.get("REQUEST_METHOD", "GET").upper()
        raw: str = environ.get("PATH_INFO") or ""
        # PEP 3333: bytes, decoded as Latin-1.
        text = raw if raw.isascii() else raw.encode("latin-1").decode(errors="replace")
        self.path = "/" + text.lstrip("/")
        self._whole = whole

    @property
    def whole(self) -> Request:
        """The same as Werkzeug's request."""
        if self._whole is None:
            self._whole = Request(self.environ)
        return self._whole

    @property
    def has_query(self) -> bool:
        """Whether its URL has a query."""
        return bool(self.environ.get("QUERY_STRING"))

    def body(self) -> bytes:
        """Return the body.

        Raises:
            RequestEntityTooLarge: if it is longer than allowed.
            ClientDisconnected: if it does not come as announced.
        """
        length = self._plain_length()
        if length is None:
            return self._body_of_whole()
        if length > self.most:
            raise self._too_long()
        with reading():
            return self._read(length)

    def _read(self, length: int) -> bytes:
        stream, parts, missing = self.environ["wsgi.input"], [], length
        while missing > 0:  # a stream may return less than requested
            more: bytes = stream.read(missing)
            if not more:
                raise ClientDisconnected
            parts.append(more)
            missing -= len(more)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _plain_length(self) -> int | None:
        """Return the declared length; None: Werkzeug decides what to read."""
        if self._whole is not None or "HTTP_TRANSFER_ENCODING" in self.environ:
            return None
        declared: str = self.environ.get("CONTENT_LENGTH") or ""
        # 15 digits are more than any allowed length has, and quick to parse.
        if not (declared.isascii() and declared.isdigit() and len(declared) <= 15):
            return None
        return int(declared)

    def _body_of_whole(self) -> bytes:
        # Read one byte more: Werkzeug silently truncates a body without a declared length.
        whole = self.whole
        own = whole.max_content_length  # such as Flask's MAX_CONTENT_LENGTH
        self.most = self.most if own is None else min(self.most, own)
        whole.max_content_length = self.most + 1
        if (whole.content_length or 0) <= self.most:
            with reading():
                data = whole.get_data(cache=True)
            if len(data) <= self.most:
                return data
        raise self._too_long()

    def _too_long(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(
            f"the body is longer than {self.most} bytes, which SCHEDULER_API_MAX_BODY sets (or the"
            " app's own MAX_CONTENT_LENGTH, if that is less)"
        )


@contextmanager
def reading() -> Iterator[None]:
    """Read a body inside, as a form for instance.

    Raises:
        ClientDisconnected: if it does not come as announced.
    """
    try:
        yield
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # servers raise their own, for invalid chunks for instance
        raise ClientDisconnected(
            "the body does not come as announced: it ends early, stops, or has invalid chunks"
        ) from error


def read_object(request: Incoming, required: bool = True) -> dict[str, Any]:
    """Return the JSON object in the body, whatever the content type: ``curl -d`` sends another one.

    Args:
        request: The request.
        required: Whether there must be a body; if not, a missing one counts as an empty object.

    Raises:
        BadRequest: if the body is anything else.
        RequestEntityTooLarge: if it is longer than allowed.
    """
    body = _read_body(request)
    if body is None:
        if required:
            raise BadRequest("the body is empty: expected a JSON object")
        return {}
    if not isinstance(body, dict):
        raise BadRequest(f"the body is a JSON {_name_of(body)}: expected a JSON object")
    return body


def read_object_or_array(request: Incoming, most: int) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the JSON object in the body, or the array of up to *most* objects.

    Raises:
        BadRequest: if the body is anything else, naming the index in the array.
        RequestEntityTooLarge: if it is longer than allowed.
    """
    body = _read_body(request)
    if body is None:
        raise BadRequest("the body is empty: expected a JSON object, or an array of them")
    if isinstance(body, dict):
        return body
    if not isinstance(body, list):
        raise BadRequest(
            f"the body is a JSON {_name_of(body)}: expected a JSON object, or an array of them"
        )
    if len(body) > most:
        raise BadRequest(f"an array of {len(body)}: expected {most:,} at most")
    for place, each in enumerate(body):
        if not isinstance(each, dict):
            raise BadRequest(f"[{place}] is a JSON {_name_of(each)}: expected a JSON object")
    return body


def read_nothing(request: Incoming, instead: str) -> None:
    """Refuse a body with content where the endpoint takes none.

    Raises:
        InvalidOptionError: naming what the body contains, and what to use *instead*.
    """
    for name, value in read_object(request, required=False).items():
        raise InvalidOptionError(name, value, f"nothing in the body: {instead}")


def _read_body(request: Incoming) -> object:
    """Return the parsed JSON body; None if it is empty."""
    data = request.body()
    if not data and _was_there(request):
        raise BadRequest(
            "the body was read before the API saw it, as a form perhaps: send application/json, so"
            " that it is taken for none"
        )
    if not data or data.isspace():
        return None
    try:
        body: object = decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8: expected a JSON object in UTF-8") from None
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    # Each level has an opening bracket: with few of them, the usual case, no walk (2 us) is needed.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _deeper_than(body, MAX_DEPTH):
        raise BadRequest(_TOO_DEEP)
    return body


def check_fields(body: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse names in a body that are not *known*.

    Raises:
        InvalidOptionError: naming the first one.
    """
    for name in body:
        if name not in known:
            hint = did_you_mean(name, known)
            raise InvalidOptionError(name[:80], body[name], f"one of {', '.join(known)}{hint}")


def read_flag(body: dict[str, Any], name: str, default: bool) -> bool:
    """Return an optional boolean, and refuse other names in the body.

    Raises:
        InvalidOptionError: if it is anything else.
    """
    check_fields(body, [name])
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise InvalidOptionError(name, value, "true or false")
    return value


def read_count(request: Incoming, name: str, default: int | None, most: int) -> int | None:
    """Return a whole number from the query, 0 to *most*; *default* if it is missing.

    Raises:
        BadRequest: if it is anything else.
    """
    given = request.whole.args.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 12 and int(given) <= most):
        raise BadRequest(f"{name}={given[:80]!r}: expected a whole number from 0 to {most}")
    return int(given)


def check_known(name: str, value: str, known: Collection[str]) -> None:
    """Refuse a parameter whose value is not one of *known*.

    Raises:
        BadRequest: naming them.
    """
    if value not in known:
        listed, hint = ", ".join(known), did_you_mean(value, known)
        raise BadRequest(f"{name}={value[:80]!r}: expected one of {listed}{hint}")


def check_query(request: Incoming, known: Collection[str]) -> None:
    """Refuse unknown parameters, and repeated ones: parsers differ in which value counts.

    Those in :data:`SEVERAL` may be repeated.

    Raises:
        BadRequest: naming the first one.
    """
    if not request.has_query:
        return
    for name, values in request.whole.args.lists():
        if name not in known:
            hint = did_you_mean(name, known)
            listed = ", ".join(sorted(known)) or "none"
            raise BadRequest(f"{name[:80]}=: expected one of the parameters {listed}{hint}")
        if len(values) > 1 and name not in SEVERAL:
            raise BadRequest(f"{name}= stands {len(values)} times in the query: expected it once")


def _was_there(request: Incoming) -> bool:
    """Return whether the client sent a body, which other code may have read by now.

    Code that uses Flask's ``request.form`` consumes it, since ``curl -d`` labels it as a form.
    """
    environ = request.environ
    if (environ.get("CONTENT_LENGTH") or "0").strip("0"):
        return True
    return "HTTP_TRANSFER_ENCODING" in environ and "form" in environ.get("CONTENT_TYPE", "")


_MOST_DIGITS = 300
"""Maximum number of digits of an integer: about as many as the largest float has."""
_TOO_DEEP = f"the body is nested too deeply: expected at most {MAX_DEPTH} levels"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(text: str) -> int:
    """Parse an integer; few parsers take more than 20 digits, and none needs 4,300."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits: expected at most {_MOST_DIGITS}")
    return int(text)


def _fraction(text: str) -> float:
    """Parse a number with a fraction or an exponent."""
    number = float(text)
    if number - number != 0:  # JSON could neither show it nor pass it on
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        # Parsers differ in which of the two counts: a filter in front could see another job.
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:80]!r} stands twice in one object")
            seen.add(name)
    return read


# Created once: json.loads() with options creates a decoder for each call, which takes 4 us.
decode = json.JSONDecoder(
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_refuse_constant,
    object_pairs_hook=_pairs,
).decode
"""Parses JSON, without what parsers disagree about; raises ValueError or RecursionError."""


def _deeper_than(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        inner: list[object] = []
        for each in layer:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not inner:
            return False
        layer = inner
    return any(isinstance(each, dict | list) for each in layer)


def _name_of(body: object) -> str:
    if isinstance(body, str):
        return "string"
    if isinstance(body, list):
        return "array"
    return json.dumps(body) if body is None or isinstance(body, bool) else "number"
