"""Checks where a request comes from: the page, the computer, and the Host header."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from schedhttp.errors import Forbidden
from schedhttp.request import Incoming
from schedhttp.settings import Settings

_PROXYS = re.compile(
    "HTTP_(?:"
    # Headers of proxies in general: the client, the original request, and other proxies.
    r"(?:X_)?FORWARD|VIA$|.*_VIA$|MAX_FORWARDS$|CDN_LOOP$|(?:\w+_)?PROXY_|X_PROXY"
    r"|(?:\w+_)?(?:CLIENT|REAL|CLUSTER|REMOTE|SOURCE|CONNECTING|ORIGINATING|PEER)_?(?:CLIENT_)?"
    r"(?:IP|ADDR|PORT|HOST|USER)"
    r"|(?:X_)?(?:SSL_)?CLIENT_(?:CERT|VERIFY|S?DN)|SURROGATE_|(?:X_)?CDN_|X_(?:UPSTREAM|INGRESS)_"
    r"|X_(?:CLUSTER|REAL|ORIGINAL|ORIGINATING|REMOTE|COMING_FROM|REWRITE|ACCEL|LB|HOST$)"
    r"|(?:X_)?(?:URL_)?SCHEME$|X_(?:HTTPS|SSL|TLS|PROTO)|SSL_|FRONT_END_HTTPS$|X_REQUEST_START$"
    # Headers of certain products.
    r"|X_(?:ENVOY|AMZN?|AZURE|ARR|FD|APPENGINE|CLOUD_TRACE|GOOGLE|VERCEL|NF|AKAMAI|NGINX|KONG"
    r"|VARNISH|SQUID|SUCURI|BLUECOAT|TRAEFIK|HAPROXY|IISNODE|GATEWAY)(?:_|$)"
    r"|(?:CF|CLOUDFRONT|FLY|(?:X_)?FASTLY|AKAMAI|TAILSCALE|NGROK|INCAP|WL|TRUE)_)"
)
_HOST = re.compile(
    r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::(?:[0-5]?[0-9]{1,4}|6[0-9]{4}))?", re.IGNORECASE
)
_HOW_TO_OPEN = (
    "set SCHEDULER_API_USERS or SCHEDULER_API_TOKENS (python -m schedhttp --make-token makes one),"
    " or, if every client that can connect may run jobs, SCHEDULER_API_LOOPBACK_ONLY=false"
)


def check_origin(request: Incoming, settings: Settings) -> None:
    """Refuse requests that a browser sends on behalf of another site.

    Modern browsers say whether a page is of the same site (``Sec-Fetch-Site``, which no page can
    set).  For others, the page's origin is compared with the address of the request.

    Raises:
        Forbidden: naming the setting that trusts the site.
    """
    environ = request.environ
    origin = environ.get("HTTP_ORIGIN")
    if origin in settings.api_trusted_origins:
        return
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site not in (None, "none", "same-origin"):
        raise Forbidden(
            "requests that a browser sends from other sites are refused: to serve a site's pages,"
            " add it to SCHEDULER_API_TRUSTED_ORIGINS"
        )
    if origin is not None and site != "same-origin" and not _leads_here(origin, environ):
        raise Forbidden(
            f"requests from the site {origin[:100]!r} are refused: to serve its pages, add it to"
            " SCHEDULER_API_TRUSTED_ORIGINS"
        )


def check_computer(request: Incoming, settings: Settings) -> None:
    """Without authentication, refuse clients on other computers.

    It cannot detect a proxy on this computer that adds no header, nor which user of this computer
    sends the request.  A Unix socket that only one user can open excludes both.

    Raises:
        Forbidden: naming the settings that open the API.
    """
    environ = request.environ
    if settings.api_loopback_only:
        if (header := proxy_header(environ)) is not None:
            raise Forbidden(
                "without authentication only clients on this computer are served, and this"
                f" request came through a proxy, as its {header} says: {_HOW_TO_OPEN}"
            )
        if not (request.came_by_own_socket or _is_loopback(environ.get("REMOTE_ADDR", ""))):
            raise Forbidden(
                f"without authentication only clients on this computer are served: {_HOW_TO_OPEN}"
            )
    _check_host(environ.get("HTTP_HOST", ""), settings)


def proxy_header(environ: Iterable[str]) -> str | None:
    """Return the first header of a request that shows a proxy, if there is one."""
    for name in environ:
        if _PROXYS.match(name):
            return name[len("HTTP_") :].replace("_", "-").title()
    return None


def _check_host(host: str, settings: Settings) -> None:
    """Refuse a Host header that is not this server's, to prevent DNS rebinding.

    Raises:
        Forbidden: naming the setting that trusts the name.
    """
    name = _host_name(host)
    if name is not None:
        if _is_this_computer(name):
            return
        # A rebound page has a name; where everybody is served, any address is accepted.
        if not settings.api_loopback_only and _address(name) is not None:
            return
        if {host.lower(), name, "*"} & {trusted.lower() for trusted in settings.api_trusted_hosts}:
            return
    raise Forbidden(
        f"Host {host[:100]!r} is not known: to serve it, add it to SCHEDULER_API_TRUSTED_HOSTS"
    )


def _leads_here(origin: str, environ: dict[str, str]) -> bool:
    """Return whether a page's origin is the address of its request."""
    try:
        scheme, netloc, *_ = urlsplit(origin)
    except ValueError:
        return False
    # Behind a proxy that terminates TLS, this server itself gets HTTP requests.
    schemes = ("https",) if environ.get("wsgi.url_scheme") == "https" else ("http", "https")
    return scheme in schemes and netloc != "" and netloc == environ.get("HTTP_HOST")


@lru_cache(maxsize=256)
def _host_name(host: str) -> str | None:
    """Return a Host header's name or address, without the port; None: it is invalid."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else None


# Cached: nearly all requests name the same few hosts, and each check takes 1 us.
@lru_cache(maxsize=256)
def _is_this_computer(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    found = _address(address)
    return found is not None and (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
