"""What is not shown of jobs and runs: secrets, and to who may only read, arguments if need be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schedcore.output import Redact
from schedcore.redacting import in_data
from schedhttp.shapes import RunShown

Hide = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the definition of a job as it is shown, without what is hidden."""
_CALL = ("args", "kwargs")


def secrets_hidden(redact: Redact) -> Hide:
    """Return what hides secrets in the arguments of jobs."""

    def hide(shown: dict[str, Any]) -> dict[str, Any]:
        return {**shown, **{k: in_data(redact, shown[k]) for k in _CALL if k in shown}}

    return hide


def arguments_hidden(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a job without its arguments."""
    less = {**shown, "args": [], "kwargs": {}, "hidden": [name for name in _CALL if shown[name]]}
    reprs = [name for name in less.pop("shown_as_repr", ()) if not name.startswith(_CALL)]
    return {**less, "shown_as_repr": reprs} if reprs else less


def run_without_secrets(run: RunShown, redact: Redact | None) -> RunShown:
    """Return a run without the secrets in what it returned, and in why it failed."""
    if redact is None:
        return run
    shown: dict[str, Any] = {
        name: (text := getattr(run, name)) and redact(text)
        for name in ("result", "error_text", "reason", "why")
    }
    return run._replace(**shown)


def change_without_secrets(shown: dict[str, Any], redact: Redact | None) -> dict[str, Any]:
    """Return what the audit shows of a change, without the secrets in arguments."""
    if redact is None:
        return shown
    hide = secrets_hidden(redact)
    return {**shown, **{name: shown[name] and hide(shown[name]) for name in ("before", "after")}}
