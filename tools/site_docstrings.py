"""Docstrings as the site shows them: the roles by which they name things become links.

In the source they read as ``:meth:`Scheduler.add_job```, which `help()` shows as it is; the site is
made of Markdown, which has no roles.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|meth|func|data|mod|attr|exc):`(?:([^`<]*)<)?(~?)([\w.]+)>?`")
CODE_BELOW = re.compile(r"::$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Turns the roles of each docstring into links, where the site has what they name."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of *obj*."""
        if obj.docstring is not None:
            text = CODE_BELOW.sub(":", obj.docstring.value)
            obj.docstring.value = ROLE.sub(lambda found: link(obj, found), text)


def link(obj: griffe.Object, found: re.Match[str]) -> str:
    """Return the HTML of a link, which is none if the site does not have the name."""
    text, short, name = found.groups()
    shown = text.strip() if text else name.rpartition(".")[2] if short else name
    return f'<autoref optional identifier="{path_of(obj, name)}"><code>{shown}</code></autoref>'


def path_of(obj: griffe.Object, name: str) -> str:
    """Return the full path of a name, as seen from where the docstring stands."""
    first, _, rest = name.partition(".")
    try:
        return ".".join(filter(None, (obj.resolve(first), rest)))
    except griffe.NameResolutionError:
        return name if first in ("schedcore", "schedhttp") else f"schedcore.{name}"
