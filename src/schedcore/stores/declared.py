"""Reconciles declared jobs with stored ones, in every store."""

from typing import NamedTuple

from schedcore.errors import ConflictingIdError
from schedcore.stores.base import Change, Declared, Entry, Otherwise
from schedcore.stores.not_run import not_run_records


class DeclaredBy(NamedTuple):
    """The app that declared a job, and the fingerprint, which is "" once the job is parked."""

    app: str | None
    fingerprint: str | None


def change_of(
    old: Entry | None,
    was: DeclaredBy | None,
    declared: Declared,
    app: str | None,
    now_us: int,
    otherwise: Otherwise,
) -> Change | Entry | None:
    """Return the change to write for a declared job; see ``declare`` of a store.

    Args:
        old: The stored job with this id, if there is one.
        was: The declaration of that job, or of one that had its last fire time.
        declared: The job.
        app: The app that declares it now.
        now_us: The present.
        otherwise: What to do about another definition.

    Returns:
        None if the job stays unchanged, or had its last fire time.

    Raises:
        ConflictingIdError: if *otherwise* refuses another definition.
    """
    entry, fingerprint = declared
    if old is None:
        had_its_last = app is not None and was == (app, fingerprint)
        return None if had_its_last else entry
    if was is not None and was.fingerprint == fingerprint:
        return None
    if otherwise == "refuse":
        raise ConflictingIdError(entry.job.id)
    stays_paused = was is not None and was.fingerprint != "" and old.due_us is None
    new = entry._replace(due_us=None) if stays_paused else entry
    another = was is None or otherwise == "replace"
    return Change(old, new, another, not_run_records(old, new, now_us))


def parked(old: Entry, app: str) -> Change:
    """Return the change that parks a job that *app* no longer declares."""
    return Change(old, old._replace(due_us=None, broken=f"{app!r} no longer declares it"))
