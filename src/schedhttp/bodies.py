"""Reading requests: JSON bodies and query parameters, of which every byte may be hostile."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from werkzeug import Request
from werkzeug.exceptions import RequestEntityTooLarge

from schedcore import InvalidOptionError
from schedcore.errors import did_you_mean
from schedhttp.refusals import BadRequest

MAX_DEPTH = 64
"""How deeply a body may be nested; the deepest one that makes sense has 20 levels."""


def bound_body(request: Request, most: int) -> None:
    """Let *request* have a body of at most *most* bytes."""
    # One more is read: of a body without a declared length Werkzeug silently drops the rest.
    request.max_content_length = most + 1


def read_object(request: Request, required: bool = True) -> dict[str, Any]:
    """Return the JSON object in the body; whatever the content type, as ``curl -d`` sends none.

    Args:
        request: It was given to :func:`bound_body`.
        required: Whether a body must be there; if not, none is an empty object.

    Raises:
        BadRequest: if there is something else in it.
        RequestEntityTooLarge: if it is longer than allowed.
    """
    data = _bounded(request)
    if not data.strip():
        if required:
            raise BadRequest("the body is empty: expected a JSON object")
        return {}
    try:
        body = json.loads(
            data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_pairs
        )
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8: expected a JSON object in UTF-8") from None
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest(f"the body is a JSON {_name_of(body)}: expected a JSON object")
    if _deeper_than(body, MAX_DEPTH):
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


def read_count(request: Request, name: str, default: int | None, most: int) -> int | None:
    """Return a whole number from the query, 0 to *most*; *default* if it is not there.

    Raises:
        BadRequest: if it is something else.
    """
    given = request.args.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 12 and int(given) <= most):
        raise BadRequest(f"{name}={given[:80]!r}: expected a whole number from 0 to {most}")
    return int(given)


def check_query(request: Request, known: frozenset[str]) -> None:
    """Refuse parameters that are not known.

    Raises:
        BadRequest: naming the first one.
    """
    for name in request.args:
        if name not in known:
            hint = did_you_mean(name, known)
            listed = ", ".join(sorted(known)) or "none"
            raise BadRequest(f"{name[:80]}=: expected one of the parameters {listed}{hint}")


_TOO_DEEP = f"the body is nested too deeply: expected at most {MAX_DEPTH} levels"


def _bounded(request: Request) -> bytes:
    bound = request.max_content_length or 1
    if (request.content_length or 0) < bound:
        data = request.get_data(cache=True)
        if len(data) < bound:
            return data
    raise RequestEntityTooLarge(
        f"the body is longer than {bound - 1} bytes, which SCHEDULER_API_MAX_BODY sets"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        # Readers differ in which of the two counts: a filter in front may see another job than we.
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return read


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
