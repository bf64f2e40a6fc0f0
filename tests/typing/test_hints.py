"""Hints of all that is public can be resolved: by documentation tools, and by those who inject."""

from __future__ import annotations

import importlib
import inspect
import typing

import pytest

PACKAGES = ["schedcore", "schedcore.triggers", "schedhttp", "schedhttp.flask"]


def functions_of(name, thing):
    """Yield what has hints: a function; or a class, its constructor, methods and properties."""
    if inspect.isclass(thing) or inspect.isfunction(thing):
        yield name, thing
    if inspect.isclass(thing):
        for attribute in dir(thing):
            member = inspect.getattr_static(thing, attribute)
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if (inspect.isfunction(function) and attribute[0] != "_") or attribute == "__init__":
                yield f"{name}.{attribute}", function


@pytest.mark.parametrize("package", PACKAGES)
def test_hints_can_be_resolved(package):
    module = importlib.import_module(package)
    seen = [pair for name in module.__all__ for pair in functions_of(name, getattr(module, name))]
    assert seen
    for name, function in seen:
        try:
            typing.get_type_hints(function)
        except NameError as error:
            pytest.fail(f"{package}.{name}: {error}")
