"""The result of reading jobs from elsewhere: importable jobs, and the rest with reasons."""

from __future__ import annotations

from typing import NamedTuple

from schedcore.stores.base import Entry


class Importable(NamedTuple):
    """A job that can be imported."""

    entry: Entry
    remarks: tuple[str, ...] = ()
    """Differences from the source, in words."""


class Rejected(NamedTuple):
    """Something that cannot be imported."""

    where: str
    """The id of the job, or the line of the file."""
    what: str
    """A short description, for people to recognise it."""
    reason: str


class ReadResult(NamedTuple):
    """Everything that was read from one source."""

    importable: list[Importable]
    rejected: list[Rejected]
    remarks: list[str]
    """Remarks about more than one job."""
