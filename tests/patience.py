"""How long tests wait, and how much they try: in one place, for machines quick and slow."""

from __future__ import annotations

import os

SOON = 60.0
"""Seconds within which what a test waits for has to come: many, for a machine that is busy.

Whoever waits so long has failed; so it costs nothing where all is well.
"""
SOAK = bool(os.environ.get("SCHEDCORE_SOAK"))
"""Whether there is time to try all that there is to try: SCHEDCORE_SOAK=1, as ``make soak``."""


def examples(count):
    """Return how many random examples a property is tried with: so many, or many more in a soak."""
    return 20 * count if SOAK else count
