"""Converts the lines of a crontab to jobs that run their commands."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from schedcore.errors import InvalidOptionError
from schedcore.job import MAX_ID_LENGTH, Job, Options, check_name
from schedcore.jobdata import job_to_dict
from schedcore.stores.base import Entry, make_entry
from schedcore.transfer.base import Importable, ReadResult, Rejected
from schedcore.triggers.cron import CronTrigger

FUNCTION: Final = "schedcore.jobs:run_command"
_SETTING = re.compile(
    r"""\s*(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|(?P<bare>[A-Za-z_][^\s=]*))\s*=(?P<value>.*)"""
)
# With a minus sign before the minute, cron does not log the run.
_LINE = re.compile(r"\s*-?(?P<times>@\S+|(?:\S+\s+){4}\S+)\s+(?P<rest>\S.*)")
_REBOOT = (
    "it runs at boot, not at a time: let your service manager run it, or your program when it"
    " starts"
)
_MAILTO = (
    "MAILTO is not imported: the end of a command's output is the result of its run, or in its"
    " error if it fails"
)


class _Settings:
    """The settings of the lines so far, for the following ones."""

    def __init__(self, home: Path, timezone: object) -> None:
        self.shell = "/bin/sh"
        self.folder = str(home)
        self.variables: dict[str, str] = {}
        self.zone = timezone
        self.jitter: int | None = None
        self.mails = False

    def take(self, name: str, value: str) -> None:
        """Apply the setting of one line."""
        if name == "CRON_TZ":
            self.zone = value
        elif name == "RANDOM_DELAY":  # cronie's, in minutes
            self.jitter = int(value) * 60 if value.isdecimal() else None
        elif name == "SHELL":
            self.shell = value
        elif name == "HOME":
            self.folder = value
        if name in ("MAILTO", "MAILFROM"):
            self.mails = True
        elif name not in ("CRON_TZ", "RANDOM_DELAY"):
            self.variables[name] = value


def read_crontab(
    lines: Iterable[str],
    now_us: int,
    *,
    home: Path,
    user: str | None = None,
    timezone: object = None,
) -> ReadResult:
    """Return a job for each line of a crontab that has a command.

    Args:
        lines: The lines of the file.
        now_us: The time after which they are due.
        home: The working directory of the commands, unless a line sets HOME.
        user: Import only lines of this user, in a crontab whose lines name a user before the
            command, like ``/etc/crontab``.  None: it is a user's own crontab.
        timezone: The zone of the times, unless a line sets CRON_TZ; None: the system's.
    """
    settings, seen = _Settings(home, timezone), Counter[str]()
    reading = ReadResult([], [], [])
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        setting = _SETTING.fullmatch(text)
        if setting is not None:
            name = setting["double"] or setting["single"] or setting["bare"]
            settings.take(name, _unquoted(setting["value"]))
            continue
        try:
            entry = _entry(_parts(text, user), settings, seen, now_us)
            reading.importable.append(Importable(entry))
        except InvalidOptionError as error:
            reason = error.expected if error.option == "line" else str(error)
            reading.rejected.append(Rejected(f"line {number}", text[:60], reason))
    if settings.mails:
        reading.remarks.append(_MAILTO)
    return reading


def _unquoted(value: str) -> str:
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


class _Parts(NamedTuple):
    """The parts of a line, without insignificant blanks."""

    times: str
    command: str
    """The command, including its input after a ``%``."""

    @property
    def mark(self) -> str:
        """A key that is equal for equal lines."""
        digest = hashlib.sha256(f"{self.times}\n{self.command}".encode("utf-8", "replace"))
        return f"cron-{digest.hexdigest()[:12]}"


def _parts(text: str, user: str | None) -> _Parts:
    match = _LINE.fullmatch(text)
    if match is None:
        raise InvalidOptionError(
            "line",
            text,
            "it is neither a setting nor five fields of time (or a word such as @daily) and a"
            " command",
        )
    times, rest = " ".join(match["times"].split()), match["rest"]
    if times.lower() == "@reboot":
        raise InvalidOptionError("line", text, _REBOOT)
    if user is not None:
        owner, *more = rest.split(maxsplit=1)
        if owner != user:
            raise InvalidOptionError(
                "line",
                text,
                f"it runs as {owner}: import it with --user {owner}, into the store of a"
                " scheduler that runs as that user",
            )
        if not more:
            raise InvalidOptionError("line", text, "it has no command after the user")
        rest = more[0]
    return _Parts(times, rest.strip())


def _entry(parts: _Parts, settings: _Settings, seen: Counter[str], now_us: int) -> Entry:
    count = seen[parts.mark] + 1  # cron runs a repeated line twice
    job_id = f"{parts.mark}-{count}" if count > 1 else parts.mark
    trigger = CronTrigger.from_crontab(
        parts.times, settings.zone, jitter=settings.jitter, job_id=job_id
    )
    command, input_text = split_command(parts.command)
    if not command:
        raise InvalidOptionError("line", parts.command, "it has no command before its %")
    keywords: dict[str, Any] = {"cwd": settings.folder}
    if settings.variables:
        keywords["env"] = dict(settings.variables)
    if input_text is not None:
        keywords["input"] = input_text
    seen[parts.mark] = count
    job = Job(
        job_id,
        None,
        ([settings.shell, "-c", command],),
        keywords,
        trigger,
        Options(),
        check_name(command[:MAX_ID_LENGTH]),
        FUNCTION,
    )
    job_to_dict(job)  # refuses values that are not plain data
    fire_us = trigger.first_us(now_us)
    return make_entry(job, fire_us, fire_us)


def split_command(text: str) -> tuple[str, str | None]:
    r"""Split a command from its standard input, whose lines begin with a ``%`` (crontab(5)).

    ``\%`` is a literal ``%``; any other backslash stays.
    """
    parts = [""]
    for piece in re.findall(r"\\.|[^\\]|\\", text, re.DOTALL):
        if piece == "%":
            parts.append("")
        else:
            parts[-1] += "%" if piece == r"\%" else piece
    command, *read = parts
    if not read:
        return command.strip(), None
    given = "\n".join(read)
    return command.strip(), given if given.endswith("\n") else f"{given}\n"
