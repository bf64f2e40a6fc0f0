"""Counts wrong passwords, so that clients that guess have to wait."""

from __future__ import annotations

import ipaddress
import threading

from schedcore.clock import SECOND, Clock
from schedhttp.errors import TooManyFailures

WINDOW_US = 60 * SECOND
"""Failures count for this long after the first one."""
MOST_FOR_USER = 10
"""Maximum from one address for one user; that is 14,400 guesses a day."""
MOST_FOR_ADDRESS = 100
"""Maximum from one address for all users: clients behind a proxy may share an address."""
MOST_FOR_NAME = 200
"""Maximum for one user from all addresses: an attacker may have many."""
_MOST_KEPT = 10_000
_HOUSEHOLD = 64
"""Bits of an IPv6 address that a provider assigns; a household chooses the others itself."""


_MOST = (MOST_FOR_USER, MOST_FOR_ADDRESS, MOST_FOR_NAME)
_Key = tuple["str | None", "str | None"]


class Failures:
    """Counts failures by address and user, by address, and by user.

    Thread-safe, and bounded in memory, whatever clients send.

    Args:
        clock: Measures how long ago they were.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[_Key, tuple[int, int]] = {}

    def check(self, address: str, user: str) -> None:
        """Refuse to check credentials after too many wrong ones.

        Raises:
            TooManyFailures: with the time to wait.
        """
        now_us = self._clock.monotonic_us()
        for key, most in zip(_keys(address, user), _MOST, strict=True):
            since_us, count = self._counts.get(key, (now_us, 0))
            left_us = since_us + WINDOW_US - now_us
            if count >= most and left_us > 0:
                seconds = left_us // SECOND + 1
                raise TooManyFailures(
                    f"too many wrong credentials: try again in {seconds} s",
                    {"Retry-After": str(seconds)},
                )

    def note(self, address: str, user: str) -> None:
        """Count one failure."""
        now_us = self._clock.monotonic_us()
        with self._lock:
            for key in _keys(address, user):
                since_us, count = self._counts.pop(key, (now_us, 0))
                if now_us - since_us >= WINDOW_US:
                    since_us, count = now_us, 0
                self._counts[key] = (since_us, count + 1)  # moved to the end: the latest are kept
            while len(self._counts) > _MOST_KEPT:
                del self._counts[next(iter(self._counts))]


def _keys(address: str, user: str) -> tuple[_Key, _Key, _Key]:
    """Return the keys that a failure counts for, in the order of ``_MOST``."""
    where = _network(address)
    return (where, user), (where, None), (None, user)


def _network(address: str) -> str:
    """Return an IPv4 address, or the network of one household of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _HOUSEHOLD), strict=False))
