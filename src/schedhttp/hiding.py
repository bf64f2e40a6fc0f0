"""Hides secrets in jobs and runs, and arguments from read-only clients if that is set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from schedcore import InvalidOptionError
from schedcore.job import Job
from schedcore.output.redacting import in_data
from schedcore.output.text import Redact
from schedhttp.shown import (
    RunShown,
)

Hide = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the definition of a job as it is shown, without hidden values."""
_CALL = ("args", "kwargs")
_STARS = re.compile(r"\*+")


def secrets_hidden(redact: Redact) -> Hide:
    """Return a function that hides secrets in the arguments of jobs."""

    def hide(shown: dict[str, Any]) -> dict[str, Any]:
        call = {name: shown[name] for name in _CALL if name in shown}
        try:
            less = {name: in_data(redact, value) for name, value in call.items()}
        except RecursionError:  # nested too deeply to be searched
            return {**shown, **{name: type(v)() for name, v in call.items()}, "hidden": [*call]}
        hidden = [place for name in less for place in _changed(name, shown[name], less[name])]
        return {**shown, **less, "hidden": hidden} if hidden else shown

    return hide


def _changed(name: str, shown: Any, less: Any) -> list[str]:
    """Return the paths of the arguments in which something was hidden."""
    if less is shown:
        return []
    if isinstance(shown, dict):
        return [f"{name}.{key}" for key in shown if less[key] is not shown[key]]
    if isinstance(shown, list):
        return [f"{name}[{n}]" for n, value in enumerate(shown) if less[n] is not value]
    return [name]  # text: the audit has truncated it


def with_stored(changes: Mapping[str, Any], shown: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """Return *changes* of a job with the stored arguments where clients repeat what they saw.

    A client that changes one argument sends the others as it saw them: with stars for secrets, with
    reprs for values that are not JSON, and with lists for tuples.

    Args:
        changes: The new values, by field.
        shown: The job as the client sees it.
        job: The job.

    Raises:
        InvalidOptionError: if stars or a repr are anywhere else, since they would be stored; or for
            text in the place of a repr: it may be what the client saw before the repr changed.
    """
    stored = dict(changes)
    for name, real in (("args", job.args), ("kwargs", job.kwargs)):
        if name in changes:
            seen, given = _by_place(name, shown[name]), _by_place(name, changes[name])
            reals = _by_place(name, real)
            kept = {p for p in seen.keys() & given.keys() if is_same(given[p], seen[p])}
            stand_ins = _stand_ins(shown, seen, reals)
            for place in given.keys() - kept:
                if isinstance(given[place], str) and place in shown.get("shown_as_repr", ()):
                    expected = (
                        f"{seen[place]!r}, which keeps the object that is shown so now, or a value"
                        " that is not text; to set text, set null before"
                    )
                    raise InvalidOptionError(place, given[place], expected)
                if not stand_ins.isdisjoint(_texts(given[place])):
                    expected = "a value, and not what stands for one that is not shown"
                    raise InvalidOptionError(place, given[place], expected)
            values = [reals[p] if p in kept else each for p, each in given.items()]
            if isinstance(changes[name], list):
                stored[name] = values
            elif values:
                stored[name] = dict(zip(changes[name], values, strict=True))
    return stored


def _stand_ins(
    shown: Mapping[str, Any], seen: Mapping[str, Any], reals: Mapping[str, Any]
) -> frozenset[str]:
    """Return the texts in arguments that stand for values that are not shown."""
    reprs = seen.keys() & {*shown.get("shown_as_repr", ())}
    stars = (seen.keys() & {*shown.get("hidden", ())}) - reprs
    return frozenset().union(
        *(_texts(seen[p]) for p in reprs), *(_texts(seen[p]) - _texts(reals[p]) for p in stars)
    )


def _by_place(name: str, arguments: Any) -> dict[str, Any]:
    """Return arguments by their places, as ``hidden`` names them."""
    if isinstance(arguments, Mapping):
        return {f"{name}.{key}": each for key, each in arguments.items()}
    if isinstance(arguments, list | tuple):
        return {f"{name}[{n}]": each for n, each in enumerate(arguments)}
    return {}


def _texts(value: Any) -> frozenset[str]:
    """Return all texts in plain data, with one star for several: a secret may have been longer."""
    if isinstance(value, str):
        return frozenset([_STARS.sub("*", value)])
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return frozenset()
    return frozenset().union(*map(_texts, value))


def arguments_hidden(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a job without its arguments."""
    less = {**shown, "args": [], "kwargs": {}, "hidden": [name for name in _CALL if shown[name]]}
    reprs = [name for name in less.pop("shown_as_repr", ()) if not name.startswith(_CALL)]
    return {**less, "shown_as_repr": reprs} if reprs else less


def run_without_secrets(run: RunShown, redact: Redact | None) -> RunShown:
    """Return a run without the secrets in its result and its error."""
    if redact is None:
        return run
    shown: dict[str, Any] = {
        name: (text := getattr(run, name)) and redact(text)
        for name in ("result", "error_text", "reason", "why")
    }
    return run._replace(**shown)


def change_without_secrets(shown: dict[str, Any], redact: Redact | None) -> dict[str, Any]:
    """Return a change as the audit shows it, without the secrets in arguments."""
    if redact is None:
        return shown
    hide = secrets_hidden(redact)
    return {**shown, **{name: shown[name] and hide(shown[name]) for name in ("before", "after")}}


def is_same(given: object, shown: object) -> bool:
    """Return whether a client sent the value that it was shown."""
    if isinstance(shown, datetime):
        return given == shown.isoformat()
    if not isinstance(given, dict | list):
        return type(given) is type(shown) and given == shown
    shown = json.loads(json.dumps(shown))
    # true == 1 in Python, but not in JSON, at any depth.
    return given == shown and json.dumps(given, sort_keys=True) == json.dumps(shown, sort_keys=True)
