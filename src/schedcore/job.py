"""The immutable definition of a job, validated as a whole before anything is stored."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import FunctionType, MappingProxyType
from typing import Any, Final, NamedTuple

from schedcore.basics import funcref
from schedcore.basics.callables import check_call, is_really
from schedcore.clock import SECOND
from schedcore.errors import FuncRefError, InvalidOptionError, InvalidTriggerError, did_you_mean
from schedcore.retry import Retry, retry_of
from schedcore.triggers.base import Trigger

DEFAULT_EXECUTOR: Final = "default"
COROUTINE_EXECUTOR: Final = "coroutines"
MAX_ID_LENGTH: Final = 255
MOST_TAGS: Final = 32
LONGEST_TAG: Final = 64
MOST_CHANNELS: Final = 16
CHANNEL_OPTIONS: Final = ("on_failure", "on_recovery", "on_missed", "on_run")
"""The options that name channels for notices."""


class Unset:
    """The type of :data:`UNSET`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""The value of an option that is not set, where None has another meaning."""


class Options(NamedTuple):
    """How a job is run; jobs with the same options share one instance."""

    executor: str = DEFAULT_EXECUTOR
    """Name of the executor that runs it."""
    misfire_grace_time: float | None = None
    """Seconds after its time at which a run may still start; None: however late."""
    coalesce: bool = True
    """Whether a backlog of fire times runs once, rather than once each."""
    max_instances: int = 1
    """How many runs of the job may be active at once."""
    overlap: str = "skip"
    """What happens at ``max_instances``: see :data:`OVERLAPS`."""
    timeout: float | None = None
    """Seconds after which a run is timed out; None: never."""
    retry: Retry | None = None
    """When a run that failed is tried again; None: never."""
    on_lost: str = "record"
    """What happens to a run whose process died: see :data:`ON_LOST`."""
    tags: tuple[str, ...] = ()
    """Words by which jobs are found and treated together: each once, and sorted."""
    on_failure: tuple[str, ...] = ()
    """The channels through which it is told that the job fails."""
    on_recovery: tuple[str, ...] = ()
    """The channels through which it is told that it succeeded again."""
    on_missed: tuple[str, ...] = ()
    """The channels through which it is told that runs were missed or skipped."""
    on_run: tuple[str, ...] = ()
    """The channels through which each run is told: its start, and how it ended."""

    def attempts(self) -> int:
        """Return how many times a run is begun in total, if it fails or dies each time."""
        if self.retry is not None:
            return 1 + self.retry.count
        return MOST_RERUNS if self.on_lost == "rerun" else 1

    def reruns(self, attempt: int) -> bool:
        """Return whether to begin a run again whose process died in this attempt (from 1)."""
        return self.on_lost == "rerun" and attempt < self.attempts()


OVERLAPS: Final = ("skip", "queue", "cancel")
"""At ``max_instances``: skip the new run, let one wait for a free place, or cancel the oldest."""


MOST_RERUNS: Final = 3
"""How many times a run is begun in total if its process dies each time, unless ``retry`` is set:
the run itself may be killing the process."""
ON_LOST: Final = ("record", "rerun")
"""If its process dies: record the run as lost, or run it again in another process.

Only a store on disk can know; a run that is repeated may have done its work before.
"""


class Job(NamedTuple):
    """The definition of a job.  The store keeps its next due time separately."""

    id: str
    func: Callable[..., Any] | None
    """The function; None: the reference has not been resolved yet."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    trigger: Trigger
    options: Options
    given_name: str | None = None
    given_ref: str | None = None
    """The reference as the user wrote it, if the function is named by text."""

    @property
    def name(self) -> str:
        """The name given, else that of the function."""
        if self.given_name is not None:
            return self.given_name
        return funcref.name_of(self.func) if self.func is not None else str(self.given_ref)

    @property
    def func_ref(self) -> str | None:
        """The function as ``"package.module:name"``, or None if it has no reference."""
        if self.given_ref is not None:
            return self.given_ref
        return funcref.reference_to(self.func) if self.func is not None else None

    @property
    def executor(self) -> str:
        """Name of the executor that runs the job."""
        return self.options.executor

    @property
    def misfire_grace_time(self) -> float | None:
        """Seconds after its time at which a run may still start; None: however late."""
        return self.options.misfire_grace_time

    @property
    def grace_us(self) -> int | None:
        """The misfire grace time in microseconds; None: however late."""
        grace = self.options.misfire_grace_time
        return None if grace is None else round(grace * SECOND)

    @property
    def coalesce(self) -> bool:
        """Whether a backlog of fire times runs once, rather than once each."""
        return self.options.coalesce

    @property
    def max_instances(self) -> int:
        """How many runs of the job may be active at once."""
        return self.options.max_instances

    @property
    def overlap(self) -> str:
        """What happens at ``max_instances``: see :data:`OVERLAPS`."""
        return self.options.overlap

    @property
    def timeout(self) -> float | None:
        """Seconds after which a run is timed out; None: never."""
        return self.options.timeout

    @property
    def retry(self) -> Retry | None:
        """When a run that failed is tried again; None: never."""
        return self.options.retry

    @property
    def on_lost(self) -> str:
        """What happens to a run whose process died: see :data:`ON_LOST`."""
        return self.options.on_lost

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which jobs are found and treated together: each once, and sorted."""
        return self.options.tags


_NO_KWARGS: Final[Mapping[str, Any]] = MappingProxyType({})


def define(
    job_id: str,
    func: Callable[..., Any] | str,
    trigger: Trigger,
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
    name: str | None,
    options: Options,
    coroutine_options: Options,
) -> Job:
    """Return a job of these parts, validated except for the id (:func:`check_id`).

    A coroutine function gets *coroutine_options*, and any other *options*.

    Raises:
        InvalidOptionError: naming the part, its value and what was expected; also for a generator
            function, since calling one runs none of its code.
        FuncRefError: if *func* is text that names no callable.
    """
    if name is not None:
        check_name(name)
    call, reference = (func, None) if type(func) is FunctionType else resolve_func(func)
    arguments = () if args is None else check_args(args)
    keywords = _NO_KWARGS if kwargs is None else check_kwargs(kwargs)
    if check_call(call, arguments, keywords):
        load_event_loop()
        options = coroutine_options
    # Not Job(...): that takes 0.1 us longer, and each job added makes one.
    return tuple.__new__(
        Job, (job_id, call, arguments, keywords, trigger, options, name, reference)
    )


def resolve_func(func: Callable[..., Any] | str) -> tuple[Callable[..., Any], str | None]:
    """Return the callable, and the text that it was named by if it was named by text."""
    if is_really(func, str):
        return funcref.resolve(func), func  # type: ignore[arg-type, return-value]
    if not callable(func):
        raise FuncRefError("func", func, 'a callable, or a reference such as "package.module:name"')
    return func, None


def check_id(job_id: object) -> str:
    """Return *job_id* if it is text of 1 to 255 characters that every store accepts."""
    return check_label("id", job_id)


def check_label(option: str, label: object) -> str:
    """Return *label* if it is text of 1 to 255 characters that every store accepts."""
    if not isinstance(label, str) or not 0 < len(label) <= MAX_ID_LENGTH:
        raise InvalidOptionError(option, label, f"text of 1 to {MAX_ID_LENGTH} characters")
    if "\0" in label:  # of which PostgreSQL has none
        raise InvalidOptionError(option, label, "text without NUL characters")
    return _encodable(option, label)


def _encodable(option: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidOptionError(option, text, "text without lone surrogates") from None
    return text


def check_args(args: object) -> tuple[Any, ...]:
    """Return positional arguments as a tuple."""
    if args is None:
        return ()
    if isinstance(args, str | bytes | Mapping) or not isinstance(args, Iterable):
        raise InvalidOptionError("args", args, "a list or tuple of positional arguments")
    return tuple(args)


def check_kwargs(kwargs: object) -> Mapping[str, Any]:
    """Return keyword arguments as a dict of the job's own."""
    if not kwargs:
        if kwargs is None or isinstance(kwargs, Mapping):
            return _NO_KWARGS
    elif isinstance(kwargs, Mapping) and all(isinstance(key, str) for key in kwargs):
        return dict(kwargs)
    raise InvalidOptionError("kwargs", kwargs, "a mapping of names to keyword arguments")


def build_options(
    base: Options, changes: Mapping[str, object], defaults: Options | None = None
) -> Options:
    """Return *base* with validated *changes*.

    None is "no limit" or "never" for ``misfire_grace_time``, ``timeout`` and ``retry``.  For the
    other options it means the default, as UNSET does for all of them.

    Args:
        base: Not changed.
        changes: New values by name.
        defaults: What None and UNSET mean; by default those of *base*.

    Raises:
        InvalidOptionError: if an option is unknown or its value makes no sense.
    """
    checked: dict[str, Any] = {}
    for option, value in changes.items():
        check = _CHECKS.get(option)
        if check is None:
            known = ", ".join(_CHECKS)
            raise InvalidOptionError(
                option, value, f"one of the options {known}{did_you_mean(option, _CHECKS)}"
            )
        if value is UNSET or (value is None and option in DEFAULTED):
            checked[option] = getattr(defaults or base, option)
        else:
            checked[option] = check(value)
    return base._replace(**checked)


def _check_executor(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidOptionError("executor", value, "the name of an executor")
    return value


def _check_grace(value: object) -> float | None:
    return _check_seconds("misfire_grace_time", value)


def _check_timeout(value: object) -> float | None:
    return _check_seconds("timeout", value)


def _check_seconds(option: str, value: object) -> float | None:
    # Not "value <= 0": that would let nan pass.  2**40 s is 34,000 years.
    if value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**40
    ):
        return value
    raise InvalidOptionError(
        option, value, "a number of seconds greater than 0, or None for no limit"
    )


def _check_overlap(value: object) -> str:
    if not isinstance(value, str) or value not in OVERLAPS:
        hint = did_you_mean(value, OVERLAPS) if isinstance(value, str) else ""
        raise InvalidOptionError("overlap", value, f"one of {', '.join(OVERLAPS)}{hint}")
    return value


def _check_on_lost(value: object) -> str:
    if not isinstance(value, str) or value not in ON_LOST:
        hint = did_you_mean(value, ON_LOST) if isinstance(value, str) else ""
        raise InvalidOptionError("on_lost", value, f"one of {', '.join(ON_LOST)}{hint}")
    return value


def check_tag(tag: object, option: str = "tag") -> str:
    """Return *tag* if it is readable and unambiguous text."""
    if (
        not isinstance(tag, str)
        or not 0 < len(tag) <= LONGEST_TAG
        or not tag.isprintable()  # no control characters, nor what turns text around
        or tag != tag.strip()
    ):
        raise InvalidOptionError(
            option, tag, f"text of 1 to {LONGEST_TAG} printable characters, no blank at its ends"
        )
    return tag


def _check_tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple | set | frozenset) or len(value) > MOST_TAGS:
        raise InvalidOptionError("tags", value, f"a list of up to {MOST_TAGS} texts")
    # Sorted: a set has another order in each process, and equal jobs are to look equal.
    return tuple(sorted({check_tag(tag, "tags") for tag in value}))


def _check_coalesce(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidOptionError("coalesce", value, "True or False")
    return value


def _check_max_instances(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOptionError("max_instances", value, "a whole number of 1 or more")
    return value


def _check_channels(option: str, value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if (
        not isinstance(names, list | tuple | set | frozenset)
        or len(names) > MOST_CHANNELS
        or not all(isinstance(name, str) and name for name in names)
    ):
        raise InvalidOptionError(option, value, f"names of up to {MOST_CHANNELS} channels")
    return tuple(sorted({*names}))


_CHECKS: Final[Mapping[str, Callable[[object], Any]]] = {
    "executor": _check_executor,
    "misfire_grace_time": _check_grace,
    "coalesce": _check_coalesce,
    "max_instances": _check_max_instances,
    "overlap": _check_overlap,
    "timeout": _check_timeout,
    "retry": retry_of,
    "on_lost": _check_on_lost,
    "tags": _check_tags,
    **{name: partial(_check_channels, name) for name in CHANNEL_OPTIONS},
}

DEFAULTED: Final = frozenset(
    {"executor", "coalesce", "max_instances", "overlap", "on_lost", "tags", *CHANNEL_OPTIONS}
)
"""The options for which None means the default; for the others it has a meaning of its own."""

OPTION_NAMES: Final = frozenset(_CHECKS)
"""The names of the options that say how a job is run."""


JOB_FIELDS: Final = OPTION_NAMES | {
    "id",
    "name",
    "func",
    "args",
    "kwargs",
    "trigger",
    "next_run_time",
}
"""What a job has besides the options of its trigger."""


def unknown_option(
    given: Mapping[str, object], kind: object, options: Iterable[str], more: Iterable[str] = ()
) -> InvalidTriggerError:
    """Return the error for options, one of which belongs neither to jobs nor to the trigger.

    Args:
        given: What is to be its trigger's.
        kind: The trigger's.
        options: Those of that kind.
        more: Other names that are allowed there.
    """
    from schedcore.triggers.factory import option_hint  # loaded by whoever has a trigger to make

    names = {*options}
    unknown = next(name for name in given if name not in names)
    known = names.union(JOB_FIELDS, more) - {unknown}  # what is known elsewhere is not meant here
    return InvalidTriggerError(
        str(unknown)[:80],
        given[unknown],
        f"a field of a job with a trigger {kind!r}: {', '.join(sorted(known))}"
        + option_hint(str(kind), given, known),
    )


def load_event_loop() -> None:
    """Import what a coroutine runs on: 28 ms, here and not in the thread of its first run."""
    import asyncio  # noqa: F401


def check_name(name: object) -> str | None:
    """Return *name* if it is visible text, or None."""
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_ID_LENGTH:
        raise InvalidOptionError(
            "name",
            name,
            f"text of 1 to {MAX_ID_LENGTH} characters, not all of them blank; left out, or None,"
            " it is the function's name",
        )
    return _encodable("name", name)
