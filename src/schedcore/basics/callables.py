"""Callables as their callers see them: their signature, and the kind of their result.

A wrapper is judged by its own code, not by that of the function it wraps, since the wrapper is what
gets called.  The work is bounded for any object, even for one that returns another of its kind for
each attribute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final

from schedcore.basics import funcref
from schedcore.errors import InvalidOptionError

_COROUTINE: Final = 0x80  # inspect.CO_COROUTINE
_GENERATOR: Final = 0x20 | 0x200  # inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_MOST_LAYERS: Final = 100


def check_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Check that *func* can be a job with these arguments; return whether it returns a coroutine.

    Raises:
        InvalidOptionError: if an argument is missing or superfluous, or if *func* is a generator
            function.
    """
    if type(func) is FunctionType and not func.__dict__ and not kwargs:
        # The code of a plain function is enough: 0.1 us.  A look at the whole signature takes
        # 11 us, and 21 ms the first time.
        code, count = func.__code__, len(args)
        most = code.co_argcount
        if (
            not code.co_kwonlyargcount
            and (count == most or most - len(func.__defaults__ or ()) <= count < most)
            and not code.co_flags & _GENERATOR
        ):
            return code.co_flags & _COROUTINE != 0
    if makes_generator(func):
        raise InvalidOptionError(
            "func",
            func,
            "a function that does its work when it is called; calling a generator function runs"
            " none of its code: iterate over it in a plain function, as in 'for _ in"
            f" {funcref.name_of(func)}(): pass' ('async for' in a coroutine function)",
        )
    _check_signature(func, args, kwargs)
    return makes_coroutine(func)


def makes_coroutine(func: Callable[..., Any]) -> bool:
    """Return whether calling *func* returns a coroutine; partials, methods and objects included."""
    if type(func) is FunctionType and not func.__dict__:
        return func.__code__.co_flags & _COROUTINE != 0
    import inspect  # 21 ms, and seldom needed

    called = _called(func)
    if _flags(called) & _COROUTINE:
        return True
    # Marked as one, as functions that only return a coroutine can be, and as an AsyncMock is.
    asyncio = sys.modules.get("asyncio.coroutines")
    mark = getattr(asyncio, "_is_coroutine", None)
    for layer in (func, called):
        try:
            if inspect.iscoroutinefunction(layer):
                return True
            if mark is not None and getattr(layer, "_is_coroutine", None) is mark:
                return True
        except Exception:  # noqa: BLE001 — an object whose attributes raise has no mark
            continue
    return False


def makes_generator(func: Callable[..., Any]) -> bool:
    """Return whether *func* returns a generator, plain or asynchronous."""
    return _flags(_called(func)) & _GENERATOR != 0


def is_local(func: Callable[..., Any]) -> bool:
    """Return whether other processes cannot find *func* by name: a lambda or a nested function.

    For a partial, the function it calls counts; for a bound method or an object with ``__call__``,
    the class.
    """
    called: Any = func
    while is_really(called, partial):
        called = called.func
    if is_really(called, MethodType):
        called = called.__self__
    if not is_really(called, (type, FunctionType)):
        if _pickles_itself(type(called)):
            return False
        called = type(called)
    name: str = called.__qualname__
    return "<locals>" in name or "<lambda>" in name


def _pickles_itself(kind: type) -> bool:
    ways: tuple[object, object] = (kind.__reduce__, kind.__reduce_ex__)
    return ways != (object.__reduce__, object.__reduce_ex__)


def is_really(thing: object, kinds: type | tuple[type, ...]) -> bool:
    """Return whether *thing* is one of *kinds* by its real type; mocks only pretend to be."""
    return issubclass(type(thing), kinds)


def _called(func: Any) -> object:
    """Return the function whose code a call of *func* runs first, behind mere wrapper objects.

    Partials, bound methods and objects with ``__call__`` pass a call on.  Attributes are read from
    types alone: those of an object may be made up as they are asked for.
    """
    for _ in range(_MOST_LAYERS):
        if is_really(func, partial):
            func = func.func
        elif is_really(func, (MethodType, staticmethod, classmethod)):
            func = func.__func__
        elif is_really(func, (FunctionType, type)):
            break
        else:
            inner = _call_of(type(func))
            if inner is None:
                break
            func = inner
    return func


def _call_of(kind: type) -> object:
    """Return ``__call__`` as the class of an object defines it, if that is written in Python."""
    for base in kind.__mro__:
        if "__call__" in base.__dict__:
            found = base.__dict__["__call__"]
            return found if is_really(found, _PASSED_ON) else None
    return None


_PASSED_ON: Final = (FunctionType, MethodType, staticmethod, classmethod, partial)


def _flags(func: Any) -> int:
    return func.__code__.co_flags if is_really(func, FunctionType) else 0


def _check_signature(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    mismatch = _mismatch(func, args, kwargs)
    if mismatch:
        given = f"{len(args)} positional and {sorted(kwargs)} by keyword"
        raise InvalidOptionError(
            "args", args, f"what {funcref.name_of(func)}() takes: {mismatch} (given {given})"
        )


def _mismatch(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str | None:
    """Return why *func* cannot be called like this; None: it can, or this cannot be known."""
    import inspect  # 21 ms: most programs need it, but not to start

    try:
        signature = inspect.signature(_seen(func), follow_wrapped=False)
    except Exception:  # noqa: BLE001 — builtins have no signature, and objects may raise anything
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return None


def _seen(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return the object that has the signature of *func*: for a cache, the cached function.

    ``functools.lru_cache`` is written in C, has no signature of its own, and passes all arguments.
    """
    wrapped = getattr(func, "__wrapped__", None) if type(func) is _CACHE else None
    return wrapped if callable(wrapped) else func


def _cache_type() -> type:
    from functools import lru_cache

    return type(lru_cache(lambda: None))


_CACHE: Final = _cache_type()
