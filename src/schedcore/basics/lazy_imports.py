"""Names that a package exports, and imports only when they are used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

_NO_REPLACEMENTS: Mapping[str, str] = {}


def on_demand(
    package: str, modules: Mapping[str, str], replacements: Mapping[str, str] = _NO_REPLACEMENTS
) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: Its ``__name__``.
        modules: The package's names, and the module of each.
        replacements: Names that its users may look for, and their replacements.
    """

    def find(name: str) -> object:
        itself = sys.modules[package]
        if name not in modules:
            text = f"module {package!r} has no attribute {name!r}"
            if name in replacements:
                # Of an AttributeError `from package import name` would not show the text.
                raise ImportError(f"{text}: {replacements[name]}", name=package)
            raise AttributeError(text, name=name, obj=itself)
        from importlib import import_module

        found = getattr(import_module(modules[name]), name)
        setattr(itself, name, found)  # so that it is asked for once
        return found

    return find
