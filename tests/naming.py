"""Names of the cases of a test: the same in each process that collects them."""

from __future__ import annotations

import re


def case(value):
    """Return a value's repr, without the addresses of objects."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
