"""Jobs as plain data, and back: the one codec of stores, import and export, and REST.

Functions are references, triggers their plain-data form, and arguments tagged plain data
(:mod:`schedcore.basics.tagged_data`): nothing is a pickle, and what comes back is what was there.
When a job is next due is not part of its definition, nor of its plain data.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from schedcore.basics import funcref
from schedcore.basics.tagged_data import TAG, as_text, from_plain, refuse, to_plain
from schedcore.clock import UTC
from schedcore.errors import FuncRefError, InvalidOptionError, InvalidTriggerError, did_you_mean
from schedcore.job import (
    CHANNEL_OPTIONS,
    OPTION_NAMES,
    Job,
    Options,
    build_options,
    check_args,
    check_id,
    check_kwargs,
    check_name,
)
from schedcore.run import short_repr
from schedcore.triggers.base import Trigger
from schedcore.triggers.factory import comes_back, schedule_names, trigger_from_dict
from schedcore.triggers.values import ValueTrigger

FIELDS: Final = ("id", "func", "args", "kwargs", "name", "trigger", *Options._fields)
"""The names in a job's plain data, in their order."""
_BOUND: Final = "$bound"
"""Beside the options of an interval whose start was not given, but set when its job was added; for
a combination, a list that tells it of each member."""
_HASH_ID: Final = "$job_id"
"""Beside the options of crontab text whose ``H`` takes its values from another id than the job's;
for all members of a combination."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def job_to_dict(job: Job, fields: Collection[str] = FIELDS) -> dict[str, Any]:
    """Return a job as plain data; the inverse of :func:`job_from_dict`.

    The trigger is a dict under ``trigger``, and ``name`` is None unless it was set.

    Args:
        job: Which job.
        fields: Names of :data:`FIELDS`; no others are looked at.

    Raises:
        InvalidOptionError: if something has no plain-data form: the option is the path to it
            (``kwargs['x'][2]``), and the text says how to fix it.
    """
    data = {name: _WRITERS[name](job) for name in fields if name in _WRITERS}
    options = options_to_dict(job.options)
    return data | {name: options[name] for name in fields if name in options}


def job_from_dict(data: Mapping[str, Any], timezone: tzinfo = UTC, *, resolve: bool = True) -> Job:
    """Return the job that *data* describes; the inverse of :func:`job_to_dict`.

    All fields except ``id``, ``func`` and ``trigger`` may be left out.  The function is resolved,
    which imports its module; if there is none, the job has no function yet, and is parked when it
    becomes due.

    Args:
        data: Plain data from a source that may name any function.
        timezone: The zone of a trigger that names none.
        resolve: Whether to resolve the function; moving jobs does not require importing their
            modules.

    Raises:
        InvalidOptionError: naming the field or the path, the value, and what was expected.
    """
    for name in ("id", "func", "trigger"):
        if data.get(name) is None:
            raise InvalidOptionError(name, None, f"the {name} of a job in plain data")
    job_id = check_id(data["id"])
    job = Job(job_id, None, (), {}, _read_trigger(data["trigger"], timezone, job_id), Options())
    if not resolve:
        job = job._replace(given_ref=_checked_ref(data["func"]))
        data = {name: value for name, value in data.items() if name not in ("func", "trigger")}
    return with_fields(job, data, timezone)


def with_fields(job: Job, data: Mapping[str, Any], timezone: tzinfo = UTC) -> Job:
    """Return *job* with the fields in *data*, and its other fields unchanged.

    Raises:
        InvalidOptionError: as :func:`job_from_dict` does.
    """
    parts: dict[str, Any] = {}
    for name in data:
        if name == "trigger":
            parts[name] = _read_trigger(data[name], timezone, job.id)
        elif name in _READERS:
            parts |= _READERS[name](data[name])
        elif name not in FIELDS:
            known = ", ".join(FIELDS)
            hint = did_you_mean(str(name), FIELDS)
            raise InvalidOptionError(str(name), data[name], f"one of {known}{hint}")
    options = {name: data[name] for name in OPTION_NAMES if name in data}
    return job._replace(options=build_options(job.options, options), **parts)


def trigger_to_dict(trigger: Trigger, job_id: str) -> dict[str, Any]:
    """Return a trigger in its plain-data form, dates and the like among its options tagged.

    Args:
        trigger: Which trigger.
        job_id: The id of its job.

    Raises:
        InvalidOptionError: if it, or a member of it, would not be restored as an equal trigger.
    """
    if not comes_back(trigger):
        raise InvalidTriggerError(
            "trigger",
            trigger,
            "triggers of the kinds that are built in, or registered by @schedcore.register_trigger",
        )
    try:
        options = dict(trigger.to_dict())
    except Exception as error:  # a user's trigger may raise anything
        raise InvalidTriggerError(
            "trigger", trigger, f"a to_dict() that works: {type(error).__name__}: {error}"
        ) from error
    data = {name: to_plain(value, f"trigger[{name!r}]") for name, value in options.items()}
    if bound := _bound_parts(trigger):
        data[_BOUND] = bound
    ids = _hash_ids(trigger)
    if len(ids) > 1:
        raise InvalidTriggerError("trigger", trigger, "H in crontab text with one job_id for all")
    for used_id in ids - {job_id}:
        data[_HASH_ID] = used_id
    return data


def _hash_ids(trigger: Trigger) -> frozenset[str]:
    """Return the ids from which ``H`` in crontab text takes its values, those of members too."""
    own = getattr(trigger, "hash_id", None) if trigger.kind == "cron" else None
    return frozenset(() if own is None else (own,)).union(*map(_hash_ids, _members(trigger)))


def _members(trigger: Trigger) -> Sequence[Trigger]:
    """Return the members of a combination, one at least; of another trigger, none."""
    members: Sequence[Trigger] = getattr(trigger, "triggers", ())
    return members if trigger.kind in ("and", "or") else ()


def options_to_dict(options: Options) -> dict[str, Any]:
    """Return how a job is run, as plain data."""
    data = options._asdict()
    for name in ("tags", *CHANNEL_OPTIONS):
        data[name] = list(data[name])
    if options.retry is not None:
        data["retry"] = options.retry._asdict() | {"on": list(options.retry.on)}
    return data


def _reference(job: Job) -> str:
    if job.func_ref is None:
        raise FuncRefError(
            "func",
            job.func,
            "a function that its name leads back to: one at the top level of a module, and not a"
            " lambda, a partial, a nested function or a bound method; or a reference such as"
            ' "package.module:name"',
        )
    return job.func_ref


_WRITERS: Final[Mapping[str, Callable[[Job], Any]]] = {
    "id": lambda job: job.id,
    "func": _reference,
    "args": lambda job: [to_plain(each, f"args[{n}]") for n, each in enumerate(job.args)],
    "kwargs": lambda job: to_plain(dict(job.kwargs), "kwargs"),
    "name": lambda job: job.given_name,
    "trigger": lambda job: trigger_to_dict(job.trigger, job.id),
}


def _checked_ref(reference: object) -> str:
    if not isinstance(reference, str):
        raise FuncRefError("func", reference, 'a reference such as "package.module:name"')
    funcref.split(reference)
    return reference


def _read_func(reference: object) -> dict[str, Any]:
    reference = _checked_ref(reference)
    try:
        return {"func": funcref.resolve(reference), "given_ref": reference}
    except FuncRefError:  # the engine tries again when the job is due, and logs it
        return {"func": None, "given_ref": reference}


def _read_trigger(data: object, timezone: tzinfo, job_id: str) -> Trigger:
    if not isinstance(data, Mapping):
        raise InvalidTriggerError("trigger", data, "a mapping such as {'trigger': 'cron', ...}")
    options = {name: from_plain(each, f"trigger[{name!r}]") for name, each in data.items()}
    bound = options.pop(_BOUND, False)
    hash_id = options.pop(_HASH_ID, job_id)
    if not isinstance(hash_id, str):
        raise InvalidTriggerError(
            _HASH_ID, hash_id, "the id from which H takes its values, as text"
        )
    trigger = trigger_from_dict(options, timezone, hash_id)
    return _with_bound_parts(trigger, bound)


def _bound_parts(trigger: Trigger) -> bool | list[Any]:
    """Return whether a start is nobody's wish, and goes with the first change."""
    members = _members(trigger)
    if not members:
        return trigger.is_bound
    parts = [_bound_parts(member) for member in members]
    return parts if any(parts) else False


def _with_bound_parts(trigger: Trigger, bound: object) -> Trigger:
    """Return *trigger* with what :func:`_bound_parts` told of it; anything else is ignored."""
    if bound is True:
        return trigger.keeps_beat_of(trigger)
    if not isinstance(bound, list) or trigger.kind not in ("and", "or"):
        return trigger
    from schedcore.triggers.combining import AndTrigger, OrTrigger

    assert isinstance(trigger, AndTrigger | OrTrigger)  # nobody else may register these kinds
    if len(bound) != len(trigger.triggers):
        return trigger
    members = map(_with_bound_parts, trigger.triggers, bound)
    return type(trigger)(members, trigger.jitter)


_READERS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "func": _read_func,
    "args": lambda data: {"args": check_args(from_plain(data, "args"))},
    "kwargs": lambda data: {"kwargs": check_kwargs(from_plain(data, "kwargs"))},
    "name": lambda data: {"given_name": check_name(data)},
}


# To be compared


def fingerprint(job: Job, trigger: Trigger | None = None) -> str:
    """Return a digest that is equal for equal definitions, in any process.

    It does not include the id, nor when the job is due.  Values without a plain-data form are
    represented by their repr, without addresses.

    Args:
        job: Which job.
        trigger: Its trigger as declared; a trigger that is bound to the moment of adding would
            differ between processes.
    """
    return digest(
        job.func_ref or job.func,
        job.trigger if trigger is None else trigger,
        job.args,
        dict(job.kwargs),
        job.given_name,
        as_text(options_to_dict(job.options)),  # plain data already
    )


def digest(*parts: object) -> str:
    """Return a digest that is equal for equal values, in any process.

    Functions are represented by their names, triggers by their plain-data form, and other values
    without such a form by their repr, without addresses.
    """
    text = as_text([_unordered(_printed(part)) for part in parts])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _printed(part: object) -> Any:
    try:
        return to_plain(part, "", _described)
    except InvalidOptionError:  # nested too deeply, or within itself
        return _repr(part)


def _described(value: object, path: str) -> Any:
    """Return what is put in the place of a value that has no plain-data form."""
    if type(value) in (list, tuple, dict, set, frozenset):
        return refuse(value, path)
    try:
        parts = _parts(value)
    except Exception:  # noqa: BLE001 — a user's object may raise anything
        return _repr(value)
    return _repr(value) if parts is None else to_plain(parts, path, _described)


def _parts(value: Any) -> object:
    """Return what tells *value* from others of its kind; None: its repr does."""
    if isinstance(value, Trigger):
        return dict(value.to_dict())
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType | type):
        name = f"{value.__module__}:{value.__qualname__}"
        owner = getattr(value, "__self__", None)
        return name if owner is None or isinstance(owner, ModuleType) else (name, owner)
    return None


def _repr(value: object) -> str:
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception as error:  # noqa: BLE001 — a user's __repr__ may raise anything
        return f"{type(value).__qualname__} whose repr raised {type(error).__name__}"


def _unordered(data: Any) -> Any:
    """Return plain data with the pairs of dicts in an order that is theirs alone."""
    if isinstance(data, list):
        return [_unordered(each) for each in data]
    if not isinstance(data, dict):
        return data
    data = {name: _unordered(value) for name, value in data.items()}
    if data.get(TAG) == "dict":
        data["value"] = sorted(data["value"], key=as_text)
    return data


# To be changed


def with_units(kind: str, changes: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes of a job with the units that stay, since one replaces all of an interval.

    Args:
        kind: The kind of its trigger, which stays.
        changes: The new values of options.
        wanted: All options that the job is to have.
    """
    group = schedule_names(kind)
    units = group & wanted.keys() if group & changes.keys() else ()
    return {**{name: wanted[name] for name in units}, **changes}


# To be shown


def shown(job: Job) -> dict[str, Any]:
    """Return a job's definition as JSON for people: flat, with its display name.

    Nothing is tagged: values that JSON cannot represent are shown as their repr, and listed in
    ``shown_as_repr``.
    """
    as_repr: list[str] = []
    func = job.func_ref
    if func is None:
        func = funcref.name_of(job.func) if job.func is not None else ""
        as_repr.append("func")
    data = {
        "id": job.id,
        "name": job.name,
        "func": func,
        "args": [_shown(f"args[{n}]", value, as_repr) for n, value in enumerate(job.args)],
        "kwargs": {k: _shown(f"kwargs.{k}", v, as_repr) for k, v in job.kwargs.items()},
        **_shown_trigger(job.trigger, as_repr),
        **options_to_dict(job.options),
    }
    if as_repr:
        data["shown_as_repr"] = as_repr
    return data


def _shown_trigger(trigger: Trigger, as_repr: list[str]) -> dict[str, Any]:
    try:
        data = dict(trigger.to_dict())
        if not isinstance(trigger, ValueTrigger):
            _check_json(data)
    except Exception:  # noqa: BLE001 — a user's trigger may raise anything; its jobs still show
        as_repr.append("trigger")
        return {"trigger": short_repr(trigger)}
    return data


def _shown(where: str, value: object, as_repr: list[str]) -> object:
    if value is None or type(value) in (str, bool):
        return value
    try:
        _check_json(value)
    except Exception:  # noqa: BLE001 — not JSON, or a type of the user's that raises anything
        as_repr.append(where)
        return short_repr(value)
    return value


_check_json = json.JSONEncoder(allow_nan=False).encode
