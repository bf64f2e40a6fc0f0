"""What comes of reading jobs from elsewhere: those that can come over, and what cannot, and why."""

from __future__ import annotations

from typing import NamedTuple

from schedcore.stores.base import Entry


class Taken(NamedTuple):
    """A job that can come over."""

    entry: Entry
    remarks: tuple[str, ...] = ()
    """What differs from where it came from, in words."""


class Left(NamedTuple):
    """Something that cannot come over."""

    where: str
    """The id of the job, or the line of the file."""
    what: str
    """What it is, shortened: for people to recognise it."""
    reason: str


class Reading(NamedTuple):
    """All that was read from one place."""

    taken: list[Taken]
    left: list[Left]
    remarks: list[str]
    """What there is to say of more than one job."""
