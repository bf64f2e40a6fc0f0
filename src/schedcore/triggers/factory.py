"""Triggers from names and options, and to and from the plain-data form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import tzinfo
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from schedcore.basics.apscheduler_names import OPTION_HINTS, trigger_hint
from schedcore.errors import InvalidOptionError, InvalidTriggerError, did_you_mean, text_of
from schedcore.triggers.base import Trigger
from schedcore.triggers.options import split_zone
from schedcore.triggers.values import ValueTrigger

_SHARED = ("start_date", "end_date", "timezone", "jitter")
KINDS = ("date", "interval", "cron", "calendarinterval", "and", "or")
"""The names of the kinds of triggers."""
_GUESSED = ("interval", "cron", "calendarinterval", "date", "and")
_DATED = frozenset(("start_date", "end_date", "run_date", "triggers"))


class _Kind(NamedTuple):
    """A kind of trigger: its class and its options."""

    make: Callable[..., Trigger]
    schedule: tuple[str, ...]
    """The options that are replaced as a group; see :func:`merge`."""
    options: tuple[str, ...]
    """All of them, in the order in which errors list them."""
    names: frozenset[str]
    """The same, for looking up."""


@cache
def _imported(kind: str) -> _Kind:
    """Import a kind, when it is first named: 4 ms for cron (re), 0.3 ms for another.

    Raises:
        KeyError: if there is no such kind.
    """
    if kind == "interval":
        from schedcore.triggers.interval import UNITS, IntervalTrigger

        return _kind(IntervalTrigger, UNITS, _SHARED)
    if kind == "cron":
        from schedcore.triggers.cron import CronTrigger
        from schedcore.triggers.cronfields import FIELD_NAMES

        return _kind(CronTrigger, FIELD_NAMES, ("crontab", *_SHARED))
    if kind == "date":
        from schedcore.triggers.date import DateTrigger

        return _kind(DateTrigger, (), ("run_date", "timezone"))
    if kind == "calendarinterval":
        from schedcore.triggers.calendarinterval import UNITS, CalendarIntervalTrigger

        return _kind(CalendarIntervalTrigger, UNITS, ("hour", "minute", "second", *_SHARED))
    if kind in ("and", "or"):
        from schedcore.triggers.combining import AndTrigger, OrTrigger

        return _kind(AndTrigger if kind == "and" else OrTrigger, (), ("triggers", "jitter"))
    raise KeyError(kind)


def _kind(
    make: Callable[..., Trigger], schedule: tuple[str, ...], others: tuple[str, ...]
) -> _Kind:
    options = (*schedule, *others)
    return _Kind(make, schedule, options, frozenset(options))


_OF_JOBS = frozenset(
    ("id", "name", "func", "args", "kwargs", "trigger", "type", "next_run_time", "state", "broken",
     "shown_as_repr", "replace_existing", "misfire_grace_time", "coalesce", "max_instances",
     "executor", "overlap", "timeout", "retry", "on_lost", "tags",
     "on_failure", "on_recovery", "on_missed", "on_run")
)  # fmt: skip
"""The other fields of a job's plain data, next to the trigger's options."""
_KIND_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_registered: dict[str, _Kind] = {}
_T = TypeVar("_T", bound=type[Trigger])


def register_trigger(cls: _T) -> _T:
    """Let plain data name your own trigger; usable as a class decorator.

    Its ``kind`` is the name, the parameters of its constructor are its options, and its
    :meth:`~schedcore.Trigger.to_dict` returns both.  A parameter ``timezone`` defaults to the
    scheduler's zone.  Anyone who may add jobs over HTTP may then name it, so its constructor must
    refuse bad values with a ValueError.  Register it in each process that reads such jobs, best
    where the class is defined; a class of the same name in the same module replaces it.

    Args:
        cls: A subclass of Trigger with a ``kind``.

    Returns:
        The class.

    Raises:
        InvalidOptionError: if it has no ``kind`` or no ``to_dict()``, the kind is taken, or an
            option has the name of a job option.
    """
    import inspect

    if not isinstance(cls, type) or not issubclass(cls, Trigger):
        raise InvalidOptionError("cls", cls, "a subclass of schedcore.Trigger")
    kind = cls.__dict__.get("kind")
    if not isinstance(kind, str) or not _KIND_NAME.fullmatch(kind):
        raise InvalidOptionError("kind", kind, f"a name such as 'sunrise', as {cls.__name__}.kind")
    taken = _registered.get(kind)
    if kind in KINDS or (taken is not None and _place_of(taken.make) != _place_of(cls)):
        raise InvalidOptionError("kind", kind, "a name that no other kind of trigger has")
    if cls.to_dict is Trigger.to_dict:
        raise InvalidOptionError("to_dict", None, f"{cls.__name__}.to_dict(), the plain-data form")
    parameters = inspect.signature(cls).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    options = tuple(each.name for each in parameters if each.kind in named)
    for name in options:
        if name in _OF_JOBS:
            raise InvalidOptionError(name, cls, "an option whose name is not that of a job option")
    _registered[kind] = _kind(cls, (), options)
    return cls


def _place_of(make: object) -> tuple[object, object]:
    return getattr(make, "__module__", None), getattr(make, "__qualname__", None)


def _known(kind: object) -> _Kind:
    """Return a kind of trigger by its name.

    Raises:
        InvalidTriggerError: if there is no such kind.
    """
    try:
        return _registered.get(kind) or _imported(kind)  # type: ignore[call-overload]
    except (KeyError, TypeError):
        kinds = kind_names()
        hint = trigger_hint(kind) or (did_you_mean(kind, kinds) if isinstance(kind, str) else "")
        known = ", ".join(kinds)
        raise InvalidTriggerError("trigger", kind, f"one of {known}{hint}") from None


def comes_back(trigger: Trigger) -> bool:
    """Tell whether :func:`trigger_from_dict` makes of its plain data what it is, members too."""
    try:
        known = _known(trigger.kind)
    except InvalidTriggerError:
        return False
    if _place_of(known.make) != _place_of(type(trigger)):
        return False
    return all(
        map(comes_back, getattr(trigger, "triggers", ()) if "triggers" in known.names else ())
    )


def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds of triggers, registered ones last."""
    return (*KINDS, *_registered)


def option_names(kind: str) -> frozenset[str]:
    """Return the names of the options of a kind of trigger.

    Raises:
        InvalidTriggerError: if there is no such kind.
    """
    return _known(kind).names


def schedule_names(kind: str) -> frozenset[str]:
    """Return the names of the options that :func:`merge` may replace as a group: units, fields."""
    return frozenset(_known(kind).schedule if kind in KINDS else ())


def split_kind(data: Mapping[str, object]) -> tuple[object, dict[str, object]]:
    """Return the kind that a plain-data form names (None if it names none), and its options.

    Raises:
        InvalidTriggerError: if ``trigger`` and ``type`` name two kinds.
    """
    options = dict(data)
    named = [options.pop(name, None) for name in ("trigger", "type")]
    kinds = [kind for kind in named if kind is not None]
    if len(kinds) == 2 and kinds[0] != kinds[1]:
        raise InvalidTriggerError("type", kinds[1], f"no other kind beside trigger={kinds[0]!r}")
    return (kinds[0] if kinds else None), options


def join_options(within: Mapping[str, object], beside: Mapping[str, object]) -> dict[str, object]:
    """Return the options of a plain-data form, merged with those next to it.

    Raises:
        InvalidTriggerError: if an option has another value there.
    """
    for name, value in beside.items():
        if name in within and within[name] != value:
            raise InvalidTriggerError(
                name, value, f"no {name} beside a trigger that has {name}={within[name]!r}"
            )
    return {**within, **beside}


def option_hint(kind: str, options: Mapping[str, object], known: Set[str]) -> str:
    """Return a hint for options, one of which is not *known*, or ``""``.

    Either another kind of trigger has them all (or the first), or a known option is spelled like
    it.  A date, which a job without a trigger gets, is hardly ever meant.
    """
    unknown = [name for name in options if name not in known]
    if elsewhere := OPTION_HINTS.get(unknown[0]):
        return elsewhere
    others = [name for name in _GUESSED if option_names(name).issuperset(unknown)]
    if not others and kind == "date":  # with a second mistake beside the trigger that was left out
        others = [name for name in _GUESSED if unknown[0] in option_names(name)]
    other = f" (did you mean trigger={others[0]!r}?)" if others else ""
    spelled = did_you_mean(str(unknown[0]), known)
    return other or spelled if kind == "date" else spelled or other


def make_trigger(
    kind: str | Trigger | Mapping[str, object],
    options: Mapping[str, object],
    timezone: tzinfo,
    job_id: str | None = None,
) -> Trigger:
    """Return the trigger that a name and options mean.

    Args:
        kind: A name (``date``, ``interval``, ``cron``, ``calendarinterval``, ``and``, ``or``), a
            trigger, which takes no options, or the plain-data form of one.
        options: The constructor's options; ``crontab`` beside them for a cron trigger.  None is
            the same as leaving an option out.
        timezone: The zone of triggers that name none.
        job_id: What ``H`` in crontab text takes its values from.

    Raises:
        InvalidTriggerError: naming the kind or the option, the value, and what is allowed.
    """
    if not isinstance(kind, str):
        return _given(kind, options, timezone, job_id)
    # A trigger of the user's own need not be immutable: each job gets one.
    if _DATED.isdisjoint(options) and kind not in _registered:
        try:
            return _seen(kind, timezone, job_id if "crontab" in options else None, **options)
        except TypeError:  # a value without a hash: refused by name below
            pass
    return _make(kind, timezone, job_id, options, 0)


def trigger_from_dict(
    data: Mapping[str, object], timezone: tzinfo, job_id: str | None = None
) -> Trigger:
    """Return the trigger of a plain-data form: the inverse of :meth:`Trigger.to_dict`.

    Args:
        data: The kind under ``trigger`` (or ``type``), and the options beside it.
        timezone: The zone of triggers that name none.
        job_id: What ``H`` in crontab text takes its values from.

    Raises:
        InvalidTriggerError: naming the option, the value, and what is allowed.
    """
    return _from_dict(data, timezone, job_id, 0)


def merge(
    trigger: Trigger, changes: Mapping[str, object], timezone: tzinfo, job_id: str | None = None
) -> Trigger:
    """Return *trigger* with *changes*.

    Any unit of an interval replaces the whole interval; cron fields are replaced one by one, and
    ``crontab`` replaces them all, and the zone if it names one.  Other options stay unless they are
    given, and None removes one.  Another kind of trigger starts from scratch.  An interval without
    a ``start_date`` starts again one interval after the change.

    Args:
        trigger: The present trigger.
        changes: Options, and maybe ``trigger``, the kind.
        timezone: The zone for another kind of trigger that names none.
        job_id: What ``H`` in crontab text takes its values from.

    Raises:
        InvalidTriggerError: naming the option, the value, and what is allowed.
    """
    changes = dict(changes)
    kind = changes.pop("trigger", trigger.kind)
    if isinstance(kind, str) and kind == trigger.kind and kind in _registered:
        present = dict(trigger.to_dict())
        present.pop("trigger", None)
        return make_trigger(kind, present | changes, timezone, job_id)
    if kind != trigger.kind or not isinstance(trigger, ValueTrigger) or not isinstance(kind, str):
        return make_trigger(kind, changes, timezone, job_id)  # type: ignore[arg-type]
    group = _check_names(kind, changes).schedule
    present = trigger.options()
    del present["trigger"]
    if kind == "cron" and changes.get("crontab", present.get("crontab")) == present.get("crontab"):
        job_id = getattr(trigger, "hash_id", None) or job_id  # the same text: the same times
    replaced = _replaced(kind, group, present, changes)
    merged = {name: value for name, value in present.items() if name not in replaced} | changes
    # The zone is among the options unless it was taken away, or has no name.
    zone = timezone if "timezone" in changes else trigger.timezone
    if not trigger.is_bound or "start_date" in changes:
        return make_trigger(kind, merged, zone, job_id)
    del merged["start_date"]
    return make_trigger(kind, merged, zone, job_id).keeps_beat_of(trigger)


def _replaced(
    kind: str,
    group: tuple[str, ...],
    present: Mapping[str, object],
    changes: Mapping[str, object],
) -> tuple[str, ...]:
    """Return the names of the present options that *changes* replace, those of *group* or none."""
    if kind == "cron":
        given = [name for name in group if changes.get(name) is not None]
        if changes.get("crontab") is not None:
            return (*group, "timezone") if _names_zone(changes["crontab"]) else group
        if given and "crontab" in present and "crontab" not in changes:
            raise InvalidTriggerError(
                given[0],
                changes[given[0]],
                f"crontab=, since the schedule is the crontab text {present['crontab']!r};"
                " with crontab=None the fields replace it",
            )
        return ()
    return group if any(changes.get(unit) is not None for unit in group) else ()


def _given(
    kind: object, options: Mapping[str, object], timezone: tzinfo, job_id: str | None
) -> Trigger:
    if isinstance(kind, Mapping):
        named, within = split_kind(kind)
        return _make(named, timezone, job_id, join_options(within, options), 0)
    if not isinstance(kind, Trigger):
        option_names(kind)  # type: ignore[arg-type]
        raise AssertionError("unreachable: a kind is text")
    for name, value in options.items():
        raise InvalidTriggerError(
            name, value, f"no options beside a trigger: give it to {type(kind).__name__}(...)"
        )
    return kind


def _from_dict(data: object, timezone: tzinfo, job_id: str | None, depth: int) -> Trigger:
    if isinstance(data, Trigger):
        return data
    if not isinstance(data, Mapping):
        raise InvalidTriggerError("trigger", data, "a mapping such as {'trigger': 'cron', ...}")
    kind, options = split_kind(data)
    return _make(kind, timezone, job_id, options, depth)


@lru_cache(maxsize=4096, typed=True)
def _seen(kind: str, timezone: tzinfo, job_id: str | None, /, **options: object) -> Trigger:
    """Return the trigger for options without dates; it is immutable, so all may share it.

    typed: True and 1 are equal, but only one of them is a number of seconds.
    Dates stay out: two datetimes of one zone are equal by wall clock, though instants apart.
    """
    return _make(kind, timezone, job_id, options, 0)


def _make(
    kind: object, timezone: tzinfo, job_id: str | None, options: Mapping[str, object], depth: int
) -> Trigger:
    known = _check_names(kind, options)
    if kind in _registered:
        return _make_registered(kind, known, timezone, options)
    if "triggers" in known.names:
        return _combine(known, timezone, job_id, options, depth)
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    text = given.pop("crontab", None)
    if not _names_zone(text):
        given.setdefault("timezone", timezone)
    if text is None:
        return known.make(**given)
    for name in known.schedule:
        if name in given:
            raise InvalidTriggerError(name, given[name], f"no field beside crontab={text!r}")
    from schedcore.triggers.cron import CronTrigger

    return CronTrigger.from_crontab(text, job_id=job_id, **given)


def _make_registered(
    kind: object, known: _Kind, timezone: tzinfo, options: Mapping[str, object]
) -> Trigger:
    given = {name: value for name, value in options.items() if value is not None}
    if "timezone" in known.names:
        given.setdefault("timezone", timezone)
    try:
        return known.make(**given)
    except InvalidOptionError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        takes = f"options that this kind of trigger takes, not {dict(options)!r}"
        raise InvalidTriggerError("trigger", kind, f"{takes[:200]}: {text_of(error)}") from error


def _names_zone(crontab: object) -> bool:
    return isinstance(crontab, str) and split_zone(crontab)[0] is not None


def _combine(
    known: _Kind, timezone: tzinfo, job_id: str | None, options: Mapping[str, object], depth: int
) -> Trigger:
    from schedcore.triggers.combining import MAX_DEPTH, MAX_MEMBERS

    members = options.get("triggers")
    expected = f"a list of 1 to {MAX_MEMBERS} triggers, nested at most {MAX_DEPTH} deep"
    if not isinstance(members, (list, tuple)) or len(members) > MAX_MEMBERS or depth >= MAX_DEPTH:
        raise InvalidTriggerError("triggers", members, expected)
    if depth == 0 and not _fit(members, MAX_MEMBERS):  # before any of them is made
        raise InvalidTriggerError(
            "triggers", members, f"{expected}, those within other members included"
        )
    made = [_from_dict(member, timezone, job_id, depth + 1) for member in members]
    return known.make(made, options.get("jitter"))


def _fit(members: Sequence[object], most: int) -> bool:
    """Return whether there are no more than *most* triggers, counting those within others."""
    lists = [members]
    while lists:
        members = lists.pop()
        most -= len(members)
        if most < 0:
            return False
        inner = [member["triggers"] for member in members if isinstance(member, Mapping)
                 and "triggers" in member]  # fmt: skip
        lists += [each for each in inner if isinstance(each, (list, tuple))]
    return True


def _check_names(kind: object, options: Mapping[str, object]) -> _Kind:
    """Return what there is to know of a kind of trigger, if it has options of these names."""
    known = _known(kind)
    if known.names.issuperset(options):
        return known
    unknown = next(name for name in options if name not in known.names)
    takes = ", ".join(known.options)
    hint = option_hint(str(kind), options, known.names)
    raise InvalidTriggerError(
        str(unknown)[:80], options[unknown], f"an option of the {kind} trigger: {takes}{hint}"
    )
