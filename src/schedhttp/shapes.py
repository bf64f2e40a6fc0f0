"""Value classes as the API shows them: their JSON and its JSON Schema, from one definition.

Both are derived from the fields of a NamedTuple: their names, types, and the docstrings below
them.  So each new field is shown and described, and the two cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, IntEnum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Json = dict[str, Any]


# JSON Schema


def ref(name: str) -> Json:
    """Return a reference to a schema, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def optional(schema: Json) -> Json:
    """Return a schema that also allows null; the description stays outside."""
    notes: Json = {k: schema[k] for k in ("description", "examples") if k in schema}
    return {
        "anyOf": [{k: v for k, v in schema.items() if k not in notes}, {"type": "null"}],
        **notes,
    }


def obj(
    properties: Json, required: list[str] | None = None, closed: bool = False, **more: Any
) -> Json:
    """Return the schema of an object; *closed*: other names are not allowed."""
    schema: Json = {"type": "object", "properties": properties, **more}
    if required:
        schema["required"] = required
    if closed:
        schema["additionalProperties"] = False
    return schema


def fields_schema(kind: Any, bounds: Mapping[str, Json]) -> Json:
    """Return the schemas of the fields of a NamedTuple, with their docstrings as descriptions.

    Args:
        kind: The NamedTuple.
        bounds: Additions to the schemas of some fields, which their types do not express.
    """
    hints, docs = get_type_hints(kind), _docs_of(kind)
    return {
        name: _schema_of(hints[name], docs.get(name, ""), bounds.get(name, {}))
        for name in kind._fields
    }


_PLAIN: Final[Mapping[object, Json]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number"},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
}


def _schema_of(hint: Any, doc: str = "", bounds: Mapping[str, Any] | None = None) -> Json:
    inner = _without_none(hint)
    schema = {**_plain_schema(inner), **(bounds or {})}
    if doc:
        schema["description"] = doc
    return schema if inner is hint else optional(schema)


def _plain_schema(hint: Any) -> Json:
    if hint is Any:
        return {}
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _schema_of(get_args(hint)[0])}
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return {"type": "object", "additionalProperties": _schema_of(get_args(hint)[1])}
    if issubclass(hint, Enum):
        return {"type": "string", "enum": [_enum_to_json(each) for each in hint]}
    return ref(hint.__name__)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (each for each in get_args(hint) if each is not NoneType)
    return inner


@cache
def _docs_of(kind: Any) -> Mapping[str, str]:
    """Return the docstrings of a class's fields, which exist only in the source."""
    import ast  # with inspect 10 ms, only needed for the API description
    import inspect

    try:
        body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    except OSError:  # there is no source: no descriptions
        return {}
    return {
        field.target.id: _in_json(str(doc.value.value))
        for field, doc in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
    }


def _in_json(doc: str) -> str:
    """Return a docstring on one line, with JSON's names of values."""
    plain = re.sub(r":\w+:`[~.\w]*?(\w+)`", r"`\1`", " ".join(doc.split()))
    return re.sub(r"\bNone\b", "null", plain.replace("``", "`"))


# Shapes


class Shape:
    """How the values of one NamedTuple are shown.

    A field ``x_us`` is shown as the property ``x``, which returns a datetime.

    Args:
        kind: The class.
        instead: Properties that are shown instead of other fields.
        as_text: Fields whose numbers may be too large for JavaScript; they are shown as text.
        more: Additional values by name, each with its type and its description.
    """

    def __init__(
        self,
        kind: type[Any],
        instead: Mapping[str, str] | None = None,
        as_text: frozenset[str] = frozenset(),
        more: Mapping[str, tuple[Any, str]] | None = None,
    ) -> None:
        names = [(instead or {}).get(n, n.removesuffix("_us")) for n in kind._fields]
        self._kind: Any = kind
        self._as_text = as_text
        self._more = more or {}
        self._hints = {name: self._hint_of(name) for name in names}
        writers = {name: _writer_of(hint) for name, hint in self._hints.items()}
        self._writers = [*(writers | dict.fromkeys(as_text, str)).items()]

    def to_dict(self, value: Any, **more: Any) -> dict[str, Any]:
        """Return *value* as it is shown, with the additional values."""
        assert more.keys() == self._more.keys()
        data: dict[str, Any] = {}
        for name, writer in self._writers:
            found = getattr(value, name)
            data[name] = found if writer is None or found is None else writer(found)
        return data | more

    def schema(self) -> Json:
        """Return the JSON Schema of what :meth:`to_dict` returns."""
        properties = {
            name: _schema_of(str | None if name in self._as_text else hint, self._doc_of(name))
            for name, hint in self._hints.items()
        }
        properties |= {name: _schema_of(hint, doc) for name, (hint, doc) in self._more.items()}
        return obj(properties, list(properties))

    def _hint_of(self, name: str) -> Any:
        if isinstance(computed := getattr(self._kind, name), property):
            return get_type_hints(computed.fget)["return"]
        return get_type_hints(self._kind)[name]

    def _doc_of(self, name: str) -> str:
        if isinstance(computed := getattr(self._kind, name), property):
            return _in_json(computed.__doc__ or "")
        return _docs_of(self._kind).get(name, "")


def _writer_of(hint: Any) -> Callable[[Any], object] | None:
    """Return the function that converts values of this type to JSON; None: none is needed."""
    inner = get_origin(kind := _without_none(hint)) or kind
    if inner in _SHAPES:
        return _SHAPES[inner].to_dict
    if inner is tuple and (item := get_args(kind)[0]) in _SHAPES:
        return lambda values: list(map(_SHAPES[item].to_dict, values))
    for base, writer in _WRITERS.items():
        if issubclass(inner, base):
            return writer
    return None


def _enum_to_json(value: Enum) -> str:
    return value.name.lower() if isinstance(value, IntEnum) else str(value.value)


_WRITERS: Final[Mapping[type, Callable[[Any], object]]] = {
    datetime: datetime.isoformat,
    Enum: _enum_to_json,
    tuple: list,
    Mapping: dict,
}
_SHAPES: Final[dict[type, Shape]] = {}
"""The shapes of value classes that are fields of others."""


def nested(kind: type[Any]) -> Shape:
    """Return the shape of a value class that is a field of others."""
    return _SHAPES.setdefault(kind, Shape(kind))
