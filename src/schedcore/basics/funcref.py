"""``"package.module:name"`` <-> callable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from schedcore.errors import FuncRefError, InvalidTriggerError, did_you_mean, text_of

MAX_LENGTH = 255
_decorated: ContextVar[object] = ContextVar("schedcore_decorated", default=None)


def resolve(reference: str) -> Callable[..., Any]:
    """Return the callable that *reference*, ``"package.module:name"``, names.

    The name may be dotted (``"shop.stock:Counter.reset"``).  The module is imported.

    Raises:
        FuncRefError: if the text has another form, the module cannot be imported, it has no such
            name, or the object is not callable.
    """
    from importlib import import_module

    module_name, name = split(reference)
    # BaseException: a module that is a program may call sys.exit(), which must not end this one.
    try:
        found: Any = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise FuncRefError(
            "func",
            reference,
            f"an importable module, but importing {module_name!r} failed: {_text_with_type(error)}",
        ) from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            hint = did_you_mean(part, _names_in(found))
            raise FuncRefError(
                "func", reference, f"a name that {module_name!r} has; {part!r} is not there{hint}"
            ) from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module's __getattr__, a property, a descriptor
            raise FuncRefError(
                "func", reference, f"a readable name, but {part!r} raised {_text_with_type(error)}"
            ) from error
    if not callable(found):
        raise FuncRefError("func", reference, f"a callable, not {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _text_with_type(error: BaseException) -> str:
    """Return the error's text, with its type where that adds information."""
    text = text_of(error)
    return text if text and isinstance(error, Exception) else f"{type(error).__name__}: {text}"


def _names_in(found: object) -> list[str]:
    """Return the public names in *found*, if it can list them."""
    try:
        return [name for name in dir(found) if not name.startswith("_")]
    except Exception:  # noqa: BLE001 — a module's own __dir__; the names are but a hint
        return []


def split(reference: str) -> tuple[str, str]:
    """Return the module and the dotted name in *reference*; nothing is imported.

    Raises:
        FuncRefError: if the text is not of the form ``"package.module:name"``.
    """
    module_name, _, name = reference.partition(":")
    parts = (*module_name.split("."), *name.split("."))
    if len(reference) > MAX_LENGTH or not all(part.isidentifier() for part in parts):
        raise FuncRefError("func", reference, 'a reference such as "package.module:name"')
    return module_name, name


def refuse_bare(trigger: object) -> None:
    """Raise if a decorator for jobs was given the function itself: nothing would be added.

    Raises:
        InvalidTriggerError: if *trigger* is a function.
    """
    if isinstance(trigger, FunctionType):
        expected = 'a trigger, as in @scheduler.task("interval", seconds=30), and not the function'
        raise InvalidTriggerError("trigger", trigger, expected)


@contextmanager
def being_decorated(func: object) -> Iterator[None]:
    """Meanwhile, take the name of *func* as bound: Python binds it when its decorator returns."""
    before = _decorated.set(func)
    try:
        yield
    finally:
        _decorated.reset(before)


def reference_to(func: Callable[..., Any]) -> str | None:
    """Return ``"package.module:name"`` for *func*, or None if it has no reference.

    Lambdas, nested functions, partials and bound methods of instances have none. Nothing is
    imported: the text is checked against the module that is loaded.
    """
    if type(func) is MethodType and not isinstance(func.__self__, type):
        return None
    module_name, name = _attribute(func, "__module__"), _attribute(func, "__qualname__")
    if not isinstance(module_name, str) or not isinstance(name, str):
        return None
    if func is _decorated.get() and all(part.isidentifier() for part in name.split(".")):
        return f"{module_name}:{name}"
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        found = _attribute(found, part)
    try:
        # Equal and not identical: each look at a class method makes a new method object.
        return f"{module_name}:{name}" if found == func else None
    except Exception:  # noqa: BLE001 — objects may compare as they like
        return None


def name_of(func: object) -> str:
    """Return a short name for *func* to show to people: its qualified name, else its type's."""
    while issubclass(type(func), partial):
        func = func.func  # type: ignore[attr-defined]
    name = _attribute(func, "__qualname__")
    return name if isinstance(name, str) else type(func).__name__


def _attribute(thing: object, name: str) -> object:
    """Return an attribute, or None: reading one from any object may raise anything."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001
        return None
