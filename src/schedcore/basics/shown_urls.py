"""URLs as messages show them: without passwords."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

# Up to the last @ before a ? or #, or else up to the last one at all: people write passwords
# without encoding them.  A text may have several URLs, such as those of Celery's brokers.
_USER: Final = re.compile(r"(://[^/?#:@]*:)(?:(?:(?!://)[^?#])*|(?:(?!://).)*)@", re.DOTALL)
_OPTION: Final = re.compile(r"([?&])([^=&]*)=([^&]*)")
_SECRET: Final = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)


def without_password(url: str) -> str:
    """Return a URL with stars instead of passwords: of its user, and of its options."""
    return _OPTION.sub(_starred, _USER.sub(r"\1***@", url))


def _starred(option: re.Match[str]) -> str:
    separator, name, value = option.groups()
    return f"{separator}{name}={'***' if _SECRET.search(unquote(name)) else value}"
