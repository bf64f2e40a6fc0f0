"""Who may do what, and which functions may be named."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from schedcore import InvalidOptionError, funcref
from schedhttp.incoming import Incoming
from schedhttp.refusals import Forbidden
from schedhttp.settings import Settings

_FORWARDED = frozenset(
    {
        "HTTP_FORWARDED",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_REAL_IP",
        "HTTP_VIA",
    }
)


class AllowedFuncs:
    """Which functions a request may name.

    A pattern without ``*`` allows what it names.  In the others ``*`` stands for letters, digits
    and underscores, in the module also for dots; they allow only functions that their module
    defines itself, and no name that begins with an underscore: not what it imports from elsewhere
    (``tasks:system``), and no way around (``tasks:helper.__globals__``).

    Args:
        patterns: Such as ``"tasks:daily_cleanup"`` and ``"tasks:*"``; ``"*"`` allows everything.

    Raises:
        InvalidOptionError: if one of them has another form.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._any = False
        self._exact: set[str] = set()
        self._wild: list[re.Pattern[str]] = []
        for pattern in patterns:
            if pattern == "*":
                self._any = True
            elif "*" not in pattern:
                funcref.split(pattern)
                self._exact.add(pattern)
            else:
                self._wild.append(_compiled(pattern))

    def find(
        self, reference: str, registered: Mapping[str, Callable[..., Any]]
    ) -> Callable[..., Any] | str:
        """Return what to give to the scheduler for *reference*.

        Raises:
            Forbidden: if it is not allowed.
            FuncRefError: if it is allowed, and leads to no callable.
        """
        if reference in registered:
            return registered[reference]
        if self._any or reference in self._exact:
            return reference
        module, name = funcref.split(reference)
        if any(pattern.fullmatch(reference) for pattern in self._wild) and not any(
            part.startswith("_") for part in name.split(".")
        ):
            found = funcref.resolve(reference)
            owner = str(getattr(found, "__module__", ""))
            if owner == module or owner.startswith(module + "."):
                return reference
            raise Forbidden(
                f"func={reference!r} is not defined in {module!r} itself: to allow it, name it"
                " without a * in SCHEDULER_API_ALLOWED_FUNCS, or register it on the scheduler"
            )
        raise Forbidden(
            f"func={reference!r} may not be named by a request: to allow it, register it on the"
            " scheduler, or add it to SCHEDULER_API_ALLOWED_FUNCS (there,"
            f' "{module}:*" allows what {module!r} defines)'
        )


def _compiled(pattern: str) -> re.Pattern[str]:
    module, colon, name = pattern.partition(":")
    if not (colon and re.fullmatch(r"[\w.*]+", module) and re.fullmatch(r"[\w.*]+", name)):
        raise InvalidOptionError(
            "SCHEDULER_API_ALLOWED_FUNCS", pattern, 'a pattern such as "package.module:*"'
        )
    return re.compile(
        re.escape(module).replace(r"\*", r"[\w.]*") + ":" + re.escape(name).replace(r"\*", r"\w*")
    )


def check_origin(request: Incoming, settings: Settings) -> None:
    """Refuse what a browser sends on behalf of another site.

    Raises:
        Forbidden: saying which setting trusts that site.
    """
    environ = request.environ
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        host = environ.get("HTTP_HOST", "")
        if origin in settings.api_trusted_origins or (host and _netloc(origin) == host):
            return
        raise Forbidden(
            f"requests from the site {origin[:100]!r} are refused: to serve its pages, add it to"
            " SCHEDULER_API_TRUSTED_ORIGINS"
        )
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        raise Forbidden(
            "requests that a browser sends from other sites are refused: to serve a site's pages,"
            " add it to SCHEDULER_API_TRUSTED_ORIGINS"
        )


def check_loopback(request: Incoming, settings: Settings) -> None:
    """Refuse, where there is no authentication, whoever is not on this computer.

    Raises:
        Forbidden: saying which settings open the API.
    """
    environ = request.environ
    if settings.api_loopback_only:
        if not environ.keys().isdisjoint(_FORWARDED):
            raise Forbidden(
                "without authentication only clients on this computer are served, and this"
                f" request came through a proxy: {_HOW_TO_OPEN}"
            )
        if not _is_loopback(environ.get("REMOTE_ADDR", "")):
            raise Forbidden(
                f"without authentication only clients on this computer are served: {_HOW_TO_OPEN}"
            )
    check_host(environ.get("HTTP_HOST", ""), settings)


def check_host(host: str, settings: Settings) -> None:
    """Refuse a Host header that is not this server's: a page whose name was bound to our address.

    Raises:
        Forbidden: saying which setting trusts that name.
    """
    if _is_this_computer(host):
        return
    name = _host_name(host)
    if {host.lower(), name, "*"} & {trusted.lower() for trusted in settings.api_trusted_hosts}:
        return
    raise Forbidden(
        f"Host {host[:100]!r} is not known: to serve it, add it to SCHEDULER_API_TRUSTED_HOSTS"
    )


_HOW_TO_OPEN = (
    "set SCHEDULER_API_USERS or SCHEDULER_API_TOKENS, or, where everybody who can connect may run"
    " jobs, SCHEDULER_API_LOOPBACK_ONLY=false"
)


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _host_name(host: str) -> str:
    """Return a Host header's name or address, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


# Kept, as are addresses: nearly all requests name the same few, and each look takes 1 us.
@lru_cache(maxsize=256)
def _is_this_computer(host: str) -> bool:
    name = _host_name(host)
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)
