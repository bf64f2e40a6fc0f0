"""What becomes of jobs that are declared, and of those that are so no more, in every store."""

from typing import NamedTuple

from schedcore.errors import ConflictingIdError
from schedcore.stores.base import Change, Declared, Entry, Otherwise
from schedcore.stores.passing import passed_records


class DeclaredBy(NamedTuple):
    """Who declared a job, and the fingerprint; "" once it is parked."""

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
    """Return what is to be written of a declared job; as a store does in ``declare``.

    Args:
        old: The job with its id that is there, if there is one.
        was: Who declared that, or one that had its last fire time.
        declared: The job.
        app: Who declares it now.
        now_us: The present.
        otherwise: What comes of another definition.

    Returns:
        None if the job stays as it is, or had its last fire time.

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
    return Change(old, new, another, passed_records(old, new, now_us))


def parked(old: Entry, app: str) -> Change:
    """Return the change that parks a job which *app* declares no more."""
    return Change(old, old._replace(due_us=None, broken=f"{app!r} no longer declares it"))
