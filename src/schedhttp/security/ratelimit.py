"""Wrong passwords, counted by where they come from: whoever guesses has to wait."""

from __future__ import annotations

import ipaddress
import threading

from schedcore.clock import SECOND, Clock
from schedhttp.errors import TooManyFailures

WINDOW_US = 60 * SECOND
"""Failures count for this long after the first of them."""
MOST_FOR_USER = 10
"""Wrong passwords from one address for one user; 14,400 guesses a day."""
MOST_FOR_ADDRESS = 100
"""From one address for any users: behind a proxy, all clients may have the same one."""
MOST_FOR_NAME = 200
"""For one user from anywhere: whoever guesses may have many addresses."""
_MOST_KEPT = 10_000
_HOUSEHOLD = 64
"""Bits of an IPv6 address that a provider gives to one household; the others it has to itself."""


_MOST = (MOST_FOR_USER, MOST_FOR_ADDRESS, MOST_FOR_NAME)
_Key = tuple["str | None", "str | None"]


class Failures:
    """Counts failures by address and user, by address, and by user.

    Thread-safe; bounded, whoever sends what.

    Args:
        clock: Tells how long ago they were.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[_Key, tuple[int, int]] = {}

    def check(self, address: str, user: str) -> None:
        """Refuse to look at credentials while there were too many wrong ones.

        Raises:
            TooManyFailures: saying when to try again.
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
                self._counts[key] = (since_us, count + 1)  # at the end: the latest are kept
            while len(self._counts) > _MOST_KEPT:
                del self._counts[next(iter(self._counts))]


def _keys(address: str, user: str) -> tuple[_Key, _Key, _Key]:
    """Return what a failure counts for, in the order of ``_MOST``."""
    where = _network(address)
    return (where, user), (where, None), (None, user)


def _network(address: str) -> str:
    """Return an address, or of IPv6 the network that is one household's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _HOUSEHOLD), strict=False))
