"""Names that a package exports, and imports only when they are used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

_NONE: Mapping[str, str] = {}


def on_demand(
    package: str, places: Mapping[str, str], elsewhere: Mapping[str, str] = _NONE
) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: Its ``__name__``.
        places: The package's names, and the module of each.
        elsewhere: Names that its users may look for, and their replacements.
    """

    def find(name: str) -> object:
        itself = sys.modules[package]
        if name not in places:
            text = f"module {package!r} has no attribute {name!r}"
            if name in elsewhere:
                # Of an AttributeError `from package import name` would not show the text.
                raise ImportError(f"{text}: {elsewhere[name]}", name=package)
            raise AttributeError(text, name=name, obj=itself)
        from importlib import import_module

        found = getattr(import_module(places[name]), name)
        setattr(itself, name, found)  # so that it is asked for once
        return found

    return find
