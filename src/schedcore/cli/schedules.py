"""Shows fire times: ``schedcore next "0 9 * * mon-fri" --tz Europe/Berlin -n 10``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from schedcore.cli.base import Commands
from schedcore.cli.job_files import guess_kind
from schedcore.clock import SystemClock, from_us
from schedcore.errors import InvalidOptionError
from schedcore.triggers import Trigger, make_trigger, option_names
from schedcore.triggers.lint import look_ahead, warnings_of
from schedcore.triggers.options import moment_us, split_zone
from schedcore.triggers.zones import zone_of

_KINDS = ("date", "interval", "cron", "calendarinterval")
_MOST = 1000


def add_commands(commands: Commands) -> None:
    """Add ``next``."""
    command = commands.add_parser(
        "next",
        allow_abbrev=False,
        help="print the next fire times of a schedule",
        description="Print the next fire times of a schedule, with remarks and warnings.",
        epilog="examples: next '0 9 * * mon-fri' --tz Europe/Berlin -n 10;"
        " next --day-of-week mon-fri --hour 9; next hour=9 minute=30; next --seconds 90;"
        " next calendarinterval months=1 start_date=2026-01-31",
    )
    command.add_argument(
        "schedule",
        nargs="*",
        help="crontab text, or name=value pairs, optionally after a kind: " + ", ".join(_KINDS),
    )
    command.add_argument("--tz", metavar="ZONE", help="time zone (default: the system's)")
    command.add_argument("--after", metavar="DATE", help="start after this time (default: now)")
    command.add_argument("-n", type=_count, default=10, help="how many (default: 10)")
    command.add_argument("--job-id", help="job id from which H in crontab text derives its values")
    for option in sorted(set().union(*map(option_names, _KINDS)) - {"timezone"}):
        command.add_argument(f"--{option.replace('_', '-')}", dest=f"option_{option}", metavar="X")
    command.set_defaults(run=_next)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST:
        raise ValueError(text)
    return number


def _next(parsed: argparse.Namespace) -> int:
    """Print the fire times that *parsed* asks for."""
    zone = zone_of(parsed.tz)
    kind, options = _read_schedule(parsed.schedule)
    for name, value in vars(parsed).items():
        if name.startswith("option_") and value is not None:
            options[name.removeprefix("option_")] = value
    if not options:
        raise InvalidOptionError("schedule", "", "crontab text, or options such as --hour 9")
    trigger = make_trigger(kind or guess_kind(options), options, zone.tz, parsed.job_id)
    now_us = SystemClock().now_us()
    after_us = now_us if parsed.after is None else moment_us("after", parsed.after, zone)
    _print(trigger.bound_to(after_us), parsed.n, after_us)
    return 0


def _read_schedule(words: Sequence[str]) -> tuple[str | None, dict[str, object]]:
    """Return the kind of trigger, if it is named, and the options in *words*."""
    kind = words[0] if words and words[0] in _KINDS else None
    rest = words[1:] if kind else words
    if rest and all("=" in word for word in rest) and split_zone(rest[0])[0] is None:
        return kind, {name: value for name, _, value in (word.partition("=") for word in rest)}
    return kind, {"crontab": " ".join(rest)} if rest else {}


def _print(trigger: Trigger, n: int, after_us: int) -> None:
    print(trigger)
    times = look_ahead(trigger, n, from_us(after_us))
    for moment, remark in times:
        text = moment.isoformat(sep=" ")
        print(f"  {moment:%a} {text} {moment:%Z}{'  # ' if remark else ''}{remark}".rstrip())
    if times.truncated:
        print("warning: the search for more was cut short: its members fire too often for that")
    for warning in warnings_of(trigger, after_us):
        print(f"warning: {warning}")
