"""Every error that the HTTP package itself raises: refusals of a request.

    Refusal                         also SchedError
    ├── BadRequest                  400  the request cannot be read
    ├── Unauthorized                401  who it comes from is not known
    ├── Forbidden                   403  not for this client, or not allowed by the settings
    ├── NotConfirmed                409  many jobs are meant, and not that many were confirmed
    ├── Gone                        410  what is asked for is not kept any more
    ├── PreconditionFailed          412  the job is not what a condition says
    ├── TooManyFailures             429  too many wrong passwords
    ├── RunFailed                   500  the job ran, and failed
    └── NotInstalled                501  a package is missing that this needs

Each text names the value, what was expected, and how to fix it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from schedcore import SchedError


class Refusal(SchedError):
    """Base of the errors that the HTTP package raises.

    Args:
        message: The text in the response.
        headers: Additional headers; several values are several lines.
        details: Additional fields of the body.
    """

    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        headers: Mapping[str, str | tuple[str, ...]] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})
        self.details = dict(details or {})


class BadRequest(Refusal):
    """The request cannot be read."""

    status = 400


class Unauthorized(Refusal):
    """The sender of the request is not known."""

    status = 401


class Forbidden(Refusal):
    """The request is understood, and not allowed; the text says which setting allows it."""

    status = 403


class NotConfirmed(Refusal):
    """The request concerns many jobs, and ``confirm`` is missing or wrong."""

    status = 409


class Gone(Refusal):
    """The requested data existed, and is no longer stored."""

    status = 410


class PreconditionFailed(Refusal):
    """The condition ``If-Match`` or ``If-None-Match`` failed: the job has changed."""

    status = 412


class TooManyFailures(Refusal):
    """Too many wrong passwords came from this address."""

    status = 429


class RunFailed(Refusal):
    """The run that the client requested and waited for failed."""

    status = 500


class NotInstalled(Refusal):
    """A package that the endpoint needs is missing; the text says how to install it."""

    status = 501
