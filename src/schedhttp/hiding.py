"""Hides secrets in jobs and runs, and arguments from read-only clients if that is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schedcore.output.redacting import in_data
from schedcore.output.text import Redact
from schedhttp.shown import (
    RunShown,
)

Hide = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the definition of a job as it is shown, without hidden values."""
_CALL = ("args", "kwargs")


def secrets_hidden(redact: Redact) -> Hide:
    """Return a function that hides secrets in the arguments of jobs."""

    def hide(shown: dict[str, Any]) -> dict[str, Any]:
        less = {name: in_data(redact, shown[name]) for name in _CALL if name in shown}
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
