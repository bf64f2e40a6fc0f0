"""Actions on several jobs or runs: one after the other, or all that match a filter."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from schedcore.cli.base import DONE, PARTLY, counted, harmless
from schedcore.cli.client import Api, Refused
from schedcore.cli.showing import print_error
from schedcore.errors import InvalidOptionError

REFUSED: Final = 2
"""Exit status: nothing was done."""


def each(ids: Iterable[str], act: Callable[[str], Any]) -> tuple[list[Any], int]:
    """Do something for each id, print the refusals, and return the results.

    Args:
        ids: The ids of jobs or runs.
        act: The action.

    Returns:
        The results of those that were not refused, and the exit status.
    """
    done, refused = [], 0
    for job_id in ids:
        try:
            done.append(act(job_id))
        except Refused as error:
            refused += 1
            print_error(error)
    return done, DONE if not refused else PARTLY if done else REFUSED


def add_filter(command: argparse.ArgumentParser) -> None:
    """Add the ids of jobs, and the options of a filter that can replace them."""
    command.add_argument("ids", nargs="*", metavar="ID")
    which = command.add_argument_group("in place of ids: all or none")
    which.add_argument("--q", metavar="TEXT", help="jobs with this text in id, name or function")
    which.add_argument(
        "--tag",
        action="append",
        metavar="TAG",
        help="jobs with this tag; if repeated, with all of them",
    )
    which.add_argument("--state", help="those that are scheduled, paused, running or broken")
    which.add_argument("--all", action="store_true", help="every job")
    add_yes(command)


def has_filter(parsed: argparse.Namespace) -> bool:
    """Return whether jobs are selected by a filter, not by ids.

    Raises:
        InvalidOptionError: if both are given, or neither.
    """
    given = bool(parsed.q or parsed.tag or parsed.state or parsed.all)
    if given == bool(parsed.ids):
        raise InvalidOptionError("ID", parsed.ids, "ids, or one of --q, --tag, --state and --all")
    return given


def together(
    api: Api, parsed: argparse.Namespace, verb: str, method: str, *parts: str
) -> Mapping[str, Any]:
    """Do something with all jobs that match a filter, or with none; return the answer.

    Args:
        api: The server.
        parsed: The filter, and whether the action is already confirmed.
        verb: The action, for the question.
        method: The method of the request.
        parts: The path of the request.

    Raises:
        InvalidOptionError: if it is not confirmed.
    """
    which = {"q": parsed.q, "tag": parsed.tag, "state": parsed.state}
    which["all"] = "true" if parsed.all else None

    def question(count: int, details: Mapping[str, Any]) -> str:
        ids = details["ids"]
        shown = ", ".join(map(str, ids)) + (", ..." if count > len(ids) else "")
        return f"{verb} {counted(count, 'job')} ({shown})?"

    return confirmed(api, parsed, question, method, *parts, query=which)


def confirmed(
    api: Api,
    parsed: argparse.Namespace,
    question: Callable[[int, Mapping[str, Any]], str],
    method: str,
    *parts: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Request an action on many jobs, and repeat the request once their number is confirmed.

    Args:
        api: The server.
        parsed: Whether the action is already confirmed.
        question: Returns the question, given the number of jobs and the server's details.
        method: The method of the request.
        parts: The path of the request.
        query: The query of the request.
        body: The body of the request.

    Raises:
        InvalidOptionError: if it is not confirmed.
    """
    answer: Mapping[str, Any]
    try:
        answer = api(method, *parts, query=query, body=body).json
    except Refused as error:
        if "count" not in error.details:
            raise
        count = int(error.details["count"])
        if count:
            confirm(question(count, error.details), parsed)
        answer = api(method, *parts, query={**(query or {}), "confirm": count}, body=body).json
    return answer


def confirm(question: str, parsed: argparse.Namespace) -> None:
    """Ask whether to continue, unless ``--yes`` was given.

    Raises:
        InvalidOptionError: if the answer is no, or there is no terminal to ask.
    """
    if parsed.yes:
        return
    if not sys.stdin.isatty():
        raise InvalidOptionError(
            "--yes", False, f"--yes, since there is no terminal for a confirmation: {question}"
        )
    print(harmless(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidOptionError("answer", "no", "yes: nothing was done")


def add_yes(command: argparse.ArgumentParser) -> None:
    """Add the option that confirms all questions."""
    command.add_argument("--yes", action="store_true", help="skip the confirmation")
