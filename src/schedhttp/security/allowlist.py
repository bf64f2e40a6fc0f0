"""The functions that a request may name, and whose arguments it may set."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schedcore import FuncRefError, InvalidOptionError
from schedcore.basics import funcref
from schedcore.job import Job
from schedhttp.errors import Forbidden

log = logging.getLogger(__name__)


class AllowedFuncs:
    """The functions that a request may name.

    A pattern without ``*`` allows the function that it names.  In others, ``*`` matches letters,
    digits and underscores, and in the module also dots, but never a part that begins with an
    underscore (``shop.__main__``).  Such patterns allow only functions that the module itself
    defines, and no name that begins with an underscore: neither what the module imports
    (``tasks:system``), nor detours (``tasks:helper.__globals__``).

    Args:
        patterns: Such as ``"tasks:daily_cleanup"`` and ``"tasks:*"``; ``"*"`` allows everything.

    Raises:
        InvalidOptionError: if a pattern has another form.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._any = False
        self._exact: set[str] = set()
        self._wild: list[tuple[str, str]] = []
        for pattern in patterns:
            if pattern == "*":
                self._any = True
            elif "*" not in pattern:
                funcref.split(pattern)
                self._exact.add(pattern)
            else:
                self._wild.append(_split(pattern))

    def find(
        self, reference: str, registered: Mapping[str, Callable[..., Any]]
    ) -> Callable[..., Any] | str:
        """Return the callable or reference to pass to the scheduler; imports its module.

        Raises:
            Forbidden: if it is not allowed; nothing is imported.
            FuncRefError: if it is allowed, but is not a callable.
        """
        if reference in registered:
            return registered[reference]
        is_named = self._check_pattern(reference)
        found = _imported(reference)
        module = reference.partition(":")[0]
        if not is_named and getattr(found, "__module__", None) != module:
            raise Forbidden(
                f"func={reference!r} is not defined in {module!r} itself: to allow it, name it"
                " without a * in SCHEDULER_API_ALLOWED_FUNCS, or register it on the scheduler"
            )
        return reference

    def check(self, reference: str, registered: Mapping[str, Callable[..., Any]]) -> None:
        """Check that a pattern allows *reference*, without importing it: it may not exist.

        Raises:
            Forbidden: if no pattern does.
            FuncRefError: if it is not a reference.
        """
        if reference not in registered:
            self._check_pattern(reference)

    def check_call(self, job: Job, registered: Mapping[str, Callable[..., Any]]) -> None:
        """Check that a request may set the arguments with which the function of *job* is called.

        A client that may not name a function may not change its arguments either:
        ``subprocess:run`` with other arguments is another command.

        Raises:
            Forbidden: if a request may not name that function.
        """
        if job.func is not None and job.func in registered.values():
            return
        reference = job.func_ref
        if reference is None:
            raise Forbidden(
                f"the arguments of job {job.id!r} may not be changed by a request, since no"
                " reference leads to its function: to allow it, register it on the scheduler"
            )
        try:
            self.find(reference, {})
        except Forbidden as error:
            raise Forbidden(
                f"the arguments of job {job.id!r} may not be changed by a request: {error}"
            ) from None

    def _check_pattern(self, reference: str) -> bool:
        """Return whether *reference* is allowed by its full name, not only by a pattern with ``*``.

        Raises:
            Forbidden: if it is not allowed at all.
            FuncRefError: if it is not a reference.
        """
        module, name = funcref.split(reference)
        if self._any or reference in self._exact:
            return True
        is_private = any(part.startswith("_") for part in name.split("."))
        if is_private or not any(
            _fits(of_module, module, ".") and _fits(of_name, name, "")
            for of_module, of_name in self._wild
        ):
            raise Forbidden(
                f"func={reference!r} may not be named by a request: to allow it, register it on the"
                " scheduler, or add it to SCHEDULER_API_ALLOWED_FUNCS (there,"
                f' "{module}:*" allows what {module!r} defines)'
            )
        return False


def _imported(reference: str) -> Callable[..., Any]:
    """Import *reference*.

    Raises:
        FuncRefError: if it cannot be imported.  The error of the import is only logged, since it
            may contain details that clients must not see.
    """
    try:
        return funcref.resolve(reference)
    except FuncRefError as error:
        cause = error.__cause__
        if cause is None:
            raise
        log.warning("func=%r cannot be imported", reference, exc_info=cause)
        raise FuncRefError(
            "func",
            reference,
            f"an importable module, but importing it raised {type(cause).__name__}; the server's"
            " log has the text",
        ) from None


def _split(pattern: str) -> tuple[str, str]:
    """Return the patterns of the module and of the name in *pattern*."""
    module, colon, name = pattern.partition(":")
    if not (colon and re.fullmatch(r"[\w.*]+", module) and re.fullmatch(r"[\w.*]+", name)):
        raise InvalidOptionError(
            "SCHEDULER_API_ALLOWED_FUNCS", pattern, 'a pattern such as "package.module:*"'
        )
    return module, name


def _fits(pattern: str, text: str, more: str) -> bool:
    """Return whether *text* matches; a regular expression could take minutes for several stars.

    Args:
        pattern: With stars, each for any number of letters, digits and underscores, except an
            underscore at the beginning of a part.
        text: Names with dots between.
        more: What else a star matches.
    """
    places, before = _behind_stars({0}, pattern), "."
    for char in text:
        is_wild = char in more or (char != "." and (char != "_" or before != "."))
        moved = set()
        for place in places:
            if pattern[place : place + 1] == "*":
                moved |= {place} if is_wild else set()
            elif pattern[place : place + 1] == char:
                moved.add(place + 1)
        places, before = _behind_stars(moved, pattern), char
    return len(pattern) in places


def _behind_stars(places: set[int], pattern: str) -> set[int]:
    """Return these places in a pattern, and those behind stars there, which may match nothing."""
    found = set(places)
    for place in places:
        behind = place
        while pattern[behind : behind + 1] == "*":
            behind += 1
            found.add(behind)
    return found
