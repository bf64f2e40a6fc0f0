"""Parsers of settings: each takes a value, or its text in an environment variable."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from schedcore.basics.shown_urls import without_password
from schedcore.errors import InvalidOptionError, did_you_mean, whole
from schedcore.output.redacting import redactor
from schedcore.stores.urls import KINDS
from schedcore.triggers.zones import zone_of

log = logging.getLogger(__name__)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@*,]+")
_BIND = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/]+):(\d{1,5})")


def flag(name: str, value: object) -> bool:
    """Parse a boolean."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise InvalidOptionError(name, value, "true or false")


def text(name: str, value: object) -> str:
    """Parse text."""
    if isinstance(value, str):
        return value
    raise InvalidOptionError(name, value, "text")


def prefix(name: str, value: object) -> str:
    """Parse the prefix of a path: empty, or with a slash at its beginning and none at its end.

    Letters beyond ASCII may be percent-encoded.  The result is decoded, as apps receive the path
    of a request.
    """
    path = text(name, value).rstrip("/")
    try:
        # A client or proxy that decodes an encoded slash or percent sign would see another path.
        read = (
            path if re.search("%(2f|25)", path, re.IGNORECASE) else unquote(path, errors="strict")
        )
    except UnicodeDecodeError:
        read = path
    if read and not (read.startswith("/") and all(map(_is_segment, read[1:].split("/")))):
        raise InvalidOptionError(
            name, value, 'a path such as "/scheduler", of letters, digits and . _ ~ -'
        )
    return read


def _is_segment(part: str) -> bool:
    """Return whether every client takes *part* as one segment of a path."""
    return part not in ("", ".", "..") and all(
        char in "._~-" or char.isalnum() if char.isascii() else char.isprintable() for char in part
    )


def seconds(name: str, value: object) -> float:
    """Parse a number of seconds, from 0 to a day."""
    number = _number(value)
    if number is None or not 0 <= number <= 86_400:
        raise InvalidOptionError(name, value, "a number of seconds from 0 to 86400")
    return number


def positive(name: str, value: object) -> int:
    """Parse a whole number of 1 or more."""
    number = _number(value)
    if number is None or number != int(number) or not 1 <= number <= 2**40:
        raise InvalidOptionError(name, value, "a whole number of 1 or more")
    return int(number)


def texts(name: str, value: object) -> tuple[str, ...]:
    """Parse a list of texts: a list, its JSON, or texts separated by commas."""
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.startswith("["):
            value = _json(name, stripped)
        else:
            value = [part.strip() for part in stripped.split(",") if part.strip()]
    if isinstance(value, (list, tuple, set, frozenset)) and all(
        isinstance(part, str) for part in value
    ):
        return tuple(value)
    raise InvalidOptionError(name, value, 'a list of texts, such as ["a", "b"]')


def origins(name: str, value: object) -> tuple[str, ...]:
    """Parse a list of origins as browsers send them: a scheme, a host, and maybe a port."""
    read = tuple(each.lower().rstrip("/") for each in texts(name, value))
    for each in read:
        if not _ORIGIN.fullmatch(each):
            raise InvalidOptionError(
                name, each, 'the origins of sites, such as "https://ops.example.com"'
            )
    return read


def patterns(name: str, value: object) -> tuple[str, ...]:
    """Parse a list of regular expressions: a list, its JSON, or one, which may contain commas."""
    if isinstance(value, str):
        listed = None
        with suppress(ValueError, RecursionError):  # a single one may begin with a bracket too
            listed = json.loads(value)
        value = listed if isinstance(listed, list) else [value] if value else []
    read = texts(name, value)
    redactor(read, name)
    return read


def table(name: str, value: object) -> Mapping[str, Any]:
    """Parse a table: a mapping, or its JSON."""
    if isinstance(value, str):
        value = _json(name, value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    raise InvalidOptionError(name, value, "a table of names to values")


def retention(name: str, value: object) -> Mapping[str, int]:
    """Parse a table of limits for the history of a store."""
    from schedcore.stores.sql_history import Retention  # 20 ms

    read = table(name, value)
    for bound, most in read.items():
        if bound not in Retention._fields:
            hint = did_you_mean(bound, Retention._fields)
            expected = f"one of {', '.join(Retention._fields)}{hint}"
            raise InvalidOptionError(f"{name}[{bound!r}]", most, expected)
        whole(f"{name}[{bound!r}]", most)
    return read


def hidden_table(name: str, value: object) -> Mapping[str, Any]:
    """Parse a table that may contain secrets; no error shows its values."""
    try:
        return table(name, value)
    except InvalidOptionError as error:
        raise InvalidOptionError(name, "...", error.expected) from None


def text_table(name: str, value: object) -> Mapping[str, str]:
    """Parse a table of texts, which may be secrets; no error shows them."""
    try:
        read = table(name, value)
    except InvalidOptionError:
        read = {"": None}
    if not all(isinstance(entry, str) for entry in read.values()):
        raise InvalidOptionError(name, "...", "a table of names to texts")
    return read


def tables(name: str, value: object) -> tuple[Mapping[str, Any], ...]:
    """Parse a list of tables: a list of mappings, or its JSON."""
    if isinstance(value, str):
        value = _json(name, value)
    if isinstance(value, (list, tuple)):
        return tuple(table(f"{name}[{index}]", part) for index, part in enumerate(value))
    raise InvalidOptionError(name, value, "a list of tables")


def bind(name: str, value: object) -> str:
    """Parse an address to listen at."""
    address = text(name, value)
    if address.startswith("unix:/") and len(address) > len("unix:/"):
        return address
    match = _BIND.fullmatch(address)
    if match is None or int(match[2]) > 65_535:
        raise InvalidOptionError(name, value, '"host:port", "[ipv6]:port" or "unix:/path"')
    return address


def level(name: str, value: object) -> str:
    """Parse a log level, one that both ``logging`` and gunicorn have."""
    word = text(name, value).strip().upper()
    if word not in LEVELS:
        raise InvalidOptionError(name, value, "one of " + ", ".join(LEVELS))
    return word


def log_format(name: str, value: object) -> str:
    """Parse the format of log lines."""
    word = text(name, value).strip().lower()
    if word not in ("text", "json"):
        raise InvalidOptionError(name, value, '"text" or "json"')
    return word


def zone(name: str, value: object) -> Any:
    """Parse a time zone: its name, or a tzinfo."""
    try:
        zone_of(value)
    except InvalidOptionError as error:
        raise InvalidOptionError(name, value, error.expected) from None
    return value


def store(name: str, value: object) -> Any:
    """Parse a store: its URL, or a store.  None: the default."""
    if value is None or hasattr(value, "take"):
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    shown = value if isinstance(value, str | int) else "..."  # a table may contain a password
    raise InvalidOptionError(name, shown, f"a store, or a URL: {KINDS}")


def jobstores(name: str, value: object) -> Any:
    """Parse APScheduler's table of stores, if it names one database, as the URL of a store.

    APScheduler's own stores are neither imported nor used.
    """
    if isinstance(value, str):
        value = _json(name, value)
    if not value:
        return None
    found = value.get("default") if isinstance(value, Mapping) and len(value) == 1 else None
    url = _url_in(found)
    if url is None:
        raise InvalidOptionError(  # without the value: it may contain a password
            name,
            "...",
            f"one store, 'default', of a database with a url; here it is one of {KINDS}",
        )
    text = "%s is read as SCHEDULER_STORE = %r, its name here"
    if url != "memory":
        text += (
            "; what APScheduler has stored there is left alone:"
            " `python -m schedcore import-apscheduler` takes its jobs over"
        )
    log.warning(text, name, without_password(url))
    return url


def _url_in(store: Any) -> str | None:
    """Return the URL of one of APScheduler's stores, described or created; None: it has none."""
    if isinstance(store, Mapping):
        kind, url = store.get("type"), store.get("url")
        return "memory" if kind == "memory" else _plain_url(url)
    if type(store).__name__ == "MemoryJobStore":
        return "memory"
    url = getattr(getattr(store, "engine", None), "url", None)
    # SQLAlchemy's text of a URL has stars instead of the password.
    render = getattr(url, "render_as_string", None)
    return _plain_url(url if render is None else render(hide_password=False))


def _plain_url(url: object) -> str | None:
    """Return the URL of a database without SQLAlchemy's driver, such as ``+psycopg2``."""
    text = "" if url is None else str(url)
    if text in ("sqlite://", "sqlite:///:memory:"):
        return "memory"
    return re.sub(r"^(\w+)\+\w+:", r"\1:", text) or None


def anything(name: str, value: object) -> Any:  # noqa: ARG001 — a reader takes a name
    """Accept any value; its user checks it."""
    return value


def _number(value: object) -> float | None:
    if isinstance(value, str) and len(value) < 40:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        return None
    return value


def _json(name: str, value: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:  # without the text: it may contain a password
        expected = f"JSON, when it is given as text ({error})"
        raise InvalidOptionError(name, "...", expected) from None
