"""When to retry a failed run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schedcore.clock import SECOND
from schedcore.errors import InvalidOptionError, did_you_mean

MAX_COUNT = 1_000
LONGEST_DELAY = 7 * 86_400.0


class RandomSource(Protocol):
    """A source of random numbers: ``random.Random`` is one, and takes 1 ms to import."""

    def random(self) -> float:
        """Return a number from 0 (inclusive) to 1 (exclusive)."""
        ...

    def randrange(self, stop: int, /) -> int:
        """Return a whole number from 0 (inclusive) to *stop* (exclusive)."""
        ...


class Retry(NamedTuple):
    """Retries a failed run after ``delay`` seconds, then after ``factor`` times as long, and so on.

    Each delay is randomly lengthened by up to ``jitter`` times itself, so that runs that failed
    together are not retried together.  The run counts towards ``max_instances`` meanwhile, and has
    one outcome in the end: that of its last attempt.
    """

    count: int = 3  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    """Maximum number of retries, 1 to 1000."""
    delay: float = 1.0
    """Seconds before the first retry, 0 to a week."""
    factor: float = 2.0
    """Ratio of each delay to the previous one, 1 to 100."""
    longest: float = 300.0
    """Maximum delay in seconds, before jitter; 0 to a week."""
    jitter: float = 0.1
    """Maximum random extension, as a fraction of the delay, 0 to 1."""
    on: tuple[str, ...] = ("Exception",)
    """Names of the errors to retry on, subclasses included: ``"ConnectionError"``, or
    ``"package.module:Name"`` (or with a dot in place of the colon).  ``Exception`` leaves out
    SystemExit and KeyboardInterrupt."""

    def wants(self, error: BaseException, attempt: int) -> bool:
        """Return whether to retry after the *attempt*-th call (from 1) raised *error*."""
        if attempt > self.count:
            return False
        return any(
            kind.__qualname__ in self.on or f"{kind.__module__}{mark}{kind.__qualname__}" in self.on
            for kind in type(error).__mro__
            for mark in ":."
        )

    def delay_us(self, attempt: int, random: RandomSource) -> int:
        """Return the delay after the *attempt*-th call, in microseconds."""
        delay = min(self.longest, self.delay * self.factor ** min(attempt - 1, 64))
        return round(delay * (1 + self.jitter * random.random()) * SECOND)


_BOUNDS: dict[str, tuple[float, float]] = {
    "delay": (0, LONGEST_DELAY),
    "factor": (1, 100),
    "longest": (0, LONGEST_DELAY),
    "jitter": (0, 1),
}


def retry_of(value: object) -> Retry | None:
    """Return what the job option ``retry`` means: None, a count, a Retry, or its fields by name.

    Raises:
        InvalidOptionError: naming the field, its value and what was expected.
    """
    if value is None:
        return None
    if isinstance(value, Retry):
        return _checked(value._asdict())
    if isinstance(value, Mapping):
        return _checked(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOptionError(
            "retry", value, "None, a number of retries, or a Retry (or a mapping like it)"
        )
    return _checked({"count": value})


def _checked(fields: Mapping[str, Any]) -> Retry:
    for name, value in fields.items():
        if name not in Retry._fields:
            known = ", ".join(Retry._fields)
            hint = did_you_mean(str(name), Retry._fields)
            raise InvalidOptionError(f"retry.{name}", value, f"one of {known}{hint}")
    checked = {name: _number(name, fields[name]) for name in _BOUNDS if name in fields}
    if "count" in fields:
        checked["count"] = _count(fields["count"])
    if "on" in fields:
        checked["on"] = _names(fields["on"])
    return Retry(**checked)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise InvalidOptionError("retry.count", value, f"a whole number from 1 to {MAX_COUNT}")
    return value


def _number(name: str, value: object) -> Any:
    low, high = _BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidOptionError(f"retry.{name}", value, f"a number from {low:g} to {high:g}")
    return value


def _names(value: object) -> tuple[str, ...]:
    """Return names of errors, given as names or as classes, one or several."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    names = []
    for kind in several:
        if isinstance(kind, str) and kind:
            names.append(kind)
        elif isinstance(kind, type) and issubclass(kind, BaseException):
            names.append(f"{kind.__module__}:{kind.__qualname__}")
        else:
            raise InvalidOptionError("retry.on", value, "classes of errors, or their names")
    if not names:
        raise InvalidOptionError("retry.on", value, "at least one class of errors")
    return tuple(names)
