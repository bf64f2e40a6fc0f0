"""Reading requests: JSON bodies and query parameters, of which every byte may be hostile."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NoReturn

from schedcore import InvalidOptionError
from schedcore.errors import did_you_mean
from schedhttp.incoming import Incoming
from schedhttp.refusals import BadRequest

MAX_DEPTH = 64
"""How deeply a body may be nested; the deepest one that makes sense has 20 levels."""


def read_object(request: Incoming, required: bool = True) -> dict[str, Any]:
    """Return the JSON object in the body; whatever the content type, as ``curl -d`` sends none.

    Args:
        request: Whose body it is.
        required: Whether a body must be there; if not, none is an empty object.

    Raises:
        BadRequest: if there is something else in it.
        RequestEntityTooLarge: if it is longer than allowed.
    """
    data = request.body()
    if not data and _was_there(request):
        raise BadRequest(
            "the body was read before the API saw it, as a form perhaps: send application/json, so"
            " that it is taken for none"
        )
    if not data or data.isspace():
        if required:
            raise BadRequest("the body is empty: expected a JSON object")
        return {}
    try:
        body = _decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8: expected a JSON object in UTF-8") from None
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest(f"the body is a JSON {_name_of(body)}: expected a JSON object")
    # Each level takes a bracket to open: few of them, as nearly always, need no walk (2 us).
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _deeper_than(body, MAX_DEPTH):
        raise BadRequest(_TOO_DEEP)
    return body


def read_flag(body: dict[str, Any], name: str, default: bool) -> bool:
    """Return an optional true or false, and refuse other names beside it.

    Raises:
        InvalidOptionError: if it is something else.
    """
    for other in body:
        if other != name:
            hint = did_you_mean(other, [name])
            raise InvalidOptionError(other[:80], body[other], f"no other option than {name}{hint}")
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise InvalidOptionError(name, value, "true or false")
    return value


def read_count(request: Incoming, name: str, default: int | None, most: int) -> int | None:
    """Return a whole number from the query, 0 to *most*; *default* if it is not there.

    Raises:
        BadRequest: if it is something else.
    """
    given = request.whole.args.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 12 and int(given) <= most):
        raise BadRequest(f"{name}={given[:80]!r}: expected a whole number from 0 to {most}")
    return int(given)


def check_query(request: Incoming, known: Collection[str]) -> None:
    """Refuse parameters that are not known, or that stand twice: readers differ in which counts.

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
        if len(values) > 1:
            raise BadRequest(f"{name}= stands {len(values)} times in the query: expected it once")


def _was_there(request: Incoming) -> bool:
    """Tell whether the client sent a body, which something else may have read by now.

    What looks at Flask's ``request.form`` takes it, since ``curl -d`` labels it as a form.
    """
    environ = request.environ
    if (environ.get("CONTENT_LENGTH") or "0").strip("0"):
        return True
    return "HTTP_TRANSFER_ENCODING" in environ and "form" in environ.get("CONTENT_TYPE", "")


_MOST_DIGITS = 300
"""Of a whole number: as many as the largest fraction has before its point, nearly."""
_TOO_DEEP = f"the body is nested too deeply: expected at most {MAX_DEPTH} levels"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(text: str) -> int:
    """Read a whole number; few readers take more than 20 digits, and none needs 4,300."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits: expected at most {_MOST_DIGITS}")
    return int(text)


def _fraction(text: str) -> float:
    """Read a number with a fraction or an exponent."""
    number = float(text)
    if number - number != 0:  # as JSON it could neither be shown nor handed on
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        # Readers differ in which of the two counts: a filter in front may see another job than we.
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:80]!r} stands twice in one object")
            seen.add(name)
    return read


# Made once: json.loads() with options makes a decoder for each call, which takes 4 us.
_decode = json.JSONDecoder(
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_refuse_constant,
    object_pairs_hook=_pairs,
).decode


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
