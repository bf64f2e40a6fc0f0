"""Parses the URL of a PostgreSQL database: libpq's part, our own options, and a text to show."""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schedcore.basics.shown_urls import without_password
from schedcore.errors import InvalidOptionError

_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "schedcore",
    "connect_timeout": 5,
    # A server that disappears silently is noticed within 10 to 25 s, instead of hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def parts_of(url: str) -> tuple[str, str, dict[str, str]]:
    """Return a URL without its password, the URL for libpq, and our own options.

    Raises:
        InvalidOptionError: if it is not a URL of PostgreSQL.
    """
    place, _, options = url.partition("?")
    kept = [option for option in options.split("&") if option]
    own = {name: value for name, _, value in (o.partition("=") for o in kept) if name in _OWN}
    plain = "&".join(option for option in kept if option.partition("=")[0] not in _OWN)
    shown = without_password(url)
    try:
        given = conninfo_to_dict(f"{place}?{plain}" if plain else place)
    except psycopg.ProgrammingError:
        expected = "postgresql://user:password@host:port/database"
        raise InvalidOptionError("store", shown, expected) from None
    for name, value in own.items():
        pattern, expected = _OWN[name]
        if not re.fullmatch(pattern, value):
            raise InvalidOptionError("store", shown, f"after {name}= {expected}")
    return shown, make_conninfo("", **(_DEFAULTS | given)), own


_OWN: Final = {
    "schema": (r"[a-z_][a-z0-9_]{0,50}", "a name of small letters, digits and underscores"),
    "lease": (r"[1-9]\d{0,3}", "whole seconds, from 1 to 9999"),
}
