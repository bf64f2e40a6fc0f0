"""Which functions a request may name, and have called with what it says."""

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
    """Which functions a request may name.

    A pattern without ``*`` allows what it names.  In the others ``*`` matches letters, digits
    and underscores, in the module also for dots, and never for a part that begins with an
    underscore (``shop.__main__``).  They allow only functions that their module defines itself, and
    no name that begins with an underscore: not what it imports from elsewhere (``tasks:system``),
    and no way around (``tasks:helper.__globals__``).

    Args:
        patterns: Such as ``"tasks:daily_cleanup"`` and ``"tasks:*"``; ``"*"`` allows everything.

    Raises:
        InvalidOptionError: if one of them has another form.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._any = False
        self._exact: set[str] = set()
        self._wild: list[re.Pattern[str]] = []
        for pattern in patterns:
            if pattern == "*":
                self._any = True
            elif "*" not in pattern:
                funcref.split(pattern)
                self._exact.add(pattern)
            else:
                self._wild.append(_compiled(pattern))

    def find(
        self, reference: str, registered: Mapping[str, Callable[..., Any]]
    ) -> Callable[..., Any] | str:
        """Return what to give to the scheduler for *reference*; its module is imported.

        Raises:
            Forbidden: if it is not allowed; nothing is imported.
            FuncRefError: if it is allowed, and leads to no callable.
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
        """Check that some pattern allows *reference*; nothing is imported, so it may not be there.

        Raises:
            Forbidden: if none does.
            FuncRefError: if it is no reference at all.
        """
        if reference not in registered:
            self._check_pattern(reference)

    def check_call(self, job: Job, registered: Mapping[str, Callable[..., Any]]) -> None:
        """Check that a request may say with which arguments the function of *job* is called.

        Whoever may not name a function may not have it called with something else either:
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
        """Return whether *reference* is allowed as it is, and not only by a pattern with a ``*``.

        Raises:
            Forbidden: if it is not allowed at all.
            FuncRefError: if it is no reference.
        """
        module, name = funcref.split(reference)
        if self._any or reference in self._exact:
            return True
        is_private = any(part.startswith("_") for part in name.split("."))
        if is_private or not any(pattern.fullmatch(reference) for pattern in self._wild):
            raise Forbidden(
                f"func={reference!r} may not be named by a request: to allow it, register it on the"
                " scheduler, or add it to SCHEDULER_API_ALLOWED_FUNCS (there,"
                f' "{module}:*" allows what {module!r} defines)'
            )
        return False


def _imported(reference: str) -> Callable[..., Any]:
    """Return what *reference* leads to.

    Raises:
        FuncRefError: if it leads nowhere.  The text of what importing raised is logged and not
            told: it may hold what is none of the client's business.
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


# A * never matches a part that begins with an underscore; spelled out, such parts are allowed.
_IN_MODULE = r"(?:(?<=\w)_|[^\W_]|\.)*"
_IN_NAME = r"(?:(?<=\w)_|[^\W_])*"


def _compiled(pattern: str) -> re.Pattern[str]:
    module, colon, name = pattern.partition(":")
    if not (colon and re.fullmatch(r"[\w.*]+", module) and re.fullmatch(r"[\w.*]+", name)):
        raise InvalidOptionError(
            "SCHEDULER_API_ALLOWED_FUNCS", pattern, 'a pattern such as "package.module:*"'
        )
    return re.compile(
        re.escape(module).replace(r"\*", _IN_MODULE)
        + ":"
        + re.escape(name).replace(r"\*", _IN_NAME)
    )
